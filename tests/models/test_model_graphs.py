"""The rewritten graphs compute what the originals compute behind PP-OCR's own pre- and post-processing."""

import string
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.models.drawing import Pixels
from tests.models.reference import decoded, onnxruntime_session, run_original
from worker.domain.manifest import ModelRole
from worker.models.alphabet import ctc_dictionary, kept_classes
from worker.models.detector import rewrite_detector
from worker.models.orientation import rewrite_orientation
from worker.models.recognizer import fix_width, recognizer_characters, rewrite_recognizer
from worker.models.rewriting import GraphError, load_graph
from worker.models.source import ModelSource

Sources = Mapping[ModelRole, ModelSource]
Originals = Mapping[ModelRole, Any]
UPRIGHT = np.zeros((1, 1), dtype=np.float32)
UPSIDE_DOWN = np.ones((1, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def dictionary(sources: Sources) -> list[str]:
    return list(ctc_dictionary(recognizer_characters(load_graph(sources[ModelRole.RECOGNIZER].path))))


@pytest.fixture(scope="module")
def recognizer(sources: Sources) -> Any:  # noqa: ANN401  onnxruntime ships no types
    return _recognizer(sources)


@pytest.fixture(scope="module")
def orientation(sources: Sources) -> Any:  # noqa: ANN401  onnxruntime ships no types
    return _session(rewrite_orientation(load_graph(sources[ModelRole.ORIENTATION].path)))


def _session(model: onnx.ModelProto) -> Any:  # noqa: ANN401  onnxruntime ships no types
    return onnxruntime_session(model.SerializeToString())


def _recognizer(sources: Sources, *arguments: Any) -> Any:  # noqa: ANN401  onnxruntime ships no types
    return _session(rewrite_recognizer(load_graph(sources[ModelRole.RECOGNIZER].path), *arguments))


def test_the_detector_gives_the_probability_of_the_original_in_255ths(
    sources: Sources, originals: Originals, page: Pixels
) -> None:
    detector = _session(rewrite_detector(load_graph(sources[ModelRole.DETECTOR].path)))
    pages = np.stack([page, page[::-1]])

    (probability,) = detector.run(None, {"image": pages})

    expected = run_original(originals[ModelRole.DETECTOR], pages)[:, 0]
    assert probability.dtype == np.uint8
    assert expected.max() > 0.9, "there must be text to find"
    assert np.abs(probability / 255 - expected).max() <= 0.5 / 255 + 1e-5


def test_a_detector_with_another_end_is_taken_as_it_is(page: Pixels) -> None:
    detector = _session(rewrite_detector(_detector_without_upsampling()))

    (probability,) = detector.run(None, {"image": page[None]})

    gray = (page.astype(np.float32) / 127.5 - 1).mean(axis=2)
    assert np.abs(probability[0] / 255 - 1 / (1 + np.exp(-gray))).max() <= 0.5 / 255 + 1e-5


def _detector_without_upsampling() -> onnx.ModelProto:
    weights = numpy_helper.from_array(np.full((1, 3, 1, 1), 1 / 3, dtype=np.float32), "weights")
    nodes = [helper.make_node("Conv", ["x", "weights"], ["y"]), helper.make_node("Sigmoid", ["y"], ["z"])]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", None, "H", "W"]) for name in "xz"]
    graph = helper.make_graph(nodes, "detector", tensors[:1], tensors[1:], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)


def test_tokens_are_the_argmax_of_the_original_and_confidences_its_maximum(
    recognizer: Any,  # noqa: ANN401  onnxruntime ships no types
    originals: Originals,
    lines: list[Pixels],
) -> None:
    for line in lines:
        token, confidence = recognizer.run(None, {"line": line[None], "upside_down": UPRIGHT})

        expected = run_original(originals[ModelRole.RECOGNIZER], line[None])
        assert token.shape == (1, line.shape[1] // 8, 1)
        assert token.dtype == np.int32
        np.testing.assert_array_equal(token[..., 0], expected.argmax(axis=2))
        np.testing.assert_allclose(confidence[..., 0], expected.max(axis=2), atol=1e-4)


def test_a_graph_of_one_width_reads_token_for_token_as_that_of_any(
    sources: Sources,
    recognizer: Any,  # noqa: ANN401  onnxruntime ships no types
    lines: list[Pixels],
) -> None:
    rewritten = rewrite_recognizer(load_graph(sources[ModelRole.RECOGNIZER].path))
    fixed = _session(fix_width(rewritten, 640))
    padded = np.full((len(lines), 48, 640, 3), 127, dtype=np.uint8)
    for row, line in enumerate(lines):
        padded[row, :, : line.shape[1]] = line
    inputs = {"line": padded, "upside_down": np.arange(len(lines), dtype=np.float32)[:, None] % 2}

    token, confidence = fixed.run(None, inputs)

    expected_token, expected_confidence = recognizer.run(None, inputs)
    np.testing.assert_array_equal(token, expected_token)
    np.testing.assert_allclose(confidence, expected_confidence, atol=1e-5)
    assert [tensor.shape[1:] for tensor in fixed.get_outputs()] == [[80, 1], [80, 1]]


def test_the_text_that_was_drawn_is_read(
    recognizer: Any,  # noqa: ANN401  onnxruntime ships no types
    dictionary: list[str],
    lines: list[Pixels],
) -> None:
    token, _ = recognizer.run(None, {"line": lines[1][None], "upside_down": UPRIGHT})

    assert decoded(token[0, :, 0], dictionary).replace(" ", "") == "1Z999AA10123456784"


def test_a_head_cut_to_latin_is_the_softmax_over_the_classes_that_stay(
    sources: Sources, originals: Originals, dictionary: list[str], lines: list[Pixels]
) -> None:
    classes = kept_classes(dictionary, "latin")
    latin = _recognizer(sources, classes)

    for line in lines:
        token, confidence = latin.run(None, {"line": line[None], "upside_down": UPRIGHT})

        kept = run_original(originals[ModelRole.RECOGNIZER], line[None])[..., list(classes)]
        np.testing.assert_array_equal(token[..., 0], kept.argmax(axis=2))
        np.testing.assert_allclose(confidence[..., 0], kept.max(axis=2) / kept.sum(axis=2), atol=1e-4)


@pytest.mark.parametrize("alphabet", ["latin", "full"])
def test_alternatives_are_the_best_others_that_codes_are_written_with(
    sources: Sources, originals: Originals, dictionary: list[str], lines: list[Pixels], alphabet: str
) -> None:
    classes = kept_classes(dictionary, alphabet)
    several, single = _recognizer(sources, classes, 4), _recognizer(sources, classes)
    printable = np.array([dictionary[place] in set(string.printable[:94]) for place in classes])

    for line in lines:
        token, confidence = several.run(None, {"line": line[None], "upside_down": UPRIGHT})

        best, best_confidence = single.run(None, {"line": line[None], "upside_down": UPRIGHT})
        np.testing.assert_array_equal(token[..., :1], best)
        np.testing.assert_array_equal(confidence[..., :1], best_confidence)
        kept = run_original(originals[ModelRole.RECOGNIZER], line[None])[..., list(classes)]
        others = np.where(printable & (np.arange(len(classes)) != best), kept / kept.sum(axis=2, keepdims=True), 0)
        np.testing.assert_allclose(confidence[..., 1:], -np.sort(-others, axis=2)[..., :3], atol=1e-4)
        np.testing.assert_allclose(np.take_along_axis(others, token[..., 1:], axis=2), confidence[..., 1:], atol=1e-4)


def test_an_alphabet_of_few_printable_characters_takes_alternatives_from_all_but_the_blank(
    sources: Sources, dictionary: list[str], lines: list[Pixels]
) -> None:
    classes = [0, *(dictionary.index(character) for character in sorted("1Z9€Ü", key=dictionary.index))]
    token, _ = _recognizer(sources, classes, 4).run(None, {"line": lines[1][None], "upside_down": UPRIGHT})

    assert (token[..., 1:] != 0).all()
    assert all(len(set(step)) == 4 for step in token[0].tolist())
    with pytest.raises(GraphError, match="5 characters"):
        _recognizer(sources, classes, 6)


def test_each_line_is_turned_where_it_is_upside_down_and_only_there(
    recognizer: Any,  # noqa: ANN401  onnxruntime ships no types
    lines: list[Pixels],
) -> None:
    line = lines[0]
    both = np.stack([line, line[::-1, ::-1]])
    sides = np.concatenate([UPRIGHT, UPSIDE_DOWN])

    token, confidence = recognizer.run(None, {"line": both, "upside_down": sides})

    alone, _ = recognizer.run(None, {"line": line[None], "upside_down": UPRIGHT})
    np.testing.assert_array_equal(token[0], alone[0])
    np.testing.assert_array_equal(token[1], alone[0])
    np.testing.assert_allclose(confidence[1], confidence[0], atol=1e-6)


def test_the_orientation_is_that_of_the_first_192_columns(
    orientation: Any,  # noqa: ANN401  onnxruntime ships no types
    originals: Originals,
    lines: list[Pixels],
) -> None:
    for line in (*lines, *(line[::-1, ::-1] for line in lines)):
        (upside_down,) = orientation.run(None, {"line": np.ascontiguousarray(line)[None]})

        seen = np.full((1, 48, 192, 3), 127, dtype=np.uint8)
        seen[0, :, : line.shape[1]] = line[:, :192]
        expected = run_original(originals[ModelRole.ORIENTATION], seen)
        assert upside_down.shape == (1, 1)
        np.testing.assert_allclose(upside_down[:, 0], expected[:, 1], atol=1e-5)


def test_a_turned_line_is_called_upside_down(
    orientation: Any,  # noqa: ANN401  onnxruntime ships no types
    lines: list[Pixels],
) -> None:
    line = lines[1]

    (upright,) = orientation.run(None, {"line": line[None]})
    (turned,) = orientation.run(None, {"line": np.ascontiguousarray(line[::-1, ::-1])[None]})

    assert upright[0, 0] < 0.5 < turned[0, 0]


def test_a_recogniser_without_a_softmax_is_refused(sources: Sources) -> None:
    with pytest.raises(GraphError, match=r"ends in Sigmoid \(.*\), not in a linear layer"):
        rewrite_recognizer(load_graph(sources[ModelRole.DETECTOR].path))


def test_a_model_without_characters_is_refused(sources: Sources) -> None:
    with pytest.raises(GraphError, match="names no characters"):
        recognizer_characters(load_graph(sources[ModelRole.DETECTOR].path))


def test_a_file_that_is_no_model_is_refused(tmp_path: Any) -> None:  # noqa: ANN401
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")

    with pytest.raises(GraphError, match=r"broken\.onnx is not an ONNX model"):
        load_graph(path)
