"""A second look at a page that lies askew or on its side: straight, so that the detector finds as much as on any other.

Invariant: what is found on the straight picture is placed on the page as it lies; its lines are cut out of the page
itself, so nothing is resampled twice.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from worker.domain.geometry import Transform, lengths_and_heights, weighted_quantile
from worker.domain.image import PageImage, TextRegion
from worker.domain.manifest import TileShapes
from worker.pipeline.detect.text_direction import is_sideways
from worker.pipeline.detect.tile import PAD_VALUE, TiledPage, scaled, tile_page
from worker.pipeline.options import PipelineOptions
from worker.pipeline.warp import warped

_LEVEL_DEGREES: Final = 4.0  # up to which the detector finds as much as on a level page
_QUARTER_TURN_DEGREES: Final = 90.0
_MARGIN_HEIGHTS: Final = 2.0  # of the tallest line, around all that was found
_DIAGONAL: Final = math.sqrt(2)


def turn_degrees(regions: Sequence[TextRegion]) -> float:
    """Return by how many degrees clockwise a page's text is turned: 0 if about level, and 90 if about on its side.

    The skew is the median of all lines', by length, whether they run along the page or down.
    """
    edges = np.array([region.quad[1] - region.quad[0] for region in regions], dtype=np.float64).reshape(-1, 2)
    if not len(edges):
        return 0.0
    down = np.abs(edges[:, 1]) > np.abs(edges[:, 0])
    angles = np.degrees(np.arctan2(edges[:, 1], edges[:, 0])) - _QUARTER_TURN_DEGREES * down
    skew = weighted_quantile(angles, np.linalg.norm(edges, axis=1))
    return (skew if abs(skew) > _LEVEL_DEGREES else 0.0) + (_QUARTER_TURN_DEGREES if is_sideways(regions) else 0.0)


def tile_straight(
    page: PageImage, regions: Sequence[TextRegion], degrees: float, shapes: TileShapes, options: PipelineOptions
) -> TiledPage:
    """Turn the part of a page that holds regions back by `degrees`, scale it for detection, and cut it into tiles.

    The text is searched at the scale that it had on a level page of the same content, and at least at that at which it
    was found on this one.
    """
    radians = math.radians(degrees)
    axes = np.array([[math.cos(radians), math.sin(radians)], [-math.sin(radians), math.cos(radians)]])
    corners = np.array([region.quad for region in regions])
    margin = _MARGIN_HEIGHTS * float(lengths_and_heights(corners)[1].max())
    placed = corners.reshape(-1, 2) @ axes.T
    low = placed.min(axis=0) - margin
    extent = placed.max(axis=0) + margin - low
    found_at = options.detection_long_side / max(page.width, page.height)
    scale = min(options.detection_long_side / float(extent.max()), _DIAGONAL * found_at, options.max_enlargement)
    width, height = (max(1, math.ceil(side * scale)) for side in extent.tolist())
    to_page = Transform(np.column_stack([axes.T / scale, axes.T @ low]))
    straight = _straightened(page, to_page, scale, width, height)
    tiled = tile_page(straight, shapes, replace(options, detection_long_side=max(width, height), max_enlargement=1.0))
    return replace(tiled, to_page=tiled.to_page.then(to_page))


def _straightened(page: PageImage, to_page: Transform, scale: float, width: int, height: int) -> PageImage:
    """Return the picture of `width` x `height` whose pixels lie on the page where `to_page` says."""
    source, onto = page.pixels, to_page
    if scale < 1:
        size = max(1, round(page.width * scale)), max(1, round(page.height * scale))
        source = scaled(page.pixels, *size)
        onto = to_page.then(Transform.scale_then_shift(size[0] / page.width, size[1] / page.height, 0.0, 0.0))
    return PageImage(warped(source, onto, (width, height), cv2.INTER_CUBIC, fill=PAD_VALUE))
