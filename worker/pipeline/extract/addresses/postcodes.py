"""Postcodes by the country they belong to, in the spelling of that country.

Invariant: digits alone are no postcode. They become one by the country, by a shape that only one country has, or by the
name of a town beside them in an address. A letter is read as the digit it looks like only where the shape allows
nothing else, and the result then says `repaired`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from worker.pipeline.extract.addresses.countries import US_STATES, country_named
from worker.pipeline.extract.folding import phrases, skeleton


class _At(Enum):
    """Where in its line a postcode stands."""

    START = auto()  # 75001 Paris
    END = auto()  # Leeds LS1 4AB
    ANY = auto()


@dataclass(frozen=True, slots=True)
class _Format:
    """How a country writes postcodes, and where: in templates 9 is a digit, A a letter and X either."""

    templates: tuple[str, ...]
    at: _At


_FIVE_START: Final = _Format(("99999",), _At.START)
_FOUR_START: Final = _Format(("9999",), _At.START)
_FIVE_ANY: Final = _Format(("99999",), _At.ANY)
_SIX_ANY: Final = _Format(("999999",), _At.ANY)
_SPACED: Final = _Format(("999 99",), _At.START)
_FORMATS: Final = {
    "AR": _Format(("A9999AAA", "9999"), _At.ANY),
    "AT": _FOUR_START,
    "AU": _Format(("9999",), _At.END),
    "BE": _FOUR_START,
    "BG": _FOUR_START,
    "BR": _Format(("99999-999",), _At.ANY),
    "CA": _Format(("A9A 9A9",), _At.ANY),
    "CH": _FOUR_START,
    "CN": _SIX_ANY,
    "CY": _FOUR_START,
    "CZ": _SPACED,
    "DE": _FIVE_START,
    "DK": _FOUR_START,
    "EE": _FIVE_START,
    "ES": _FIVE_START,
    "FI": _FIVE_START,
    "FR": _FIVE_START,
    "GB": _Format(("AA99 9AA", "AA9A 9AA", "AA9 9AA", "A99 9AA", "A9A 9AA", "A9 9AA"), _At.ANY),
    "GR": _SPACED,
    "HR": _FIVE_START,
    "HU": _FOUR_START,
    "ID": _FIVE_ANY,
    "IE": _Format(("A99 XXXX", "A9A XXXX"), _At.ANY),
    "IL": _Format(("9999999",), _At.ANY),
    "IN": _Format(("999999", "999 999"), _At.ANY),
    "IT": _FIVE_START,
    "JP": _Format(("999-9999",), _At.ANY),
    "KR": _FIVE_ANY,
    "LT": _FIVE_START,
    "LU": _FOUR_START,
    "LV": _FOUR_START,
    "MA": _FIVE_START,
    "MX": _FIVE_ANY,
    "MY": _FIVE_START,
    "NL": _Format(("9999 AA",), _At.START),
    "NO": _FOUR_START,
    "NZ": _Format(("9999",), _At.END),
    "PH": _FOUR_START,
    "PL": _Format(("99-999",), _At.START),
    "PT": _Format(("9999-999",), _At.START),
    "RO": _SIX_ANY,
    "RS": _FIVE_START,
    "RU": _SIX_ANY,
    "SA": _FIVE_ANY,
    "SE": _SPACED,
    "SG": _SIX_ANY,
    "SI": _FOUR_START,
    "SK": _SPACED,
    "TH": _FIVE_ANY,
    "TR": _FIVE_START,
    "TW": _Format(("99999", "999999"), _At.ANY),
    "UA": _FIVE_ANY,
    "US": _Format(("99999-9999", "99999"), _At.END),
    "VN": _SIX_ANY,
    "ZA": _Format(("9999",), _At.END),
}
_CLASSES: Final = {"9": "[0-9OQIL|SBZ]", "A": "[A-Z01528]", "X": "[A-Z0-9]", " ": r"[\s.\-]?", "-": r"\s?-?\s?"}
_STRICT_CLASSES: Final = {"9": "[0-9]", "A": "[A-Z]", "X": "[A-Z0-9]", " ": r"[\s.\-]?", "-": "-"}
_GB_AREAS: Final = {
    1: "[BEGLMNSW]",
    2: "AB|AL|B[ABDHLNRST]|C[ABFHMORTVW]|D[ADEGHLNTY]|E[CHNX]|F[KY]|G[LUY]|H[ADGPRSUX]|I[GMPV]|JE|K[ATWY]|L[ADELNSU]|"
    "M[EKL]|N[EGNPRW]|O[LX]|P[AEHLOR]|R[GHM]|S[AEGKLMNOPRSTWY]|T[ADFNQRSW]|UB|W[ACDFNRSV]|YO|ZE",
}
_RIGHT: Final[dict[str, dict[int, int]]] = {
    "9": str.maketrans("OQIL|SBZ", "00111582"),
    "A": str.maketrans("01528", "OISZB"),
    "X": {},
}
_MAX_MISREAD: Final = 2
_STATE: Final = "|".join(sorted({skeleton(state) for state in US_STATES.split()}))
_STATE_ENDS: Final = re.compile(rf"(?:^|[^A-Z0-9])(?:{_STATE})[\s.,]*$")
_AUSTRALIAN: Final = re.compile(
    rf"(?:^|[^A-Z0-9])(?:{phrases(('NSW', 'VIC', 'QLD', 'SA', 'WA', 'TAS', 'ACT'))})[\s.,]*$"
)
_PREFIX: Final = (
    r"(?:(?P<country>DE|FR|IT|ES|AT|BE|CH|LU|DK|SE|NO|FI|PL|CZ|HU|PT|NL|D|F|I|E|A|B|L|S|N|P|H|FIN)\s?-\s?)?"
)
_BY_PREFIX: Final = {
    "D": "DE", "F": "FR", "I": "IT", "E": "ES", "A": "AT", "B": "BE", "L": "LU", "S": "SE", "N": "NO", "P": "PT",
    "H": "HU", "FIN": "FI",
}  # fmt: skip
_POSTAL_NAMES: Final = phrases(
    ("zip", "zip code", "zip+4", "postcode", "postal code", "post code", "plz", "postleitzahl", "code postal",
     "codigo postal", "cap", "c.p.", "cp", "kod pocztowy", "postnummer", "postnr", "eircode", "pin code")
)  # fmt: skip
_POSTAL_WORD: Final = re.compile(rf"(?<![A-Z])(?:{_POSTAL_NAMES})\W*$")
_POSTAL_CAPTION: Final = re.compile(
    rf"\W*(?:(?:SHIP|DEST)\w*\W{{0,2}}(?:TO)?\W{{0,2}})?(?:{_POSTAL_NAMES})(?![A-Z])(?:\s?/\s?[A-Z]{{3,8}})?[\s:.#]*"
)
# Digits that are a postcode behind a caption; captions of two or three letters mean other things as well.
_BARE_CODE: Final = re.compile(r"\W*(?P<code>[0-9]{5,6}|[0-9]{5}-[0-9]{4}|[0-9]{3} [0-9]{2,3}|[0-9]{2}-[0-9]{3})\W*")
_SHORT_NAMES: Final = re.compile(r"\W*C\W?(?:A\W?)?P\W*")
_DIGIT: Final = re.compile(r"\d")
_TOWN: Final = re.compile(r"[A-Z]{2,}")

_WITH_PREFIX: Final = re.compile(rf"(?:^|,)\s*{_PREFIX}(?P<code>[0-9]{{4,5}}|[0-9]{{3}} [0-9]{{2}})(?=\s|,|$)")
_STREET: Final = re.compile(
    r"\b(?:ST|STREET|RD|ROAD|AVE|AVENUE|BLVD|BOULEVARD|DR|DRIVE|LN|LANE|WAY|CT|COURT|PKWY|PARKWAY|HWY|HIGHWAY|LOOP|CIR|"
    r"CROSSING|TER|TERRACE|SQ|SQUARE|TRAIL|TRL|PIKE|RUN)\b"
)
_LONG: Final = 5  # four digits before a word may be a year or another number
# Shapes that tell the country, in this order.
_TELLING: Final = (
    ("CA", "A9A 9A9"),
    ("NL", "9999 AA"),
    ("GB", "AA99 9AA"),
    ("GB", "AA9A 9AA"),
    ("GB", "AA9 9AA"),
    ("GB", "A99 9AA"),
    ("GB", "A9A 9AA"),
    ("GB", "A9 9AA"),
    ("US", "99999-9999"),
    ("US", "99999"),
    ("AU", "9999"),
    ("PL", "99-999"),
    ("PT", "9999-999"),
    ("JP", "999-9999"),
    ("BR", "99999-999"),
)


@dataclass(frozen=True, slots=True)
class FoundPostcode:
    """A postcode, its country, and which of the lines it stands in. `repaired`: a look-alike was replaced."""

    line: int
    start: int
    stop: int
    value: str
    country: str | None
    repaired: bool


@lru_cache(maxsize=4096)
def names_postcode(caption: str) -> bool:
    """Whether folded text is the caption of a postcode."""
    return _POSTAL_CAPTION.fullmatch(skeleton(caption)) is not None


@lru_cache(maxsize=4096)
def postal_caption_end(folded: str) -> int:
    """Return where a postcode's caption at the start of folded text ends, 0 if there is none."""
    match = _POSTAL_CAPTION.match(skeleton(folded))
    return match.end() if match else 0


