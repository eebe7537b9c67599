"""The orientation classifier: a line's pixels in, the probability that it stands upside down out."""

import onnx
from onnx import TensorProto, helper

from worker.models.model_card import LINE_HEIGHT_PIXELS, Normalization
from worker.models.rewriting import PAD_VALUE, Rewriter, signature

WIDTH_PIXELS = 192
_PADDLE = Normalization()


def rewrite_orientation(
    model: onnx.ModelProto,
    normalization: Normalization = _PADDLE,
    *,
    whole_line: tuple[int, int] | None = None,
    returns_logits: bool = False,
) -> onnx.ModelProto:
    """Return a classifier from `line` UINT8 [N, 48, W, 3] (BGR) to `upside_down` FP32 [N, 1], a probability.

    The classifier sees the first 192 columns of a line; a shorter one is padded to them. If `whole_line` is given, it
    sees the whole line and its padding, scaled to that (height, width) in pixels. What `returns_logits` gets a softmax.
    Changes `model`.
    """
    rewriter = Rewriter(model)
    levels = rewriter.as_levels("line")
    if whole_line is None:
        rewriter.note(f"sees the first {WIDTH_PIXELS} columns of a line, padded where there are fewer")
        _cut_to_width(rewriter, levels, "labelwire/cut")
        rewriter.normalize("labelwire/cut", normalization)
    else:
        rewriter.normalize(levels, normalization, size=whole_line)
    sides = rewriter.original_output
    if returns_logits:
        rewriter.note("computes probabilities out of logits")
        rewriter.after.append(helper.make_node("Softmax", [sides], ["labelwire/sides"], axis=1))
        sides = "labelwire/sides"
    rewriter.note("returns the probability of upside down alone")
    bounds = [rewriter.indices(f"class_{name}", value) for name, value in (("from", 1), ("to", 2), ("axis", 1))]
    rewriter.after.append(helper.make_node("Slice", [sides, *bounds], ["upside_down"]))
    return rewriter.finish(
        signature(line=(TensorProto.UINT8, ("N", LINE_HEIGHT_PIXELS, "W", 3))),
        signature(upside_down=(TensorProto.FLOAT, ("N", 1))),
    )


def _cut_to_width(rewriter: Rewriter, levels: str, cut: str) -> None:
    """Cut first and then pad, so that a long line costs no more than a short one."""
    pads = rewriter.indices("pads", 0, 0, 0, 0, 0, 0, WIDTH_PIXELS, 0)
    gray = rewriter.scalar("pad_value", PAD_VALUE)
    bounds = [
        rewriter.indices(f"cut_{name}", value) for name, value in (("from", 0), ("to", WIDTH_PIXELS), ("axis", 2))
    ]
    rewriter.before += [
        helper.make_node("Slice", [levels, *bounds], ["labelwire/beginning"]),
        helper.make_node("Pad", ["labelwire/beginning", pads, gray], ["labelwire/padded"]),
        helper.make_node("Slice", ["labelwire/padded", *bounds], [cut]),
    ]
