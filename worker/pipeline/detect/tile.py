"""A page as the detector takes it: scaled, and padded to a shape that it knows.

Invariant: every tile has a shape that the detector takes. Pages too large for one tile are searched in bands of them
(`large/scan_plan`).
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from worker.domain.geometry import Transform
from worker.domain.image import PageImage, Pixels, Tile
from worker.domain.manifest import TileShapes
from worker.pipeline.options import PipelineOptions

_CUBIC_FROM_SCALE: Final = 0.5
Box = tuple[int, int, int, int]
PAD_VALUE: Final = 127  # nothing, after the detector's normalization


@dataclass(frozen=True, slots=True)
class TiledPage:
    """A page in one tile; `width` and `height` are those of its probability map, which `to_page` takes to the page."""

    tile: Tile
    width: int
    height: int
    to_page: Transform

    @property
    def scale(self) -> float:
        """Pixels of the map for each of the page."""
        return float(1 / math.sqrt(abs(np.linalg.det(self.to_page.matrix[:, :2]))))


def tile_page(page: PageImage, shapes: TileShapes, options: PipelineOptions, part: Box | None = None) -> TiledPage:
    """Bring a page's long side to the options' for detection, or to the detector's largest, and make it one tile.

    With a `part` (left, top, right, bottom) of the page the tile shows only that, at the same scale.
    """
    side = min(largest_side(shapes), options.detection_long_side)
    scale = min(options.max_enlargement, side / max(page.width, page.height))
    left, top, right, bottom = part or (0, 0, page.width, page.height)
    width, height = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    to_page = Transform.scale_then_shift((right - left) / width, (bottom - top) / height, left, top)
    tile = Tile(padded(scaled(page.pixels[top:bottom, left:right], width, height), shapes), Transform.identity())
    return TiledPage(tile, width, height, to_page)


def largest_side(shapes: TileShapes) -> int:
    """Return the largest side in pixels of a square tile that the detector takes."""
    if shapes.fixed:
        return max(min(height, width) for height, width in shapes.fixed)
    return shapes.max_side // shapes.multiple_of * shapes.multiple_of


def scaled(pixels: Pixels, width: int, height: int) -> Pixels:
    """Bring pixels to the detector's scale, uint8 [height, width, 3]; those of that size are returned as they are."""
    if pixels.shape[1::-1] == (width, height):
        return pixels
    if width < _CUBIC_FROM_SCALE * pixels.shape[1] and height < _CUBIC_FROM_SCALE * pixels.shape[0]:
        # Averaging by exactly two takes a tenth of the time of averaging by any other number. An odd edge is left out.
        half_width, half_height = pixels.shape[1] // 2, pixels.shape[0] // 2
        even = pixels[: 2 * half_height, : 2 * half_width]
        pixels = np.asarray(cv2.resize(even, (half_width, half_height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    # Cubic costs a fifth of averaging and reads as well, until it would step over pixels.
    enough = width >= _CUBIC_FROM_SCALE * pixels.shape[1]
    interpolation = cv2.INTER_CUBIC if enough else cv2.INTER_AREA
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), dtype=np.uint8)


def padded(view: Pixels, shapes: TileShapes) -> Pixels:
    """Pad a view with gray at the right and at the bottom to a shape that the detector takes."""
    height, width = view.shape[:2]
    shape = _shape_for(height, width, shapes)
    if shape == (height, width):
        return view
    padded = np.full((*shape, 3), PAD_VALUE, dtype=np.uint8)
    padded[:height, :width] = view
    return padded


def _shape_for(height: int, width: int, shapes: TileShapes) -> tuple[int, int]:
    """Return the smallest (height, width) the detector takes that holds a view of this size."""
    if not shapes.fixed:
        step = shapes.multiple_of
        return math.ceil(height / step) * step, math.ceil(width / step) * step
    fitting = [shape for shape in shapes.fixed if shape[0] >= height and shape[1] >= width]
    return min(fitting, key=lambda shape: shape[0] * shape[1])
