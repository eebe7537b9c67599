"""At which scale a large page is searched.

Invariant: the choice follows from what the page shows: its print, and its small print, are brought to heights at which
the detector finds text surely, and a page is never enlarged beyond its options.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from worker.domain.geometry import lengths_and_heights, weighted_quantile
from worker.domain.image import PageImage, TextRegion
from worker.domain.manifest import TileShapes
from worker.pipeline.detect.tile import TiledPage, largest_side
from worker.pipeline.options import PipelineOptions

# The share of all print, by length, that counts as small print, and how high that shall be, of what print shall be.
_SMALL_SHARE: Final = 0.1
_SMALL_PRINT: Final = 0.97
_EDGE_PIXELS: Final = 2.0
_SMALL_ENOUGH: Final = 0.8  # of that height: a finer search would cost more than it finds
_WORTH_FINER: Final = 1.1
_MAX_FINER: Final = 1.6


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


def finer_long_side(
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


def whole_regions(regions: Iterable[TextRegion], width: int, height: int) -> list[TextRegion]:
    """Return the regions that no edge of their window of `width` x `height` pixels cuts."""
    return [
        region
        for region in regions
        if (region.quad > _EDGE_PIXELS).all() and (region.quad < (width - _EDGE_PIXELS, height - _EDGE_PIXELS)).all()
    ]


def _print_height(regions: Sequence[TextRegion], share: float) -> float:
    """Return the height that a share of the print, counted by length, does not exceed."""
    lengths, heights = lengths_and_heights(np.array([region.quad for region in regions]))
    return weighted_quantile(heights, lengths, share)
