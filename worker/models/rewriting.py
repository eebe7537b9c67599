"""What all rewriting of OCR graphs shares.

Invariant: a rewritten graph computes what the original computes behind its usual pre- and post-processing, and stays
at the opset of the original, 11 or later. Bytes enter and leave a graph by a Cast and nothing between works on
them: TensorRT refuses all else, and ONNX Runtime has no CUDA kernel for most of it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from worker.domain.errors import LabelwireError
from worker.models.model_card import Normalization

STRIDE_PIXELS = 8
PAD_VALUE = 127
_PADDLE = Normalization()  # PP-OCR normalizes lines by mean 0.5 and deviation 0.5 of 255
_PIXEL_MAXIMUM = 255
_MIN_OPSET = 11  # in which PP-OCR ships its graphs; earlier ones have other Pad, Clip and Resize
_AXES_ARE_INPUTS_FROM = {"Squeeze": 13, "Unsqueeze": 13, "ReduceSum": 13, "ReduceMax": 18}
_STANDARD_DOMAINS = {"", "ai.onnx"}
# Names that a rewritten graph gives to its own inputs and outputs.
_RESERVED = {"image", "probability", "line", "upside_down", "token", "confidence"}
_CHANGES_KEY = "labelwire.changes"


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

    def over_axes(self, operator: str, tensor: str, output: str, *axes: int, keepdims: int | None = None) -> None:
        """Put an operator that works on axes at the end of `after`; they are an input of it in later opsets."""
        self.after.append(self.node_over_axes(operator, tensor, output, *axes, keepdims=keepdims))

    def node_over_axes(
        self, operator: str, tensor: str, output: str, *axes: int, keepdims: int | None = None
    ) -> onnx.NodeProto:
        """Return an operator that works on axes, written as the graph's opset wants it."""
        attributes: dict[str, Any] = {} if keepdims is None else {"keepdims": keepdims}
        if opset(self.model) < _AXES_ARE_INPUTS_FROM[operator]:
            return helper.make_node(operator, [tensor], [output], axes=list(axes), **attributes)
        name = self.indices(f"axes_of_{output.removeprefix('labelwire/')}", *axes)
        return helper.make_node(operator, [tensor, name], [output], **attributes)

    def note(self, change: str) -> None:
        """Note what is rewritten, for the manifest."""
        note_change(self.model, change)

    def as_levels(self, pixels: str) -> str:
        """Make FP32 levels, 0 to 255, out of UINT8 pixels, and return their name."""
        self.note(f"takes the UINT8 pixels of {pixels}")
        self.before.append(helper.make_node("Cast", [pixels], ["labelwire/levels"], to=TensorProto.FLOAT))
        return "labelwire/levels"

    def normalize(
        self,
        levels: str,
        normalization: Normalization = _PADDLE,
        *,
        heights: tuple[int, int] | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Make the original's input, normalized FP32 NCHW, out of FP32 NHWC levels of BGR pixels.

        `heights` are the heights (from, to) in pixels of lines that the original takes at another height; their width
        is scaled alike. `size` is the (height, width) in pixels that pictures of any shape are scaled to.
        """
        mean, deviation = _listed(normalization.mean), _listed(normalization.deviation)
        self.note(f"normalizes {normalization.channels.upper()} levels: mean {mean}, deviation {deviation}")
        if normalization.channels == "rgb":
            order = self.indices("rgb", 2, 1, 0)
            self.before.append(helper.make_node("Gather", [levels, order], ["labelwire/rgb_levels"], axis=3))
            levels = "labelwire/rgb_levels"
        scale, shift = self._scale_and_shift(normalization)
        planes = "labelwire/planes"
        self.before.append(helper.make_node("Transpose", [levels], [planes], perm=[0, 3, 1, 2]))
        if heights is not None:
            self.note(f"scales lines of {heights[0]} pixels to the {heights[1]} that the network takes")
            factor = heights[1] / heights[0]
            planes = self._resize(
                planes, [self.constant("resize_scales", np.array([1, 1, factor, factor], np.float32))]
            )
        elif size is not None:
            self.note(f"scales pictures to {size[0]} x {size[1]} pixels")
            planes = self._resize(planes, ["", self._size_of_planes(planes, size)])
        self.before += [
            helper.make_node("Mul", [planes, scale], ["labelwire/scaled_levels"]),
            helper.make_node("Sub", ["labelwire/scaled_levels", shift], [self.original_input]),
        ]

    def _size_of_planes(self, planes: str, size: tuple[int, int]) -> str:
        """Compute the shape of planes that were scaled to (height, width) in pixels."""
        bounds = [self.indices(f"batch_{name}", value) for name, value in (("from", 0), ("to", 2))]
        self.before += [
            helper.make_node("Shape", [planes], ["labelwire/planes_shape"]),
            helper.make_node("Slice", ["labelwire/planes_shape", *bounds], ["labelwire/batch_and_channels"]),
            helper.make_node(
                "Concat",
                ["labelwire/batch_and_channels", self.indices("height_and_width", *size)],
                ["labelwire/resized_shape"],
                axis=0,
            ),
        ]
        return "labelwire/resized_shape"

    def _scale_and_shift(self, normalization: Normalization) -> tuple[str, str]:
        """Return the constants of x · scale - shift; scalars where all channels have the same."""
        mean, deviation = (
            np.array(values, dtype=np.float64) for values in (normalization.mean, normalization.deviation)
        )
        scales, shifts = 1 / (_PIXEL_MAXIMUM * deviation), mean / deviation
        if len({*zip(scales.tolist(), shifts.tolist(), strict=True)}) == 1:
            return self.scalar("pixel_scale", float(scales[0])), self.scalar("pixel_shift", float(shifts[0]))
        shape = (1, -1, 1, 1)
        return (
            self.constant("pixel_scale", scales.astype(np.float32).reshape(shape)),
            self.constant("pixel_shift", shifts.astype(np.float32).reshape(shape)),
        )

    def _resize(self, planes: str, to: Sequence[str]) -> str:
        """Scale planes NCHW linearly; `to` names Resize's scales, or no scales and its sizes."""
        roi = self.constant("no_roi", np.zeros(0, dtype=np.float32))
        self.before.append(
            helper.make_node(
                "Resize",
                [planes, roi, *to],
                ["labelwire/resized"],
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            )
        )
        return "labelwire/resized"

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
            needed.update(read_by(node))
            kept.append(node)
    return kept[::-1], frozenset(needed)


def read_by(node: onnx.NodeProto) -> set[str]:
    """Return the tensors that a node reads, those of its branches and loop bodies among them."""
    read = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            read |= read_by(inner)
    return read


def opset(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a graph is written in."""
    return max((entry.version for entry in model.opset_import if entry.domain in _STANDARD_DOMAINS), default=0)


def note_change(model: onnx.ModelProto, change: str) -> None:
    """Note in a graph's metadata what was rewritten in it."""
    set_noted_changes(model, (*noted_changes(model), change))


def noted_changes(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return what was rewritten in a graph, in the order in which it was done."""
    for entry in model.metadata_props:
        if entry.key == _CHANGES_KEY:
            return tuple(json.loads(entry.value))
    return ()


def set_noted_changes(model: onnx.ModelProto, changes: Sequence[str]) -> None:
    """Let these be the noted changes: tools that lower a graph may drop its metadata."""
    others = [entry for entry in model.metadata_props if entry.key != _CHANGES_KEY]
    kept = [onnx.StringStringEntryProto(key=entry.key, value=entry.value) for entry in others]
    model.ClearField("metadata_props")
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=_CHANGES_KEY, value=json.dumps(list(changes), ensure_ascii=False))


def signature(**tensors: tuple[int, Sequence[str | int]]) -> dict[str, onnx.ValueInfoProto]:
    """Return graph inputs or outputs by name, out of element types and shapes."""
    return {
        name: helper.make_tensor_value_info(name, element_type, list(shape))
        for name, (element_type, shape) in tensors.items()
    }


def load_graph(path: Path) -> onnx.ModelProto:
    """Return the ONNX model in a file, its constants as initializers.

    Raises GraphError if it is none, has not one input and one output, or is written in operators that not all engines
    know.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx share no base class
        raise GraphError(f"{path} is not an ONNX model ({error}): give an ONNX file") from error
    _hoist_constants(model)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    pictures = [tensor for tensor in graph.input if tensor.name not in weights]  # old graphs list weights as inputs
    if len(pictures) != 1 or len(graph.output) != 1:
        raise GraphError(
            f"{path} has {len(pictures)} inputs ({_names(pictures)}) and {len(graph.output)} outputs "
            f"({_names(graph.output)}): give a model with one picture in and one tensor out, as PP-OCR's are"
        )
    graph.ClearField("input")
    graph.input.extend(pictures)
    if opset(model) < _MIN_OPSET:
        raise GraphError(f"{path} is of opset {opset(model)}: export it anew with opset {_MIN_OPSET} or later")
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in graph.node if node.domain not in _STANDARD_DOMAINS})
    if foreign:
        raise GraphError(
            f"{path} has the operators {', '.join(foreign)}, which are not of ONNX itself: export it without them"
        )
    _rename_reserved(model)
    return model


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in (values[:1] if len(set(values)) == 1 else values))


