"""GS1 element strings: what scanners send as `0034…<GS>10AB`, and what labels print as `(00)34…(10)AB`.

The rules are those of the GS1 General Specifications, section 7.8 (FNC1 ends what has no predefined length) and 7.9
(check digits); the table of application identifiers is python-stdnum's, taken from ref.gs1.org/ai. Invariant: a text is
parsed whole or not at all, and no value is ever altered: a wrong check digit is told by `check`, not corrected.
"""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final

from stdnum import ean, numdb

from worker.domain.barcode import Element
from worker.domain.fields import Check

GROUP_SEPARATOR: Final = "\x1d"

_BRACKETED: Final = re.compile(r"\(([0-9]{2,4})\)")
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
_CENTURY_YEARS: Final = 100
_AHEAD_YEARS: Final = 50
_DATE_DIGITS: Final = 6
_DECEMBER: Final = 12


def parse_elements(text: str) -> tuple[Element, ...] | None:
    """Return the element strings of GS1 data, or None if the text is not GS1 data from end to end.

    Takes what a scanner sends, with `GROUP_SEPARATOR` for FNC1, and what is printed, with each identifier in
    parentheses and spaces anywhere.
    """
    packed = text.replace(" ", "")
    if packed.startswith("("):
        return _bracketed(packed) or None
    return _scanned(text.removeprefix(GROUP_SEPARATOR)) or None


def compose(elements: Iterable[Element]) -> str:
    """Return what a scanner sends for these element strings."""
    message = ""
    for element in elements:
        message += element.identifier + element.value
        if not _is_predefined(element.identifier):
            message += GROUP_SEPARATOR
    return message.removesuffix(GROUP_SEPARATOR)


def printed(elements: Iterable[Element]) -> str:
    """Return what a label prints for these element strings."""
    return "".join(f"({element.identifier}){element.value}" for element in elements)


def check(element: Element) -> Check:
    """Say whether the check digit of an element string is right; NONE where its kind has none."""
    digits = element.value[: _CHECKED_DIGITS.get(element.identifier, 0)]
    if not digits:
        return Check.NONE
    right = len(digits) == _CHECKED_DIGITS[element.identifier] and digits.isdecimal()
    return Check.PASSED if right and ean.calc_check_digit(digits[:-1]) == digits[-1] else Check.FAILED


def amount(element: Element) -> Decimal | None:
    """Return the number of a measure or price (310n to 369n, 390n to 395n), its decimal point set; None for others."""
    if _kind(element.identifier) != "decimal":
        return None
    shape = _format(element.identifier) or ""
    digits = element.value[3:] if shape.startswith("N3+") else element.value  # a currency code comes first
    return Decimal(int(digits)).scaleb(-int(element.identifier[-1])) if digits.isdecimal() else None


def day(element: Element, today: date) -> date | None:
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


def _bracketed(text: str) -> tuple[Element, ...] | None:
    pieces = _BRACKETED.split(text)
    elements = tuple(Element(*pair) for pair in zip(pieces[1::2], pieces[2::2], strict=True))
    return elements if not pieces[0] and all(map(_is_valid, elements)) else None


def _scanned(message: str) -> tuple[Element, ...] | None:
    elements = []
    while message:
        identifier = _leading_identifier(message)
        if identifier is None:
            return None
        rest = message[len(identifier) :]
        end = _length(identifier) if _is_predefined(identifier) else (rest + GROUP_SEPARATOR).index(GROUP_SEPARATOR)
        element = Element(identifier, rest[:end])
        if not _is_valid(element):
            return None
        elements.append(element)
        message = rest[end:].removeprefix(GROUP_SEPARATOR)
    return tuple(elements)


def _is_valid(element: Element) -> bool:
    shape = _format(element.identifier)
    return shape is not None and _pattern(shape).fullmatch(element.value) is not None


def _length(identifier: str) -> int:
    return int((_format(identifier) or "N0")[1:])  # predefined lengths are all of one part


def _leading_identifier(message: str) -> str | None:
    """Return the identifier that a message begins with; no identifier is the beginning of another."""
    identifier, properties = _table().info(message[:4])[0]
    return str(identifier) if properties else None


def _format(identifier: str) -> str | None:
    return _properties(identifier).get("format")


def _kind(identifier: str) -> str | None:
    return _properties(identifier).get("type")


def _is_predefined(identifier: str) -> bool:
    return "fnc1" not in _properties(identifier)


@lru_cache(maxsize=1024)
def _properties(identifier: str) -> dict[str, str]:
    found, properties = _table().info(identifier)[0]
    return dict(properties) if found == identifier else {}


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
