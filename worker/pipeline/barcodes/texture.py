"""How the gray of a page changes, block by block.

Gradient products are those of the structure tensor (Bigün and Granlund, 1987).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points
from worker.domain.image import Pixels

_HALVED_FROM_PIXELS: Final = 600_000
_BLOCK: Final = 8  # pixels of the searched picture
_ROW_STEP: Final = 2  # every second row says what a block's rows do
_WINDOW_BLOCKS: Final = 3
_MIN_BUSY_ENERGY: Final = 225.0  # of squared Sobel gradients, both ways: modules of some 15 gray levels
_PRINT_ENERGY: Final = 1000.0  # likewise, of some 32: zxing-cpp's threshold takes what has less than 24 for blank
_MARGIN_BLOCKS: Final = 2  # around print: its quiet zone, and modules so large that a block of them has no edge
_MAX_PARTS: Final = 64
_MAX_PRINTED: Final = 0.6  # of the page in its parts: beyond that, to look at all of it costs no more

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Texture:
    """The texture of a picture by blocks of `block_pixels`.

    `tensor` is float32 [3, rows, columns], the mean gradient products xx, yy, xy of blocks and their neighbors.
    """

    tensor: NDArray[np.float32]
    block_pixels: int


def texture(gray: Pixels) -> Texture | None:
    """Return the texture of a picture, uint8 [h, w]; None of a tiny one."""
    halved = gray.size > _HALVED_FROM_PIXELS
    small = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) if halved else gray
    if min(small.shape) < _BLOCK * _WINDOW_BLOCKS:
        return None
    dx, dy = (part[::_ROW_STEP].astype(np.float32) for part in cv2.spatialGradient(np.ascontiguousarray(small)))
    products = [_block_means(product) for product in (dx * dx, dy * dy, dx * dy)]
    tensor = [cv2.blur(product, (_WINDOW_BLOCKS, _WINDOW_BLOCKS)) for product in products]
    return Texture(np.asarray(tensor, dtype=np.float32), _BLOCK * (1 + halved))


def outside(found: Texture, known: Sequence[Points]) -> NDArray[np.uint8]:
    """Return which blocks lie outside known areas, float64 [4, 2] each, and the blocks around them: uint8, 0 or 1."""
    fresh = np.ones(found.tensor.shape[1:], dtype=np.uint8)
    for area in known:
        corners = np.round(area / found.block_pixels - 0.5).astype(np.int32)
        cv2.fillConvexPoly(fresh, cv2.convexHull(corners), (0,))
    return np.asarray(cv2.erode(fresh, np.ones((3, 3), dtype=np.uint8)), dtype=np.uint8) if len(known) else fresh


@dataclass(frozen=True, slots=True)
class Middles:
    """Where squares of a picture may have their middle: uint8 [rows, columns], 1 for each such block."""

    blocks: NDArray[np.uint8]
    block_pixels: int

    def any(self) -> bool:
        """Say whether there is any."""
        return bool(self.blocks.any())

    def has(self, x: float, y: float) -> bool:
        """Say whether a place of the picture, in pixels, lies in such a block.

        What makes no whole block at the picture's edge belongs to the last one.
        """
        rows, columns = self.blocks.shape
        row, column = int(y) // self.block_pixels, int(x) // self.block_pixels
        return bool(self.blocks[min(row, rows - 1), min(column, columns - 1)])


def matrix_middles(found: Texture, known: Sequence[Points], side_pixels: int) -> Middles:
    """Return the middles of squares of a side that have edges along two directions all over, outside of known areas.

    The blocks next to those count as well.
    """
    side = max(1, side_pixels // found.block_pixels - 1)
    busy = (found.tensor[:2].min(axis=0) > _MIN_BUSY_ENERGY).astype(np.uint8) & outside(found, known)
    middles = cv2.erode(busy, np.ones((side, side), dtype=np.uint8))
    near = np.asarray(cv2.dilate(middles, np.ones((3, 3), dtype=np.uint8)), dtype=np.uint8)
    return Middles(near, found.block_pixels)


def printed_parts(found: Texture, shape: tuple[int, ...]) -> list[Box] | None:
    """Return the parts (left, top, right, bottom) of a picture of `shape` that hold edges along two directions.

    They do not overlap, and have a margin around what they hold. None where they are too many, or most of the picture.
    """
    busy = (found.tensor[:2].min(axis=0) > _PRINT_ENERGY).astype(np.uint8)
    side = 2 * _MARGIN_BLOCKS + 1
    printed = np.asarray(cv2.dilate(busy, np.ones((side, side), dtype=np.uint8)), dtype=np.uint8)
    while True:
        count, _, stats, _ = cv2.connectedComponentsWithStats(printed)
        covered = cv2.countNonZero(printed)
        if count - 1 > _MAX_PARTS or covered > _MAX_PRINTED * printed.size:
            return None
        boxes = [(left, top, left + width, top + height) for left, top, width, height, _ in stats[1:].tolist()]
        for left, top, right, bottom in boxes:
            printed[top:bottom, left:right] = 1
        if cv2.countNonZero(printed) == covered:  # the parts are rectangles that do not touch
            return [_in_pixels(box, found, shape) for box in boxes]


def _in_pixels(box: Box, found: Texture, shape: tuple[int, ...]) -> Box:
    """Return a box of blocks in pixels; what makes no whole block at the picture's edge belongs to the last one."""
    left, top, right, bottom = box
    rows, columns = found.tensor.shape[1:]
    return (
        left * found.block_pixels,
        top * found.block_pixels,
        shape[1] if right == columns else right * found.block_pixels,
        shape[0] if bottom == rows else bottom * found.block_pixels,
    )


def _block_means(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of blocks, float32 [rows, columns], out of every second row."""
    rows, columns = levels.shape[0] * _ROW_STEP // _BLOCK, levels.shape[1] // _BLOCK
    kept = levels[: rows * _BLOCK // _ROW_STEP, : columns * _BLOCK]
    return np.asarray(cv2.resize(kept, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32)
