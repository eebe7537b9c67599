"""The INT8 recognizer: what is quantized, how exact the arithmetic is, and that a bad one is refused."""

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.models.drawing import Pixels
from tests.models.reference import decoded, onnxruntime_session
from worker.domain.manifest import ModelRole
from worker.models.alphabet import ctc_dictionary, kept_classes
from worker.models.calibration import draw_lines
from worker.models.quantization import QuantizationError, quantize_recognizer
from worker.models.recognizer import recognizer_characters, rewrite_recognizer
from worker.models.rewriting import load_graph
from worker.models.source import ModelSource


@pytest.fixture(scope="module")
def dictionary(sources: Mapping[ModelRole, ModelSource]) -> list[str]:
    full = ctc_dictionary(recognizer_characters(load_graph(sources[ModelRole.RECOGNIZER].path)))
    return [full[index] for index in kept_classes(full, "latin")]


@pytest.fixture(scope="module")
def original(sources: Mapping[ModelRole, ModelSource]) -> onnx.ModelProto:
    model = load_graph(sources[ModelRole.RECOGNIZER].path)
    classes = kept_classes(ctc_dictionary(recognizer_characters(model)), "latin")
    return rewrite_recognizer(model, classes)


@pytest.fixture(scope="module")
def quantized(original: onnx.ModelProto) -> tuple[onnx.ModelProto, float]:
    return quantize_recognizer(original)


def test_what_was_drawn_is_still_read(
    quantized: tuple[onnx.ModelProto, float], dictionary: list[str], lines: list[Pixels]
) -> None:
    session = onnxruntime_session(quantized[0].SerializeToString())

    texts = [
        decoded(
            session.run(["token"], {"line": line[None], "upside_down": np.zeros((1, 1), np.float32)})[0][0, :, 0],
            dictionary,
        ).replace(" ", "")
        for line in lines
    ]

    assert "Hamburg" in texts
    assert "1Z999AA10123456784" in texts
    assert quantized[1] > 0.95


def test_only_large_pointwise_kernels_become_integers(
    original: onnx.ModelProto, quantized: tuple[onnx.ModelProto, float]
) -> None:
    kernels = [tensor for tensor in quantized[0].graph.initializer if tensor.data_type == onnx.TensorProto.INT8]

    assert len(kernels) == 30
    assert all(tuple(kernel.dims[2:]) == (1, 1) for kernel in kernels)
    assert quantized[0].ByteSize() < 0.6 * original.ByteSize()
    assert [tensor.name for tensor in quantized[0].graph.input] == ["line", "upside_down"]


def test_a_large_head_becomes_integers_too(sources: Mapping[ModelRole, ModelSource], lines: list[Pixels]) -> None:
    full = rewrite_recognizer(load_graph(sources[ModelRole.RECOGNIZER].path))

    twin, agreement = quantize_recognizer(full)

    kernels = [tuple(tensor.dims) for tensor in twin.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    assert (120, 18720) in kernels
    assert agreement > 0.95
    feed = {"line": lines[0][None], "upside_down": np.zeros((1, 1), np.float32)}
    tokens = [onnxruntime_session(model.SerializeToString()).run(["token"], feed)[0] for model in (full, twin)]
    np.testing.assert_array_equal(*tokens)


def test_a_quantised_convolution_equals_the_original_within_its_steps(
    original: onnx.ModelProto, quantized: tuple[onnx.ModelProto, float]
) -> None:
    first = next(node for node in quantized[0].graph.node if node.op_type == "Conv" and "int8" in node.input[1])
    (line,) = draw_lines(1, seed=99)

    exact, rounded = (_tensor(model, first.output[0], line) for model in (original, quantized[0]))

    error = np.abs(exact - rounded)
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.999
    assert error.mean() < 0.01 * np.ptp(exact)


def _tensor(model: onnx.ModelProto, name: str, line: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    observed.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime_session(observed.SerializeToString())
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = session.run(
        [name], {"line": line, "upside_down": np.zeros((1, 1), np.float32)}
    )[0]
    return values


def test_a_recogniser_that_integers_break_is_refused(original: onnx.ModelProto) -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(original)
    _spoil_channels(broken)

    with pytest.raises(QuantizationError, match=r"agrees with its original at .*% of the steps"):
        quantize_recognizer(broken)


def _spoil_channels(model: onnx.ModelProto) -> None:
    """Give some kernels one weight for each channel that is so large that the others vanish below its step."""
    pointwise = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    spoilt = 0
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name in pointwise and values.shape[2:] == (1, 1) and values.size >= 96 * 192 and spoilt < 4:
            values[:, 0] += 30 * np.abs(values).max()
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            spoilt += 1


def test_the_same_seed_draws_the_same_lines() -> None:
    once, again, other = draw_lines(3, seed=1), draw_lines(3, seed=1), draw_lines(3, seed=2)

    assert [line.shape[:2] for line in once] == [(1, 48)] * 3
    assert all(line.shape[2] % 32 == 0 for line in once)
    assert all(np.array_equal(line, same) for line, same in zip(once, again, strict=True))
    assert not np.array_equal(once[0], other[0])
