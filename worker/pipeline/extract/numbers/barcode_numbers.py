"""What the barcodes of a page say about numbers.

A symbol proves its own reading, not what kind its number is: that takes GS1 elements, a symbology made for the kind, or
a shape that no other number has. What a symbol holds plainly may still bear out a number in the text.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from worker.domain.barcode import Barcode, Element
from worker.domain.fields import Check
from worker.pipeline.extract.numbers import checks
from worker.pipeline.extract.numbers.catalog import GTIN_DIGITS, KINDS, Kinds
from worker.pipeline.extract.numbers.distance import is_within
from worker.pipeline.extract.numbers.forms import Proof

_ELEMENT_TYPES: Final = {"00": "sscc", "01": "gtin", "02": "gtin"}
_TRADE_SYMBOLS: Final = frozenset({"EAN13", "EAN8", "UPCA", "UPCE", "ITF14"})
_UPC_SYMBOLS: Final = frozenset({"EAN13", "UPCA", "UPCE"})
_UPC_A_DIGITS: Final = 12
_ZIP_IDENTIFIER: Final = "420"
_POSTED_IDENTIFIERS: Final = frozenset({"91", "92", "93", "94", "95"})  # of USPS, behind a ZIP code
_BEHIND_ZIP: Final = re.compile(r"^420\d{5}(?:\d{4})?(9[2345]\d{24})$")
_ITF: Final = "ITF"
_WORD: Final = re.compile(r"[0-9A-Z]+")
_WAYBILL_DIGITS: Final = 11
_PIECE_DIGITS: Final = 5  # behind an air waybill's in IATA's bar coded label

# UPS's message in a MaxiCode: class of service, parcel, the carrier's code and the shipper, a sign between each.
_UPS_MESSAGE: Final = re.compile(r"\W\d(\d\d)\W(1Z)(\d{8})\WUPSN\W([0-9A-Z]{6})\W")


@dataclass(frozen=True, slots=True)
class Held:
    """A number that a symbol holds, in normal form."""

    type: str
    value: str
    check: Check
    barcode_id: int

    @property
    def key(self) -> str:
        """What makes it the same number: a GTIN is the same with leading zeros."""
        return same_number(self.type, self.value)


@dataclass(frozen=True, slots=True)
class Symbols:
    """`held` are the numbers whose kind the symbols tell; `plain` all runs of letters and digits in them.

    `told` and `plain` lead to the symbols, by kind and number and by the run. Of what an air cargo label's bars hold,
    the waybill is a run of its own. `kinds` are those that are looked for.
    """

    held: Sequence[Held]
    told: Mapping[tuple[str, str], Sequence[int]]
    plain: Mapping[str, Sequence[int]]
    kinds: Kinds = KINDS

    @classmethod
    def of(cls, barcodes: Sequence[Barcode], kinds: Kinds = KINDS) -> "Symbols":
        """Look into the barcodes of a page."""
        held = dict.fromkeys(found for number, code in enumerate(barcodes) for found in _held(number, code, kinds))
        told: dict[tuple[str, str], list[int]] = {}
        for found in held:
            told.setdefault((found.type, found.key), []).append(found.barcode_id)
        plain: dict[str, list[int]] = {}
        for number, code in enumerate(barcodes):
            for word in _words(code):
                plain.setdefault(word, []).append(number)
                if len(word) == _WAYBILL_DIGITS + _PIECE_DIGITS:
                    plain.setdefault(word[:_WAYBILL_DIGITS], []).append(number)
        return cls(tuple(held), told, plain, kinds)

    def tells(self, kind: str, value: str) -> bool:
        """Whether a symbol holds this number as of this kind."""
        return (kind, same_number(kind, value)) in self.told

    def with_number(self, kind: str, value: str) -> tuple[int, ...]:
        """Return the symbols that hold this number, as of this kind or plainly."""
        told = self.told.get((kind, same_number(kind, value)), ())
        return tuple(sorted({*told, *self.plain.get(value, ())}))

    def without(self, known: Collection[tuple[str, str]]) -> "Symbols":
        """Return what is left without the numbers that are known, each a kind and the number."""
        values = {value for _, value in known}
        return Symbols(
            [found for found in self.held if (found.type, found.key) not in known],
            {key: codes for key, codes in self.told.items() if key not in known},
            {word: codes for word, codes in self.plain.items() if word not in values},
            self.kinds,
        )

    def near(self, kind: str, value: str, most: int) -> tuple[Held, ...]:
        """Return what symbols hold, plainly too, that is of this kind, passes, and differs in so few characters."""
        shapes = [form for form in self.kinds.forms if form.type == kind and form.check is not None]
        found = {
            Held(kind, form.value(word), Check.PASSED, codes[0])
            for word, codes in self.plain.items()
            for form in shapes
            if abs(len(word) - form.strip - len(value)) <= most
            and is_within(value, form.value(word), most)
            and form.passes(word)
        }
        found |= {held for held in self.held if held.type == kind and is_within(value, held.value, most)}
        return tuple(sorted(found, key=lambda held: (held.barcode_id, held.value)))


def same_number(kind: str, value: str) -> str:
    """Return what two ways to write one number have in common."""
    return value.zfill(GTIN_DIGITS) if kind == "gtin" else value


def _held(number: int, code: Barcode, kinds: Kinds) -> Iterator[Held]:
    sound = [element for element in code.elements if element.valid]
    if sound:
        yield from _in_elements(number, sound, kinds)
    if code.elements and len(sound) == len(code.elements):
        return
    trade_item = _trade_item(code)
    if _is_trade_item(code, trade_item):
        yield Held("gtin", trade_item, Check.PASSED, number)
        return
    for word in _words(code):
        told = tuple(_of_shape(number, word, kinds))
        yield from told
        for posted in _BEHIND_ZIP.findall(word) if not told else ():
            yield from _of_shape(number, posted, kinds)
    for service, prefix, parcel, shipper in _UPS_MESSAGE.findall(code.text.upper()):
        yield from _of_shape(number, f"{prefix}{shipper}{service}{parcel}", kinds)


def _in_elements(number: int, sound: Sequence[Element], kinds: Kinds) -> Iterator[Held]:
    for element in sound:
        if kind := _ELEMENT_TYPES.get(element.identifier):
            yield Held(kind, element.value, _checked(element.value), number)
    for zip_code, element in pairwise(sound):
        if zip_code.identifier == _ZIP_IDENTIFIER and element.identifier in _POSTED_IDENTIFIERS:
            yield from _of_shape(number, f"{element.identifier}{element.value}", kinds)
    yield from _of_shape(number, "".join(f"{element.identifier}{element.value}" for element in sound), kinds)


def _trade_item(code: Barcode) -> str:
    """Return the number as it is printed: UPC-A, and UPC-E with its zeros, are read as an EAN-13 that begins with 0."""
    is_upc = code.format in _UPC_SYMBOLS and _is_number(code.text) and len(code.text.lstrip("0")) <= _UPC_A_DIGITS
    return code.text[-_UPC_A_DIGITS:] if is_upc else code.text


def _is_trade_item(code: Barcode, digits: str) -> bool:
    """Whether the symbology is one for goods. ITF carries Deutsche Post's codes too, of other weights."""
    if not (_is_number(digits) and checks.gs1(digits)):
        return False
    return code.format in _TRADE_SYMBOLS or (
        code.format == _ITF and len(code.text) == GTIN_DIGITS and not checks.identcode(code.text)
    )


def _of_shape(number: int, word: str, kinds: Kinds) -> Iterator[Held]:
    for form in kinds.by_length.get(len(word), ()):
        if form.proof <= Proof.UNDENIED and form.passes(word):
            yield Held(form.type, form.value(word), Check.PASSED if form.check else Check.NONE, number)


def _checked(digits: str) -> Check:
    return Check.PASSED if _is_number(digits) and checks.gs1(digits) else Check.FAILED


def _words(code: Barcode) -> Iterable[str]:
    return _WORD.findall(code.text.upper())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
