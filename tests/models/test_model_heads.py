"""The ends that recognizers have: each, of the same weights, reads the same."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tests.models.drawing import Pixels
from tests.models.own_models import RECOGNIZER, characters_of, pp_ocr_v4
from tests.models.reference import onnxruntime_session
from worker.models.recognizer import rewrite_recognizer
from worker.models.rewriting import GraphError, load_graph

FEW = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz:/.,"
_End = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="module")
def recognizer() -> onnx.ModelProto:
    """PP-OCRv4's: [N, T, features] into MatMul, Add, Softmax."""
    return load_graph(pp_ocr_v4() / RECOGNIZER)


@pytest.fixture(scope="module")
def labels() -> list[str]:
    return ["", *characters_of(pp_ocr_v4() / RECOGNIZER), " "]


def _cut_head(model: onnx.ModelProto) -> tuple[str, NDArray[np.float32], NDArray[np.float32]]:
    """Remove MatMul, Add and Softmax; return what they work on, weights [features, classes] and bias [classes]."""
    *_, product, bias, softmax = model.graph.node
    assert [product.op_type, bias.op_type, softmax.op_type] == ["MatMul", "Add", "Softmax"]
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    features = product.input[0]
    found = weights[product.input[1]], weights[bias.input[1]].reshape(-1)
    del model.graph.node[-3:]
    return str(features), *found


def _constant(model: onnx.ModelProto, name: str, values: NDArray[np.generic] | Sequence[int]) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return name


def _add(model: onnx.ModelProto, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:  # noqa: ANN401
    model.graph.node.append(helper.make_node(operator, inputs, [output], **attributes))
    return output


def _end_in(model: onnx.ModelProto, tensor: str) -> None:
    model.graph.output[0].name = tensor
    model.graph.output[0].type.tensor_type.ClearField("shape")


def _in_rows(model: onnx.ModelProto, *, transposed: bool) -> str:
    """Compute the logits [N · T, classes] by one Gemm, as for a linear layer over rows."""
    features, weights, bias = _cut_head(model)
    rows = _add(model, "Reshape", [features, _constant(model, "rows", [-1, weights.shape[0]])], "feature_rows")
    layer = [_constant(model, "own_weights", weights.T if transposed else weights), _constant(model, "own_bias", bias)]
    return _add(model, "Gemm", [rows, *layer], "logit_rows", transB=int(transposed))


def gemm_to_a_fixed_width(model: onnx.ModelProto) -> None:
    logits = _in_rows(model, transposed=False)
    _end_in(model, _add(model, "Reshape", [logits, _constant(model, "steps", [-1, 40, 6625])], "logits"))


def gemm_to_any_width_and_log_softmax(model: onnx.ModelProto) -> None:
    """As PyTorch exports `view(n, t, -1)`: sizes out of the features' shape, the classes a constant."""
    features = model.graph.node[-3].input[0]
    logits = _in_rows(model, transposed=True)
    shape = _add(model, "Shape", [features], "features_shape")
    bounds = [_constant(model, f"shape_{name}", [value]) for name, value in (("from", 0), ("to", 2))]
    outer = _add(model, "Slice", [shape, *bounds], "lines_and_steps")
    steps = _add(model, "Concat", [outer, _constant(model, "classes", [6625])], "steps", axis=0)
    apart = _add(model, "Reshape", [logits, steps], "logits")
    _end_in(model, _add(model, "LogSoftmax", [apart], "logarithms", axis=2))


def gemm_of_steps_first(model: onnx.ModelProto) -> None:
    """As the many descendants of the first CRNN: an LSTM's [T, N, features], and the batch first at the very end."""
    features, weights, bias = _cut_head(model)
    by_step = _add(model, "Transpose", [features], "by_step", perm=[1, 0, 2])
    rows = _add(model, "Reshape", [by_step, _constant(model, "rows", [-1, weights.shape[0]])], "feature_rows")
    layer = [_constant(model, "own_weights", weights.T), _constant(model, "own_bias", bias)]
    logits = _add(model, "Gemm", [rows, *layer], "logit_rows", transB=1)
    apart = _add(model, "Reshape", [logits, _constant(model, "steps", [40, -1, 6625])], "logits_by_step")
    _end_in(model, _add(model, "Transpose", [apart], "logits", perm=[1, 0, 2]))


ENDS = [gemm_to_a_fixed_width, gemm_to_any_width_and_log_softmax, gemm_of_steps_first]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("alphabet", [None, FEW], ids=["all", "few"])
def test_each_end_reads_token_for_token_as_a_softmax(
    recognizer: onnx.ModelProto, labels: list[str], lines: list[Pixels], end: _End, alphabet: str | None
) -> None:
    changed = onnx.ModelProto.FromString(recognizer.SerializeToString())
    end(changed)
    classes = None if alphabet is None else [0, *map(labels.index, alphabet)]
    picture = np.stack([_as_wide_as(line, 320) for line in lines])
    inputs = {"line": picture, "upside_down": np.zeros((len(lines), 1), dtype=np.float32)}

    (expected, sure), (token, confidence) = (
        onnxruntime_session(
            rewrite_recognizer(
                onnx.ModelProto.FromString(model.SerializeToString()), classes, 3, labels=labels
            ).SerializeToString()
        ).run(None, inputs)
        for model in (recognizer, changed)
    )

    assert len({*expected[..., 0].flatten().tolist()}) > 10, "there must be text to read"
    np.testing.assert_array_equal(token, expected)
    np.testing.assert_allclose(confidence, sure, atol=1e-5)


def _as_wide_as(line: Pixels, width: int) -> Pixels:
    picture = np.full((line.shape[0], width, 3), 127, dtype=np.uint8)
    shown = line[:, :width]
    picture[:, : shown.shape[1]] = shown
    return picture


def _softmax_over_steps(model: onnx.ModelProto) -> None:
    next(attribute for attribute in model.graph.node[-1].attribute if attribute.name == "axis").i = 1


def _other_rows(model: onnx.ModelProto) -> None:
    logits = _in_rows(model, transposed=True)
    _end_in(model, _add(model, "Reshape", [logits, _constant(model, "steps", [-1, 40 * 53, 125])], "logits"))


def _computed_classes(model: onnx.ModelProto) -> None:
    logits = _in_rows(model, transposed=True)
    shape = _add(model, "Identity", [_constant(model, "steps", [-1, 40, 6625])], "same")
    doubled = _add(model, "Add", [shape, _constant(model, "nothing", [0])], "computed")
    _end_in(model, _add(model, "Reshape", [logits, doubled], "logits"))


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (_softmax_over_steps, r"recognizer's Softmax \(softmax_11\.tmp_0\) is not over the classes"),
        (_other_rows, r"ends in a Reshape \(logits\) to 125 values a step out of 6625 classes"),
        (_computed_classes, r"ends in a Reshape \(logits\) to a shape whose last size is not its own"),
    ],
)
def test_an_end_that_is_not_of_classes_is_refused(
    recognizer: onnx.ModelProto, labels: list[str], end: _End, words: str
) -> None:
    changed = onnx.ModelProto.FromString(recognizer.SerializeToString())
    end(changed)

    with pytest.raises(GraphError, match=words):
        rewrite_recognizer(changed, labels=labels)
