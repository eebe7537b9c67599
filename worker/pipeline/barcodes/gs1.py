"""GS1 element strings: what scanners send as `0034…<GS>10AB`, and what labels print as `(00)34…(10)AB`.

The rules are those of the GS1 General Specifications, section 7.8 (FNC1 ends what has no predefined length) and 7.9
(check digits); the table of application identifiers is python-stdnum's, taken from ref.gs1.org/ai. Invariant: no value
is ever altered: a wrong check digit is told by `check`, not corrected, and an element says itself whether its value has
its identifier's form.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from stdnum import ean, numdb

from worker.domain.barcode import GS1Element
from worker.domain.fields import Check

GROUP_SEPARATOR: Final = "\x1d"

_BRACKETED: Final = re.compile(r"\(([0-9]{2,4})\)")
# What scanners put before GS1 data (General Specifications, 5.1.3), of Code 128, DataBar, Data Matrix, QR and DotCode.
_SYMBOLOGY_MARK: Final = re.compile(r"^\](?:C1|e0|d2|Q3|J1)")
_CHARACTERS: Final = {
    "N": r"[0-9]",
    "X": r"[!-\"%-?A-Z_a-z]",  # ISO/IEC 646, table 7.11-1
    "Y": r"[#\-/0-9A-Z]",  # table 7.11-2
    "Z": r"[0-9A-Za-z_=-]",  # table 7.11-3
    "-": r"-",
}
_PART: Final = re.compile(r"\[?([NXYZ-])(\d*)(?:\.\.[NXYZ]?(\d+))?\]?")

# How much of the value the check digit closes, by identifier.
_CHECKED_DIGITS: Final = {
    "00": 18,
    **dict.fromkeys(("01", "02", "03"), 14),
    **dict.fromkeys(("253", "255"), 13),
    "402": 17,
    **dict.fromkeys((f"41{last}" for last in range(8)), 13),
    **dict.fromkeys(("8003", "8006", "8026"), 14),
    **dict.fromkeys(("8017", "8018"), 18),
}
# GS1 Digital Link Standard, URI Syntax 4.3 and 4.4: keys and what may follow each, in this order.
_LINK_KEYS: Final = {
    **dict.fromkeys(("01", "8006"), ("22", "235", "10", "21")),
    "414": ("254", "7040"),
    "417": ("7040",),
    "8010": ("8011",),
    **dict.fromkeys(("8017", "8018"), ("8019",)),
    "415": ("8020",),
    **dict.fromkeys(("00", "253", "255", "401", "402", "8003", "8004", "8013"), ()),
}
# Words that stand for identifiers in links of the standard's first releases.
_LINK_WORDS: Final = {
    "gtin": "01",
    "itip": "8006",
    "gln": "414",
    "payTo": "415",
    "party": "417",
    "cpid": "8010",
    "gsrnp": "8017",
    "gsrn": "8018",
    "gcn": "255",
    "sscc": "00",
    "gdti": "253",
    "ginc": "401",
    "gsin": "402",
    "grai": "8003",
    "giai": "8004",
    "gmn": "8013",
    "cpv": "22",
    "lot": "10",
    "ser": "21",
    "glnx": "254",
    "cpsn": "8011",
    "srin": "8019",
    "refno": "8020",
}
_LINK_SCHEMES: Final = frozenset({"http", "https"})
_MAX_LINK_CHARACTERS: Final = 2048
_GTIN: Final = "01"
_GTIN_LENGTHS: Final = frozenset({8, 12, 13, 14})
_GTIN_DIGITS: Final = 14
_MAX_IDENTIFIER_DIGITS: Final = 4
_CENTURY_YEARS: Final = 100
_AHEAD_YEARS: Final = 50
_DATE_DIGITS: Final = 6
_DECEMBER: Final = 12


def read_message(message: str, *, is_marked: bool) -> tuple[GS1Element, ...]:
    """Return the element strings of what a symbol holds, however they are written in it; nothing if there are none.

    `is_marked` says that the symbol says it holds GS1 data: FNC1 stands first. Some printers put it before a link or
    before parentheses, too.
    """
    elements = read_elements(message) if is_marked else ()
    if any(element.valid for element in elements):
        return elements
    return parse_digital_link(message) or read_unmarked(message.removeprefix(GROUP_SEPARATOR)) or elements


def read_elements(message: str) -> tuple[GS1Element, ...]:
    """Return the element strings of a symbol that says it holds GS1 data, as a scanner sends them.

    One that has not its identifier's form is not `valid`, and takes all up to the next separator: where it ends is not
    known. Where there is no identifier that GS1 knows, that of the element is empty.
    """
    return tuple(_elements(message.removeprefix(GROUP_SEPARATOR)))


def read_unmarked(message: str) -> tuple[GS1Element, ...]:
    """Return the element strings of a symbol that does not say that it holds GS1 data; nothing if it does not.

    Some printers encode the parentheses of what is printed, and its spaces, or separators without the mark at the
    beginning, or what a scanner puts before the data to name the symbology. A check digit that is right must speak for
    it; else all of it must be in form.
    """
    elements: tuple[GS1Element, ...] = ()
    plain = _SYMBOLOGY_MARK.sub("", message)
    if plain.startswith("("):
        pieces = _BRACKETED.split(plain)
        elements = tuple(_printed_element(*pair) for pair in zip(pieces[1::2], pieces[2::2], strict=True))
        elements = elements if not pieces[0] else ()
        if elements and all(element.valid for element in elements):
            return elements
    elif GROUP_SEPARATOR in plain or plain != message:
        elements = read_elements(plain)
    return elements if elements and elements[0].valid and check(elements[0]) is Check.PASSED else ()


def parse_digital_link(text: str) -> tuple[GS1Element, ...] | None:
    """Return the element strings of a GS1 Digital Link URI, or None of any other text.

    Any domain may serve one, behind any path of its own. A key counts if its check digit, where it has one, is right;
    then one of its qualifiers may be bad. What the query says besides counts where it has an identifier's form.
    """
    text = text.strip()
    if len(text) > _MAX_LINK_CHARACTERS or not text.isascii() or any(map(str.isspace, text)):
        return None
    try:
        link = urlsplit(text)
    except ValueError:  # no address: brackets that do not match, and the like
        return None
    if link.scheme not in _LINK_SCHEMES or not link.netloc:
        return None
    steps = link.path.removesuffix("/").split("/")[1:]
    starts = range(len(steps) - 2, -1, -2)
    found = next((elements for start in starts if (elements := _linked(steps[start:]))), None)
    if found is None:
        return None
    query = (GS1Element(_identifier(name), value) for name, value in parse_qsl(link.query.replace(";", "&")))
    named = {element.identifier for element in found}
    return *found, *(element for element in query if _is_valid(element) and element.identifier not in named)


def _linked(steps: Sequence[str]) -> tuple[GS1Element, ...]:
    """Return the key and its qualifiers out of pairs of steps of a path; nothing if it is none."""
    pairs = [GS1Element(_identifier(name), unquote(value)) for name, value in zip(steps[::2], steps[1::2], strict=True)]
    key, qualifiers = pairs[0], [pair.identifier for pair in pairs[1:]]
    if key.identifier == _GTIN and len(key.value) in _GTIN_LENGTHS:
        key = GS1Element(_GTIN, key.value.zfill(_GTIN_DIGITS))
    allowed = _LINK_KEYS.get(key.identifier)
    if allowed is None or qualifiers != [each for each in allowed if each in qualifiers]:
        return ()
    if not _is_valid(key) or check(key) is Check.FAILED:
        return ()
    elements = (key, *(_element(pair.identifier, pair.value) for pair in pairs[1:]))
    # A check digit speaks for the key, whatever is wrong with what follows it.
    return elements if all(element.valid for element in elements) or check(key) is Check.PASSED else ()


def _identifier(name: str) -> str:
    return _LINK_WORDS.get(name, name)


def check(element: GS1Element) -> Check:
    """Say whether the check digit of an element string is right; NONE where its kind has none."""
    digits = element.value[: _CHECKED_DIGITS.get(element.identifier, 0)]
    if not digits:
        return Check.NONE
    right = len(digits) == _CHECKED_DIGITS[element.identifier] and digits.isdecimal()
    return Check.PASSED if right and ean.calc_check_digit(digits[:-1]) == digits[-1] else Check.FAILED


def amount(element: GS1Element) -> Decimal | None:
    """Return the number of a measure or price (310n to 369n, 390n to 395n), its decimal point set; None for others."""
    if _kind(element.identifier) != "decimal":
        return None
    shape = _format(element.identifier) or ""
    digits = element.value[3:] if shape.startswith("N3+") else element.value  # a currency code comes first
    return Decimal(int(digits)).scaleb(-int(element.identifier[-1])) if digits.isdecimal() else None


def day(element: GS1Element, today: date) -> date | None:
    """Return the date of an element string that begins with YYMMDD; day 00 is the month's last. None for others.

    The century is the one that brings the year nearest to `today` (General Specifications, 7.12).
    """
    digits = element.value[:_DATE_DIGITS]
    if _kind(element.identifier) != "date" or element.identifier.startswith("725") or not digits.isdecimal():
        return None
    year, month, in_month = (int(digits[at : at + 2]) for at in (0, 2, 4))
    year += today.year - today.year % _CENTURY_YEARS
    if year - today.year > _AHEAD_YEARS:
        year -= _CENTURY_YEARS
    elif today.year - year >= _AHEAD_YEARS:
        year += _CENTURY_YEARS
    try:
        return date(year, month, in_month) if in_month else _last_of_month(year, month)
    except ValueError:
        return None


def _last_of_month(year: int, month: int) -> date:
    after = date(year + 1, 1, 1) if month == _DECEMBER else date(year, month + 1, 1)
    return date.fromordinal(after.toordinal() - 1)


def _scanned(message: str) -> tuple[GS1Element, ...] | None:
    elements = tuple(_elements(message))
    return elements if all(element.valid for element in elements) else None


def _elements(message: str) -> Iterator[GS1Element]:
    while message:
        identifier = _leading_identifier(message) or ""
        rest = message[len(identifier) :]
        end = (rest + GROUP_SEPARATOR).index(GROUP_SEPARATOR)
        within = min(end, _length(identifier)) if identifier and _is_predefined(identifier) else end
        element = _element(identifier, rest[:within])
        if not element.valid:
            within, element = end, _element(identifier, rest[:end])
        yield element
        message = rest[within:].removeprefix(GROUP_SEPARATOR)


def _element(identifier: str, value: str) -> GS1Element:
    element = GS1Element(identifier, value)
    return element if _is_valid(element) else replace(element, valid=False)


def _printed_element(identifier: str, printed_value: str) -> GS1Element:
    """Return an element as it is printed: spaces around it, and those between groups of digits, are no part of it."""
    value, packed = printed_value.strip(" "), printed_value.replace(" ", "")
    return _element(identifier, packed if packed.isdecimal() else value)


def _is_valid(element: GS1Element) -> bool:
    shape = _format(element.identifier)
    return shape is not None and _pattern(shape).fullmatch(element.value) is not None


def _length(identifier: str) -> int:
    return int((_format(identifier) or "N0")[1:])  # predefined lengths are all of one part


def _leading_identifier(message: str) -> str | None:
    """Return the identifier that a message begins with; no identifier is the beginning of another."""
    return _identifier_of(message[:_MAX_IDENTIFIER_DIGITS])


@lru_cache(maxsize=1024)
def _identifier_of(beginning: str) -> str | None:
    identifier, properties = _table().info(beginning)[0]
    return str(identifier) if properties else None


def _format(identifier: str) -> str | None:
    return _properties(identifier).get("format")


def _kind(identifier: str) -> str | None:
    return _properties(identifier).get("type")


def _is_predefined(identifier: str) -> bool:
    return "fnc1" not in _properties(identifier)


@lru_cache(maxsize=1024)
def _properties(identifier: str) -> dict[str, str]:
    parts = _table().info(identifier)[:1]  # no part of nothing
    return next((dict(properties) for found, properties in parts if found == identifier), {})


@lru_cache(maxsize=1)
def _table() -> numdb.NumDB:
    return numdb.get("gs1_ai")


@lru_cache(maxsize=128)
def _pattern(shape: str) -> re.Pattern[str]:
    """Return what a format of the table takes, as `N3+X..27`, `N13[+N..12]` or `N6+[-]`."""
    return re.compile("".join(_part(part) for part in re.split(r"\+", shape.replace("[+", "+["))), re.ASCII)


def _part(part: str) -> str:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"GS1 format part {part!r} is unknown")
    characters, least, most = match.groups()
    counts = least or "1" if most is None else f"{least or 1},{most}"
    pattern = f"{_CHARACTERS[characters]}{{{counts}}}"
    return f"(?:{pattern})?" if part.startswith("[") else pattern
