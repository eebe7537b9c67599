"""The symbols of a page, by zxing-cpp, which works without the interpreter's lock.

Invariant: what a symbol says is what was decoded, error-free; a symbol that does not decode is absent.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import zxingcpp

from worker.domain.barcode import Barcode, Element
from worker.domain.geometry import Points
from worker.domain.image import Pixels, TextRegion
from worker.pipeline.gs1 import parse_elements
from worker.pipeline.options import BarcodeOptions

_GREY_DIMENSIONS: Final = 2
_MOSTLY: Final = 0.6
_TINY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Codes:
    """What a page holds in bars and matrices: the symbols that were read, and all the areas that hold no text."""

    barcodes: tuple[Barcode, ...] = ()
    areas: tuple[Points, ...] = ()


def find_codes(pixels: Pixels, options: BarcodeOptions) -> Codes:
    """Return the symbols of a picture, uint8 [h, w, 3] BGR or [h, w], and where there is no text because of them."""
    barcodes = tuple(read_barcodes(pixels, options))
    return Codes(barcodes, tuple(code.polygon for code in barcodes))


def without_codes(regions: Sequence[TextRegion], areas: Sequence[Points]) -> list[TextRegion]:
    """Return the regions that do not lie mostly inside one of the areas, each float64 [4, 2] and convex.

    What counts of a region is what the detector marked, before it was grown: a line printed right under the bars stays.
    """
    return [region for region in regions if not any(_share_inside(region, area) >= _MOSTLY for area in areas)]


def _share_inside(region: TextRegion, area: Points) -> float:
    marked = _marked(region)
    if (marked.min(axis=0) > area.max(axis=0)).any() or (marked.max(axis=0) < area.min(axis=0)).any():
        return 0.0
    shared, _ = cv2.intersectConvexConvex(_hull(marked), _hull(area))
    return float(shared) / max(_area(marked), _TINY)


def read_barcodes(pixels: Pixels, options: BarcodeOptions) -> list[Barcode]:
    """Return the symbols of a picture, uint8 [h, w, 3] BGR or [h, w], from top to bottom and left to right.

    Polygons are in pixels of this picture.
    """
    if not options.formats or not pixels.size:
        return []
    grey = pixels if pixels.ndim == _GREY_DIMENSIONS else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
    formats = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat[name.value] for name in options.formats])
    found = zxingcpp.read_barcodes(grey, formats=formats)
    return merge_barcodes(_barcode(symbol) for symbol in found if symbol.valid)


def _marked(region: TextRegion) -> Points:
    """Return the rectangle that the detector marked, before each edge was moved out."""
    middle = region.quad.mean(axis=0)
    along, down = region.quad[1] - region.quad[0], region.quad[3] - region.quad[0]
    kept = [max(_TINY, 1 - 2 * region.growth_pixels / max(math.hypot(*side), _TINY)) for side in (along, down)]
    halves = along * kept[0] / 2, down * kept[1] / 2
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array([middle + right * halves[0] + below * halves[1] for right, below in signs], dtype=np.float64)


def merge_barcodes(found: Iterable[Barcode]) -> list[Barcode]:
    """Return symbols once each, in the page's order, where overlapping parts of it may have shown some twice.

    Two are the same if they say the same in the same format and their polygons overlap; the larger one is kept.
    """
    kept: list[Barcode] = []
    for code in sorted(found, key=lambda code: _area(code.polygon), reverse=True):
        if not any(_is_same(code, other) for other in kept):
            kept.append(code)
    return _in_order(kept)


def _is_same(one: Barcode, other: Barcode) -> bool:
    if (one.format, one.text) != (other.format, other.text):
        return False
    shared, _ = cv2.intersectConvexConvex(_hull(one.polygon), _hull(other.polygon))
    return shared > 0


def _in_order(codes: Sequence[Barcode]) -> list[Barcode]:
    """Sort by rows: a symbol joins the row whose first one's height holds its middle."""
    rows: list[list[Barcode]] = []
    for code in sorted(codes, key=lambda code: float(code.polygon[:, 1].mean())):
        first = rows[-1][0].polygon[:, 1] if rows else None
        if first is not None and code.polygon[:, 1].mean() <= first.max():
            rows[-1].append(code)
        else:
            rows.append([code])
    return [code for row in rows for code in sorted(row, key=lambda code: float(code.polygon[:, 0].min()))]


def _barcode(symbol: zxingcpp.Barcode) -> Barcode:
    return Barcode(symbol.format.name, symbol.text, _polygon(symbol.position), _elements(symbol))


def _elements(symbol: zxingcpp.Barcode) -> tuple[Element, ...]:
    if symbol.content_type is not zxingcpp.ContentType.GS1:
        return ()
    return parse_elements(symbol.bytes.decode("latin-1")) or ()


def _polygon(position: zxingcpp.Position) -> Points:
    corners = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
    return np.array([(corner.x, corner.y) for corner in corners], dtype=np.float64)


def _area(polygon: Points) -> float:
    return float(cv2.contourArea(_hull(polygon)))


def _hull(polygon: Points) -> Pixels:
    return np.asarray(cv2.convexHull(polygon.astype(np.float32)))
