"""INT8 by explicit Q/DQ pairs: the inputs and weights of linear layers, everything else as it was.

Both are symmetric, because TensorRT takes no zero points; weights have a scale for each channel (Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"). ONNX Runtime's
quantizer places the pairs. The same graph runs on ONNX Runtime, OpenVINO and TensorRT.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Final

import numpy as np
import onnx
from onnx import NodeProto, version_converter
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from worker.models.rewriting import read_by

_OPERATORS: Final = ("Conv", "MatMul", "Gemm")
_OPSET: Final = 17  # scales for each channel need 13; this is the newest that each engine of ours knows
_OPTIONS: Final[Mapping[str, Any]] = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,  # TensorRT wants it as it is
    "OpTypesToExcludeOutputQuantization": list(_OPERATORS),
}


@dataclass(frozen=True, slots=True)
class LinearLayer:
    """A layer that INT8 speeds up; `name` and `works_on` are tensors, its output and what comes in.

    `multiplications` stand behind each value that it computes.
    """

    name: str
    works_on: str
    weights_shape: tuple[int, ...]
    multiplications: int


def linear_layers(model: onnx.ModelProto) -> list[LinearLayer]:
    """Return the convolutions and matrix products with constant weights, in the order of the graph."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [
        linear_layer(node, node.input[0], shapes[node.input[1]])
        for node in model.graph.node
        if node.op_type in _OPERATORS and node.input[1] in shapes and node.input[0] not in shapes
    ]


def linear_layer(node: NodeProto, works_on: str, weights_shape: tuple[int, ...]) -> LinearLayer:
    """Return a convolution or a matrix product as a layer."""
    is_turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    if node.op_type == "Conv":
        multiplications = math.prod(weights_shape[1:])  # a kernel has its channels in front
    else:
        multiplications = weights_shape[-1 if is_turned else -2 :][0]
    return LinearLayer(node.output[0], works_on, weights_shape, multiplications)


def with_integers(model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]) -> onnx.ModelProto:
    """Return a copy of a graph in which some layers are computed in INT8.

    `ranges` are their names with the lowest and highest value of what they work on.
    """
    lowered = with_names(model)
    by_name = {layer.name: layer for layer in linear_layers(lowered)}
    quantizer = QDQQuantizer(
        lowered,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=_tensor_ranges({by_name[name].works_on: bounds for name, bounds in ranges.items()}),
        nodes_to_quantize=list(ranges),
        nodes_to_exclude=[],
        op_types_to_quantize=list(_OPERATORS),
        extra_options=dict(_OPTIONS),
    )
    quantizer.quantize_model()
    quantized: onnx.ModelProto = quantizer.model.model
    _sort(quantized.graph)
    quantized.graph.ClearField("value_info")  # of other widths, where one is fixed afterwards
    onnx.checker.check_model(quantized)
    return quantized


def with_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a graph, whose nodes are called by their first output, in an opset that knows INT8."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if _default_opset(copy) < _OPSET:
        copy = version_converter.convert_version(copy, _OPSET)
    for node in copy.graph.node:
        node.name = node.output[0]
    return copy


def _sort(graph: onnx.GraphProto) -> None:
    """Put each node behind those whose tensors it reads; ONNX Runtime's own sort overlooks what branches read."""
    nodes = list(graph.node)
    producers = {name: index for index, node in enumerate(nodes) for name in node.output}
    behind = {
        index: sorted({producers[name] for name in read_by(node) if name in producers})
        for index, node in enumerate(nodes)
    }
    order = TopologicalSorter(behind).static_order()
    copies = [onnx.NodeProto.FromString(nodes[index].SerializeToString()) for index in order]
    graph.ClearField("node")
    graph.node.extend(copies)


def _default_opset(model: onnx.ModelProto) -> int:
    return next(int(opset.version) for opset in model.opset_import if opset.domain in {"", "ai.onnx"})


def _tensor_ranges(bounds: Mapping[str, tuple[float, float]]) -> TensorsData:
    return TensorsData(
        CalibrationMethod.MinMax, {name: (np.float32(low), np.float32(high)) for name, (low, high) in bounds.items()}
    )
