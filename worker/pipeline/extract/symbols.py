"""What the barcodes of a page say about numbers.

A symbol proves its own reading, not what kind its number is: that takes GS1 elements, a symbology made for the kind, or
a shape that no other number has. What a symbol holds plainly may still bear out a number in the text.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from worker.domain.barcode import Barcode
from worker.pipeline.extract.forms import Proof
from worker.pipeline.extract.kinds import FORMS_BY_LENGTH

_ELEMENT_TYPES: Final = {"00": "sscc", "01": "gtin", "02": "gtin"}
_TRADE_SYMBOLS: Final = frozenset(
    {"EAN13", "EAN8", "UPCA", "UPCE", "ITF14", "DataBar", "DataBarOmni", "DataBarLimited"}
)
_WORD: Final = re.compile(r"[0-9A-Z]+")
_PIECE_DIGITS: Final = 5  # behind an air waybill's eleven digits in IATA's bar coded label
_WAYBILL_DIGITS: Final = 11


@dataclass(frozen=True, slots=True)
class Held:
    """A number that a symbol holds, in normal form."""

    type: str
    value: str
    barcode_id: int


@dataclass(frozen=True, slots=True)
class Symbols:
    """`held` are the numbers whose kind the symbols tell; `plain` all runs of letters and digits in them."""

    held: tuple[Held, ...] = ()
    plain: frozenset[str] = frozenset()

    @classmethod
    def of(cls, barcodes: Iterable[Barcode]) -> "Symbols":
        """Look into the barcodes of a page."""
        listed = list(barcodes)
        held = dict.fromkeys(found for number, code in enumerate(listed) for found in _held(number, code))
        plain = frozenset(word for code in listed for word in _words(code))
        return cls(tuple(held), plain)

    def says(self, kind: str, value: str) -> bool:
        """Whether a symbol holds this number, as of this kind or plainly."""
        if value in self.plain or any(found.type == kind and found.value == value for found in self.held):
            return True
        return len(value) == _WAYBILL_DIGITS and any(
            word.startswith(value) and len(word) == _WAYBILL_DIGITS + _PIECE_DIGITS for word in self.plain
        )


def _held(number: int, code: Barcode) -> Iterator[Held]:
    if code.elements:
        yield from (
            Held(_ELEMENT_TYPES[element.identifier], element.value, number)
            for element in code.elements
            if element.identifier in _ELEMENT_TYPES
        )
        joined = "".join(f"{element.identifier}{element.value}" for element in code.elements)
        yield from _of_shape(number, joined)
        return
    for word in _words(code):
        yield from _of_shape(number, word)


def _of_shape(number: int, word: str) -> Iterator[Held]:
    for form in FORMS_BY_LENGTH.get(len(word), ()):
        if form.proof is Proof.SHAPE and form.passes(word):
            yield Held(form.type, form.value(word), number)


def _words(code: Barcode) -> list[str]:
    return _WORD.findall(code.text.upper())
