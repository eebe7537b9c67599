"""Dates as labels write them, in normal form ISO 8601.

Invariant: a date that can be read in two ways is left out, unless the country it was written in settles it. A month's
name is recognised in spite of characters that look alike; digits of a day are read so only beside such a name.
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from worker.pipeline.extract.folding import fold, phrases, skeleton

# English, German, French, Spanish, Italian, Dutch, Portuguese, Polish, Swedish and their short forms, without accents.
_NAMES: Final = (
    "JAN JANUARY JANUAR JANNER JANV JANVIER ENE ENERO GEN GENNAIO JANUARI JANEIRO STYCZNIA",
    "FEB FEBRUARY FEBRUAR FEBER FEVR FEVRIER FEV FEBRERO FEBBRAIO FEBRUARI FEVEREIRO LUTEGO",
    "MAR MARCH MARZ MRZ MARS MARZO MRT MAART MARCO MARCA",
    "APR APRIL AVR AVRIL ABR ABRIL APRILE KWIETNIA",
    "MAY MAI MAYO MAG MAGGIO MEI MAIO MAJ MAJA",
    "JUN JUNE JUNI JUIN JUNIO GIU GIUGNO JUNHO CZERWCA",
    "JUL JULY JULI JUIL JUILLET JULIO LUG LUGLIO JULHO LIPCA",
    "AUG AUGUST AOUT AGO AGOSTO AUGUSTUS AUGUSTI SIERPNIA",
    "SEP SEPT SEPTEMBER SEPTEMBRE SEPTIEMBRE SET SETTEMBRE SETEMBRO WRZESNIA",
    "OCT OCTOBER OKT OKTOBER OCTOBRE OCTUBRE OTT OTTOBRE OUT OUTUBRO PAZDZIERNIKA",
    "NOV NOVEMBER NOVEMBRE NOVIEMBRE NOVEMBRO LISTOPADA",
    "DEC DECEMBER DEZ DEZEMBER DECEMBRE DIC DICIEMBRE DICEMBRE DEZEMBRO GRUDNIA",
)
_MONTHS: Final = {skeleton(name): month for month, names in enumerate(_NAMES, 1) for name in names.split()}
_BEGINNINGS: Final = re.compile("|".join(sorted({name[:3] for name in _MONTHS})))  # of months, as skeletons
_YEARS: Final = range(2000, 2060)
LEAST_DIGITS: Final = 3  # a day and two digits of the year
_CENTURY: Final = 2000
_MONTH_FIRST_COUNTRIES: Final = frozenset({"US", "PH", "PR", "GU", "FM", "MH", "PW"})
# Both orders are in use there.
_UNDECIDED_COUNTRIES: Final = frozenset({"CA"})
_MONTHS_OF_A_YEAR: Final = 12
_NAMED_EVIDENCE: Final = 0.8
_NUMERIC_EVIDENCE: Final = 0.6

_AHEAD: Final = r"(?<![0-9])(?<![0-9][.\-/])"
_BEHIND: Final = r"(?![0-9])(?![.\-/][0-9])"
_DAY: Final = r"(?P<day>[0-3OQIL|]?[0-9OQIL|])"
_YEAR: Final = r"(?P<year>20[0-9]{2}|'?[0-9]{2}(?!\s?(?::[0-9]|H[0-9]?|[AP]\.?M\.?)(?![A-Z])))"  # 10:30 is no year
_MONTH: Final = r"(?P<month>[A-Z0-9|!]{3,12}?)"
_DAY_FIRST: Final = re.compile(
    rf"(?<![0-9A-Z]){_DAY}(?:ST|ND|RD|TH)?[\s.\-/,]*(?:DE\s+)?{_MONTH}[\s.\-/,]*(?:DEL?\s+)?{_YEAR}{_BEHIND}"
)
_MONTH_FIRST: Final = re.compile(
    rf"(?<![0-9A-Z]){_MONTH}[\s.\-/]*{_DAY}(?:ST|ND|RD|TH)?[\s.,\-/]+(?P<year>20[0-9]{{2}}){_BEHIND}"
)
_YEAR_FIRST: Final = re.compile(
    rf"{_AHEAD}(?P<year>20[0-9]{{2}})(?:\s?(?P<mark>[./\-])\s?(?P<month>[01]?[0-9])\s?(?P=mark)\s?(?P<day>[0-3]?[0-9])"
    rf"|\s?年\s?(?P<moon>[01]?[0-9])\s?月\s?(?P<sun>[0-3]?[0-9])\s?日?){_BEHIND}"
)
_NUMERIC: Final = re.compile(
    rf"{_AHEAD}(?P<first>[0-3]?[0-9])\s?(?P<mark>[./\-])\s?(?P<second>[0-3]?[0-9])\s?(?P=mark)\s?"
    rf"(?P<year>20[0-9]{{2}}|[0-9]{{2}}){_BEHIND}"
)
_COMPACT: Final = re.compile(r"(?<![0-9A-Z])(20[0-9]{2})([01][0-9])([0-3][0-9])(?![0-9A-Z])")
_CAPTION_NAMES: Final = ("date", "datum", "dato", "data", "fecha", "day", "dt", "shipped", "expiry", "best before")
_CAPTION: Final = re.compile(rf"(?<![A-Z])(?:{phrases(_CAPTION_NAMES)})(?![A-Z])")
_LOOKALIKE_DIGITS: Final = str.maketrans("OQIL|", "00111")


@dataclass(frozen=True, slots=True)
class FoundDate:
    """A date and where in the text it stands. `repaired`: a digit of the day was read as the letter it looks like."""

    start: int
    stop: int
    day: dt.date
    evidence: float
    repaired: bool = False


@lru_cache(maxsize=4096)
def names_date(caption: str) -> bool:
    """Say whether folded text names a date."""
    return _CAPTION.search(skeleton(caption)) is not None


def dates_in(text: str, country: str | None, *, captioned: bool = False) -> Iterable[FoundDate]:
    """Return the dates of a text.

    `country` is the ISO 3166 code of where it was written; it decides 03/04/2025. Eight digits in a row are a date only
    behind a caption.
    """
    folded = fold(text)
    found = [*_named(folded), *_year_first(folded), *_numeric(folded, country)]
    if captioned and not found:
        found = list(_compact(folded))
    return found


def _named(folded: str) -> Iterator[FoundDate]:
    if not _BEGINNINGS.search(skeleton(folded)):
        return
    matches = list(_DAY_FIRST.finditer(folded)) or list(_MONTH_FIRST.finditer(folded))
    for match in matches:
        month = _MONTHS.get(skeleton(match["month"]))
        read = match["day"]
        digits = read.translate(_LOOKALIKE_DIGITS)
        day = _date(match["year"].strip("'"), month, digits)
        if day is not None:
            yield FoundDate(match.start(), match.end(), day, _NAMED_EVIDENCE, digits != read)


def _year_first(folded: str) -> Iterator[FoundDate]:
    for match in _YEAR_FIRST.finditer(folded) if "20" in folded else ():
        day = _date(match["year"], int(match["month"] or match["moon"]), match["day"] or match["sun"])
        if day is not None:
            yield FoundDate(match.start(), match.end(), day, _NAMED_EVIDENCE)


def _numeric(folded: str, country: str | None) -> Iterator[FoundDate]:
    for match in _NUMERIC.finditer(folded):
        # 22.7.24 may be the number of a version as well.
        if len(match["year"]) < 3 and len(match["first"]) + len(match["second"]) < 4:  # noqa: PLR2004
            continue
        first, second = int(match["first"]), int(match["second"])
        order = _order(first, second, match["mark"], country)
        if order is None:
            continue
        day = _date(match["year"], order[1], order[0])
        if day is not None:
            yield FoundDate(match.start(), match.end(), day, _NUMERIC_EVIDENCE)


def of_one_order(countries: Iterable[str]) -> str | None:
    """Return one of the countries, if all of them write day and month in the same order."""
    known = sorted(set(countries))
    orders = {(country in _MONTH_FIRST_COUNTRIES, country in _UNDECIDED_COUNTRIES) for country in known}
    return known[0] if len(orders) == 1 else None


def _order(first: int, second: int, mark: str, country: str | None) -> tuple[int, int] | None:
    """Return (day, month), or None where nobody can tell which is which."""
    if first > _MONTHS_OF_A_YEAR or first == second:
        return first, second
    if second > _MONTHS_OF_A_YEAR:
        return second, first
    # Where the month comes first it is written with strokes or dashes.
    if mark == ".":
        return first, second
    if country is None or country in _UNDECIDED_COUNTRIES:
        return None
    return (second, first) if country in _MONTH_FIRST_COUNTRIES else (first, second)


def _compact(folded: str) -> Iterator[FoundDate]:
    for match in _COMPACT.finditer(folded):
        day = _date(match[1], int(match[2]), match[3])
        if day is not None:
            yield FoundDate(match.start(), match.end(), day, _NUMERIC_EVIDENCE)


def _date(year: str, month: int | None, day: str | int) -> dt.date | None:
    if month is None:
        return None
    full_year = int(year) if len(year) > 2 else _CENTURY + int(year)  # noqa: PLR2004 - two digits of a year
    if full_year not in _YEARS:
        return None
    try:
        return dt.date(full_year, month, int(day))
    except ValueError:  # there is no such day
        return None
