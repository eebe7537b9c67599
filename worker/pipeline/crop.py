"""Lines cut straight out of the page at its full resolution.

Invariant: a crop has the recogniser's line height and the width of one of its buckets.
"""

import bisect
import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from worker.domain.geometry import Points
from worker.domain.image import LineCrop, PageImage, Pixels, TextRegion
from worker.pipeline.models import LineShape

_MARGIN_PIXELS: Final = 3  # what a cubic kernel reaches
_SQUEEZED_TO: Final = 0.95  # of its width; the recogniser's time goes by columns, and reads these as well
_TINY: Final = 1e-6
_AVERAGED_FROM: Final = 1.5  # page pixels for each of a crop's


def crop_lines(page: PageImage, regions: Sequence[TextRegion], shape: LineShape) -> list[LineCrop]:
    """Straighten each region of the page to a line crop."""
    return [crop_line(page, region, shape) for region in regions]


def crop_line(page: PageImage, region: TextRegion, shape: LineShape) -> LineCrop:
    """Straighten one region to uint8 [line height, bucket width, 3], padded on the right.

    A line a little longer than a bucket is squeezed into it, and so is one longer than the widest.
    """
    along, down = region.quad[1] - region.quad[0], region.quad[3] - region.quad[0]
    ratio = math.hypot(*along) / max(math.hypot(*down), _TINY)
    natural_width = max(1, math.ceil(shape.height * ratio))
    bucket = _bucket(natural_width, shape)
    content_width = min(natural_width, bucket)
    pixels = np.full((shape.height, bucket, 3), shape.pad_value, dtype=np.uint8)
    pixels[:, :content_width] = _straighten(page.pixels, region, content_width, shape.height)
    return LineCrop(region, pixels, content_width)


def _bucket(natural_width: int, shape: LineShape) -> int:
    fitting = bisect.bisect_left(shape.bucket_widths, math.ceil(natural_width * _SQUEEZED_TO))
    return shape.bucket_widths[min(fitting, len(shape.bucket_widths) - 1)]


def _straighten(pixels: Pixels, region: TextRegion, width: int, height: int) -> Pixels:
    """Resample the region's rectangle to width x height. Only the part of the page around it is touched."""
    left, top, right, bottom = _surroundings(pixels, region)
    part = pixels[top:bottom, left:right]
    origin, along, down = region.quad[0], region.quad[1] - region.quad[0], region.quad[3] - region.quad[0]
    linear = np.column_stack([along / width, down / height])
    shift = origin - (left, top)
    part, kept = _thinned(part, math.sqrt(abs(np.linalg.det(linear))))
    linear, shift = linear * kept[:, np.newaxis], shift * kept
    # OpenCV counts from pixel centres, the page from pixel edges.
    shift += linear @ (0.5, 0.5) - 0.5
    straight = cv2.warpAffine(
        part,
        np.column_stack([linear, shift]),
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(straight, dtype=np.uint8)


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


def _surroundings(pixels: Pixels, region: TextRegion) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the part of the page that the region needs, at least one pixel."""
    height, width = pixels.shape[:2]
    low = np.floor(region.quad.min(axis=0)).astype(int) - _MARGIN_PIXELS
    high = np.ceil(region.quad.max(axis=0)).astype(int) + _MARGIN_PIXELS
    left, top = np.clip(low, 0, (width - 1, height - 1))
    right, bottom = np.clip(high, (left + 1, top + 1), (width, height))
    return int(left), int(top), int(right), int(bottom)
