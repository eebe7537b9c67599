"""The recognizer: a line's pixels in, the best classes of each CTC step out.

Invariant: a confidence is a softmax over the classes that the head has, whichever of them were kept.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from worker.models.alphabet import ctc_dictionary
from worker.models.model_card import LINE_HEIGHT_PIXELS, LineFormat, Normalization
from worker.models.rewriting import STRIDE_PIXELS, GraphError, Rewriter, signature

_GROUP_CLASSES = 144
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
) -> onnx.ModelProto:
    """Return a recognizer from `line` and `upside_down` to `token` and `confidence`.

    `line` is UINT8 [N, 48, W, 3] (BGR) and is turned by 180° where `upside_down` FP32 [N, 1] is over 0.5. `token`
    INT32 and `confidence` FP32 are [N, T, K] with T = W / 8 and K = `alternatives`: the best of all classes first, then
    the best others that codes are written with, printable ASCII, each once and never the blank. T is W over the stride
    of `line`. `classes` are the classes of the head that stay (all if None), in this order, the blank first; tokens
    count within them. `labels` are what the head's classes stand for; without them they are a blank, the characters of
    the metadata and a space. Changes `model`. Raises GraphError if the head is not a linear layer, with a softmax or
    without, or knows too few characters for so many alternatives.
    """
    if labels is None and alternatives > 1:
        labels = ctc_dictionary(recognizer_characters(model))
    candidates = _candidates(labels or (), classes, alternatives) if alternatives > 1 else []
    rewriter = Rewriter(model)
    _turn(rewriter, rewriter.as_levels("line"), "upside_down", "labelwire/upright")
    resized = None if line.height == LINE_HEIGHT_PIXELS else (LINE_HEIGHT_PIXELS, line.height)
    rewriter.normalize("labelwire/upright", normalization, resized)
    head = _Head(rewriter)
    if labels is not None and len(labels) != head.class_count:
        raise GraphError(
            f"the recognizer's head has {head.class_count} classes, but {len(labels)} are named, the blank among them: "
            "give the dictionary that it was trained with"
        )
    if classes is not None:
        head.keep(classes)
    _take_best(rewriter, head)
    if alternatives > 1:
        _add_alternatives(rewriter, head.logits, candidates, alternatives - 1)
    else:
        _name_outputs(rewriter)
    return rewriter.finish(
        signature(
            line=(TensorProto.UINT8, ("N", LINE_HEIGHT_PIXELS, "W", 3)), upside_down=(TensorProto.FLOAT, ("N", 1))
        ),
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
        last = rewriter.producer(rewriter.original_output)
        if last.op_type not in {"Softmax", "Add"}:
            raise GraphError(
                f"the recognizer ends in {last.op_type}, not in Softmax or a linear layer ({last.output[0]}): give one "
                "that is decoded by CTC"
            )
        self.logits = str(last.input[0] if last.op_type == "Softmax" else last.output[0])
        self._weights, self._bias = _linear_layer(rewriter, self.logits)

    @property
    def class_count(self) -> int:
        """How many classes the head has."""
        return int(self._bias.dims[-1])

    def keep(self, classes: Sequence[int]) -> None:
        """Keep some classes."""
        for tensor in (self._weights, self._bias):
            kept = np.ascontiguousarray(numpy_helper.to_array(tensor)[..., list(classes)])
            tensor.CopyFrom(numpy_helper.from_array(kept, tensor.name))

    def pad(self, class_count: int) -> None:
        """Add classes that never win and weigh nothing in a softmax."""
        for tensor, filling in ((self._weights, 0.0), (self._bias, _NEVER)):
            values = numpy_helper.to_array(tensor)
            added = [(0, 0)] * (values.ndim - 1) + [(0, class_count - self.class_count)]
            padded = np.pad(values, added, constant_values=filling)
            tensor.CopyFrom(numpy_helper.from_array(padded, tensor.name))


def _linear_layer(rewriter: Rewriter, logits: str) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    """Return weights [features, classes] and bias [classes] of the layer that computes the logits."""
    weights = rewriter.initializers()
    add = rewriter.producer(logits)
    constant = [name for name in add.input if name in weights]
    computed = [name for name in add.input if name not in weights]
    if add.op_type == "Add" and len(constant) == len(computed) == 1:
        matmul = rewriter.producer(computed[0])
        if matmul.op_type == "MatMul" and matmul.input[1] in weights:
            return weights[matmul.input[1]], weights[constant[0]]
    raise GraphError(
        f"the recognizer's head ends in {add.op_type} ({logits}), not in a linear layer: give one that is decoded by "
        "CTC"
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
