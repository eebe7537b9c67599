"""The detector: pixels in, a map of the probability of text out, bytes both ways."""

from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from worker.models.model_card import Normalization
from worker.models.rewriting import Rewriter, signature

_PADDLE = Normalization()


def rewrite_detector(
    model: onnx.ModelProto,
    normalization: Normalization = _PADDLE,
    *,
    returns_logits: bool = False,
    tile: tuple[int, int] | None = None,
) -> onnx.ModelProto:
    """Return a detector from `image` UINT8 [N, H, W, 3] (BGR) to `probability` UINT8 [N, H, W], round(p · 255).

    H and W are multiples of 32, or those of `tile`. Changes `model`. A DB head of two transposed convolutions is
    computed at a quarter of the resolution and rearranged; any other end is taken as it is, behind a sigmoid if it
    `returns_logits`.
    """
    rewriter = Rewriter(model)
    rewriter.normalize(rewriter.as_levels("image"), normalization)
    head = None if returns_logits else _find_upsampling_head(rewriter)
    height, width = tile or ("H", "W")
    if head is None:
        if returns_logits:
            rewriter.note("computes probabilities out of logits")
        probability = rewriter.original_output
        if returns_logits:
            rewriter.after.append(helper.make_node("Sigmoid", [probability], ["labelwire/probability"]))
            probability = "labelwire/probability"
        _in_255ths(rewriter, probability)
        rewriter.over_axes("Squeeze", "labelwire/rounded", "labelwire/map", 1)
    else:
        rewriter.note("computes the two transposed convolutions at its end as pointwise ones, a quarter of the size")
        _compute_small(rewriter, head)
    if tile is not None:
        rewriter.note(f"takes tiles of {height} x {width} pixels only")
    rewriter.note("returns probabilities as UINT8, rounded to 255ths")
    rewriter.after.append(helper.make_node("Cast", ["labelwire/map"], ["probability"], to=TensorProto.UINT8))
    return rewriter.finish(
        signature(image=(TensorProto.UINT8, ("N", height, width, 3))),
        signature(probability=(TensorProto.UINT8, ("N", height, width))),
    )


def _in_255ths(rewriter: Rewriter, probability: str) -> None:
    """Scale to 0 to 255 and round; it stays FP32 until the very end, which alone may be bytes."""
    scale = rewriter.scalar("probability_scale", 255)
    rewriter.after += [
        helper.make_node("Mul", [probability, scale], ["labelwire/scaled"]),
        helper.make_node("Round", ["labelwire/scaled"], ["labelwire/rounded"]),
    ]


@dataclass(frozen=True, slots=True)
class _UpsamplingHead:
    """Two transposed convolutions with 2 by 2 kernels at stride 2, a ReLU between and a sigmoid behind them.

    `weights` are [channels in, channels out, 2, 2], `biases` [channels out]; `features` names what they work on.
    """

    features: str
    weights: list[NDArray[np.float32]]
    biases: list[NDArray[np.float32]]


def _find_upsampling_head(rewriter: Rewriter) -> _UpsamplingHead | None:
    """Return the head of a DB detector, None if the graph ends otherwise."""
    constants = rewriter.initializers()
    head = _UpsamplingHead(rewriter.original_output, [], [])
    for operator in ("Sigmoid", "Add", "ConvTranspose", "Relu", "Add", "ConvTranspose"):
        node = rewriter.producer(head.features)
        values = [numpy_helper.to_array(constants[name]) for name in node.input if name in constants]
        if node.op_type != operator or len(values) != (operator in {"Add", "ConvTranspose"}):
            return None
        if operator == "ConvTranspose":
            head.weights.insert(0, values[0])
        elif operator == "Add":
            head.biases.insert(0, values[0].reshape(-1))
        head = replace(head, features=next(name for name in node.input if name not in constants))
    last_channels = head.weights[1].shape[1]
    is_doubling = all(weights.shape[2:] == (2, 2) for weights in head.weights)
    return head if is_doubling and last_channels == 1 else None


def _compute_small(rewriter: Rewriter, head: _UpsamplingHead) -> None:
    """Compute the 4 by 4 pixels that grow out of each feature pixel as 16 channels, and lay them out at the end.

    A transposed convolution whose kernel is its stride mixes no neighbors, so it is a pointwise convolution with a
    channel for each pixel of the kernel.
    """
    first, second = _as_pointwise(head)
    names = []
    for index, (weights, biases) in enumerate((first, second)):
        names.append(rewriter.constant(f"head_weights_{index}", weights))
        names.append(rewriter.constant(f"head_biases_{index}", biases))
    rewriter.after += [
        helper.make_node("Conv", [head.features, *names[:2]], ["labelwire/doubled"]),
        helper.make_node("Relu", ["labelwire/doubled"], ["labelwire/doubled_features"]),
        helper.make_node("Conv", ["labelwire/doubled_features", *names[2:]], ["labelwire/quadrupled"]),
        helper.make_node("Sigmoid", ["labelwire/quadrupled"], ["labelwire/probability"]),
    ]
    _in_255ths(rewriter, "labelwire/probability")
    bounds = [rewriter.indices(f"map_{name}", value) for name, value in (("from", 0), ("to", 3))]
    rewriter.after += [
        helper.make_node("Transpose", ["labelwire/rounded"], ["labelwire/pixels"], perm=[0, 2, 3, 1]),
        helper.make_node(
            "Reshape", ["labelwire/pixels", rewriter.indices("tiles", 0, 0, 0, 4, 4)], ["labelwire/tiles_"]
        ),
        helper.make_node("Transpose", ["labelwire/tiles_"], ["labelwire/rows"], perm=[0, 1, 3, 2, 4]),
        helper.make_node("Shape", ["labelwire/levels"], ["labelwire/image_shape"]),
        helper.make_node("Slice", ["labelwire/image_shape", *bounds], ["labelwire/map_shape"]),
        helper.make_node("Reshape", ["labelwire/rows", "labelwire/map_shape"], ["labelwire/map"]),
    ]


def _as_pointwise(head: _UpsamplingHead) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return weights [channels out, channels in, 1, 1] and biases of two pointwise convolutions that equal the head.

    After the first, channels are (row, column, feature); after the second (row of 4, column of 4).
    """
    channels = head.weights[0].shape[1]
    first = head.weights[0].transpose(2, 3, 1, 0).reshape(4 * channels, -1)
    second = np.zeros((4, 4, 2, 2, channels), dtype=np.float32)
    for row in range(4):
        for column in range(4):
            kernel = head.weights[1][:, 0, row % 2, column % 2]
            second[row, column, row // 2, column // 2] = kernel
    return [
        (first[:, :, None, None], np.tile(head.biases[0], 4)),
        (second.reshape(16, 4 * channels, 1, 1), np.tile(head.biases[1], 16)),
    ]
