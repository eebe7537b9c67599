"""The symbols of a page, by zxing-cpp, which works without the interpreter's lock.

Invariant: what a symbol says is what was decoded, error-free; a symbol that does not decode is absent.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import zxingcpp
from cv2.typing import MatLike

from worker.domain.barcode import Barcode, Element, Symbology
from worker.domain.geometry import Points, Transform
from worker.domain.image import Pixels, TextRegion
from worker.pipeline.bars import BarArea, clearer, evenly_lit, find_bars, straighten, whole_bars
from worker.pipeline.gs1 import parse_elements
from worker.pipeline.maxicode import Bullseye, cut_out, find_bullseyes
from worker.pipeline.options import BarcodeOptions
from worker.pipeline.texture import Texture, busy_parts, fine_parts, texture

_GREY_DIMENSIONS: Final = 2
_LEAST_PIXELS: Final = 10  # no symbol is smaller
_MOSTLY: Final = 0.6
_TINY: Final = 1e-9

_LINEAR: Final = frozenset(
    {
        Symbology.CODE_128,
        Symbology.CODE_39,
        Symbology.CODE_93,
        Symbology.CODABAR,
        Symbology.ITF,
        Symbology.EAN_UPC,
        Symbology.DATABAR,
    }
)
_LINEAR_NAMES: Final = frozenset({*_LINEAR, "EAN13", "EAN8", "UPCA", "UPCE", "DataBarOmni", "DataBarLtd", "DataBarExp"})
_MATRICES: Final = frozenset(
    {Symbology.QR_CODE, Symbology.MICRO_QR_CODE, Symbology.AZTEC, Symbology.DATA_MATRIX, Symbology.PDF417}
)
_BARRED: Final = _LINEAR | {Symbology.PDF417}
# Finder patterns that nothing else on a page has shown: what has them is such a symbol, decoded or not.
_SURE_NAMES: Final = frozenset({"QRCode", "Aztec", "PDF417"})
# These have no checksum that must be there; noise reads as short ones.
_LEAST_CHARACTERS: Final = {"Codabar": 6, "ITF": 6, "Code39": 3}
_NOISE_ROWS: Final = 64
_NOISY: Final = 2
_BAND_ROOM_PIXELS: Final = 48.0
_GROUND_HALVINGS: Final = 3
_GROUND_SHARE: Final = 0.62
_EVERYTHING: Final = slice(None), slice(None)
_LAST_PIXEL: Final = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A symbol's place, and what it says if it decodes."""

    polygon: Points
    barcode: Barcode | None


@dataclass(frozen=True, slots=True)
class Codes:
    """What a page holds in bars and matrices: the symbols that were read, and all the areas that hold no text."""

    barcodes: tuple[Barcode, ...] = ()
    areas: tuple[Points, ...] = ()


def read_barcodes(pixels: Pixels, options: BarcodeOptions) -> list[Barcode]:
    """Return the symbols of a picture, uint8 [h, w, 3] BGR or [h, w], from top to bottom and left to right.

    Polygons are in pixels of this picture.
    """
    return list(find_codes(pixels, options).barcodes)


def find_codes(pixels: Pixels, options: BarcodeOptions) -> Codes:
    """Return the symbols of a picture, uint8 [h, w, 3] BGR or [h, w], and where there is no text because of them.

    Bars that the page as it stands does not give away are looked at again, straightened and cleared; MaxiCode is cut
    out. Symbols of which zxing-cpp is sure without being able to decode them are areas without text, too.
    """
    formats = frozenset(options.formats)
    if not formats or min(pixels.shape[:2]) < _LEAST_PIXELS:
        return Codes()
    grey = pixels if pixels.ndim == _GREY_DIMENSIONS else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.uint8)
    page = _Page.of(grey)
    blocks = texture(grey, page.half)
    areas = find_bars(grey, blocks) if blocks is not None and formats & _BARRED else []
    seen = list(_matrices(page, blocks, formats & _MATRICES))
    for rows in _bands([area for area in areas if area.even_rows], grey.shape[0]):
        band = page.part(rows, slice(None))
        seen += (_seen(code, band.whole) for code in _decoded(band.grey, (formats & _LINEAR) - {Symbology.ITF}))
    if Symbology.MAXICODE in formats:
        seen += [_maxicode(grey, eye) for eye in find_bullseyes(grey)]
    found = [mark.barcode for mark in seen if mark.barcode is not None]
    found = [_reaching(grey, code) if code.format in _LINEAR_NAMES else code for code in found]
    missed = [area for area in areas if not _is_covered(area.quad, found)]
    found += [code for area in missed for code in _in_bars(grey, area, formats & _BARRED)]
    barcodes = tuple(merge_barcodes(found))
    undecoded = tuple(mark.polygon for mark in seen if mark.barcode is None)
    return Codes(barcodes, tuple(code.polygon for code in barcodes) + undecoded)


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


