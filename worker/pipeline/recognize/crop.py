"""Lines cut straight out of the page at its full resolution.

Invariant: a crop has the recognizer's line height and the width of one of its buckets.
"""

import bisect
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

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
    if not regions:
        return []
    quads = np.array([region.quad for region in regions], dtype=np.float64)
    lengths, heights = lengths_and_heights(quads)
    natural_widths = np.ceil(shape.height * (lengths / np.maximum(heights, _TINY))).astype(np.int64)
    lines = [
        (region, piece.stop - piece.start, _part(quad, span), span)
        for region, quad, natural_width in zip(regions, quads - (0.0, top), natural_widths.tolist(), strict=True)
        for piece in _pieces(max(1, natural_width), shape)
        for span in [(piece.start / max(1, natural_width), piece.stop / max(1, natural_width))]
    ]
    places = _places(page.pixels, np.array([quad for _, _, quad, _ in lines]))
    return [
        _crop(region, place, natural_width, shape, span)
        for (region, natural_width, _, span), place in zip(lines, places, strict=True)
    ]


def crop_line(page: PageImage, region: TextRegion, shape: LineShape, *, top: int = 0) -> list[LineCrop]:
    """Straighten one region to crops, each uint8 [line height, bucket width, 3], padded on the right.

    A line a little longer than a bucket is squeezed into it. One longer than the widest is cut into pieces of about the
    same width, of which neighbors share about two line heights.
    """
    return crop_lines(page, [region], shape, top=top)


def crop_cells(page: PageImage, region: TextRegion, cells: Sequence[Points], shape: LineShape) -> LineCrop | None:
    """Set rectangles of the page, each at the line height, side by side to one crop of `region`.

    Returns None if they fill more than the widest bucket.
    """
    quads = np.array(cells, dtype=np.float64)
    lengths, heights = lengths_and_heights(quads)
    widths = [max(1, round(width)) for width in (shape.height * lengths / np.maximum(heights, _TINY)).tolist()]
    content_width = sum(widths)
    if content_width > shape.bucket_widths[-1]:
        return None
    bucket = shape.bucket_widths[bisect.bisect_left(shape.bucket_widths, content_width)]
    pixels = np.full((shape.height, bucket, 3), shape.pad_value, dtype=np.uint8)
    at = 0
    for place, width in zip(_places(page.pixels, quads), widths, strict=True):
        pixels[:, at : at + width] = place.straightened(width, shape.height)
        at += width
    return LineCrop(region, pixels, content_width)


def straightened(pixels: Pixels, quad: Points, width: int, height: int) -> Pixels:
    """Resample a rectangle of the page, its corners clockwise from its top left, to width x height."""
    [place] = _places(pixels, quad[np.newaxis])
    return place.straightened(width, height)


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
    region: TextRegion, place: "_Place", natural_width: int, shape: LineShape, span: tuple[float, float]
) -> LineCrop:
    bucket = _bucket(natural_width, shape)
    content_width = min(natural_width, bucket)
    pixels = np.empty((shape.height, bucket, 3), dtype=np.uint8)
    pixels[:, :content_width] = place.straightened(content_width, shape.height)
    pixels[:, content_width:] = shape.pad_value
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


class _Place(NamedTuple):
    """A rectangle of the page: the part of the page around it, and where it lies there, in pixels.

    `origin` is its top left corner; `along` and `down` are the edges that begin there.
    """

    part: Pixels
    origin: Sequence[float]
    along: Sequence[float]
    down: Sequence[float]

    def straightened(self, width: int, height: int) -> Pixels:
        """Resample the rectangle to uint8 [height, width, 3]."""
        level = self._level(width, height)
        return self._turned(width, height) if level is None else level

    def _level(self, width: int, height: int) -> Pixels | None:
        """Resample a rectangle that lies level on the page, as most do: a fifth of a warp's time.

        It is cut at whole pixels of the crop, so it may lie half of one aside. Returns None for any other rectangle.
        """
        (right, askew), (skewed, bottom) = self.along, self.down
        if max(abs(askew), abs(skewed)) > _LEVEL_PIXELS or min(right, bottom) <= 0:
            return None
        across, down = width / right, height / bottom
        whole_width, whole_height = round(self.part.shape[1] * across), round(self.part.shape[0] * down)
        x, y = round(self.origin[0] * across), round(self.origin[1] * down)
        if not (0 <= x <= whole_width - width and 0 <= y <= whole_height - height):
            return None  # it reaches over the page's edge
        shrinks = across * down * _AVERAGED_FROM**2 < 1
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        whole = cv2.resize(self.part, (whole_width, whole_height), interpolation=interpolation)
        return np.asarray(whole[y : y + height, x : x + width], dtype=np.uint8)

    def _turned(self, width: int, height: int) -> Pixels:
        linear = np.array([self.along, self.down]).T / (width, height)
        part, kept = _thinned(self.part, math.sqrt(abs(np.linalg.det(linear))))
        to_part = Transform(np.column_stack([linear * kept[:, np.newaxis], self.origin * kept]))
        return warped(part, to_part, (width, height), cv2.INTER_CUBIC)


def _places(pixels: Pixels, quads: NDArray[np.float64]) -> list[_Place]:
    """Return where rectangles, [n, 4, 2], lie in parts of the page of at least one pixel: no more of it is touched.

    All at once: line by line, finding the corners took as long as resampling.
    """
    limits = np.array(pixels.shape[1::-1])
    low = np.clip(np.floor(quads.min(axis=1)).astype(np.int64) - _MARGIN_PIXELS, 0, limits - 1)
    high = np.clip(np.ceil(quads.max(axis=1)).astype(np.int64) + _MARGIN_PIXELS, low + 1, limits)
    origins, along, down = quads[:, 0] - low, quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0]
    return [
        _Place(pixels[top:bottom, left:right], *place)
        for (left, top), (right, bottom), *place in zip(
            *(each.tolist() for each in (low, high, origins, along, down)), strict=True
        )
    ]


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
