"""Lines cut straight out of the page at its full resolution.

Invariant: a crop has the recognizer's line height and the width of one of its buckets.
"""

import bisect
import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from worker.domain.geometry import Points, Transform, lengths_and_heights
from worker.domain.image import LineCrop, PageImage, Pixels, TextRegion
from worker.pipeline.detect.tile_spans import TileSpan, spans
from worker.pipeline.models import LineShape
from worker.pipeline.warp import warped

_MARGIN_PIXELS: Final = 3  # what a cubic kernel reaches
_SQUEEZED_TO: Final = 0.95  # of its width; the recognizer's time goes by columns, and reads these as well
_SHARED_HEIGHTS: Final = 2  # line heights that two pieces of a line share: a whole character of any script
_LEVEL_PIXELS: Final = 0.01  # up to which an edge is level
_TINY: Final = 1e-6
_AVERAGED_FROM: Final = 1.5  # page pixels for each of a crop's


def crop_lines(page: PageImage, regions: Sequence[TextRegion], shape: LineShape, *, top: int = 0) -> list[LineCrop]:
    """Straighten each region of the page to a line crop, or to several, one after another, if it is too long for one.

    If `page` is a strip of a larger one, `top` is the row of that at which it begins; regions are the larger one's.
    """
    return [crop for region in regions for crop in crop_line(page, region, shape, top=top)]


def crop_line(page: PageImage, region: TextRegion, shape: LineShape, *, top: int = 0) -> list[LineCrop]:
    """Straighten one region to crops, each uint8 [line height, bucket width, 3], padded on the right.

    A line a little longer than a bucket is squeezed into it. One longer than the widest is cut into pieces of about the
    same width, of which neighbors share about two line heights.
    """
    length, height = map(float, lengths_and_heights(region.quad))
    natural_width = max(1, math.ceil(shape.height * (length / max(height, _TINY))))
    return [
        _crop(page, region, piece.stop - piece.start, shape, span, top)
        for piece in _pieces(natural_width, shape)
        for span in [(piece.start / natural_width, piece.stop / natural_width)]
    ]


def crop_cells(page: PageImage, region: TextRegion, cells: Sequence[Points], shape: LineShape) -> LineCrop | None:
    """Set rectangles of the page, each at the line height, side by side to one crop of `region`.

    Returns None if they fill more than the widest bucket.
    """
    lengths, heights = lengths_and_heights(np.array(cells))
    widths = [max(1, round(width)) for width in (shape.height * lengths / np.maximum(heights, _TINY)).tolist()]
    content_width = sum(widths)
    if content_width > shape.bucket_widths[-1]:
        return None
    bucket = shape.bucket_widths[bisect.bisect_left(shape.bucket_widths, content_width)]
    pixels = np.full((shape.height, bucket, 3), shape.pad_value, dtype=np.uint8)
    at = 0
    for cell, width in zip(cells, widths, strict=True):
        pixels[:, at : at + width] = _straighten(page.pixels, cell, width, shape.height)
        at += width
    return LineCrop(region, pixels, content_width)


def straightened(pixels: Pixels, quad: Points, width: int, height: int) -> Pixels:
    """Resample a rectangle of the page, its corners clockwise from its top left, to width x height."""
    return _straighten(pixels, quad, width, height)


def rotated_180(crop: LineCrop, pad_value: int) -> LineCrop:
    """Return a line's crop as it is if the line stands upside down: turned by 180°, and padded on the right again."""
    pixels = np.full_like(crop.pixels, pad_value)
    pixels[:, : crop.content_width] = crop.pixels[::-1, crop.content_width - 1 :: -1]
    start, stop = crop.span
    return LineCrop(crop.region, pixels, crop.content_width, (1 - stop, 1 - start))


