"""The symbols of a page, by zxing-cpp, which works without the interpreter's lock.

A page goes to zxing-cpp at its full resolution, with its own defaults; what that misses is looked for besides. Linear
symbols are read on the whole page; matrix codes where anything is printed, for a grain without print costs zxing-cpp as
much as print. Invariants: what a symbol says is what was decoded, error-free; a symbol that does not decode is absent;
what zxing-cpp reads on the page as it stands is there, unless `_is_believed` or `merge_barcodes` says why not.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import zxingcpp
from cv2.typing import MatLike

from worker.domain.barcode import DecodedBarcode, GS1Element, Symbology
from worker.domain.geometry import Points, Transform
from worker.domain.image import Pixels, TextRegion
from worker.pipeline.barcodes.gs1 import read_message
from worker.pipeline.barcodes.linear import (
    BarArea,
    clearer,
    evenly_lit,
    find_bars,
    find_stacked,
    straighten,
    whole_bars,
)
from worker.pipeline.barcodes.maxicode import MIN_SIDE_PIXELS, Bullseye, find_bullseyes, outline, redrawn
from worker.pipeline.barcodes.texture import Texture, matrix_middles, printed_parts, texture
from worker.pipeline.options import BarcodeOptions

_GRAY_DIMENSIONS: Final = 2
_MOSTLY: Final = 0.6
_SMALL_PIXELS: Final = 120_000  # a picture of so few with a symbol has seldom another, and none that zxing-cpp misses
_TINY: Final = 1e-9
_PARTED_FROM_PIXELS: Final = 1_000_000  # a smaller page is looked at whole in less time than its parts are found
_HALF: Final = 0.5  # of the page's size: it hides noise and gaps between modules; zxing-cpp itself tries a third
_QUARTER: Final = 0.25  # of the page's size: there the largest modules that leave blocks without an edge are small

_LINEAR: Final = frozenset(
    {
        Symbology.CODE_128,
        Symbology.CODE_39,
        Symbology.CODE_93,
        Symbology.CODABAR,
        Symbology.ITF,
        Symbology.EAN_UPC,
        Symbology.DATABAR,
        Symbology.TELEPEN,
        Symbology.DX_FILM_EDGE,
    }
)
_LINEAR_NAMES: Final = frozenset(
    {
        *_LINEAR,
        *("Code39Std", "Code39Ext", "Code32", "PZN", "ITF14", "TelepenAlpha", "TelepenNumeric"),
        *("EAN13", "EAN8", "UPCA", "UPCE", "ISBN", "DataBarOmni", "DataBarLtd", "DataBarExp"),
    }
)
# The bars of film edges are marked at their place alone; looked for in straightened print they are found everywhere.
_STRAIGHTENED: Final = _LINEAR - {Symbology.TELEPEN, Symbology.DX_FILM_EDGE}
_BARRED: Final = _STRAIGHTENED | {Symbology.PDF417}
# Finder patterns that nothing else on a page has shown: what has them is such a symbol, decoded or not.
_SURE_NAMES: Final = frozenset({"QRCode", "Aztec", "PDF417"})
# These have no checksum that must be there; noise reads as short ones.
_MIN_CHARACTERS: Final = {"Codabar": 6, "ITF": 6, "Code39": 3}
# ISO/IEC 16390 and 16388 ask for bars of 15 % of the symbol's length; print that reads as bars is lower.
_MIN_BARS_SHARE: Final = 0.15
_STACKED: Final = ("Stk", "StkOmni")
# An area of bars ends in blocks, and so up to this many pixels beyond the bars.
_WHOLE_SHARE: Final = 0.95
_WHOLE_PIXELS: Final = 32
_ROOM_PIXELS: Final = 48
_LAST_PIXEL: Final = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A symbol's place, and what it says if it decodes."""

    polygon: Points
    barcode: DecodedBarcode | None


