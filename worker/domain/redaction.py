"""Leaves personal data out of results: text is replaced, and where it stood is kept.

Invariant: of a field that is redacted, no part of the page holds the value, neither as it was read nor in normal form,
whatever its case, spaces and punctuation: not its lines and barcodes, and not another line, barcode or field that says
the same. Values of fewer than four letters and digits are looked for in the field's own lines and barcodes alone.
Numbers, polygons, confidences and ids stay as they are.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from worker.domain.result import Barcode, LabelField, LabelText, Line, Page

MASK: Final = "[redacted]"
ALL_LINES: Final = "lines"
ALL_BARCODES: Final = "barcodes"
WHOLE: Final = frozenset({ALL_LINES, ALL_BARCODES})
# A shorter value stands in too many lines by chance.
_MIN_CHARACTERS: Final = 4


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is left out: types of fields, all lines (`lines`), all barcodes (`barcodes`)."""

    names: frozenset[str] = frozenset()

    def of(self, result: LabelText) -> LabelText:
        """Return a result without the texts that are left out."""
        if not self.names:
            return result
        return result.model_copy(update={"pages": tuple(self._page(page) for page in result.pages)})

    def _page(self, page: Page) -> Page:
        hidden = [each for each in page.fields if each.type in self.names]
        values = {folded for each in hidden for text in (each.value, each.text) if (folded := _folded(text))}
        values = {value for value in values if len(value) >= _MIN_CHARACTERS}
        line_ids = {number for each in hidden for number in each.line_ids}
        barcode_ids = {number for each in hidden for number in each.barcode_ids}
        return page.model_copy(
            update={
                "lines": tuple(
                    _masked_line(line)
                    if ALL_LINES in self.names or line.id in line_ids or _holds(line.text, values)
                    else line
                    for line in page.lines
                ),
                "barcodes": tuple(
                    _masked_barcode(barcode)
                    if ALL_BARCODES in self.names or barcode.id in barcode_ids or _holds(barcode.text, values)
                    else barcode
                    for barcode in page.barcodes
                ),
                "fields": tuple(
                    _masked_field(each)
                    if each.type in self.names or _holds(each.value, values) or _holds(each.text, values)
                    else each
                    for each in page.fields
                ),
            }
        )


def is_redacted(result: LabelText) -> bool:
    """Say whether a text of a line was left out of a result."""
    return any(line.text == MASK for page in result.pages for line in page.lines)


def _masked_line(line: Line) -> Line:
    return line.model_copy(update={"text": MASK})


def _masked_barcode(barcode: Barcode) -> Barcode:
    return barcode.model_copy(update={"text": MASK, "elements": ()})


def _masked_field(found: LabelField) -> LabelField:
    return found.model_copy(update={"value": MASK, "text": MASK})


def _holds(text: str, values: Collection[str]) -> bool:
    folded = _folded(text)
    return any(value in folded for value in values)


def _folded(text: str) -> str:
    """Return letters and digits alone, in one case."""
    return "".join(character for character in text.casefold() if character.isalnum())
