"""A picture as a person checks it: boxes with numbers on the left, the text that was read on the right.

Invariant: the boxes of the drawing lie where the polygons lie on the picture, at the drawing's scale; the numbers of
boxes and listing are the lines' ids, and `#` with those of barcodes.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worker.domain.image import PageImage, Pixels
from worker.domain.result import Barcode, Line, Page, Quad
from worker.pipeline.explanation import Rectangle
from worker.reporting.picture import confidence_kind

Color = tuple[int, int, int]

# RGB. Told apart without red and green, too: teal, amber, crimson.
COLORS: Final[dict[str, Color]] = {"sure": (13, 128, 117), "doubtful": (190, 110, 0), "unsure": (196, 30, 58)}
_CODE_COLOR: Final[Color] = (96, 68, 176)
_INK: Final[Color] = (28, 32, 38)
_FAINT: Final[Color] = (120, 126, 134)
_RULE: Final[Color] = (214, 218, 222)
_TILE: Final[Color] = (196, 64, 196)
_PAPER: Final[Color] = (255, 255, 255)
_MIN_LONG_SIDE: Final = 900
MAX_LONG_SIDE: Final = 1600
_MAX_ENLARGED: Final = 4.0
_ROW_PIXELS: Final = 22
_TEXT_PIXELS: Final = 15
_TAG_PIXELS: Final = 11
_MARGIN: Final = 16
_WIDEST_COLUMN: Final = 640
_OUTLINE_PIXELS: Final = 2


@dataclass(frozen=True, slots=True)
class _BoxedItem:
    """What is boxed on the picture and written beside it."""

    tag: str
    note: str
    text: str
    quad: Quad
    color: Color

    @classmethod
    def of_line(cls, line: Line) -> "_BoxedItem":
        return cls(str(line.id), f"{line.confidence:.2f}", line.text, line.polygon, _color(line))

    @classmethod
    def of_code(cls, code: Barcode) -> "_BoxedItem":
        return cls(f"#{code.id}", "code", f"{code.format}  {code.text}", code.polygon, _CODE_COLOR)


@dataclass(frozen=True, slots=True)
class _Listing:
    """Where the text goes: columns of `rows` rows, each `column_width` pixels wide."""

    rows: int
    columns: int
    column_width: int

    @property
    def width(self) -> int:
        return 2 * _MARGIN + self.columns * self.column_width

    @property
    def height(self) -> int:
        return 2 * _MARGIN + self.rows * _ROW_PIXELS


def draw_page(page: PageImage, result: Page, tiles: Sequence[Rectangle] = ()) -> Image.Image:
    """Return an RGB picture of a page with a box for each line and symbol, and what they say beside it.

    `page` may be smaller than the page that `result` tells of, as far as `MAX_LONG_SIDE`: it is drawn no larger.
    `tiles` (left, top, right, bottom) in pixels of the result's page are drawn as thin frames.
    """
    entries = [*map(_BoxedItem.of_line, result.lines), *map(_BoxedItem.of_code, result.barcodes)]
    left = _with_boxes(page, result, entries)
    frames = ImageDraw.Draw(left)
    for tile in tiles:
        frames.rectangle([round(edge * left.width / result.width) for edge in tile], outline=_TILE)
    listing = _plan(entries, left.height)
    canvas = Image.new("RGB", (left.width + listing.width, max(left.height, listing.height)), _PAPER)
    canvas.paste(left, (0, 0))
    pen = ImageDraw.Draw(canvas)
    pen.line((left.width, 0, left.width, canvas.height), fill=_RULE)
    _write_listing(pen, entries, listing, left.width)
    return canvas


def _with_boxes(page: PageImage, result: Page, entries: Sequence[_BoxedItem]) -> Image.Image:
    scale = _scale(result)
    size = (max(1, round(result.width * scale)), max(1, round(result.height * scale)))
    how = cv2.INTER_AREA if size[0] < page.width else cv2.INTER_CUBIC
    pixels: Pixels = cv2.cvtColor(cv2.resize(page.pixels, size, interpolation=how), cv2.COLOR_BGR2RGB).astype(np.uint8)
    corners = [np.asarray(entry.quad, dtype=np.float64) * scale for entry in entries]
    for entry, quad in zip(entries, corners, strict=True):
        _outline(pixels, quad, entry.color)
    drawing = Image.fromarray(pixels)
    pen = ImageDraw.Draw(drawing)
    for entry, quad in zip(entries, corners, strict=True):
        _tag(pen, entry, quad, drawing.size)
    return drawing


def _scale(page: Page) -> float:
    long_side = max(page.width, page.height)
    if long_side > MAX_LONG_SIDE:
        return MAX_LONG_SIDE / long_side
    return min(_MAX_ENLARGED, max(1.0, _MIN_LONG_SIDE / long_side))


def _outline(pixels: Pixels, quad: np.ndarray[tuple[int, ...], np.dtype[np.float64]], color: Color) -> None:
    # OpenCV takes fixed point with four fractional bits, so that boxes do not jump by whole pixels.
    points = np.round((quad - 0.5) * 16).astype(np.int32)
    cv2.polylines(
        pixels, [points], isClosed=True, color=color, thickness=_OUTLINE_PIXELS, lineType=cv2.LINE_AA, shift=4
    )


def _tag(
    pen: ImageDraw.ImageDraw,
    entry: _BoxedItem,
    quad: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    size: tuple[int, int],
) -> None:
    """Put the entry's number outside of its box, before the first corner, where it hides no text."""
    font, number = _font(_TAG_PIXELS), entry.tag
    width, height = pen.textlength(number, font=font) + 4, _TAG_PIXELS + 3
    along = quad[1] - quad[0]
    along /= max(1.0, float(np.linalg.norm(along)))
    middle = (quad[0] + quad[3]) / 2 - along * (width / 2 + _OUTLINE_PIXELS)
    left = min(max(0.0, float(middle[0]) - width / 2), size[0] - width)
    top = min(max(0.0, float(middle[1]) - height / 2), size[1] - height)
    pen.rectangle((left, top, left + width, top + height), fill=entry.color)
    pen.text((left + width / 2, top + height / 2), number, font=font, fill=_PAPER, anchor="mm")