@dataclass(frozen=True, slots=True)
class Codes:
    """What a page holds in bars and matrices: the symbols that were read, and all the areas that hold no text."""

    barcodes: tuple[DecodedBarcode, ...] = ()
    areas: tuple[Points, ...] = ()

    def shifted(self, right: float, down: float) -> "Codes":
        """Return the same in the coordinates of a picture whose top left lies so far to the left and above."""
        return self.placed(Transform.scale_then_shift(1.0, 1.0, right, down))

    def placed(self, to_picture: Transform) -> "Codes":
        """Return the same in the coordinates of a picture of which this one is a part, or a smaller copy."""
        barcodes = tuple(replace(code, polygon=to_picture.apply(code.polygon)) for code in self.barcodes)
        return Codes(barcodes, tuple(to_picture.apply(area) for area in self.areas))


def find_codes(pixels: Pixels, options: BarcodeOptions) -> Codes:
    """Return the symbols of a picture, uint8 [h, w, 3] BGR or [h, w], and where there is no text because of them.

    Symbols come from top to bottom and left to right; polygons are in pixels of this picture.
    Symbols of which zxing-cpp is sure without being able to decode them are areas without text, too.
    """
    gray = luminance(pixels)
    blocks = _blocks(gray, options)
    seen = _plain_codes(gray, options, blocks)
    if gray.size <= _SMALL_PIXELS and any(code.format != Symbology.ITF for code in seen.barcodes):
        return replace(seen, barcodes=tuple(merge_barcodes(seen.barcodes)))
    missed = _missed_codes(gray, options, seen, blocks)
    return Codes(tuple(merge_barcodes((*seen.barcodes, *missed.barcodes))), seen.areas + missed.areas)


def luminance(pixels: Pixels) -> Pixels:
    """Return a picture, uint8 [h, w, 3] BGR or [h, w], as gray, uint8 [h, w].

    It is within one level of what zxing-cpp would make of it, whose weights differ from these by 3/8192 at most.
    """
    if pixels.ndim == _GRAY_DIMENSIONS or not pixels.size:
        return pixels[..., 0] if pixels.ndim > _GRAY_DIMENSIONS else pixels
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def find_plain_codes(gray: Pixels, options: BarcodeOptions) -> Codes:
    """Return what zxing-cpp sees in a picture, uint8 [h, w], with its own defaults.

    Linear symbols are read by a call of their own, which is to return no errors: a linear symbol in error would take
    the place of the sound ones that it overlaps.
    """
    return _plain_codes(gray, options, _blocks(gray, options) if gray.size >= _PARTED_FROM_PIXELS else None)


def _plain_codes(gray: Pixels, options: BarcodeOptions, blocks: Texture | None) -> Codes:
    formats = frozenset(options.formats)
    linear = [_seen(symbol) for symbol in _decoded(gray, formats & _LINEAR, plain=True) if _is_believed(symbol, gray)]
    seen = [*linear, *_matrices(gray, formats - _LINEAR, blocks)]
    barcodes = tuple(mark.barcode for mark in seen if mark.barcode is not None)
    if gray.size > _SMALL_PIXELS:  # of a small picture all rows are tried
        barcodes = tuple(_reaching(gray, code) for code in barcodes)
    undecoded = tuple(mark.polygon for mark in seen if mark.barcode is None)
    return Codes(barcodes, tuple(code.polygon for code in barcodes) + undecoded)


def find_missed_codes(gray: Pixels, options: BarcodeOptions, seen: Codes) -> Codes:
    """Return what is besides `seen` in a picture, uint8 [h, w].

    Bars are looked at straightened and cleared, MaxiCode redrawn. Bars that read as ITF are looked at again: a scan
    that leaves the bars reads a shorter number.
    """
    return _missed_codes(gray, options, seen, _blocks(gray, options))


def _blocks(gray: Pixels, options: BarcodeOptions) -> Texture | None:
    return texture(gray) if options.formats else None


