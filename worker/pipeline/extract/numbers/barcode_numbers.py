"""The numbers that the barcodes of a page hold.

Invariant: a barcode proves that its characters were read right, not what type its number has. The type takes a GS1
element, a symbology made for the type, or a shape that no other number has. A number whose type the barcode does not
tell may still confirm a number in the text.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from worker.domain.barcode import DecodedBarcode, GS1Element
from worker.domain.fields import Check
from worker.pipeline.extract.numbers import checks
from worker.pipeline.extract.numbers.catalog import NumberCatalog
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
_GTIN_DIGITS: Final = 14  # a shorter GTIN is one of these with zeros before it
_WORD: Final = re.compile(r"[0-9A-Z]+")
_WAYBILL_DIGITS: Final = 11
_PIECE_DIGITS: Final = 5  # behind an air waybill's in IATA's bar coded label

# UPS's message in a MaxiCode: class of service, parcel, the carrier's code and the shipper, a sign between each.
_UPS_MESSAGE: Final = re.compile(r"\W\d(\d\d)\W(1Z)(\d{8})\WUPSN\W([0-9A-Z]{6})\W")


@dataclass(frozen=True, slots=True)
class BarcodeNumber:
    """A number that a barcode holds, in normal form; `barcode_id` counts the barcodes of the page."""

    type: str
    value: str
    check: Check
    barcode_id: int

    @property
    def key(self) -> str:
        """What makes it the same number as another of its type."""
        return number_key(self.type, self.value)


@dataclass(frozen=True, slots=True)
class BarcodeNumbers:
    """The numbers of all barcodes of a page. Make it once a page, by `of`.

    `typed` are the numbers whose type the barcodes tell. `by_number` (type and key) and `by_word` (every run of letters
    and digits) lead to the barcodes. The barcode of an air cargo label holds a waybill and the number of a piece: the
    waybill is a word of its own.
    """

    typed: Sequence[BarcodeNumber]
    by_number: Mapping[tuple[str, str], Sequence[int]]
    by_word: Mapping[str, Sequence[int]]
    catalog: NumberCatalog

    @classmethod
    def of(cls, barcodes: Sequence[DecodedBarcode], catalog: NumberCatalog) -> "BarcodeNumbers":
        """Read the numbers out of the barcodes of a page."""
        typed = dict.fromkeys(
            found for number, code in enumerate(barcodes) for found in _numbers_in(number, code, catalog)
        )
        by_number: dict[tuple[str, str], list[int]] = {}
        for found in typed:
            by_number.setdefault((found.type, found.key), []).append(found.barcode_id)
        by_word: dict[str, list[int]] = {}
        for number, code in enumerate(barcodes):
            for word in _words(code):
                by_word.setdefault(word, []).append(number)
                if len(word) == _WAYBILL_DIGITS + _PIECE_DIGITS:
                    by_word.setdefault(word[:_WAYBILL_DIGITS], []).append(number)
        return cls(tuple(typed), by_number, by_word, catalog)

    def holds_typed(self, kind: str, value: str) -> bool:
        """Whether a barcode holds this number and tells that it is of this type."""
        return (kind, number_key(kind, value)) in self.by_number

    def barcodes_with(self, kind: str, value: str) -> tuple[int, ...]:
        """Return the barcodes that hold this number, whether or not they tell its type."""
        typed = self.by_number.get((kind, number_key(kind, value)), ())
        return tuple(sorted({*typed, *self.by_word.get(value, ())}))

    def without(self, known: Collection[tuple[str, str]]) -> "BarcodeNumbers":
        """Return what is left without the numbers that are known, each a type and a key."""
        values = {value for _, value in known}
        return BarcodeNumbers(
            [found for found in self.typed if (found.type, found.key) not in known],
            {key: codes for key, codes in self.by_number.items() if key not in known},
            {word: codes for word, codes in self.by_word.items() if word not in values},
            self.catalog,
        )

    def similar(self, kind: str, value: str, most: int) -> tuple[BarcodeNumber, ...]:
        """Return the numbers of this type that differ from a value in at most `most` characters.

        A word whose type no barcode tells is one of them if it has a shape of the type and its check digit holds.
        """
        shapes = [form for form in self.catalog.forms if form.type == kind and form.check is not None]
        found = {
            BarcodeNumber(kind, form.value(word), Check.PASSED, codes[0])
            for word, codes in self.by_word.items()
            for form in shapes
            if abs(len(word) - form.strip - len(value)) <= most
            and is_within(value, form.value(word), most)
            and form.passes(word)
        }
        found |= {held for held in self.typed if held.type == kind and is_within(value, held.value, most)}
        return tuple(sorted(found, key=lambda held: (held.barcode_id, held.value)))


def number_key(kind: str, value: str) -> str:
    """Return what makes two spellings one number: a GTIN is the same with leading zeros."""
    return value.zfill(_GTIN_DIGITS) if kind == "gtin" else value


def _numbers_in(number: int, code: DecodedBarcode, catalog: NumberCatalog) -> Iterator[BarcodeNumber]:
    sound = [element for element in code.elements if element.valid]
    if sound:
        yield from _in_elements(number, sound, catalog)
    if code.elements and len(sound) == len(code.elements):
        return
    trade_item = _trade_item(code)
    if _is_trade_item(code, trade_item):
        yield BarcodeNumber("gtin", trade_item, Check.PASSED, number)
        return
    for word in _words(code):
        shaped = tuple(_of_shape(number, word, catalog))
        yield from shaped
        for posted in _BEHIND_ZIP.findall(word) if not shaped else ():
            yield from _of_shape(number, posted, catalog)
    for service, prefix, parcel, shipper in _UPS_MESSAGE.findall(code.text.upper()):
        yield from _of_shape(number, f"{prefix}{shipper}{service}{parcel}", catalog)


def _in_elements(number: int, sound: Sequence[GS1Element], catalog: NumberCatalog) -> Iterator[BarcodeNumber]:
    for element in sound:
        if kind := _ELEMENT_TYPES.get(element.identifier):
            yield BarcodeNumber(kind, element.value, _checked(element.value), number)
    for zip_code, element in pairwise(sound):
        if zip_code.identifier == _ZIP_IDENTIFIER and element.identifier in _POSTED_IDENTIFIERS:
            yield from _of_shape(number, f"{element.identifier}{element.value}", catalog)
    yield from _of_shape(number, "".join(f"{element.identifier}{element.value}" for element in sound), catalog)


def _trade_item(code: DecodedBarcode) -> str:
    """Return the number as it is printed: UPC-A, and UPC-E with its zeros, are read as an EAN-13 that begins with 0."""
    is_upc = code.format in _UPC_SYMBOLS and _is_number(code.text) and len(code.text.lstrip("0")) <= _UPC_A_DIGITS
    return code.text[-_UPC_A_DIGITS:] if is_upc else code.text


def _is_trade_item(code: DecodedBarcode, digits: str) -> bool:
    """Whether the symbology is one for goods. ITF carries Deutsche Post's codes too, of other weights."""
    if not (_is_number(digits) and checks.gs1(digits)):
        return False
    return code.format in _TRADE_SYMBOLS or (
        code.format == _ITF and len(code.text) == _GTIN_DIGITS and not checks.identcode(code.text)
    )


def _of_shape(number: int, word: str, catalog: NumberCatalog) -> Iterator[BarcodeNumber]:
    for form in catalog.by_length.get(len(word), ()):
        if form.proof <= Proof.UNDENIED and form.passes(word):
            yield BarcodeNumber(form.type, form.value(word), Check.PASSED if form.check else Check.NONE, number)


def _checked(digits: str) -> Check:
    return Check.PASSED if _is_number(digits) and checks.gs1(digits) else Check.FAILED


def _words(code: DecodedBarcode) -> Iterable[str]:
    return _WORD.findall(code.text.upper())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
