"""The recognizer: a line's pixels in, the best classes of each CTC step out.

Invariant: a confidence is a softmax over the classes that the head has, whichever of them were kept.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from worker.models.alphabet import ctc_dictionary
from worker.models.model_card import LINE_HEIGHT_PIXELS, LineFormat, Normalization
from worker.models.rewriting import STRIDE_PIXELS, GraphError, Rewriter, note_change, opset, signature

_GROUP_CLASSES = 144
_LAST_AXIS_BY_DEFAULT_FROM = 13  # the opset in which Softmax got this default
_FEW_CLASSES = 1024
_CODE_CHARACTERS = frozenset(map(chr, range(0x21, 0x7F)))
_NEVER = -1e4  # a logit that no softmax sees, representable in 16 bits
_PADDLE = Normalization()
_PADDLE_LINES = LineFormat()


def recognizer_characters(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the characters that a recognizer's metadata name, in order, without blank and space."""
    for entry in model.metadata_props:
        if entry.key == "character":
            return tuple(entry.value.rstrip("\n").split("\n"))
    raise GraphError(
        "the recognizer names no characters in its metadata ('character'): import it with `labelwire models import` "
        "and --dictionary or --characters"
    )


def class_count(model: onnx.ModelProto) -> int:
    """Return how many classes a recognizer's head has. Raises GraphError if it does not end in a linear layer."""
    return _Head(Rewriter(model)).class_count


def rewrite_recognizer(
    model: onnx.ModelProto,
    classes: Sequence[int] | None = None,
    alternatives: int = 1,
    *,
    labels: Sequence[str] | None = None,
    normalization: Normalization = _PADDLE,
    line: LineFormat = _PADDLE_LINES,
    turns: bool = True,
) -> onnx.ModelProto:
    """Return a recognizer from `line` and `upside_down` to `token` and `confidence`.

    `line` is UINT8 [N, 48, W, 3] (BGR) and is turned by 180° where `upside_down` FP32 [N, 1] is over 0.5. `token`
    INT32 and `confidence` FP32 are [N, T, K] with T = W / 8 and K = `alternatives`: the best of all classes first, then
    the best others that codes are written with, printable ASCII, each once and never the blank. T is W over the stride
    of `line`. `classes` are the classes of the head that stay (all if None), in this order, the blank first; tokens
    count within them. `labels` are what the head's classes stand for; without them they are a blank, the characters of
    the metadata and a space. Without `turns` the graph has no `upside_down`, and what serves it turns lines. Changes
    `model`. Raises GraphError if the head is not a linear layer, with a softmax or without, or knows too few characters
    for so many alternatives.
    """
    if labels is None and alternatives > 1:
        labels = ctc_dictionary(recognizer_characters(model))
    candidates = _candidates(labels or (), classes, alternatives) if alternatives > 1 else []
    rewriter = Rewriter(model)
    upright = rewriter.as_levels("line")
    if turns:
        rewriter.note("turns lines by 180 degrees that stand upside down")
        _turn(rewriter, upright, "upside_down", "labelwire/upright")
        upright = "labelwire/upright"
    heights = None if line.height == LINE_HEIGHT_PIXELS else (LINE_HEIGHT_PIXELS, line.height)
    rewriter.normalize(upright, normalization, heights=heights)
    head = _Head(rewriter)
    if labels is not None and len(labels) != head.class_count:
        raise GraphError(
            f"the recognizer's head has {head.class_count} classes, but {len(labels)} are named, the blank among them: "
            "give the dictionary that it was trained with"
        )
    if classes is not None:
        rewriter.note(f"has {len(classes)} of the head's {head.class_count} classes")
        head.keep(classes)
    rewriter.note("returns the best class of each step and its softmax instead of all probabilities")
    _take_best(rewriter, head)
    if alternatives > 1:
        rewriter.note(f"adds the best others for each step, {alternatives} in all, out of {len(candidates)} classes")
        _add_alternatives(rewriter, head.logits, candidates, alternatives - 1)
    else:
        _name_outputs(rewriter)
    sides = {"upside_down": (TensorProto.FLOAT, ("N", 1))} if turns else {}
    return rewriter.finish(
        signature(line=(TensorProto.UINT8, ("N", LINE_HEIGHT_PIXELS, "W", 3)), **sides),
        signature(
            token=(TensorProto.INT32, ("N", "T", alternatives)),
            confidence=(TensorProto.FLOAT, ("N", "T", alternatives)),
        ),
    )