def _matrices(page: "_Page", blocks: Texture | None, formats: frozenset[Symbology]) -> Iterator[_Mark]:
    """Look at half the scale, which shows most at a quarter of the cost and with half the noise.

    PDF417, and what has small modules, are looked at as they are, too.
    """
    stacked = formats & {Symbology.PDF417}
    for place in [_EVERYTHING] if blocks is None else busy_parts(blocks):
        part = page.part(*place)
        yield from (_seen(code, part.doubled) for code in _decoded(part.half, formats, try_rotate=True))
        if _has_dark_ground(part.half):
            yield from (_seen(code, part.doubled) for code in _decoded(cv2.bitwise_not(part.half), formats))
        yield from (_seen(code, part.whole) for code in _decoded(part.grey, stacked))
    formats -= {Symbology.PDF417, *([Symbology.DATA_MATRIX] if page.noisy else [])}  # it would chase specks
    for place in [_EVERYTHING] if blocks is None else fine_parts(blocks):
        part = page.part(*place)
        yield from (_seen(code, part.whole) for code in _decoded(part.grey, formats, try_rotate=True))


def _bands(areas: Sequence[BarArea], height: int) -> list[slice]:
    """Return the rows of a page around areas of bars; what overlaps is one."""
    bands: list[slice] = []
    for top, bottom in sorted((area.quad[:, 1].min(), area.quad[:, 1].max()) for area in areas):
        room = _BAND_ROOM_PIXELS + (bottom - top) / 2
        first, last = max(0, int(top - room)), min(height, int(bottom + room))
        if bands and first <= bands[-1].stop:
            first, last = bands[-1].start, max(last, bands.pop().stop)
        bands.append(slice(first, last))
    return bands


