"""INT8 for the recognizer: its pointwise convolutions, four fifths of its time, and the head of a large alphabet.

Invariant: only layers are quantized that look at one position each (1 by 1 convolutions without padding, linear
layers), so that a zero point can move into the bias exactly; everything that is sensitive (the stem, depthwise
convolutions, attention) stays as it is. A quantized recognizer serves only if it reads drawn lines as its original
does.

Activations are UINT8 with a range for each tensor, weights INT8 with a scale for each channel (Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"). An activation x is
quantized as x + z with a constant z that lifts its range to zero, and the bias takes -z · Σw: engines then need no zero
points, which OpenVINO would subtract in a pass of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from worker.domain.errors import LabelwireError
from worker.models.calibration import draw_lines

_SMALLEST_KERNEL = 96 * 192  # smaller convolutions gain nothing
_SMALLEST_MATRIX = 1_000_000  # of the linear layers only a head of thousands of classes takes time
_CALIBRATION_LINES, _CALIBRATION_SEED = 64, 20
_GATE_LINES, _GATE_SEED = 32, 21
_MIN_AGREEMENT = 0.95
_TAIL_PERCENT = 0.01  # of a line's activations, on each side: outliers would cost all others their resolution
_MIN_SCALE = 1e-12

Lines = Sequence[NDArray[np.uint8]]


class QuantizationError(LabelwireError):
    """A quantized recognizer does not read as its original does."""


@dataclass(frozen=True, slots=True)
class _Range:
    low: float
    high: float

    @property
    def scale(self) -> np.float32:
        return np.float32(max((self.high - self.low) / 255, _MIN_SCALE))

    @property
    def lift(self) -> np.float32:
        """What is added so that the range starts at zero: a whole number of steps, so that 0 stays exact."""
        return np.float32(np.round(-self.low / self.scale) * self.scale)


def quantize_recognizer(model: onnx.ModelProto, only_width_pixels: int | None = None) -> tuple[onnx.ModelProto, float]:
    """Return an INT8 twin of a rewritten recognizer, and at which part of the steps of drawn lines it agrees.

    Raises QuantizationError if that part is too small, or if it takes lines of one width only: those that are drawn to
    calibrate it have many.
    """
    if only_width_pixels is not None:
        raise QuantizationError(
            f"the recognizer takes lines {only_width_pixels} pixels wide only, and INT8 is calibrated on all widths: "
            "build with --precision fp32 or bf16"
        )
    layers = _pointwise_layers(model)
    if not layers:
        raise QuantizationError("the recognizer has no layer that INT8 speeds up: build with --precision fp32 or bf16")
    ranges = _activation_ranges(model, {_source(model, node) for node in layers})
    quantized = _with_integers(model, layers, ranges)
    agreement = _agreement(model, quantized, draw_lines(_GATE_LINES, _GATE_SEED))
    if agreement < _MIN_AGREEMENT:
        raise QuantizationError(
            f"the INT8 recognizer agrees with its original at {agreement:.1%} of the steps of drawn lines, but "
            f"{_MIN_AGREEMENT:.0%} are needed: build with --precision fp32 or bf16"
        )
    return quantized, agreement


def _pointwise_layers(model: onnx.ModelProto) -> list[NodeProto]:
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if len(node.input) == 2  # noqa: PLR2004  PP-OCR adds biases in nodes of their own
        and _is_worth_it(node, weights.get(node.input[1], ()))
    ]


def _is_worth_it(node: NodeProto, shape: tuple[int, ...]) -> bool:
    if node.op_type == "MatMul":
        return len(shape) == 2 and shape[0] * shape[1] >= _SMALLEST_MATRIX  # noqa: PLR2004  a matrix
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return (
        node.op_type == "Conv"
        and shape[2:] == (1, 1)
        and shape[0] * shape[1] >= _SMALLEST_KERNEL
        and attributes.get("group", 1) == 1
        and not any(attributes.get("pads", ()))
    )


def _source(model: onnx.ModelProto, node: NodeProto) -> str:
    """Return the tensor that a node works on, looking through Identity, so that twins share one quantization."""
    renamed = {other.output[0]: other.input[0] for other in model.graph.node if other.op_type == "Identity"}
    tensor = str(node.input[0])
    while tensor in renamed:
        tensor = renamed[tensor]
    return tensor


def _activation_ranges(model: onnx.ModelProto, tensors: Iterable[str]) -> dict[str, _Range]:
    """Return the mean range of each tensor over drawn lines, tails cut, zero always inside."""
    names = sorted(tensors)
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    observed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    tails = (_TAIL_PERCENT, 100 - _TAIL_PERCENT)
    bounds = [
        [np.percentile(values, tails) for values in activations]
        for activations in _run(observed, draw_lines(_CALIBRATION_LINES, _CALIBRATION_SEED), names)
    ]
    means = np.mean(bounds, axis=0)
    return {name: _Range(min(0.0, low), max(0.0, high)) for name, (low, high) in zip(names, means, strict=True)}


def _with_integers(
    model: onnx.ModelProto, layers: Sequence[NodeProto], ranges: Mapping[str, _Range]
) -> onnx.ModelProto:
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    kernels = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    chosen = {node.output[0] for node in layers}
    done: set[str] = set()
    nodes = []
    for node in model.graph.node:
        if node.output[0] in chosen:
            source = _source(model, node)
            if source not in done:
                nodes += _quantize_activation(graph, source, ranges[source])
                done.add(source)
            nodes += _quantize_layer(graph, node, source, kernels[node.input[1]], ranges[source])
        else:
            nodes.append(node)
    graph.ClearField("node")
    graph.node.extend(nodes)
    replaced = {node.input[1] for node in layers}
    kept = [tensor for tensor in graph.initializer if tensor.name not in replaced]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
    onnx.checker.check_model(quantized)
    return quantized


def _quantize_activation(graph: onnx.GraphProto, source: str, extent: _Range) -> list[NodeProto]:
    name = f"labelwire/int8/{source}"
    for part, value in (("lift", extent.lift), ("scale", extent.scale), ("zero", np.uint8(0))):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{name}/{part}"))
    return [
        helper.make_node("Add", [source, f"{name}/lift"], [f"{name}/lifted"]),
        helper.make_node("QuantizeLinear", [f"{name}/lifted", f"{name}/scale", f"{name}/zero"], [f"{name}/levels"]),
        helper.make_node("DequantizeLinear", [f"{name}/levels", f"{name}/scale", f"{name}/zero"], [name]),
    ]


def _quantize_layer(
    graph: onnx.GraphProto, node: NodeProto, source: str, kernel: NDArray[np.float32], extent: _Range
) -> list[NodeProto]:
    """Return the nodes that stand for a layer, its kernel and what the lift asks of its bias stored as constants."""
    inward = (0,) if node.op_type == "MatMul" else (1, 2, 3)
    scale = np.maximum(np.abs(kernel).max(axis=inward, keepdims=True) / 127, _MIN_SCALE).astype(np.float32)
    levels = np.clip(np.round(kernel / scale), -127, 127).astype(np.int8)
    bias = -extent.lift * (levels * scale).sum(axis=inward, dtype=np.float32)
    name = f"labelwire/int8/{node.output[0]}"
    for part, values in (("kernel", levels), ("kernel_scale", scale), ("bias", bias)):
        graph.initializer.append(numpy_helper.from_array(values, f"{name}/{part}"))
    inputs = [f"labelwire/int8/{source}", f"{name}/weights"]
    return [
        helper.make_node("Cast", [f"{name}/kernel"], [f"{name}/kernel_levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}/kernel_levels", f"{name}/kernel_scale"], [f"{name}/weights"]),
        *_with_bias(node, inputs, f"{name}/bias"),
    ]


def _with_bias(node: NodeProto, inputs: list[str], bias: str) -> list[NodeProto]:
    if node.op_type == "MatMul":
        product = f"{bias}/without"
        return [helper.make_node("MatMul", inputs, [product]), helper.make_node("Add", [product, bias], node.output)]
    convolution = NodeProto()
    convolution.CopyFrom(node)
    convolution.ClearField("input")
    convolution.input.extend([*inputs, bias])
    return [convolution]


def _agreement(model: onnx.ModelProto, twin: onnx.ModelProto, lines: Lines) -> float:
    """Return the part of all CTC steps of the lines at which both models find the same class."""
    tokens, twin_tokens = (
        np.concatenate([found[0, :, 0] for (found,) in _run(each, lines, ["token"])]) for each in (model, twin)
    )
    return float(np.mean(tokens == twin_tokens))


def _run(model: onnx.ModelProto, lines: Lines, outputs: Sequence[str]) -> Iterable[list[NDArray[Any]]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    upright = np.zeros((1, 1), dtype=np.float32)
    for line in lines:
        yield session.run(list(outputs), {"line": line, "upside_down": upright})
