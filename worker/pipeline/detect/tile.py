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
from worker.pipeline.decode.thumbnail import halved
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
    pixels = scaled_and_padded(page.pixels[top:bottom, left:right], width, height, shapes)
    return TiledPage(Tile(pixels, Transform.identity()), width, height, to_page)


def largest_side(shapes: TileShapes) -> int:
    """Return the largest side in pixels of a square tile that the detector takes."""
    if shapes.fixed:
        return max(min(height, width) for height, width in shapes.fixed)
    return shapes.max_side // shapes.multiple_of * shapes.multiple_of


def scaled(pixels: Pixels, width: int, height: int) -> Pixels:
    """Bring pixels to the detector's scale, uint8 [height, width, 3]; those of that size are returned as they are."""
    if pixels.shape[1::-1] == (width, height):
        return pixels
    found = np.empty((height, width, 3), dtype=np.uint8)
    _scale_into(pixels, found)
    return found


def scaled_and_padded(pixels: Pixels, width: int, height: int, shapes: TileShapes) -> Pixels:
    """Bring pixels to the detector's scale, and pad them with gray at the right and at the bottom to a shape it takes.

    Pixels of that size and shape are returned as they are.
    """
    shape = _shape_for(height, width, shapes)
    if pixels.shape[:2] == shape == (height, width):
        return pixels
    tile = np.empty((*shape, 3), dtype=np.uint8)
    tile[height:] = PAD_VALUE
    tile[:height, width:] = PAD_VALUE
    _scale_into(pixels, tile[:height, :width])
    return tile


def _scale_into(pixels: Pixels, view: Pixels) -> None:
    """Scale pixels to the size of a view, and write them there: a tile is written once."""
    height, width = view.shape[:2]
    if pixels.shape == view.shape:
        view[:] = pixels
        return
    if width < _CUBIC_FROM_SCALE * pixels.shape[1] and height < _CUBIC_FROM_SCALE * pixels.shape[0]:
        pixels = halved(pixels)
    # Cubic costs a fifth of averaging and reads as well, until it would step over pixels.
    enough = width >= _CUBIC_FROM_SCALE * pixels.shape[1]
    cv2.resize(pixels, (width, height), dst=view, interpolation=cv2.INTER_CUBIC if enough else cv2.INTER_AREA)


def _shape_for(height: int, width: int, shapes: TileShapes) -> tuple[int, int]:
    """Return the smallest (height, width) the detector takes that holds a view of this size."""
    if not shapes.fixed:
        step = shapes.multiple_of
        return math.ceil(height / step) * step, math.ceil(width / step) * step
    fitting = [shape for shape in shapes.fixed if shape[0] >= height and shape[1] >= width]
    return min(fitting, key=lambda shape: shape[0] * shape[1])
