"""Line crops for a recognizer, cut as the worker cuts them.

Invariant: a crop shows the whole line, upright, with the margin that the worker's detector leaves around the ink, and
nothing is padded: each training program pads in its own way.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from worker.domain.geometry import Points, lengths_and_heights
from worker.domain.image import PageImage, Pixels, TextRegion
from worker.domain.manifest import DetectionThresholds
from worker.pipeline.layout.reading_order import grown_from_published
from worker.pipeline.models import LineShape
from worker.pipeline.recognize.crop import crop_line

LINE_HEIGHT_PIXELS: Final = 48
# One bucket, so that no line is squeezed into a narrower one. A longer line would be cut, and its text with it.
_MAX_LINE_WIDTH_PIXELS: Final = 2400
_SHAPE: Final = LineShape(LINE_HEIGHT_PIXELS, 0, 1, (_MAX_LINE_WIDTH_PIXELS,))
_MIN_SIDE_PIXELS: Final = 3.0
# How long a line is for each of its characters, in its own heights. Characters that stand one below another are read
# side by side, and their polygon is around all of them: it is much shorter, or longer where it runs down.
_MIN_CHARACTER_LENGTH: Final = 0.1
_MAX_CHARACTER_LENGTH: Final = 1.5
_FEW_CHARACTERS: Final = 3  # tell nothing


def line_crop(page: PageImage, polygon: Points, text: str) -> Pixels | None:
    """Return a line as uint8 [48, width, 3] BGR.

    `polygon` is float64 [4, 2] in page pixels, clockwise from the text's own top left, as results have it. None for a
    line that is too small to be cut, or too long for one crop, and for characters that stand one below another.
    """
    region = grown_from_published(polygon, DetectionThresholds().unclip_ratio)
    length, height = map(float, lengths_and_heights(region))
    if min(length, height) < _MIN_SIDE_PIXELS or not _stands_in_a_row(polygon, len(text)):
        return None
    pieces = crop_line(page, TextRegion(region, 1.0), _SHAPE)
    if len(pieces) != 1:
        return None
    (crop,) = pieces
    return np.ascontiguousarray(crop.pixels[:, : crop.content_width])


def _stands_in_a_row(polygon: Points, characters: int) -> bool:
    length, height = map(float, lengths_and_heights(polygon))
    each = length / max(height, 1.0) / characters
    return characters <= _FEW_CHARACTERS or _MIN_CHARACTER_LENGTH <= each <= _MAX_CHARACTER_LENGTH


def points_of(corners: Sequence[Sequence[float]]) -> Points:
    """Return corners as float64 [n, 2]."""
    return np.array(corners, dtype=np.float64)
