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


def may_hold_matrix(found: Texture, known: Sequence[Points], side_pixels: int) -> bool:
    """Whether a square of a side has edges along two directions all over, outside of known areas."""
    side = max(1, side_pixels // found.block_pixels - 1)
    busy = (found.tensor[:2].min(axis=0) > _MIN_BUSY_ENERGY).astype(np.uint8) & outside(found, known)
    return bool(cv2.erode(busy, np.ones((side, side), dtype=np.uint8)).any())


def _block_means(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of blocks, float32 [rows, columns], out of every second row."""
    rows, columns = levels.shape[0] * _ROW_STEP // _BLOCK, levels.shape[1] // _BLOCK
    kept = levels[: rows * _BLOCK // _ROW_STEP, : columns * _BLOCK]
    return np.asarray(cv2.resize(kept, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32)