def fix_width(recognizer: onnx.ModelProto, width_pixels: int, stride_pixels: int = STRIDE_PIXELS) -> onnx.ModelProto:
    """Return a rewritten recognizer that takes lines of one width only: [N, 48, W, 3] in, [N, W / stride, K] out.

    Servers hold a config's dims to the graph's, and TensorRT wants every width fixed. `recognizer` stays as it is.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(recognizer)
    sizes = {"W": width_pixels, "T": width_pixels // stride_pixels}
    for tensor in (*fixed.graph.input, *fixed.graph.output):
        for dim in tensor.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    note_change(fixed, f"takes lines of {width_pixels} pixels only")
    return fixed


def _turn(rewriter: Rewriter, line: str, upside_down: str, upright: str) -> None:
    """Turn lines by 180°: both axes reversed. This costs nothing beside the convolutions."""
    to_the_start = int(np.iinfo(np.int64).min)
    bounds = [
        rewriter.indices("turn_from", -1, -1),
        rewriter.indices("turn_to", to_the_start, to_the_start),
        rewriter.indices("turn_axes", 1, 2),
        rewriter.indices("turn_steps", -1, -1),
    ]
    half = rewriter.scalar("half", 0.5)
    rewriter.before += [
        helper.make_node("Slice", [line, *bounds], ["labelwire/turned"]),
        helper.make_node("Greater", [upside_down, half], ["labelwire/is_upside_down"]),
        rewriter.node_over_axes("Unsqueeze", "labelwire/is_upside_down", "labelwire/is_upside_down_4d", 2, 3),
        helper.make_node("Where", ["labelwire/is_upside_down_4d", "labelwire/turned", line], [upright]),
    ]


class _Head:
    """The linear layer at a recognizer's end, without its softmax; `logits` names its output [N, T, classes]."""

    def __init__(self, rewriter: Rewriter) -> None:
        self._rewriter = rewriter
        last = rewriter.producer(rewriter.original_output)
        # The logarithm of a softmax has the same best class, and the same softmax, as the logits under it.
        is_softmax = last.op_type in {"Softmax", "LogSoftmax"}
        if is_softmax and not _works_on_classes(rewriter, last):
            raise GraphError(
                f"the recognizer's {last.op_type} ({last.output[0]}) is not over the classes, the last of its "
                "dimensions: give one that is decoded by CTC"
            )
        self.logits = str(last.input[0] if is_softmax else last.output[0])
        layer, self._reshapes = _behind_reshapes(rewriter, self.logits)
        self._weights, self._class_axis, self._bias = _linear_layer(rewriter, layer)
        for reshape in self._reshapes:
            _check_ends_in_classes(rewriter, reshape, self.class_count)

    @property
    def class_count(self) -> int:
        """How many classes the head has."""
        return int(self._bias.dims[-1])

    def keep(self, classes: Sequence[int]) -> None:
        """Keep some classes."""
        kept = list(classes)
        self._replace(
            numpy_helper.to_array(self._weights).take(kept, axis=self._class_axis),
            numpy_helper.to_array(self._bias).take(kept, axis=-1),
        )

    def pad(self, class_count: int) -> None:
        """Add classes that never win and weigh nothing in a softmax."""
        missing = class_count - self.class_count
        weights, bias = numpy_helper.to_array(self._weights), numpy_helper.to_array(self._bias)
        added = [(0, missing if axis == self._class_axis else 0) for axis in range(weights.ndim)]
        self._replace(
            np.pad(weights, added),
            np.pad(bias, [(0, 0)] * (bias.ndim - 1) + [(0, missing)], constant_values=_NEVER),
        )

    def _replace(self, weights: NDArray[np.generic], bias: NDArray[np.generic]) -> None:
        for tensor, values in ((self._weights, weights), (self._bias, bias)):
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
        for reshape in self._reshapes:
            _end_in_classes(self._rewriter, reshape, self.class_count)