def _missed_codes(gray: Pixels, options: BarcodeOptions, seen: Codes, blocks: Texture | None) -> Codes:
    formats = frozenset(options.formats)
    if blocks is None or not formats & (_BARRED | {Symbology.MAXICODE}):
        return Codes()
    sure = [_ground(code) for code in seen.barcodes if code.format != Symbology.ITF]
    areas = find_bars(gray, blocks, sure) if formats & _BARRED else []
    spans = [code for code in seen.barcodes if code.format == Symbology.ITF]
    missed = [area for area in areas if not any(_is_whole(code, area) for code in spans)]
    found = [code for area in missed for code in _in_bars(gray, area, formats & _BARRED)]
    if Symbology.PDF417 in formats:
        known = [*sure, *(code.polygon for code in found)]
        found += [code for area in find_stacked(blocks, known) for code in _in_bars(gray, area, formats)]
    middles = matrix_middles(blocks, seen.areas, MIN_SIDE_PIXELS)
    eyes = find_bullseyes(gray, middles, seen.areas) if Symbology.MAXICODE in formats and middles.any() else []
    if not seen.barcodes:
        found += _at_size(gray, _HALF, formats - _LINEAR)
    marks = [_maxicode(gray, eye) for eye in eyes]
    found += [mark.barcode for mark in marks if mark.barcode is not None]
    undecoded = tuple(mark.polygon for mark in marks if mark.barcode is None)
    return Codes(tuple(found), tuple(code.polygon for code in found) + undecoded)


def without_codes(regions: Sequence[TextRegion], areas: Sequence[Points]) -> list[TextRegion]:
    """Return the regions that do not lie mostly inside one of the areas, each float64 [4, 2] and convex.

    What counts of a region is what the detector marked, before it was grown: a line printed right under the bars stays.
    """
    if not areas:
        return list(regions)
    marked = ((region, _marked(region)) for region in regions)
    return [region for region, quad in marked if not any(_share_inside(quad, area) >= _MOSTLY for area in areas)]


def _share_inside(marked: Points, area: Points) -> float:
    if (marked.min(axis=0) > area.max(axis=0)).any() or (marked.max(axis=0) < area.min(axis=0)).any():
        return 0.0
    shared, _ = cv2.intersectConvexConvex(_hull(marked), _hull(area))
    return float(shared) / max(_area(marked), _TINY)


def _matrices(gray: Pixels, formats: frozenset[Symbology], blocks: Texture | None) -> list[_Mark]:
    """Return the symbols, read or in error, of formats that report errors: where a large page has any print.

    Without `blocks` it is looked at whole. Symbols with modules so large that parts of them have no edge are seen at a
    quarter of its size.
    """
    parts = None if blocks is None or gray.size < _PARTED_FROM_PIXELS else printed_parts(blocks, gray.shape)
    if parts is None:
        return _matrices_in(gray, formats, Transform.identity())
    marks = [
        mark
        for left, top, right, bottom in parts
        for mark in _matrices_in(gray[top:bottom, left:right], formats, Transform.scale_then_shift(1.0, 1.0, left, top))
    ]
    known = [mark.barcode for mark in marks if mark.barcode is not None]
    large = [code for code in _at_size(gray, _QUARTER, formats) if not any(_is_same(code, other) for other in known)]
    return [*marks, *(_Mark(code.polygon, code) for code in large)]


def _matrices_in(gray: Pixels, formats: frozenset[Symbology], to_page: Transform) -> list[_Mark]:
    symbols = _decoded(gray, formats, plain=True, with_errors=True)
    return [_seen(symbol, to_page) for symbol in symbols if _is_believed(symbol, gray)]


def _decoded(
    gray: MatLike, formats: frozenset[Symbology], *, plain: bool = False, with_errors: bool = False
) -> list[zxingcpp.Barcode]:
    """Return what zxing-cpp reads: as a page by its defaults if `plain`, else as a picture of upright bars."""
    if not formats or not gray.size:
        return []
    return list(
        zxingcpp.read_barcodes(
            gray,
            formats=_wanted(formats),
            try_rotate=plain,
            try_downscale=plain,
            try_invert=plain,
            return_errors=with_errors,
        )
    )


@lru_cache(maxsize=64)
def _wanted(formats: frozenset[Symbology]) -> zxingcpp.BarcodeFormats:
    return zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat[name.value] for name in formats])


def _is_believed(symbol: zxingcpp.Barcode, gray: Pixels) -> bool:
    """Whether a symbol is none that print or noise would give.

    A short one without a checksum must have bars as tall as its standard asks for.
    """
    name = symbol.format.name
    if not symbol.valid:
        return name in _SURE_NAMES
    return len(symbol.text) >= _MIN_CHARACTERS.get(name, 0) or _is_tall(_reaching(gray, _barcode(symbol)).polygon)