def captioned_code_in(folded: str, caption: str) -> FoundPostcode | None:
    """Return digits that are a postcode because of their caption, of whatever country."""
    match = None if _SHORT_NAMES.fullmatch(caption) else _BARE_CODE.fullmatch(folded)
    return FoundPostcode(0, *match.span("code"), match["code"], None, repaired=False) if match else None


def postcode_in(lines: Sequence[str], country: str | None) -> FoundPostcode | None:
    """Return the postcode of an address, given its folded lines from top to bottom and its country if it names one.

    The last line that holds one counts: house numbers stand above it.
    """
    for misread in range(_MAX_MISREAD + 1 if country else 1):
        for number in reversed(range(len(lines))):
            fitting = [found for found in _in_line(lines[number], country) if found[3] == misread]
            if fitting:
                start, stop, value, changed, home = fitting[-1]
                return FoundPostcode(number, start, stop, value, home, changed > 0)
    return _without_gap(lines, country) if country else None


def _without_gap(lines: Sequence[str], country: str) -> FoundPostcode | None:
    """Return a postcode that was read without the gap to its town: 80997MUNCHEN, LEEDSLS184AB."""
    format_ = _FORMATS.get(country)
    for number in reversed(range(len(lines))):
        for template in format_.templates if format_ else ():
            match = _pattern_without_gap(country, template).search(lines[number])
            if match is not None:
                start, stop = match.span("code")
                return FoundPostcode(number, start, stop, _spelled(match["code"], template)[0], country, repaired=False)
    return None


