"""Telephone numbers, in the normal form E.164.

Invariant: digits become a telephone number by a country code, by a caption, or as a line of their own in an address.
There is no check digit: a number that the country's numbering plan allows has `check: none`, any other `failed`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat

from worker.domain.fields import Check
from worker.pipeline.extract.folding import fold, phrases, skeleton

_NAMES: Final = (
    "tel", "tel.", "tel no", "telephone", "telefon", "telefonnr", "telefono", "telefoon", "telefone", "telf", "tlf",
    "tfn", "tfno", "phone", "phone no", "phone number", "ph", "ph.", "ph no", "mobile", "mobil", "mob", "mob.", "cell",
    "cel", "cellulare", "celular", "handy", "rufnummer", "contact no", "contact number", "contact tel", "call", "gsm",
    "portable", "movil", "mobiel", "puhelin", "komorka", "daytime phone", "tel/mob",
)  # fmt: skip
_CAPTION: Final = re.compile(rf"(?<![A-Z])(?:{phrases(_NAMES)})(?![A-Z])")
_SHORT_CAPTION: Final = re.compile(r"(?:^|[\s,;/|])[TMP][.:]\s*$")
_FAX: Final = re.compile(rf"(?<![A-Z])(?:{phrases(('fax', 'telefax', 'facsimile', 'fx'))})(?![A-Z])")
_INTERNATIONAL: Final = re.compile(
    r"(?:(?<![Zz][Ii][Pp])\+|(?<![0-9])00(?=\s?[1-9]))\s?(?:\(\s?)?[1-9OIl](?:[\s().\-/]{0,3}[0-9OIl]){6,14}"
)
_NATIONAL: Final = re.compile(r"(?<![0-9A-Za-z+.\-])\(?[0-9](?:[\s().\-/]{0,3}[0-9]){6,13}(?![0-9A-Za-z])")
_ALONE: Final = re.compile(
    r"\W*(?:\([0-9]{2,5}\)|0[0-9]{1,4}|[0-9]{3})[\s.\-/]{1,2}[0-9]{2,5}(?:[\s.\-/][0-9]{2,5}){1,4}\W*"
    r"|\W*[2-9][0-9]{2}[2-9][0-9]{6}\W*"
)
_AREA_CODE: Final = re.compile(r"\([2-9][0-9]{2}\)\s?[2-9][0-9]{2}[\s.\-][0-9]{4}")
_NORTH_AMERICA: Final = frozenset({"US", "CA", "PR"})
_LETTERS_AS_DIGITS: Final = str.maketrans("OIl", "011")
MIN_DIGITS: Final = 7

_CAPTIONED: Final = 0.9
_WITH_COUNTRY: Final = 0.8
_IN_ADDRESS: Final = 0.5


@dataclass(frozen=True, slots=True)
class FoundPhone:
    """A telephone number in normal form, and where in the text it stands."""

    start: int
    stop: int
    value: str
    check: Check
    evidence: float
    repaired: bool = False


@lru_cache(maxsize=4096)
def names_phone(caption: str) -> bool:
    """Whether folded text has the caption of a telephone number, and not of a fax."""
    return (_CAPTION.search(skeleton(caption)) or _SHORT_CAPTION.search(caption)) is not None and not _FAX.search(
        skeleton(caption)
    )


def phones_in(
    text: str, region: str | None, *, captioned: bool = False, in_address: bool = False
) -> Iterator[FoundPhone]:
    """Yield the telephone numbers of a text.

    `region` (ISO 3166-1) is for numbers without country code. `captioned` says that a caption beside the text names a
    telephone number, `in_address` that the text stands within an address of that region.
    """
    matches = list(_INTERNATIONAL.finditer(text))
    for match in matches:
        named = captioned or _has_caption_before(text, match.start())
        # 00 and digits without a gap may be any number.
        if match[0].isdigit() and not (named or in_address):
            continue
        if not _is_fax(text, match.start()):
            yield from _parse(text, match, None, _CAPTIONED if named else _WITH_COUNTRY, strict=not named)
    if matches:
        return
    for match in _NATIONAL.finditer(text):
        if _is_fax(text, match.start()):
            continue
        if captioned or _has_caption_before(text, match.start()):
            yield from _national(text, match, region, _CAPTIONED)
        elif (in_address and _ALONE.fullmatch(text)) or (region in _NORTH_AMERICA and _AREA_CODE.fullmatch(match[0])):
            yield from _parse(text, match, region, _IN_ADDRESS, strict=True)


def _has_caption_before(text: str, stop: int) -> bool:
    return stop > 0 and names_phone(fold(text[:stop]))


def _is_fax(text: str, stop: int) -> bool:
    return stop > 0 and _FAX.search(skeleton(fold(text[:stop]))) is not None


def _national(text: str, match: re.Match[str], region: str | None, evidence: float) -> Iterator[FoundPhone]:
    """Yield a number with a caption: one of the region, or else an international one that lost its plus sign."""
    found = list(_parse(text, match, region, evidence, strict=False)) if region else []
    if found and found[0].check is not Check.FAILED:
        yield from found
        return
    number = _number("+" + match[0], None)
    if number is not None and phonenumbers.is_valid_number(number):
        yield FoundPhone(match.start(), match.end(), _e164(number), Check.NONE, evidence)
    else:
        yield from found


def _parse(
    text: str, match: re.Match[str], region: str | None, evidence: float, *, strict: bool
) -> Iterator[FoundPhone]:
    read = text[match.start() : match.end()]
    digits = read.translate(_LETTERS_AS_DIGITS)
    number = _number(re.sub(r"^00\s?", "+", digits) if region is None else digits, region)
    if number is None or not phonenumbers.is_possible_number(number):
        return
    valid = phonenumbers.is_valid_number(number)
    if valid or not strict:
        check = Check.NONE if valid else Check.FAILED
        yield FoundPhone(match.start(), match.end(), _e164(number), check, evidence, digits != read)


@lru_cache(maxsize=512)
def _number(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def _e164(number: PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))