def _names(tensors: Iterable[onnx.ValueInfoProto]) -> str:
    return ", ".join(tensor.name for tensor in tensors) or "none"


def _hoist_constants(model: onnx.ModelProto) -> None:
    """Turn nodes that only hold a tensor, as paddle2onnx writes them, into initializers, as which weights are found."""
    nodes = []
    for node in model.graph.node:
        value = _constant_value(node)
        if value is None:
            nodes.append(node)
        else:
            model.graph.initializer.append(value)
    if len(nodes) < len(model.graph.node):
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        model.graph.ClearField("node")
        model.graph.node.extend(kept)
        model.ir_version = max(model.ir_version, 4)  # before it, each initializer had to be an input too


def _constant_value(node: onnx.NodeProto) -> onnx.TensorProto | None:
    if node.op_type != "Constant" or len(node.attribute) != 1:
        return None
    (attribute,) = node.attribute
    types = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    if attribute.name == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(attribute.t)
        tensor.name = node.output[0]
        return tensor
    if attribute.name in types:
        values = np.array(helper.get_attribute_value(attribute), dtype=types[attribute.name])
        return numpy_helper.from_array(values, node.output[0])
    return None


def _rename_reserved(model: onnx.ModelProto) -> None:
    """Give tensors of the original that are called as those of the rewritten graph another name."""
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name in _RESERVED:
                    names[place] = f"original/{name}"
    for tensor in (*graph.input, *graph.output, *graph.initializer):
        if tensor.name in _RESERVED:
            tensor.name = f"original/{tensor.name}"
