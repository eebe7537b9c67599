"""How the grey of a page changes, block by block, and where it does so as symbols do.

Gradient products are those of the structure tensor (Bigün and Granlund, 1987). Invariant: what is left out of the parts
of a page has no symbol that would be read there; it is a matter of cost, not of what a symbol says.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.image import Pixels

Part = tuple[slice, slice]

_HALVED_FROM_PIXELS: Final = 600_000
_BLOCK: Final = 8  # pixels of the searched picture
_ROW_STEP: Final = 2  # every second row says what a block's rows do
_WINDOW_BLOCKS: Final = 3
_LEAST_BUSY_ENERGY: Final = 60.0  # of squared Sobel gradients: some 8 grey levels
_FINE_BLOCKS: Final = 2
_LEAST_FINENESS: Final = 8.0  # of squared Sobel gradients to the variance; modules of up to three pixels have more
_LEAST_VARIANCE: Final = 150.0


@dataclass(frozen=True, slots=True)
class Texture:
    """The texture of a picture of (height, width) pixels by blocks of `block_pixels`.

    `tensor` is float32 [3, rows, columns], the mean gradient products xx, yy, xy of blocks and their neighbours;
    `is_fine` bool [rows, columns] where light and dark change within a few pixels along two directions.
    """

    tensor: NDArray[np.float32]
    is_fine: NDArray[np.bool_]
    block_pixels: int
    shape: tuple[int, int]


def texture(grey: Pixels, half: Pixels) -> Texture | None:
    """Return the texture of a picture, uint8 [h, w], that is also at hand at half its size; None of a tiny one."""
    halved = grey.size > _HALVED_FROM_PIXELS
    small = half if halved else grey
    if min(small.shape) < _BLOCK * _WINDOW_BLOCKS:
        return None
    dx, dy = (part[::_ROW_STEP].astype(np.float32) for part in cv2.spatialGradient(np.ascontiguousarray(small)))
    products = [_block_means(product) for product in (dx * dx, dy * dy, dx * dy)]
    tensor = [cv2.blur(product, (_WINDOW_BLOCKS, _WINDOW_BLOCKS)) for product in products]
    # Fineness is known of pictures at half their size; small ones are worth no saving.
    is_fine = _is_fine(small, products) if halved else np.ones(products[0].shape, dtype=np.bool_)
    return Texture(np.asarray(tensor, dtype=np.float32), is_fine, _BLOCK * (1 + halved), (grey.shape[0], grey.shape[1]))


def busy_parts(found: Texture) -> list[Part]:
    """Return the rows and columns between blank stripes of the page: what has edges along two directions is inside."""
    busy: NDArray[np.bool_] = np.min(found.tensor[:2], axis=0) > _LEAST_BUSY_ENERGY
    changes = np.diff(busy.any(axis=1).astype(np.int8), prepend=0, append=0)
    parts = []
    for first, last in zip(np.flatnonzero(changes > 0).tolist(), np.flatnonzero(changes < 0).tolist(), strict=True):
        columns = np.flatnonzero(busy[first:last].any(axis=0))
        parts.append(_part(found, (first, last), (int(columns[0]), int(columns[-1]) + 1)))
    return parts


def fine_parts(found: Texture) -> list[Part]:
    """Return the rows and columns around what may be a matrix of small modules; they may overlap."""
    near = cv2.dilate(found.is_fine.astype(np.uint8), np.ones((3, 3), dtype=np.uint8))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(near)
    return [
        _part(found, (top, top + height), (left, left + width)) for left, top, width, height, _ in boxes[1:].tolist()
    ]


def _is_fine(small: Pixels, products: list[NDArray[np.float32]]) -> NDArray[np.bool_]:
    levels = small[::_ROW_STEP].astype(np.float32)
    window = (_FINE_BLOCKS, _FINE_BLOCKS)
    along, down, mean, square = (
        np.asarray(cv2.blur(blocks, window), dtype=np.float32)
        for blocks in (*products[:2], _block_means(levels), _block_means(levels * levels))
    )
    variance = square - mean * mean
    fine: NDArray[np.bool_] = np.minimum(along, down) > _LEAST_FINENESS * variance
    return fine & (variance > _LEAST_VARIANCE)


def _block_means(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of blocks, float32 [rows, columns], out of every second row."""
    rows, columns = levels.shape[0] * _ROW_STEP // _BLOCK, levels.shape[1] // _BLOCK
    kept = levels[: rows * _BLOCK // _ROW_STEP, : columns * _BLOCK]
    return np.asarray(cv2.resize(kept, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _part(found: Texture, rows: tuple[int, int], columns: tuple[int, int]) -> Part:
    """Return blocks [first, last) and two on each side as pixels; the last block may end before the page does."""
    return _pixels(found.block_pixels, rows), _pixels(found.block_pixels, columns)


def _pixels(block_pixels: int, blocks: tuple[int, int]) -> slice:
    return slice(max(0, blocks[0] - 2) * block_pixels, (blocks[1] + 3) * block_pixels)