def _works_on_classes(rewriter: Rewriter, softmax: NodeProto) -> bool:
    """Tell whether a softmax of [N, T, classes] is over the classes alone; before opset 13, axis 1 was over T too."""
    default = -1 if opset(rewriter.model) >= _LAST_AXIS_BY_DEFAULT_FROM else 1
    axis = next((attribute.i for attribute in softmax.attribute if attribute.name == "axis"), default)
    return axis in {-1, 2}


def _behind_reshapes(rewriter: Rewriter, logits: str) -> tuple[NodeProto, list[NodeProto]]:
    """Return the node that computes the logits, and the Reshapes that put its steps apart again.

    PyTorch's exports of a linear layer over [N · T, features] have them. Transposes of N and T may stand between.
    """
    node, reshapes = rewriter.producer(logits), []
    while node.op_type == "Reshape" or _leaves_classes_last(node):
        if node.op_type == "Reshape":
            reshapes.append(node)
        node = rewriter.producer(node.input[0])
    return node, reshapes


def _leaves_classes_last(node: NodeProto) -> bool:
    order = [axis for attribute in node.attribute if attribute.name == "perm" for axis in attribute.ints]
    return node.op_type == "Transpose" and order[-1:] == [len(order) - 1]


def _shape_constant(rewriter: Rewriter, reshape: NodeProto) -> tuple[NodeProto, int, NDArray[np.int64]]:
    """Return where a Reshape's last size stands: a node, the place among its inputs, and that input's values."""
    weights = rewriter.initializers()
    node, place = reshape, 1
    if reshape.input[1] not in weights:
        node = rewriter.producer(reshape.input[1])
        place = len(node.input) - 1
    is_its_own = sum(list(other.input).count(reshape.input[1]) for other in rewriter.model.graph.node) == 1
    if (node is reshape or (node.op_type == "Concat" and is_its_own)) and node.input[place] in weights:
        return node, place, numpy_helper.to_array(weights[node.input[place]])
    raise GraphError(
        f"the recognizer's head ends in a Reshape ({reshape.output[0]}) to a shape whose last size is not its own: "
        "export it with a fixed number of classes"
    )


def _check_ends_in_classes(rewriter: Rewriter, reshape: NodeProto, class_count: int) -> None:
    _, _, sizes = _shape_constant(rewriter, reshape)
    if sizes[-1] not in (class_count, -1):
        raise GraphError(
            f"the recognizer's head ends in a Reshape ({reshape.output[0]}) to {sizes[-1]} values a step out of "
            f"{class_count} classes: give one that is decoded by CTC"
        )


def _end_in_classes(rewriter: Rewriter, reshape: NodeProto, class_count: int) -> None:
    """Let a Reshape's last size be a new number of classes; the constant stays as it is for others that read it."""
    node, place, sizes = _shape_constant(rewriter, reshape)
    if sizes[-1] not in (class_count, -1):
        changed = np.array([*sizes[:-1], class_count], dtype=np.int64)
        node.input[place] = rewriter.constant(f"{class_count}_classes_of_{reshape.output[0]}", changed)


def _linear_layer(rewriter: Rewriter, last: NodeProto) -> tuple[onnx.TensorProto, int, onnx.TensorProto]:
    """Return the weights of the layer that `last` ends, which of their axes is the classes', and its bias [classes]."""
    weights = rewriter.initializers()
    if last.op_type == "Gemm" and len(last.input) == 3 and {*last.input[1:]} <= weights.keys():  # noqa: PLR2004  a bias
        settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in last.attribute}
        # alpha and beta scale what they scale, however many classes stay.
        return weights[last.input[1]], 0 if settings.get("transB", 0) else 1, weights[last.input[2]]
    constant = [name for name in last.input if name in weights]
    computed = [name for name in last.input if name not in weights]
    if last.op_type == "Add" and len(constant) == len(computed) == 1:
        matmul = rewriter.producer(computed[0])
        if matmul.op_type == "MatMul" and matmul.input[1] in weights:
            return weights[matmul.input[1]], len(weights[matmul.input[1]].dims) - 1, weights[constant[0]]
    raise GraphError(
        f"the recognizer's head ends in {last.op_type} ({last.output[0]}), not in a linear layer, with a softmax or "
        "without: give one that is decoded by CTC"
    )