def _pieces(natural_width: int, shape: LineShape) -> list[TileSpan]:
    """Return the whole line, or the fewest pieces of it that fit into the widest bucket, of about one width."""
    widest = shape.bucket_widths[-1]
    if natural_width * _SQUEEZED_TO <= widest:
        return [TileSpan(0, natural_width, 0, natural_width)]
    overlap = min(_SHARED_HEIGHTS * shape.height, widest // 2)
    count = math.ceil((natural_width - overlap) / (widest - overlap))
    return list(spans(natural_width, math.ceil((natural_width + (count - 1) * overlap) / count), overlap))


def _crop(
    page: PageImage, region: TextRegion, natural_width: int, shape: LineShape, span: tuple[float, float], top: int
) -> LineCrop:
    bucket = _bucket(natural_width, shape)
    content_width = min(natural_width, bucket)
    quad = _part(region.quad, span) - (0.0, top)
    pixels = np.full((shape.height, bucket, 3), shape.pad_value, dtype=np.uint8)
    pixels[:, :content_width] = _straighten(page.pixels, quad, content_width, shape.height)
    return LineCrop(region, pixels, content_width, span)


def _part(quad: Points, span: tuple[float, float]) -> Points:
    """Return the part of a rectangle between two parts of its length."""
    start, stop = span
    if (start, stop) == (0, 1):
        return quad
    along = quad[1] - quad[0]
    begin, end = along * start, along * (stop - 1)
    return np.asarray(quad + np.array([begin, end, end, begin]), dtype=np.float64)


def _bucket(natural_width: int, shape: LineShape) -> int:
    fitting = bisect.bisect_left(shape.bucket_widths, math.ceil(natural_width * _SQUEEZED_TO))
    return shape.bucket_widths[min(fitting, len(shape.bucket_widths) - 1)]


def _straighten(pixels: Pixels, quad: Points, width: int, height: int) -> Pixels:
    """Resample a rectangle of the page to width x height. Only the part of the page around it is touched."""
    left, top, right, bottom = _bounds_with_margin(pixels, quad)
    part = pixels[top:bottom, left:right]
    origin, along, down = quad[0] - (left, top), quad[1] - quad[0], quad[3] - quad[0]
    level = _level(part, origin, (along, down), width, height)
    if level is not None:
        return level
    linear = np.column_stack([along / width, down / height])
    part, kept = _thinned(part, math.sqrt(abs(np.linalg.det(linear))))
    to_part = Transform(np.column_stack([linear * kept[:, np.newaxis], origin * kept]))
    return warped(part, to_part, (width, height), cv2.INTER_CUBIC)


def _level(part: Pixels, origin: Points, edges: tuple[Points, Points], width: int, height: int) -> Pixels | None:
    """Resample a rectangle that lies level in a part of the page, as most do: a fifth of a warp's time.

    It is cut at whole pixels of the crop, so it may lie half of one aside. Returns None for any other rectangle.
    """
    (right, askew), (skewed, bottom) = (edge.tolist() for edge in edges)
    if max(abs(askew), abs(skewed)) > _LEVEL_PIXELS or min(right, bottom) <= 0:
        return None
    across, down = width / right, height / bottom
    whole_width, whole_height = round(part.shape[1] * across), round(part.shape[0] * down)
    x, y = round(origin[0] * across), round(origin[1] * down)
    if not (0 <= x <= whole_width - width and 0 <= y <= whole_height - height):
        return None  # it reaches over the page's edge
    shrinks = across * down * _AVERAGED_FROM**2 < 1
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    whole = np.asarray(cv2.resize(part, (whole_width, whole_height), interpolation=interpolation), dtype=np.uint8)
    return whole[y : y + height, x : x + width]


def _thinned(part: Pixels, shrinkage: float) -> tuple[Pixels, Points]:
    """Average pixels before much larger print is shrunk: a cubic kernel would pick among them.

    Returns the part and its scale (x, y) against the page.
    """
    height, width = part.shape[:2]
    if shrinkage < _AVERAGED_FROM:
        return part, np.ones(2)
    size = max(1, round(width / shrinkage)), max(1, round(height / shrinkage))
    thinned = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return thinned, np.array([size[0] / width, size[1] / height])


def _bounds_with_margin(pixels: Pixels, quad: Points) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the part of the page that a rectangle needs, at least one pixel."""
    height, width = pixels.shape[:2]
    xs, ys = zip(*quad.tolist(), strict=True)
    left = min(max(math.floor(min(xs)) - _MARGIN_PIXELS, 0), width - 1)
    top = min(max(math.floor(min(ys)) - _MARGIN_PIXELS, 0), height - 1)
    right = min(max(math.ceil(max(xs)) + _MARGIN_PIXELS, left + 1), width)
    bottom = min(max(math.ceil(max(ys)) + _MARGIN_PIXELS, top + 1), height)
    return left, top, right, bottom