def _plan(entries: Sequence[_BoxedItem], picture_height: int) -> _Listing:
    rows_that_fit = max(10, (picture_height - 2 * _MARGIN) // _ROW_PIXELS)
    columns = max(1, math.ceil(len(entries) / rows_that_fit))
    rows = max(1, math.ceil(len(entries) / columns))
    widest = max((_font(_TEXT_PIXELS).getlength(entry.text) for entry in entries), default=160.0)
    return _Listing(rows, columns, min(_WIDEST_COLUMN, math.ceil(widest) + _text_offset() + _MARGIN))


def _text_offset() -> int:
    return math.ceil(_font(_TEXT_PIXELS).getlength("0000  0.00  "))


def _write_listing(pen: ImageDraw.ImageDraw, entries: Sequence[_BoxedItem], listing: _Listing, left: int) -> None:
    font = _font(_TEXT_PIXELS)
    if not entries:
        pen.text((left + _MARGIN, _MARGIN), "no text found", font=font, fill=_FAINT)
    max_width = listing.column_width - _text_offset() - _MARGIN
    for place, entry in enumerate(entries):
        column, row = divmod(place, listing.rows)
        x = left + _MARGIN + column * listing.column_width
        y = _MARGIN + row * _ROW_PIXELS + _ROW_PIXELS // 2
        offset = _text_offset()
        pen.text((x + offset * 0.38, y), entry.tag, font=font, fill=entry.color, anchor="rm")
        pen.text((x + offset * 0.86, y), entry.note, font=font, fill=_FAINT, anchor="rm")
        pen.text((x + offset, y), _shortened(entry.text, font, max_width), font=font, fill=_INK, anchor="lm")


def _shortened(text: str, font: ImageFont.FreeTypeFont, max_width: float) -> str:
    if font.getlength(text) <= max_width:
        return text
    lengths = range(len(text))
    too_long = bisect_right(lengths, max_width, key=lambda length: font.getlength(text[:length] + "…"))
    return text[: max(0, too_long - 1)] + "…"


def _color(line: Line) -> Color:
    return COLORS[confidence_kind(line.confidence)]


@lru_cache(maxsize=8)
def _font(size_pixels: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_pixels)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow was built without FreeType, so it cannot write text of any size")
    return font