_Match = tuple[int, int, str, int, str | None]


def _in_line(folded: str, country: str | None) -> Iterator[_Match]:
    """Yield (start, stop, value, misread characters, country)."""
    if not _DIGIT.search(folded):
        return
    if country is not None:
        format_ = _FORMATS.get(country)
        for template in format_.templates if format_ else ():
            yield from ((*match, country) for match in _matches(folded, template, country, sure=True))
        return
    for telling, template in _TELLING if _any_telling_pattern().search(folded) else ():
        found = [match for match in _matches(folded, template, telling, sure=False) if not match[3]]
        if found:
            yield from ((*match, telling) for match in found)
            return
    yield from _before_town(folded)


def _before_town(folded: str) -> Iterator[_Match]:
    """Yield digits at the start or behind a comma that have a country's letters before them, or five before a town."""
    match = next(iter(reversed(list(_WITH_PREFIX.finditer(folded)))), None)
    if match is None or _STREET.search(folded, match.end()):
        return
    letters, code = match["country"], match["code"]
    digits = re.sub(" ", "", code)
    if letters:
        home = _BY_PREFIX.get(letters, letters)
        template = _FORMATS[home].templates[0]
        fits = sum(map(str.isalnum, template)) == len(digits)
        yield match.start("code"), match.end("code"), _spelled(digits, template)[0] if fits else code, 0, home
    elif len(digits) == _LONG and _TOWN.match(folded, match.end() + 1):
        yield match.start("code"), match.end("code"), code, 0, None


