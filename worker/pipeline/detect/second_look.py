"""How a page is searched once a first look has shown what print it holds: at which scale, and turned by how much.

Invariant: the choice follows from what the page shows. Its print, and its small print, are brought to heights at which
the detector finds text surely; a page is never enlarged beyond its options. What is found on a turned picture is placed
on the page as it lies; lines are cut out of the page itself, so nothing is resampled twice.
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
from worker.pipeline.detect.content_box import within_margins
from worker.pipeline.detect.text_direction import is_sideways
from worker.pipeline.detect.tile import PAD_VALUE, TiledPage, largest_side, scaled, tile_page
from worker.pipeline.options import PipelineOptions
from worker.pipeline.warp import warped

# The share of all print, by length, that counts as small print, and how high that shall be, of what print shall be.
_SMALL_SHARE: Final = 0.1
_SMALL_PRINT: Final = 0.97
_SMALL_ENOUGH: Final = 0.8  # of that height: a finer search would cost more than it finds
_WORTH_FINER: Final = 1.1
_MAX_FINER: Final = 1.6
_LEVEL_DEGREES: Final = 4.0  # up to which the detector finds as much as on a level page
_QUARTER_TURN_DEGREES: Final = 90.0
_MARGIN_HEIGHTS: Final = 2.0  # of the tallest line, around all that was found
_DIAGONAL: Final = math.sqrt(2)


def choose_scale(thumbnail_scale: float, regions: Sequence[TextRegion], options: PipelineOptions) -> float:
    """Return the scale at which to search a page on which the first pass saw these regions, in page pixels.

    Where it saw none, the page is searched at its full resolution: what is too faint for it is small.
    """
    if options.tile_scale is not None:
        return options.tile_scale
    if not regions:
        return 1.0
    wanted = options.detection_text_height
    small = _SMALL_ENOUGH * _SMALL_PRINT * wanted
    scale = max(wanted / _print_height(regions, 0.5), small / _print_height(regions, _SMALL_SHARE))
    return float(np.clip(scale, thumbnail_scale, options.max_enlargement))


def tile_again(
    page: PageImage, tiled: TiledPage, regions: Sequence[TextRegion], shapes: TileShapes, options: PipelineOptions
) -> TiledPage | None:
    """Return what a second look at a page is shown, if the first one found text that lies askew or is small; else None.

    `tiled` is what the first look was shown, `regions` are what it found.
    """
    long_side = _finer_long_side(tiled, page, regions, shapes, options)
    if long_side is not None:
        options = replace(options, detection_long_side=long_side)
    degrees = turn_degrees(regions)
    if degrees:
        return tile_straight(page, regions, degrees, shapes, options)
    return None if long_side is None else tile_page(page, shapes, options, within_margins(page, regions))


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


def _finer_long_side(
    tiled: TiledPage, page: PageImage, regions: Sequence[TextRegion], shapes: TileShapes, options: PipelineOptions
) -> int | None:
    """Return the long side at which a page that was searched as a whole is worth a second look.

    Its small print was too small to be found surely, and the page holds more than was shown; None otherwise.
    """
    scale = tiled.scale
    if not regions or scale >= 1:
        return None
    height = scale * _print_height(regions, _SMALL_SHARE)
    wanted = _SMALL_PRINT * options.detection_text_height
    if height > _SMALL_ENOUGH * wanted:
        return None
    finer = min(scale * wanted / height, 1.0, _MAX_FINER * scale)
    side = min(round(finer * max(page.width, page.height)), largest_side(shapes))
    return side if side > _WORTH_FINER * max(tiled.width, tiled.height) else None


def _print_height(regions: Sequence[TextRegion], share: float) -> float:
    """Return the height that a share of the print, counted by length, does not exceed."""
    lengths, heights = lengths_and_heights(np.array([region.quad for region in regions]))
    return weighted_quantile(heights, lengths, share)


def _straightened(page: PageImage, to_page: Transform, scale: float, width: int, height: int) -> PageImage:
    """Return the picture of `width` x `height` whose pixels lie on the page where `to_page` says."""
    source, onto = page.pixels, to_page
    if scale < 1:
        size = max(1, round(page.width * scale)), max(1, round(page.height * scale))
        source = scaled(page.pixels, *size)
        onto = to_page.then(Transform.scale_then_shift(size[0] / page.width, size[1] / page.height, 0.0, 0.0))
    return PageImage(warped(source, onto, (width, height), cv2.INTER_CUBIC, fill=PAD_VALUE))