def _candidates(labels: Sequence[str], classes: Sequence[int] | None, alternatives: int) -> list[int]:
    """Return the classes, counted within those that stay, that may stand behind the best one.

    They are printable ASCII, or all but the blank where the alphabet has too little of that.
    """
    kept = [labels[index] for index in (range(len(labels)) if classes is None else classes)]
    printable = [index for index, character in enumerate(kept) if character in _CODE_CHARACTERS]
    candidates = printable if len(printable) >= alternatives else list(range(1, len(kept)))
    if len(candidates) < alternatives:
        raise GraphError(
            f"{alternatives} classes a step cannot be given, for the alphabet has {len(candidates)} characters: "
            "ask for fewer alternatives"
        )
    return candidates


def _take_best(rewriter: Rewriter, head: _Head) -> None:
    """Find the best class and its softmax, 1 / Σ exp(x - max), without writing all the probabilities."""
    if head.class_count <= _FEW_CLASSES:
        rewriter.after += [
            helper.make_node("ArgMax", [head.logits], ["labelwire/best"], axis=2, keepdims=1),
            rewriter.node_over_axes("ReduceMax", head.logits, "labelwire/maximum", 2, keepdims=1),
        ]
    else:
        rewriter.after += _best_of_groups(rewriter, head)
    one = rewriter.scalar("one", 1)
    rewriter.after += [
        helper.make_node("Cast", ["labelwire/best"], ["labelwire/token"], to=TensorProto.INT32),
        helper.make_node("Sub", [head.logits, "labelwire/maximum"], ["labelwire/below"]),
        helper.make_node("Exp", ["labelwire/below"], ["labelwire/odds"]),
        rewriter.node_over_axes("ReduceSum", "labelwire/odds", "labelwire/total", 2, keepdims=1),
        helper.make_node("Div", [one, "labelwire/total"], ["labelwire/confidence"]),
    ]


def _name_outputs(rewriter: Rewriter) -> None:
    rewriter.after += [
        helper.make_node("Identity", [f"labelwire/{output}"], [output]) for output in ("token", "confidence")
    ]


def _add_alternatives(rewriter: Rewriter, logits: str, candidates: Sequence[int], count: int) -> None:
    """Put the best `count` of the candidates behind the best class of all.

    A sort over 18,710 classes would cost as much as the rest of the recognizer, and its second and third would be
    look-alikes of other scripts; that over a hundred candidates costs next to nothing.
    """
    classes = rewriter.indices("candidates", *candidates)
    never = rewriter.scalar("never", _NEVER)
    how_many = rewriter.indices("alternatives", count)
    rewriter.after += [
        helper.make_node("Gather", [logits, classes], ["labelwire/candidate_logits"], axis=2),
        helper.make_node("Equal", [classes, "labelwire/best"], ["labelwire/is_best"]),
        helper.make_node("Where", ["labelwire/is_best", never, "labelwire/candidate_logits"], ["labelwire/others"]),
        helper.make_node("TopK", ["labelwire/others", how_many], ["labelwire/other", "labelwire/place"], axis=2),
        helper.make_node("Gather", [classes, "labelwire/place"], ["labelwire/other_class"], axis=0),
        helper.make_node("Cast", ["labelwire/other_class"], ["labelwire/other_token"], to=TensorProto.INT32),
        helper.make_node("Sub", ["labelwire/other", "labelwire/maximum"], ["labelwire/other_below"]),
        helper.make_node("Exp", ["labelwire/other_below"], ["labelwire/other_odds"]),
        helper.make_node("Div", ["labelwire/other_odds", "labelwire/total"], ["labelwire/other_confidence"]),
        helper.make_node("Concat", ["labelwire/token", "labelwire/other_token"], ["token"], axis=2),
        helper.make_node("Concat", ["labelwire/confidence", "labelwire/other_confidence"], ["confidence"], axis=2),
    ]