def _is_tall(polygon: Points) -> bool:
    along, down = polygon[1] - polygon[0], polygon[3] - polygon[0]
    return math.hypot(*down) >= _MIN_BARS_SHARE * math.hypot(*along)


def _at_size(gray: Pixels, scale: float, formats: frozenset[Symbology]) -> list[DecodedBarcode]:
    """Read a picture made smaller."""
    if not formats or not gray.size:
        return []
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    to_page = Transform.scale_then_shift(1 / scale, 1 / scale, 0.0, 0.0)
    return [_barcode(symbol, to_page) for symbol in _decoded(small, formats, plain=True)]


def _in_bars(gray: Pixels, area: BarArea, formats: frozenset[Symbology]) -> list[DecodedBarcode]:
    straight, to_picture = straighten(gray, area)
    if not area.even_rows:
        return _stacked(straight, to_picture, formats & {Symbology.PDF417})
    for cleared, row_pixels in (*clearer(straight), (cv2.blur(straight, (3, 3)), 1.0)):
        to_straight = Transform.scale_then_shift(1.0, row_pixels, 0.0, 0.0)
        symbols = [symbol for symbol in _decoded(cleared, formats & _STRAIGHTENED) if _is_long(symbol)]
        if symbols:
            return [_reaching(gray, _barcode(symbol, to_straight.then(to_picture))) for symbol in symbols]
    return _in_place(gray, area, formats & _STRAIGHTENED)


def _stacked(straight: Pixels, to_picture: Transform, formats: frozenset[Symbology]) -> list[DecodedBarcode]:
    for level in (evenly_lit(straight), straight):
        if symbols := _decoded(level, formats):
            return [_barcode(symbol, to_picture) for symbol in symbols]
    return []


def _in_place(gray: Pixels, area: BarArea, formats: frozenset[Symbology]) -> list[DecodedBarcode]:
    """Look at bars as they stand: in a part of a page zxing-cpp tries more of the rows than in all of it."""
    low = np.maximum(area.quad.min(axis=0) - _ROOM_PIXELS, 0).astype(int)
    high = (area.quad.max(axis=0) + _ROOM_PIXELS).astype(int)
    part = gray[low[1] : high[1], low[0] : high[0]]
    to_picture = Transform.scale_then_shift(1.0, 1.0, *low.tolist())
    symbols = [symbol for symbol in _decoded(part, formats) if _is_long(symbol)]
    return [_reaching(gray, _barcode(symbol, to_picture)) for symbol in symbols]


def _is_long(symbol: zxingcpp.Barcode) -> bool:
    return len(symbol.text) >= _MIN_CHARACTERS.get(symbol.format.name, 1)


def _ground(code: DecodedBarcode) -> Points:
    """Return the area of a symbol; of stacked bars zxing-cpp names little more than a part."""
    if not code.format.endswith(_STACKED):
        return code.polygon
    low, high = code.polygon.min(axis=0), code.polygon.max(axis=0)
    low, high = low - (high - low) / 2, high + (high - low) / 2
    return np.array([low, (high[0], low[1]), high, (low[0], high[1])])


def _is_whole(code: DecodedBarcode, area: BarArea) -> bool:
    """Whether a symbol was read along all of an area of bars."""
    read = float(np.linalg.norm(code.polygon[1] - code.polygon[0]))
    inside = cv2.pointPolygonTest(_hull(area.quad), code.polygon.mean(axis=0).tolist(), measureDist=False) >= 0
    return inside and read >= _WHOLE_SHARE * area.length - _WHOLE_PIXELS


def _reaching(gray: Pixels, code: DecodedBarcode) -> DecodedBarcode:
    """Return a linear code with the whole height of its bars: it was read along a few rows of them."""
    return replace(code, polygon=whole_bars(gray, code.polygon)) if code.format in _LINEAR_NAMES else code


def _marked(region: TextRegion) -> Points:
    """Return the rectangle that the detector marked, before each edge was moved out."""
    middle = region.quad.mean(axis=0)
    along, down = region.quad[1] - region.quad[0], region.quad[3] - region.quad[0]
    kept = [max(_TINY, 1 - 2 * region.growth_pixels / max(math.hypot(*side), _TINY)) for side in (along, down)]
    halves = along * kept[0] / 2, down * kept[1] / 2
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array([middle + right * halves[0] + below * halves[1] for right, below in signs], dtype=np.float64)