@lru_cache(maxsize=1)
def _any_telling_pattern() -> re.Pattern[str]:
    return _pattern(*sorted({template for _, template in _TELLING}))


@lru_cache(maxsize=256)
def _pattern(*templates: str) -> re.Pattern[str]:
    inner = "|".join("".join(_CLASSES[mark] for mark in template) for template in templates)
    return re.compile(rf"(?<![A-Z0-9])(?<![0-9]-)(?:{inner})(?![A-Z0-9])(?!-[0-9])")


@lru_cache(maxsize=256)
def _pattern_without_gap(country: str, template: str) -> re.Pattern[str]:
    inner = "".join(_STRICT_CLASSES[mark] for mark in template)
    if country == "GB":
        # LS18 4AB and S18 4AB are both postcodes: the area is the longest one that there is.
        area = "AA" if template.startswith("AA") else "A"
        inner = f"(?:{_GB_AREAS[len(area)]}){inner.removeprefix(_STRICT_CLASSES['A'] * len(area))}"
    if _FORMATS[country].at is _At.START:
        return re.compile(rf"^\W*(?:[A-Z]{{1,3}}-)?(?P<code>{inner})(?=[A-Z])")
    return re.compile(rf"(?<=[A-Z])(?P<code>{inner})\W*$")


def _matches(folded: str, template: str, country: str, *, sure: bool) -> Iterator[tuple[int, int, str, int]]:
    for match in _pattern(template).finditer(folded):
        before, behind = folded[: match.start()], folded[match.end() :]
        if _is_in_position(country, before, behind, sure=sure) and (sure or "-" not in template or "-" in match[0]):
            value, changed = _spelled(match[0], template)
            yield match.start(), match.end(), value, changed


def _is_in_position(country: str, before: str, behind: str, *, sure: bool) -> bool:
    at = _FORMATS[country].at
    if at is _At.START:
        return _stands_at_start(before, behind, sure=sure)
    return _stands_at_end(before, behind, country, sure=sure) if at is _At.END else sure or not behind.strip(" ,.-")


def _stands_at_end(before: str, behind: str, country: str, *, sure: bool) -> bool:
    """Whether nothing but the country follows and a town goes before; a state, where the country is not known."""
    if any(map(str.isdigit, behind)) or (_TOWN.search(behind) and country_named(behind) is None):
        return False
    states = _AUSTRALIAN if country == "AU" else _STATE_ENDS
    if states.search(skeleton(before)) or _POSTAL_WORD.search(skeleton(before)):
        return True
    return sure and (not before.strip() or _TOWN.search(before) is not None)


def _stands_at_start(before: str, behind: str, *, sure: bool) -> bool:
    """Whether at most the country's letters go before, from the start of the line or from a comma."""
    last = before.rsplit(",", 1)[-1].strip(" -.")
    if len(last) > 3 or any(map(str.isdigit, last)):  # noqa: PLR2004 - FIN
        behind_town = sure and not behind.strip(" ,.") and before[-1:] == " "
        return behind_town or _POSTAL_WORD.search(skeleton(before)) is not None
    return sure or _TOWN.match(behind.lstrip(" ,.")) is not None


def _spelled(read: str, template: str) -> tuple[str, int]:
    """Return the postcode as its country spells it, and how many characters were replaced."""
    characters = iter(re.sub(r"[\s.\-]", "", read))
    value: list[str] = []
    changed = 0
    for mark in template:
        if mark in " -":
            value.append(mark)
            continue
        character = next(characters)
        right = character.translate(_RIGHT[mark])
        changed += right != character
        value.append(right)
    return "".join(value), changed
