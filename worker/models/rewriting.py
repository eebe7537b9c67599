"""What all rewriting of OCR graphs shares.

Invariant: a rewritten graph computes what the original computes behind its usual pre- and post-processing, and stays
at opset 11, in which PP-OCR ships its graphs. Bytes enter and leave a graph by a Cast and nothing between works on
them: TensorRT refuses all else, and ONNX Runtime has no CUDA kernel for most of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from worker.domain.errors import LabelwireError

LINE_HEIGHT_PIXELS = 48
STRIDE_PIXELS = 8
PAD_VALUE = 127
_HALF_SCALE = 127.5  # PP-OCR normalizes by mean 0.5 and deviation 0.5 of 255


class GraphError(LabelwireError):
    """An ONNX graph is not of the kind that can be rewritten."""


@dataclass(slots=True)
class Rewriter:
    """A graph in the making: nodes put before and after those of the original. Changes `model`."""

    model: onnx.ModelProto
    before: list[onnx.NodeProto] = field(default_factory=list)
    after: list[onnx.NodeProto] = field(default_factory=list)

    @property
    def original_input(self) -> str:
        """Name of the tensor that the original graph starts from."""
        return str(self.model.graph.input[0].name)

    @property
    def original_output(self) -> str:
        """Name of the tensor that the original graph ends in."""
        return str(self.model.graph.output[0].name)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add an initializer and return its name."""
        self.model.graph.initializer.append(numpy_helper.from_array(value, f"labelwire/{name}"))
        return f"labelwire/{name}"

    def scalar(self, name: str, value: float) -> str:
        """Add an FP32 scalar and return its name."""
        return self.constant(name, np.array(value, dtype=np.float32))

    def indices(self, name: str, *values: int) -> str:
        """Add a vector of INT64 and return its name."""
        return self.constant(name, np.array(values, dtype=np.int64))

    def initializers(self) -> dict[str, onnx.TensorProto]:
        """Return the weights by name."""
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    def producer(self, tensor: str) -> onnx.NodeProto:
        """Return the node that computes a tensor, looking through Identity. Raises GraphError if there is none."""
        producers = {output: node for node in self.model.graph.node for output in node.output}
        node: onnx.NodeProto | None = producers.get(tensor)
        while node is not None and node.op_type == "Identity":
            node = producers.get(node.input[0])
        if node is None:
            raise GraphError(f"no node of the graph computes {tensor!r}: give a PP-OCR model")
        return node

    def as_levels(self, pixels: str) -> str:
        """Make FP32 levels, 0 to 255, out of UINT8 pixels, and return their name."""
        self.before.append(helper.make_node("Cast", [pixels], ["labelwire/levels"], to=TensorProto.FLOAT))
        return "labelwire/levels"

    def normalize(self, levels: str) -> None:
        """Make the original's input, FP32 NCHW from -1 to 1, out of FP32 NHWC levels."""
        scale = self.scalar("pixel_scale", 1 / _HALF_SCALE)
        shift = self.scalar("pixel_shift", 1)
        self.before += [
            helper.make_node("Transpose", [levels], ["labelwire/planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Mul", ["labelwire/planes", scale], ["labelwire/scaled_levels"]),
            helper.make_node("Sub", ["labelwire/scaled_levels", shift], [self.original_input]),
        ]

    def finish(
        self, inputs: Mapping[str, onnx.ValueInfoProto], outputs: Mapping[str, onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Return the model with its nodes joined and its signature replaced, checked by onnx.

        What no output needs any more is dropped.
        """
        graph = self.model.graph
        nodes, needed = _needed([*self.before, *graph.node, *self.after], outputs)
        replaced = {
            "node": nodes,
            "initializer": [tensor for tensor in graph.initializer if tensor.name in needed],
            "input": list(inputs.values()),
            "output": list(outputs.values()),
            "value_info": [],
        }
        for name, values in replaced.items():
            graph.ClearField(name)
            getattr(graph, name).extend(values)
        self.model.producer_name = "labelwire"
        onnx.checker.check_model(self.model)
        return self.model


def _needed(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> tuple[list[onnx.NodeProto], frozenset[str]]:
    """Return the nodes that the outputs depend on, in order, and the names of all tensors that they read."""
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1], frozenset(needed)


def signature(**tensors: tuple[int, Sequence[str | int]]) -> dict[str, onnx.ValueInfoProto]:
    """Return graph inputs or outputs by name, out of element types and shapes."""
    return {
        name: helper.make_tensor_value_info(name, element_type, list(shape))
        for name, (element_type, shape) in tensors.items()
    }


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