def merge_barcodes(found: Iterable[DecodedBarcode]) -> list[DecodedBarcode]:
    """Return symbols once each, in the page's order, where overlapping parts of it may have shown some twice.

    Two are the same if they say the same in the same format and their polygons overlap, or if others that do join them,
    as pieces of tall bars; the largest one is kept. What a cut left of an ITF number counts as the same: of bars that
    read as a number and as a part of it, the part is false.
    """
    kept: list[list[DecodedBarcode]] = []  # of each symbol all that was seen, the largest first
    for code in sorted(found, key=lambda code: (len(code.text), _area(code.polygon)), reverse=True):
        same = [pieces for pieces in kept if any(_is_same(code, other) for other in pieces)]
        joined = [pieces for pieces in same if pieces[0].text == code.text]
        if joined:
            joined[0] += [other for pieces in joined[1:] for other in pieces] + [code]
            kept = [pieces for pieces in kept if not any(pieces is other for other in joined[1:])]
        elif not same:
            kept.append([code])
    return _in_order([pieces[0] for pieces in kept])


def _is_same(one: DecodedBarcode, other: DecodedBarcode) -> bool:
    says_the_same = one.text == other.text or (one.format == Symbology.ITF and one.text in other.text)
    if one.format != other.format or not says_the_same:
        return False
    shared, _ = cv2.intersectConvexConvex(_hull(one.polygon), _hull(other.polygon))
    return shared > 0


def _in_order(codes: Sequence[DecodedBarcode]) -> list[DecodedBarcode]:
    """Sort by rows: a symbol joins the row whose first one's height holds its middle."""
    rows: list[list[DecodedBarcode]] = []
    for code in sorted(codes, key=lambda code: float(code.polygon[:, 1].mean())):
        first = rows[-1][0].polygon[:, 1] if rows else None
        if first is not None and code.polygon[:, 1].mean() <= first.max():
            rows[-1].append(code)
        else:
            rows.append([code])
    return [code for row in rows for code in sorted(row, key=lambda code: float(code.polygon[:, 0].min()))]


def _maxicode(gray: Pixels, eye: Bullseye) -> _Mark:
    for drawn, grid in redrawn(gray, eye):
        [symbol] = zxingcpp.read_barcodes(drawn, formats=_wanted(frozenset({Symbology.MAXICODE})), is_pure=True)
        if symbol.valid:
            polygon = outline(gray, grid)
            return _Mark(polygon, DecodedBarcode(symbol.format.name, symbol.text, polygon, _elements(symbol)))
    return _Mark(eye.surroundings, None)


def _seen(symbol: zxingcpp.Barcode, to_page: Transform | None = None) -> _Mark:
    barcode = _barcode(symbol, to_page)
    return _Mark(barcode.polygon, barcode if symbol.valid else None)


def _barcode(symbol: zxingcpp.Barcode, to_page: Transform | None = None) -> DecodedBarcode:
    name = symbol.format.name
    polygon = _polygon(symbol.position, is_linear=name in _LINEAR_NAMES)
    return DecodedBarcode(name, symbol.text, polygon if to_page is None else to_page.apply(polygon), _elements(symbol))


def _elements(symbol: zxingcpp.Barcode) -> tuple[GS1Element, ...]:
    message = symbol.bytes.decode("latin-1")
    return read_message(message, is_marked=symbol.content_type is zxingcpp.ContentType.GS1)


def _polygon(position: zxingcpp.Position, *, is_linear: bool) -> Points:
    corners = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
    polygon = np.array([(corner.x, corner.y) for corner in corners], dtype=np.float64)
    # Of bars it names the last pixel inside, of matrices the edge.
    return polygon + _LAST_PIXEL if is_linear else polygon


def _area(polygon: Points) -> float:
    return float(cv2.contourArea(_hull(polygon)))


def _hull(polygon: Points) -> Pixels:
    return np.asarray(cv2.convexHull(polygon.astype(np.float32)))