@dataclass(frozen=True, slots=True)
class _Page:
    """A page or a part of it for zxing-cpp: without specks if it is `noisy`, and as it is at `half` its size.

    Its corner lies at (left, top) of the page.
    """

    grey: MatLike
    half: Pixels
    noisy: bool
    left: int = 0
    top: int = 0

    @classmethod
    def of(cls, grey: Pixels) -> "_Page":
        half = np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        noisy = _is_noisy(grey)
        return cls(cv2.blur(grey, (3, 3)) if noisy else grey, half, noisy)

    @property
    def whole(self) -> Transform:
        return Transform.scale_then_shift(1.0, 1.0, self.left, self.top)

    @property
    def doubled(self) -> Transform:
        return Transform.scale_then_shift(2.0, 2.0, self.left, self.top)

    def part(self, rows: slice, columns: slice) -> "_Page":
        """Return some rows and columns, from even ones on."""
        first, last, _ = rows.indices(self.grey.shape[0])
        left, right, _ = columns.indices(self.grey.shape[1])
        first, left = first // 2 * 2, left // 2 * 2
        half = self.half[first // 2 : (last + 1) // 2, left // 2 : (right + 1) // 2]
        return _Page(self.grey[first:last, left:right], half, self.noisy, left, first)


def _has_dark_ground(half: Pixels) -> bool:
    """Whether anything as large as a symbol is as dark as modules of which half are light, or darker."""
    means = half
    for _ in range(_GROUND_HALVINGS):
        size = tuple(max(1, length // 2) for length in means.shape[::-1])
        means = np.asarray(cv2.resize(means, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return bool(cv2.blur(means, (2, 2)).min() <= _GROUND_SHARE * half.max(initial=0))


def _is_noisy(grey: Pixels) -> bool:
    """Whether the second differences along the rows are more than paper and print leave."""
    rows = grey[::_NOISE_ROWS].astype(np.int16)
    differences = np.abs(2 * rows[:, 1:-1] - rows[:, :-2] - rows[:, 2:])
    return bool(differences.size) and float(np.median(differences)) > _NOISY


def _decoded(grey: MatLike, formats: Collection[Symbology], *, try_rotate: bool = False) -> list[zxingcpp.Barcode]:
    if not formats or not grey.size:
        return []
    wanted = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat[name.value] for name in formats])
    found = zxingcpp.read_barcodes(
        grey, formats=wanted, try_rotate=try_rotate, try_downscale=False, try_invert=False, return_errors=True
    )
    return [symbol for symbol in found if _is_believed(symbol)]


def _is_believed(symbol: zxingcpp.Barcode) -> bool:
    name = symbol.format.name
    return len(symbol.text) >= _LEAST_CHARACTERS.get(name, 1) if symbol.valid else name in _SURE_NAMES


def _in_bars(grey: Pixels, area: BarArea, formats: frozenset[Symbology]) -> list[Barcode]:
    straight, to_picture = straighten(grey, area)
    stacked = _decoded(evenly_lit(straight), formats & {Symbology.PDF417})
    if any(symbol.valid for symbol in stacked):
        return [_barcode(symbol, to_picture) for symbol in stacked if symbol.valid]
    if not area.even_rows:
        return []
    for cleared, row_pixels in clearer(straight):
        to_straight = Transform.scale_then_shift(1.0, row_pixels, 0.0, 0.0)
        found = [_barcode(symbol, to_straight.then(to_picture)) for symbol in _decoded(cleared, formats & _LINEAR)]
        if found:
            return [_reaching(grey, code) for code in found]
    return []


def _is_covered(quad: Points, found: Iterable[Barcode]) -> bool:
    """Whether a symbol that was read lies in the middle of a rectangle."""
    middle = quad.mean(axis=0).tolist()
    return any(cv2.pointPolygonTest(_hull(code.polygon), middle, measureDist=False) >= 0 for code in found)


def _reaching(grey: Pixels, code: Barcode) -> Barcode:
    """Return the code with the whole height of its bars: it was read along a few rows of them."""
    return replace(code, polygon=whole_bars(grey, code.polygon))


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

    Two are the same if they say the same in the same format and their polygons overlap; the larger one is kept. What a
    cut left of an ITF number counts as the same.
    """
    kept: list[Barcode] = []
    for code in sorted(found, key=lambda code: _area(code.polygon), reverse=True):
        if not any(_is_same(code, other) for other in kept):
            kept.append(code)
    return _in_order(kept)


def _is_same(one: Barcode, other: Barcode) -> bool:
    says_the_same = one.text == other.text or (one.format == Symbology.ITF and one.text in other.text)
    if one.format != other.format or not says_the_same:
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


def _maxicode(grey: Pixels, eye: Bullseye) -> _Mark:
    for cut, place in cut_out(grey, eye):
        for symbol in _decoded(cut, {Symbology.MAXICODE}):
            return _seen(symbol, place)
    return _Mark(eye.surroundings, None)


def _seen(symbol: zxingcpp.Barcode, to_page: Transform) -> _Mark:
    barcode = _barcode(symbol, to_page)
    return _Mark(barcode.polygon, barcode if symbol.valid else None)


def _barcode(symbol: zxingcpp.Barcode, to_page: Transform) -> Barcode:
    name = symbol.format.name
    polygon = to_page.apply(_polygon(symbol.position, is_linear=name in _LINEAR_NAMES))
    return Barcode(name, symbol.text, polygon, _elements(symbol))


def _elements(symbol: zxingcpp.Barcode) -> tuple[Element, ...]:
    if symbol.content_type is not zxingcpp.ContentType.GS1:
        return ()
    return parse_elements(symbol.bytes.decode("latin-1")) or ()


def _polygon(position: zxingcpp.Position, *, is_linear: bool) -> Points:
    corners = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
    polygon = np.array([(corner.x, corner.y) for corner in corners], dtype=np.float64)
    # Of bars it names the last pixel inside, of matrices the edge.
    return polygon + _LAST_PIXEL if is_linear else polygon


def _area(polygon: Points) -> float:
    return float(cv2.contourArea(_hull(polygon)))


def _hull(polygon: Points) -> Pixels:
    return np.asarray(cv2.convexHull(polygon.astype(np.float32)))
