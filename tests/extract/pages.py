"""Pages out of lines of text, for tests."""

from collections.abc import Sequence

import numpy as np

from worker.domain.barcode import DecodedBarcode, GS1Element
from worker.domain.fields import Field
from worker.domain.image import Character, PageText, TextLine
from worker.pipeline.extract.extract import extract
from worker.pipeline.extract.options import FieldOptions

_CHARACTER_WIDTH = 12.0
_HEIGHT = 20.0
_GAP = 12.0


def line_at(text: str, left: float, top: float, confidence: float = 0.9) -> TextLine:
    right = left + _CHARACTER_WIDTH * len(text)
    corners = [(left, top), (right, top), (right, top + _HEIGHT), (left, top + _HEIGHT)]
    return TextLine(text, confidence, np.array(corners, dtype=np.float64), 0.0)


def page(*rows: str | Sequence[str], barcodes: Sequence[DecodedBarcode] = ()) -> PageText:
    """Return a page of rows, each far enough from the next to be no caption of it; a row may have several lines."""
    lines = []
    for number, row in enumerate(rows):
        left = 20.0
        for text in (row,) if isinstance(row, str) else row:
            lines.append(line_at(text, left, number * 4 * _HEIGHT))
            left += _CHARACTER_WIDTH * len(text) + _GAP
    return PageText(2000, 2000, tuple(lines), tuple(barcodes))


def stacked(*texts: str) -> PageText:
    """Return a page of lines one close under the other."""
    return PageText(2000, 2000, tuple(line_at(text, 20.0, 26.0 * number) for number, text in enumerate(texts)))


def with_alternatives(
    line: TextLine, alternatives: dict[int, tuple[tuple[str, float], ...]], *, unsure: float = 0.6
) -> TextLine:
    """Return the line with what the recognizer held possible at some places, where its confidence was `unsure`."""
    characters = tuple(
        Character(text, unsure if place in alternatives else 0.99, 0.0, alternatives.get(place, ()))
        for place, text in enumerate(line.text)
    )
    return TextLine(line.text, line.confidence, line.polygon, line.rotation_degrees, characters)


def code(kind: str, text: str, *elements: tuple[str, str] | tuple[str, str, bool]) -> DecodedBarcode:
    polygon = np.array([(0, 1500), (300, 1500), (300, 1560), (0, 1560)], dtype=np.float64)
    return DecodedBarcode(kind, text, polygon, tuple(GS1Element(*element) for element in elements))


def fields(of: PageText, *types: str) -> list[Field]:
    return [field for field in extract(of, FieldOptions(frozenset(types) or None)) if not types or field.type in types]


def found(of: PageText, *types: str) -> list[tuple[str, str, str]]:
    return [(field.type, field.value, field.check.value) for field in fields(of, *types)]
