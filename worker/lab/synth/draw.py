"""A sheet to draw a label on, which writes down the truth of all that is drawn.

Positions are in dots of 1/203 inch, as a label printer counts them, and become pixels by the sheet's scale. Each piece
of text is one line of the truth; its box is measured on the ink that was drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worker.lab.synth import fonts
from worker.lab.synth.barcodes import Symbol, bars
from worker.lab.synth.truth import FieldType, LabelBarcode, LabelLine, Polygon, PrintedField

Ink = tuple[int, int, int]
BLACK: Final[Ink] = (0, 0, 0)
WHITE: Final[Ink] = (255, 255, 255)
_VISIBLE: Final = 24  # of 255: fainter pixels are the edge of a letter, not its ink
_NARROWEST: Final = 0.74
_PADDING: Final = 8


class Align(Enum):
    """Which part of a text stands at its position; the value is the share of its width left of it."""

    LEFT = 0.0
    MIDDLE = 0.5
    RIGHT = 1.0


@dataclass(frozen=True, slots=True)
class Style:
    """How text is set: `size` is the em square in dots, `stretch` the width against the font's own."""

    face: fonts.Face
    size: float
    stretch: float = 1.0
    ink: Ink = BLACK


class Sheet:
    """A label under way: RGB pixels, uint8 [H, W, 3], and the truth so far."""

    def __init__(self, width_dots: int, height_dots: int, scale: float) -> None:
        self.scale = scale
        self.width = width_dots
        self.height = height_dots
        self.pixels = np.full((round(height_dots * scale), round(width_dots * scale), 3), 255, dtype=np.uint8)
        self.lines: list[LabelLine] = []
        self.fields: list[PrintedField] = []
        self.barcodes: list[LabelBarcode] = []

    def text(
        self,
        x: float,
        baseline: float,
        text: str,
        style: Style,
        *,
        align: Align = Align.LEFT,
        max_width: float | None = None,
    ) -> float:
        """Draw a run of text and return where its ink ends, in dots.

        `max_width` is the width it may take: it is narrowed, then set smaller, until it fits.
        """
        mask, rise = _fitted(text, style, self.scale, None if max_width is None else max_width * self.scale)
        left = round(x * self.scale - align.value * mask.shape[1])
        top = round(baseline * self.scale) - rise
        self._stamp(left, top, mask, style.ink)
        self.lines.append(LabelLine(_corners(left, top, mask.shape[1], mask.shape[0]), text))
        return float(left + mask.shape[1]) / self.scale

    def block(self, x: float, baseline: float, texts: Sequence[str], style: Style, *, max_width: float) -> float:
        """Draw lines of text below one another and return the baseline of the next."""
        for text in texts:
            self.text(x, baseline, text, style, max_width=max_width)
            baseline += 1.24 * style.size
        return baseline

    def text_turned(self, left: float, top: float, text: str, style: Style, quarter_turns: int) -> None:
        """Draw a run of text turned clockwise, its ink's left upper corner at the position."""
        mask, _ = _fitted(text, style, self.scale, None)
        turned = np.ascontiguousarray(np.rot90(mask, -quarter_turns))
        x, y = round(left * self.scale), round(top * self.scale)
        self._stamp(x, y, turned, style.ink)
        corners = _corners(x, y, turned.shape[1], turned.shape[0])
        first = quarter_turns % 4
        self.lines.append(LabelLine(_polygon(corners[first:] + corners[:first]), text))

    def fill(self, left: float, top: float, right: float, bottom: float, ink: Ink = BLACK) -> None:
        """Fill a rectangle."""
        x0, y0, x1, y1 = (round(edge * self.scale) for edge in (left, top, right, bottom))
        self.pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = ink

    def rule(self, top: float, left: float, right: float, thickness: float = 3) -> None:
        """Draw a horizontal rule from its upper edge down."""
        self.fill(left, top, right, top + thickness)

    def post(self, left: float, top: float, bottom: float, thickness: float = 3) -> None:
        """Draw a vertical rule from its left edge on."""
        self.fill(left, top, left + thickness, bottom)

    def frame(self, left: float, top: float, right: float, bottom: float, thickness: float = 3) -> None:
        """Draw the outline of a rectangle, inside its edges."""
        self.rule(top, left, right, thickness)
        self.rule(bottom - thickness, left, right, thickness)
        self.post(left, top, bottom, thickness)
        self.post(right - thickness, top, bottom, thickness)

    def symbol(self, left: float, top: float, right: float, bottom: float, symbol: Symbol) -> None:
        """Draw a barcode in the middle of a rectangle, as large as it fits."""
        x0, y0, x1, y1 = (round(edge * self.scale) for edge in (left, top, right, bottom))
        ink = bars(symbol, x1 - x0, y1 - y0)
        height, width = ink.shape
        x, y = (x0 + x1 - width) // 2, (y0 + y1 - height) // 2
        self.pixels[y : y + height, x : x + width][ink] = BLACK
        self.barcodes.append(LabelBarcode(symbol.format_name, symbol.content, _corners(x, y, width, height)))

    def note(self, field_type: FieldType, value: str) -> None:
        """Write down a value that the label carries."""
        self.fields.append(PrintedField(field_type, value))

    def _stamp(self, left: int, top: int, mask: NDArray[np.uint8], ink: Ink) -> None:
        height, width = mask.shape
        under = self.pixels[top : top + height, left : left + width]
        if left < 0 or top < 0 or under.shape[:2] != mask.shape:
            raise ValueError(f"text of {width} by {height} pixels at ({left}, {top}) leaves the sheet")
        share = mask[..., None].astype(np.float32) / 255
        under[:] = np.rint(under * (1 - share) + np.array(ink, dtype=np.float32) * share).astype(np.uint8)


def _fitted(text: str, style: Style, scale: float, max_width: float | None) -> tuple[NDArray[np.uint8], int]:
    """Return the text's ink, cut to its box, and how far the box rises over the baseline, in pixels."""
    size, stretch = round(style.size * scale), style.stretch
    natural = fonts.load(style.face, size).getlength(text)
    if max_width is not None and natural * stretch > max_width:
        stretch = max(max_width / natural, min(stretch, _NARROWEST))
        size = min(size, int(size * max_width / (natural * stretch) + 1e-6))
    return _ink(text, fonts.load(style.face, size), stretch)


def _ink(text: str, font: fonts.Font, stretch: float) -> tuple[NDArray[np.uint8], int]:
    ascent, descent = font.getmetrics()
    width = int(font.getlength(text)) + 2 * _PADDING
    image = Image.new("L", (width, ascent + descent + 2 * _PADDING))
    ImageDraw.Draw(image).text((_PADDING, ascent + _PADDING), text, fill=255, font=font, anchor="ls")
    mask = np.asarray(image)
    if stretch != 1.0:
        mask = cv2.resize(mask, (max(1, round(width * stretch)), mask.shape[0]), interpolation=cv2.INTER_AREA)
    rows, columns = np.flatnonzero((mask >= _VISIBLE).any(1)), np.flatnonzero((mask >= _VISIBLE).any(0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.where(cut >= _VISIBLE, cut, 0).astype(np.uint8), ascent + _PADDING - int(rows[0])


def _corners(left: int, top: int, width: int, height: int) -> Polygon:
    x0, y0, x1, y1 = float(left), float(top), float(left + width), float(top + height)
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _polygon(corners: Sequence[tuple[float, float]]) -> Polygon:
    first, second, third, fourth = corners
    return (first, second, third, fourth)
