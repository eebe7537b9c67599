"""FP16, strongly typed: what computes in FP16 has FP16 tensors, and a Cast stands between it and what stays in FP32.

What the product added to a network, before and behind it, stays in FP32: it is cheap, and sums over thousands of
classes do not fit FP16. No library does this as it is needed: onnxconverter-common 1.16 rounds to FP16 between nodes
that stay in FP32 and changes the type of outputs that they give, and modelopt's AutoCast needs PyTorch.
"""

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from worker.models.precision.integers import with_names
from worker.models.rewriting import read_by

HIGHEST: Final = 65504.0  # of FP16
_OURS: Final = "labelwire/"
# They make numbers out of others, or of attributes that have a type of their own.
_NEVER: Final = frozenset({"Cast", "CastLike", "Constant", "ConstantOfShape", "Range", "EyeLike", "If", "Loop", "Scan"})
_FP32_INPUTS: Final[Mapping[str, tuple[int, ...]]] = {"Resize": (1, 2), "Upsample": (1,)}  # regions and scales


def half_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the nodes that FP16 can take, by their first output and in the order of the graph."""
    types = _types(model)
    # Branches and loop bodies stay as they are, and so does what they read.
    inside = (read_by(node).difference(node.input) for node in model.graph.node)
    fixed = {tensor.name for tensor in model.graph.output}.union(*inside)
    return [
        node.output[0]
        for node in model.graph.node
        if node.op_type not in _NEVER
        and not node.output[0].startswith(_OURS)
        and not fixed & set(node.output)
        and all(name in types for name in (*node.input, *node.output) if name)
        and types.get(node.output[0]) == TensorProto.FLOAT
    ]


def with_halves(model: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    """Return a copy of a graph in FP16, except for the nodes `kept` and those that the product added."""
    lowered = with_names(model)
    taken = set(half_nodes(lowered)) - set(kept)
    casts = _Casts(lowered)
    for node in lowered.graph.node:
        casts.add(node, in_half=node.name in taken)
    graph = lowered.graph
    graph.ClearField("node")
    graph.node.extend(casts.nodes)
    used = {tensor.name for tensor in graph.output}.union(*map(read_by, casts.nodes))
    constants = [tensor for tensor in (*graph.initializer, *casts.constants) if tensor.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(constants)
    graph.ClearField("value_info")
    onnx.checker.check_model(lowered)
    return lowered


class _Casts:
    """The nodes of a graph, in its order, with the Casts that they need; each tensor is cast once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._floats = {name for name, kind in _types(model).items() if kind == TensorProto.FLOAT}
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._halves: set[str] = set()  # tensors that are FP16 now
        self._cast: dict[tuple[str, bool], str] = {}

    def add(self, node: NodeProto, *, in_half: bool) -> None:
        """Add a node that is computed in FP16, or in FP32."""
        copy = NodeProto()
        copy.CopyFrom(node)
        for place, name in enumerate(node.input):
            if name in self._floats:
                is_half = in_half and place not in _FP32_INPUTS.get(node.op_type, ())
                copy.input[place] = self._as(name, in_half=is_half)
        if in_half:
            self._halves.update(name for name in node.output if name in self._floats)
        self.nodes.append(copy)

    def _as(self, name: str, *, in_half: bool) -> str:
        """Return the tensor in a precision."""
        if in_half == (name in self._halves):
            return name
        key = name, in_half
        if key not in self._cast:
            self._cast[key] = f"{name}/{'fp16' if in_half else 'fp32'}"
            self._add_cast(name, self._cast[key], in_half=in_half)
        return self._cast[key]

    def _add_cast(self, name: str, cast: str, *, in_half: bool) -> None:
        if name in self._weights:
            values = np.clip(numpy_helper.to_array(self._weights[name]), -HIGHEST, HIGHEST).astype(np.float16)
            self.constants.append(numpy_helper.from_array(values, cast))
            return
        to = TensorProto.FLOAT16 if in_half else TensorProto.FLOAT
        self.nodes.append(helper.make_node("Cast", [name], [cast], cast, to=to))


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the type of each tensor's elements, as far as onnx can tell."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    tensors = (*graph.input, *graph.output, *graph.value_info)
    types = {tensor.name: int(tensor.type.tensor_type.elem_type) for tensor in tensors}
    return types | {tensor.name: int(tensor.data_type) for tensor in graph.initializer}