def _best_of_groups(rewriter: Rewriter, head: _Head) -> list[NodeProto]:
    """Find `labelwire/best` and `labelwire/maximum` [N, T, 1]: the best group of classes, then the best in it.

    An engine's ArgMax is a sort; over 18,710 classes it takes a fifth of the whole recognizer's time, over 130
    groups and 144 classes next to nothing. As with ArgMax, the first of equals wins.
    """
    groups = -(-head.class_count // _GROUP_CLASSES)
    head.pad(groups * _GROUP_CLASSES)
    row_shape, step_shape = (
        rewriter.indices("row_shape", -1, _GROUP_CLASSES),
        rewriter.indices("step_shape", -1, groups),
    )
    counts = {name: rewriter.indices(name, n) for name, n in (("groups", groups), ("classes", _GROUP_CLASSES))}
    zero, one = (rewriter.constant(name, np.array(n)) for name, n in (("first_step", 0), ("step_by", 1)))
    # A row is one group of one step; the groups of step s are the rows from s · groups on.
    return [
        helper.make_node("Reshape", [head.logits, row_shape], ["labelwire/rows"]),
        rewriter.node_over_axes("ReduceMax", "labelwire/rows", "labelwire/row_maxima", 1, keepdims=0),
        helper.make_node("Reshape", ["labelwire/row_maxima", step_shape], ["labelwire/group_maxima"]),
        rewriter.node_over_axes("ReduceMax", "labelwire/group_maxima", "labelwire/step_maxima", 1, keepdims=0),
        helper.make_node("ArgMax", ["labelwire/group_maxima"], ["labelwire/group"], axis=1, keepdims=0),
        helper.make_node("Size", ["labelwire/group"], ["labelwire/step_count"]),
        helper.make_node("Range", [zero, "labelwire/step_count", one], ["labelwire/steps"]),
        helper.make_node("Mul", ["labelwire/steps", counts["groups"]], ["labelwire/first_rows"]),
        helper.make_node("Add", ["labelwire/first_rows", "labelwire/group"], ["labelwire/winning_rows"]),
        helper.make_node("Gather", ["labelwire/rows", "labelwire/winning_rows"], ["labelwire/winners"], axis=0),
        helper.make_node("ArgMax", ["labelwire/winners"], ["labelwire/rank"], axis=1, keepdims=0),
        helper.make_node("Mul", ["labelwire/group", counts["classes"]], ["labelwire/first_class"]),
        helper.make_node("Add", ["labelwire/first_class", "labelwire/rank"], ["labelwire/best_flat"]),
        *_as_steps(rewriter, head, {"best_flat": "best", "step_maxima": "maximum"}),
    ]


def _as_steps(rewriter: Rewriter, head: _Head, tensors: Mapping[str, str]) -> list[NodeProto]:
    """Give flat tensors, by their names now and then, the shape [N, T, 1] of the logits' steps."""
    bounds = [rewriter.indices(f"steps_{name}", n) for name, n in (("from", 0), ("to", 2))]
    single = rewriter.indices("single", 1)
    return [
        helper.make_node("Shape", [head.logits], ["labelwire/logits_shape"]),
        helper.make_node("Slice", ["labelwire/logits_shape", *bounds], ["labelwire/lines_and_steps"]),
        helper.make_node("Concat", ["labelwire/lines_and_steps", single], ["labelwire/best_shape"], axis=0),
        *(
            helper.make_node("Reshape", [f"labelwire/{flat}", "labelwire/best_shape"], [f"labelwire/{shaped}"])
            for flat, shaped in tensors.items()
        ),
    ]
