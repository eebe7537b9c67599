"""Rewriting of public OCR graphs so that they take pixels and give small answers.

Invariant: a rewritten graph computes what the original computes behind its usual pre- and post-processing; only
the head of a recogniser may be cut to fewer classes, and its confidence is then a probability among the classes kept.
The graphs stay at opset 11, in which PP-OCR ships them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from worker.domain.errors import LabelwireError

LINE_HEIGHT_PIXELS = 48
ORIENTATION_WIDTH_PIXELS = 192
STRIDE_PIXELS = 8
PAD_VALUE = 127
_HALF_SCALE = 127.5  # PP-OCR normalises by mean 0.5 and deviation 0.5 of 255


class GraphError(LabelwireError):
    """An ONNX graph is not of the kind that can be rewritten."""


@dataclass(slots=True)
class _Rewriter:
    """A graph in the making: nodes put before and after those of the original."""

    model: onnx.ModelProto
    before: list[onnx.NodeProto] = field(default_factory=list)
    after: list[onnx.NodeProto] = field(default_factory=list)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add an initializer and return its name."""
        self.model.graph.initializer.append(numpy_helper.from_array(value, f"labelwire/{name}"))
        return f"labelwire/{name}"

    def finish(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """Return the model with its nodes joined and its signature replaced, checked by onnx."""
        graph = self.model.graph
        nodes = [*self.before, *graph.node, *self.after]
        for field_name, values in (("node", nodes), ("input", inputs), ("output", outputs)):
            graph.ClearField(field_name)
            getattr(graph, field_name).extend(values)
        graph.ClearField("value_info")
        self.model.producer_name = "labelwire"
        onnx.checker.check_model(self.model)
        return self.model


def load_graph(path: Path) -> onnx.ModelProto:
    """Return the ONNX model in a file. Raises GraphError if it is none, or has not one input and one output."""
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx share no base class
        raise GraphError(f"{path} is not an ONNX model ({error}): give an ONNX file") from error
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise GraphError(
            f"{path} has {len(model.graph.input)} inputs and {len(model.graph.output)} outputs: give a model with one "
            "picture in and one tensor out, as PP-OCR's are"
        )
    return model


def recognizer_characters(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the characters that a recogniser's metadata name, in order, without blank and space."""
    for entry in model.metadata_props:
        if entry.key == "character":
            return tuple(entry.value.rstrip("\n").split("\n"))
    raise GraphError("the recogniser names no characters in its metadata ('character'): give a model of RapidOCR's")


def rewrite_detector(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a detector from `image` UINT8 [N, H, W, 3] (BGR) to `probability` UINT8 [N, H, W], round(p · 255).

    H and W are multiples of 32. Changes `model`.
    """
    rewriter = _Rewriter(model)
    _normalise(rewriter, "image", model.graph.input[0].name)
    probability = model.graph.output[0].name
    scale = rewriter.constant("probability_scale", np.array(255, dtype=np.float32))
    rewriter.after += [
        helper.make_node("Mul", [probability, scale], ["labelwire/scaled"]),
        helper.make_node("Round", ["labelwire/scaled"], ["labelwire/rounded"]),
        helper.make_node("Cast", ["labelwire/rounded"], ["labelwire/bytes"], to=TensorProto.UINT8),
        helper.make_node("Squeeze", ["labelwire/bytes"], ["probability"], axes=[1]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])
    output = helper.make_tensor_value_info("probability", TensorProto.UINT8, ["N", "H", "W"])
    return rewriter.finish([image], [output])


def rewrite_orientation(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a classifier from `line` UINT8 [N, 48, W, 3] (BGR) to `upside_down` FP32 [N, 1], a probability.

    The classifier sees the first 192 columns of a line; a shorter one is padded to them. Changes `model`.
    """
    rewriter = _Rewriter(model)
    _cut_to_width(rewriter, "line", "labelwire/cut", ORIENTATION_WIDTH_PIXELS)
    _normalise(rewriter, "labelwire/cut", model.graph.input[0].name)
    bounds = [rewriter.constant(f"class_{name}", np.array([v])) for name, v in (("from", 1), ("to", 2), ("axis", 1))]
    rewriter.after.append(helper.make_node("Slice", [model.graph.output[0].name, *bounds], ["upside_down"]))
    return rewriter.finish([_line_input()], [_upside_down()])


def rewrite_recognizer(
    model: onnx.ModelProto, classes: Sequence[int] | None = None, alternatives: int = 1
) -> onnx.ModelProto:
    """Return a recogniser from `line` and `upside_down` to `token` and `confidence`.

    `line` is UINT8 [N, 48, W, 3] (BGR) and is turned by 180° where `upside_down` FP32 [N, 1] is over 0.5. `token`
    INT32 and `confidence` FP32 are [N, T, K] with T = W / 8 and K = `alternatives`, best first. `classes` are
    the classes of the head that stay (all if None); tokens count within them. Changes `model`. Raises GraphError if
    the head is not a linear layer with a softmax.
    """
    rewriter = _Rewriter(model)
    _turn(rewriter, "line", "upside_down", "labelwire/upright")
    _normalise(rewriter, "labelwire/upright", model.graph.input[0].name)
    logits = _strip_softmax(model)
    if classes is not None:
        _cut_head(model, logits, classes)
    if alternatives == 1:
        _take_best(rewriter, logits)
    else:
        _take_alternatives(rewriter, logits, alternatives)
    shape: list[str | int | None] = ["N", "T", alternatives]
    outputs = [
        helper.make_tensor_value_info("token", TensorProto.INT32, shape),
        helper.make_tensor_value_info("confidence", TensorProto.FLOAT, shape),
    ]
    return rewriter.finish([_line_input(), _upside_down()], outputs)


def _line_input() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("line", TensorProto.UINT8, ["N", LINE_HEIGHT_PIXELS, "W", 3])


def _upside_down() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("upside_down", TensorProto.FLOAT, ["N", 1])


def _normalise(rewriter: _Rewriter, pixels: str, normalised: str) -> None:
    """UINT8 NHWC to the FP32 NCHW, from -1 to 1, that PP-OCR was trained on."""
    scale = rewriter.constant("pixel_scale", np.array(1 / _HALF_SCALE, dtype=np.float32))
    shift = rewriter.constant("pixel_shift", np.array(1, dtype=np.float32))
    rewriter.before += [
        helper.make_node("Transpose", [pixels], ["labelwire/planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["labelwire/planes"], ["labelwire/levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["labelwire/levels", scale], ["labelwire/scaled_levels"]),
        helper.make_node("Sub", ["labelwire/scaled_levels", shift], [normalised]),
    ]


def _cut_to_width(rewriter: _Rewriter, line: str, cut: str, width: int) -> None:
    zeros = rewriter.constant("pads", np.array([0, 0, 0, 0, 0, 0, width, 0]))
    grey = rewriter.constant("pad_value", np.array(PAD_VALUE, dtype=np.uint8))
    bounds = [rewriter.constant(f"cut_{name}", np.array([v])) for name, v in (("from", 0), ("to", width), ("axis", 2))]
    rewriter.before += [
        helper.make_node("Pad", [line, zeros, grey], ["labelwire/padded"]),
        helper.make_node("Slice", ["labelwire/padded", *bounds], [cut]),
    ]


def _turn(rewriter: _Rewriter, line: str, upside_down: str, upright: str) -> None:
    """Turn lines by 180°: both axes reversed. On bytes this costs nothing beside the convolutions."""
    last, first = np.array([-1, -1]), np.array([np.iinfo(np.int64).min] * 2)
    bounds = [
        rewriter.constant(f"turn_{name}", value)
        for name, value in (("from", last), ("to", first), ("axes", np.array([1, 2])), ("steps", last))
    ]
    half = rewriter.constant("half", np.array(0.5, dtype=np.float32))
    rewriter.before += [
        helper.make_node("Slice", [line, *bounds], ["labelwire/turned"]),
        helper.make_node("Greater", [upside_down, half], ["labelwire/is_upside_down"]),
        helper.make_node("Unsqueeze", ["labelwire/is_upside_down"], ["labelwire/is_upside_down_4d"], axes=[2, 3]),
        helper.make_node("Where", ["labelwire/is_upside_down_4d", "labelwire/turned", line], [upright]),
    ]


def _strip_softmax(model: onnx.ModelProto) -> str:
    """Remove the last node, a softmax over classes, and return the name of the logits [N, T, C]."""
    producer = _producer(model, model.graph.output[0].name)
    if producer.op_type != "Softmax":
        raise GraphError(f"the recogniser ends in {producer.op_type}, not in Softmax: give a PP-OCR recogniser")
    logits: str = producer.input[0]
    model.graph.node.remove(producer)
    return logits


def _cut_head(model: onnx.ModelProto, logits: str, classes: Sequence[int]) -> None:
    """Keep the given columns of the last linear layer, weights and bias."""
    add = _producer(model, logits)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    matmul = _producer(model, next((name for name in add.input if name not in initializers), ""))
    constants = [name for name in (*add.input, *matmul.input) if name in initializers]
    if (add.op_type, matmul.op_type) != ("Add", "MatMul") or len(constants) != 2:  # noqa: PLR2004  weights and bias
        raise GraphError(
            f"the recogniser's head is {matmul.op_type} and {add.op_type}, not MatMul and Add: keep the full alphabet"
        )
    for name in constants:
        values = numpy_helper.to_array(initializers[name])
        kept = np.ascontiguousarray(values[..., list(classes)])
        initializers[name].CopyFrom(numpy_helper.from_array(kept, name))


def _producer(model: onnx.ModelProto, tensor: str) -> onnx.NodeProto:
    """Return the node that computes a tensor, looking through Identity."""
    producers: dict[str, onnx.NodeProto] = {output: node for node in model.graph.node for output in node.output}
    node = producers.get(tensor)
    while node is not None and node.op_type == "Identity":
        node = producers.get(node.input[0])
    if node is None:
        raise GraphError(f"no node of the graph computes {tensor or 'the input of the head'}: give a PP-OCR model")
    return node


def _take_best(rewriter: _Rewriter, logits: str) -> None:
    """Return the best class and its softmax, 1 / Σ exp(x - max), without writing all the probabilities."""
    one = rewriter.constant("one", np.array(1, dtype=np.float32))
    rewriter.after += [
        helper.make_node("ArgMax", [logits], ["labelwire/best"], axis=2, keepdims=1),
        helper.make_node("Cast", ["labelwire/best"], ["token"], to=TensorProto.INT32),
        helper.make_node("ReduceMax", [logits], ["labelwire/maximum"], axes=[2], keepdims=1),
        helper.make_node("Sub", [logits, "labelwire/maximum"], ["labelwire/below"]),
        helper.make_node("Exp", ["labelwire/below"], ["labelwire/odds"]),
        helper.make_node("ReduceSum", ["labelwire/odds"], ["labelwire/total"], axes=[2], keepdims=1),
        helper.make_node("Div", [one, "labelwire/total"], ["confidence"]),
    ]


def _take_alternatives(rewriter: _Rewriter, logits: str, count: int) -> None:
    how_many = rewriter.constant("alternatives", np.array([count]))
    rewriter.after += [
        helper.make_node("Softmax", [logits], ["labelwire/probabilities"], axis=2),
        helper.make_node("TopK", ["labelwire/probabilities", how_many], ["confidence", "labelwire/classes"], axis=2),
        helper.make_node("Cast", ["labelwire/classes"], ["token"], to=TensorProto.INT32),
    ]
