"""Dates as labels write them, in normal form ISO 8601.

Invariant: a date that can be read in two ways is left out, unless the country it was written in decides. Look-alike
characters are accepted in the name of a month, and in a day beside such a name. Two digits are a year only where they
cannot be a quantity, an hour or the other end of a range. Ranges are looked for first: what a range covers is no part
of another date.
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
MIN_DIGITS: Final = 3  # a day and two digits of the year
_CENTURY: Final = 2000
_MONTH_FIRST_COUNTRIES: Final = frozenset({"US", "PH", "PR", "GU", "FM", "MH", "PW"})
# Both orders are in use there.
_UNDECIDED_COUNTRIES: Final = frozenset({"CA"})
_MONTHS_OF_A_YEAR: Final = 12
_NAMED_EVIDENCE: Final = 0.8
_NUMERIC_EVIDENCE: Final = 0.6

_AHEAD: Final = r"(?<![0-9])(?<![0-9][.\-/])"
_BEHIND: Final = r"(?![0-9])(?![.\-/][0-9])"
# Units of what is counted or measured: 12 MAR 10 PCS is no day of 2010.
_COUNTED: Final = re.findall(
    r"\S+",
    "PCS? PIECES? PCE PKGS? PACKAGES? PKTS? PACKETS? PACKS? PARCELS? CTNS? CARTONS? CTS BOX(?:ES)? CASES? CS CRATES? "
    "PALS? PALLETS? PLTS? SKIDS? BAGS? ROLLS? DRUMS? UNITS? EA EACH SETS? PAIRS? PRS ITEMS? DOZ(?:EN)? LINES? LABELS? "
    "BUNDLES? BDLS? STK STCK STUCK STUECK KARTONS? KOLLI? COLLI? COLLO PAKETE? PALETTEN? PALETTES? SACKE? ROLLEN? "
    "TOTES? TRAYS? REELS? COILS? BALES? TINS? CANS? JARS? BTLS? BOTTLES? SHEETS? RLS PLS HANGERS? GARMENTS? "
    "PKS? GALS? LF HUS? TUS? VE EPAL MTRS? SQFT SQM YD BX RL DZ LPNS? CRTS? LOADS? "
    "IBCS? CYLS? DOSEN? KISTEN? EINHEITEN? COLIS UNITES? SACS? CAISSES? PIEZAS? UNIDADES UDS? CAJAS? BULTOS? "
    "PALES? PALETS? PEZZI PZ SCATOLE BANCALI STUKS? ST ZAKKEN SZT PACZEK "
    "KARTONOW KGS? KILOS? LBS? POUNDS? G GR OZ T TONS? TONNES? MT CM MM "
    "M M2 M3 CBM CFT FT IN INCH(?:ES)? L LTRS? LITERS? LITRES? ML EUR USD GBP CHF JPY PLN SEK DAYS? TAGE? JOURS? DIAS? "
    "GIORNI DAGEN HRS? HOURS? STD STUNDEN UHR MINS? WEEKS? WKS? WOCHEN",
)
_UNIT: Final = rf"(?:(?:{'|'.join(sorted(set(_COUNTED), key=len, reverse=True))})(?![A-Z0-9])|[%\u00b0\u20ac$\u00a3])"
_OF: Final = r"(?:OF|VON|DE|DI|VAN|X|\u00d7|/)\s?[0-9]"  # 1 of 12, 10 x 20
# What else may be counted: a word in the plural that is no caption and no carrier.
_PLURAL: Final = r"(?!(?:[A-Z]?U?PS|U?SPS|GLS|PLUS|EXPRESS|BUSINESS|SHIPS)(?![A-Z]))[A-Z]{2,}S(?![A-Z0-9])(?!\s?[:.#])"
# A caption behind a year may be such a word too: 14MAR25 PCS: 3, 14 MAR 2025 KG 12.4.
_NO_QUANTITY: Final = rf"(?!\s?{_UNIT}(?!\s?:))(?!\s?{_OF})"
_NO_LONG_QUANTITY: Final = rf"(?!\s?{_UNIT}(?!\s?[:.]?\s?[0-9]))"
# QTY 10 MAR 2025: the ten are counted, where the unit does not belong to a number of its own.
_COUNT_AHEAD: Final = re.compile(
    rf"(?<![A-Z0-9])(?<![0-9]\s)(?:(?:QTY|QUANTITY|COUNT|MENGE|ANZAHL|CANT|QTE)(?![A-Z])|(?!T\W|ST\W|M\W|G\W|DAYS?|IN\W){_UNIT})\W{{0,3}}$"
    rf"|[0-9]\s?(?:OF|VON|DE|DI|VAN|X|\u00d7)\s?$"
)
_NO_SIZE: Final = r"(?!\s?(?:CM|MM|M|IN|INCH(?:ES)?|FT|KGS?|LBS?|\")(?![A-Z0-9]))"
_DAY: Final = r"(?P<day>[0-3OQIL|]?[0-9OQIL|])"
_NO_HOUR: Final = r"(?!\s?(?::[0-9]|H[0-9]?|[AP]\.?M\.?)(?![A-Z]))"  # 10:30 is no year
_NO_PLURAL: Final = rf"(?!(?<=\s..)\s(?:{_PLURAL}|C/[ST]))"  # where the year stands apart
_SHORT_YEAR: Final = rf"'?[0-9]{{2}}{_NO_HOUR}(?!,[0-9]){_NO_QUANTITY}{_NO_PLURAL}"
_LONG_YEAR: Final = rf"20[0-9]{{2}}(?![0-9]){_NO_LONG_QUANTITY}"
_YEAR: Final = rf"(?P<year>{_LONG_YEAR}|{_SHORT_YEAR}(?!\s?-\s?[0-9]))"  # 10 - 12 are hours
_ALIKE: Final = {"O": "[O0Q]", "I": "[I1L|!]", "S": "[S5]", "B": "[B8]", "G": "[G6]", "Z": "[Z2]"}
_ANY_MONTH: Final = "|".join(
    "".join(_ALIKE.get(letter, letter) for letter in name)
    for name in sorted(_MONTHS, key=lambda name: (-len(name), name))
)
_MONTH: Final = rf"(?P<month>{_ANY_MONTH})"
_ORDINAL: Final = "(?:ST|ND|RD|TH)?"
# Before a day and behind a year: a month that one of them belongs to. MAR is Tuesday, too: mar 12 août 25.
_OTHERS_DAY: Final = re.compile(rf"(?<![A-Z0-9])(?!MAR(?![A-Z])){_MONTH}[\s.\-/,]*$|[0-9]/$")
_OTHERS_MONTH: Final = re.compile(rf"\s*{_MONTH}(?![A-Z])")
_DAY_FIRST: Final = re.compile(
    rf"(?<![0-9A-Z]){_DAY}{_ORDINAL}(?P<between>[\s.\-/,]*)(?:DE\s+)?{_MONTH}(?P<behind>[\s.\-/,]*)(?:DEL?\s+)?"
    rf"{_YEAR}{_BEHIND}"
)
_MONTH_FIRST: Final = re.compile(
    rf"(?<![0-9A-Z]){_MONTH}[\s.\-/]*{_DAY}{_ORDINAL}[\s.,\-/]+(?P<year>{_LONG_YEAR}){_BEHIND}"
)
_YEAR_FIRST: Final = re.compile(
    rf"{_AHEAD}(?P<year>20[0-9]{{2}})(?:\s?(?P<mark>[./\-])\s?(?P<month>[01]?[0-9])\s?(?P=mark)\s?(?P<day>[0-3]?[0-9])"
    rf"|\s?年\s?(?P<moon>[01]?[0-9])\s?月\s?(?P<sun>[0-3]?[0-9])\s?日?){_BEHIND}"
)
_NUMERIC: Final = re.compile(
    rf"{_AHEAD}(?P<first>[0-3]?[0-9])\s?(?P<mark>[./\-])\s?(?P<second>[0-3]?[0-9])\s?(?P=mark)\s?"
    rf"(?P<year>20[0-9]{{2}}|(?<!\s)[0-9]{{2}}{_NO_HOUR}|(?<=\s)[0-9]{{2}}{_NO_HOUR}{_NO_QUANTITY}){_NO_SIZE}{_BEHIND}"
)

# Ranges: from one day to another, whose month or year may be said once. `_TO` stands between the two.
_TO: Final = (
    r"(?:\s*[\-~]+\s*|\s+(?:TO|THRU|THROUGH|UNTIL|TILL?|BIS(?:\s+ZUM)?|AU|AL|A|TOT(?:\s+EN\s+MET)?|T/M|DO|ATE|AND|UND|ET|Y|E"
    r"|EN|OCH|OG|I|&|\+)\s+)"
    r"(?:(?:MON|TUE|WED|THU|FRI|SAT|SUN|MO|DI|MI|DO|FR|SA|SO|LUN|MAR|MER|JEU|VEN|SAM|DIM)[A-Z]{0,6}[.,]?\s*)?"
)
_TO_OR_STROKE: Final = rf"(?:{_TO}|\s*/\s*)"
_GAP: Final = r"[\s.\-/]*"
_GAP_DE: Final = rf"{_GAP}(?:DE\s+)?"
_ENDS: Final = r"(?![0-9A-Z])(?![.\-/][0-9])"


def _a_day(which: str) -> str:
    return rf"(?P<day{which}>[0-3]?[0-9]){_ORDINAL}"


def _a_number(name: str) -> str:
    return rf"(?P<{name}>[0-3]?[0-9])"


def _a_month(which: str) -> str:
    return rf"(?P<month{which}>{_ANY_MONTH})"


def _a_year(which: str, *, short: bool) -> str:
    """Return what may stand behind a day and a month: a year, or none."""
    year = rf"{_LONG_YEAR}|{_SHORT_YEAR}" if short else _LONG_YEAR
    return rf"(?:[\s.,\-/]*(?:DEL?\s+)?(?P<year{which}>{year})(?![0-9]))?"


_NAMED_RANGES: Final = tuple(
    re.compile(rf"(?<![0-9A-Z])(?<![0-9][.\-/]){shape}{_ENDS}")
    for shape in (
        # MAR 12 - MAR 15, 2025
        _a_month("1") + _GAP + _a_day("1") + _a_year("1", short=False) + _TO_OR_STROKE
        + _a_month("2") + _GAP + _a_day("2") + _a_year("2", short=False),
        # 12 MAR - 15 MAR 2025
        _a_day("1") + _GAP_DE + _a_month("1") + _a_year("1", short=True) + _TO_OR_STROKE
        + _a_day("2") + _GAP_DE + _a_month("2") + _a_year("2", short=True),
        # 12 - 15 MAR 2025
        _a_day("1") + r"\.?" + _TO + _a_day("2") + _GAP_DE + _a_month("2") + _a_year("2", short=True),
        # MAR 12 - 15, 2025
        _a_month("1") + _GAP + _a_day("1") + _TO + _a_day("2") + r"(?![0-9:])" + _a_year("2", short=False),
    )
)  # fmt: skip
_SHORT_OR_LONG: Final = "20[0-9]{2}|[0-9]{2}"
_TWICE_IN_FULL: Final = (
    rf"{_a_number('first1')}(?P<mark>[./\-]){_a_number('second1')}(?:(?P=mark)(?P<year1>{_SHORT_OR_LONG})?)?(?![0-9])"
    rf"{_TO_OR_STROKE}{_a_number('first2')}(?P=mark){_a_number('second2')}(?P=mark)(?P<year2>{_SHORT_OR_LONG})"
)
_DAYS_OF_A_MONTH: Final = (
    rf"{_a_number('first1')}\.?{_TO}{_a_number('first2')}(?P<mark>[./]){_a_number('second2')}(?P=mark)"
    rf"(?P<year2>{_SHORT_OR_LONG})"
)
_DAYS_BEHIND_A_MONTH: Final = (
    rf"{_a_number('first1')}(?P<mark>/){_a_number('second1')}\s?-\s?{_a_number('second2')}/(?P<year2>20[0-9]{{2}})"
)
# 12/03 - 15/03/2025 or 12/03/2025-15/03/2025; 12. - 15.03.2025; 03/12-15/2025
_NUMERIC_RANGES: Final = tuple(
    re.compile(rf"{_AHEAD}{shape}{_NO_SIZE}{_BEHIND}")
    for shape in (_TWICE_IN_FULL, _DAYS_OF_A_MONTH, _DAYS_BEHIND_A_MONTH)
)
# 2025-03-12 - 03-15, 2025-03-12/2025-03-15
_YEAR_FIRST_RANGE: Final = re.compile(
    rf"{_AHEAD}(?P<year1>20[0-9]{{2}})(?P<mark>[./\-])(?P<month1>[01]?[0-9])(?P=mark)(?P<day1>[0-3]?[0-9])"
    rf"(?:{_TO}|\s*/\s*)"
    rf"(?:(?P<year2>20[0-9]{{2}})(?P=mark))?(?P<month2>[01]?[0-9])(?P=mark)(?P<day2>[0-3]?[0-9]){_BEHIND}"
)
# REG #19 - 18/01/2018: no range begins with what is the number of something.
_NUMBERED: Final = re.compile(
    r"(?:(?:[#\u2116]|(?<![A-Z])(?:N[OR]S?[.:]?|NUM(?:BER|MER|ERO)?[.:]?|N[.\u00b0\u00ba]))\s?|[A-Z])$"
)
_LATE_MONTHS: Final = range(10, 13)
_EARLY_MONTHS: Final = range(1, 4)
_COMPACT: Final = re.compile(r"(?<![0-9A-Z])(20[0-9]{2})([01][0-9])([0-3][0-9])(?![0-9A-Z])")
_CAPTION_NAMES: Final = ("date", "datum", "dato", "data", "fecha", "day", "dt", "shipped", "expiry", "best before")
_CAPTION: Final = re.compile(rf"(?<![A-Z])(?:{phrases(_CAPTION_NAMES)})(?![A-Z])")
_LOOKALIKE_DIGITS: Final = str.maketrans("OQIL|", "00111")


@dataclass(frozen=True, slots=True)
class FoundDate:
    """A date and where in the text it stands. `repaired`: the day had a letter that looks like a digit."""

    start: int
    stop: int
    day: dt.date
    evidence: float
    repaired: bool = False


@lru_cache(maxsize=4096)
def names_date(caption: str) -> bool:
    """Whether folded text has the caption of a date."""
    return _CAPTION.search(skeleton(caption)) is not None


def dates_in(text: str, country: str | None, *, captioned: bool = False) -> Iterable[FoundDate]:
    """Return the dates of a text.

    `country` is the ISO 3166 code of where it was written; it decides 03/04/2025. Eight digits in a row are a date only
    behind a caption.
    """
    folded = fold(text)
    found: list[FoundDate] = []
    covered: list[tuple[int, int]] = []
    for start, stop, days in _ranges(folded, country):
        covered.append((start, stop))
        found += days
    single = [*_with_month_name(folded), *_year_first(folded), *_numeric(folded, country)]
    found += [date for date in single if all(date.stop <= start or stop <= date.start for start, stop in covered)]
    if captioned and not found:
        found = list(_compact(folded))
    return sorted(found, key=lambda date: date.start)


_Stretch = tuple[int, int, list[FoundDate]]


def _ranges(folded: str, country: str | None) -> Iterator[_Stretch]:
    """Yield what each range covers, and its two days; no days where a year is missing or the order is not known."""
    stop = 0
    while True:
        found = [match for pattern in _possible_ranges(folded) if (match := pattern.search(folded, stop))]
        if not found:
            return
        match = min(found, key=lambda match: (match.start(), -match.end()))
        if _NUMBERED.search(folded, 0, match.start()):
            stop = match.start() + 1
            continue
        days = _numeric_range_days(match, country) if match.re in _NUMERIC_RANGES else _range_days(match)
        if days is not None:
            yield match.start(), match.end(), days
        stop = match.end() if days is not None else match.start() + 1


def _possible_ranges(folded: str) -> Iterator[re.Pattern[str]]:
    """Yield the patterns of ranges that a text may match: cheaper than to try them all."""
    if _BEGINNINGS.search(skeleton(folded)):
        yield from _NAMED_RANGES
    if sum(map(folded.count, "./-")) > 1:
        yield from _NUMERIC_RANGES
        yield _YEAR_FIRST_RANGE


def _range_days(match: re.Match[str]) -> list[FoundDate] | None:
    """Return the two days of a range with the name of a month, or of one that begins with the year."""
    parts = match.groupdict()
    first, last = parts.get("month1"), parts.get("month2")
    one, other = first or last or "", last or first or ""
    months = [int(month) if month.isdecimal() else _MONTHS[skeleton(month)] for month in (one, other)]
    return _both_days(match, (months[0], int(parts["day1"])), (months[1], int(parts["day2"])), _NAMED_EVIDENCE)


def _numeric_range_days(match: re.Match[str], country: str | None) -> list[FoundDate] | None:
    """Return the two days of a range in numbers; none where it is not known which number is the month."""
    parts = match.groupdict()
    one = int(parts.get("first1") or 0), int(parts.get("second1") or 0)
    other = int(parts.get("first2") or 0), int(parts.get("second2") or 0)
    if not one[1]:  # 12. - 15.03.2025
        one = one[0], other[1]
        orders = {False}
    elif not other[0]:  # 03/12-15/2025
        other = one[0], other[1]
        orders = {True}
    else:
        orders = {
            month_first
            for month_first in ((False,) if match["mark"] == "." else (False, True))
            if all(1 <= pair[0 if month_first else 1] <= _MONTHS_OF_A_YEAR for pair in (one, other))
        }
    if len(orders) > 1 and not (one[0] == one[1] and other[0] == other[1]):
        orders = set() if country is None or country in _UNDECIDED_COUNTRIES else {country in _MONTH_FIRST_COUNTRIES}
    if not orders:
        return []
    if min(orders):
        return _both_days(match, one, other, _NUMERIC_EVIDENCE)
    return _both_days(match, (one[1], one[0]), (other[1], other[0]), _NUMERIC_EVIDENCE)


def _both_days(
    match: re.Match[str], first: tuple[int, int], last: tuple[int, int], evidence: float
) -> list[FoundDate] | None:
    """Return both days of a range, each given as (month, day); None if there are no such days.

    A year that is written once is that of both, unless the range goes on into the next year.
    """
    parts = match.groupdict()
    begins, ends = parts.get("year1"), parts.get("year2")
    if not begins and not ends:
        return []
    year_of_first, year_of_last = _full_year(begins or ends or ""), _full_year(ends or begins or "")
    if not (begins and ends) and first > last:
        if first[0] not in _LATE_MONTHS or last[0] not in _EARLY_MONTHS:
            return []  # one of the two is misread
        year_of_first, year_of_last = (year_of_first, year_of_last + 1) if begins else (year_of_first - 1, year_of_last)
    days = _day(year_of_first, *first), _day(year_of_last, *last)
    if days[0] is None or days[1] is None or days[0] > days[1]:
        return None
    middle = _end_of_first(match)
    start = min(match.start(name) for name in ("month2", "day2", "first2", "second2", "year2") if parts.get(name))
    return [
        FoundDate(match.start(), middle, days[0], evidence),
        FoundDate(start, match.end(), days[1], evidence),
    ]


def _end_of_first(match: re.Match[str]) -> int:
    parts = match.groupdict()
    return max(match.end(name) for name in ("month1", "day1", "first1", "second1", "year1") if parts.get(name))


def _with_month_name(folded: str) -> Iterator[FoundDate]:
    if not _BEGINNINGS.search(skeleton(folded)):
        return
    matches = [match for match in _DAY_FIRST.finditer(folded) if not _may_be_range(match)]
    matches += _MONTH_FIRST.finditer(folded)
    # Four digits are a year for sure: in 5 MAR 12, 2025 the 5 is no day.
    taken: list[tuple[int, int]] = []
    for match in sorted(matches, key=lambda match: (len(match["year"]) < 4, match.start())):  # noqa: PLR2004
        read = match["day"]
        digits = read.translate(_LOOKALIKE_DIGITS)
        day = _date(match["year"].strip("'"), _MONTHS.get(skeleton(match["month"])), digits)
        if day is None or any(match.start() < stop and start < match.end() for start, stop in taken):
            continue
        if _is_counted(folded, match):
            continue
        taken.append(match.span())
        yield FoundDate(match.start(), match.end(), day, _NAMED_EVIDENCE, digits != read)


def _is_counted(folded: str, match: re.Match[str]) -> bool:
    """Whether a day is a count, as in 5 OF 10 MAR 25, or a short year another date's day, as in DEC 31/JAN 02."""
    if _COUNT_AHEAD.search(folded, 0, match.start()):
        return True
    is_short = len(match["year"]) <= 3  # noqa: PLR2004 - '25
    return is_short and bool(_OTHERS_DAY.search(folded, 0, match.start()) or _OTHERS_MONTH.match(folded, match.end()))


def _may_be_range(match: re.Match[str]) -> bool:
    """Whether two digits behind a month may be the other end of a range: 12 MAR - 15, or 31 - JAN 02."""
    if len(match["year"]) > 3:  # noqa: PLR2004 - '25
        return False
    between, behind = match["between"], match["behind"]
    apart = "-" in between and between.strip("\t ") != between
    return ("-" in behind and "-" not in between) or (apart and "-" not in behind)


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
    """Return one of the countries if all of them write day and month in the same order."""
    known = sorted(set(countries))
    orders = {(country in _MONTH_FIRST_COUNTRIES, country in _UNDECIDED_COUNTRIES) for country in known}
    return known[0] if len(orders) == 1 else None


def _order(first: int, second: int, mark: str, country: str | None) -> tuple[int, int] | None:
    """Return (day, month), or None where it is not known which is which."""
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
    return None if month is None else _day(_full_year(year), month, int(day))


def _full_year(year: str) -> int:
    digits = year.strip("'")
    return int(digits) if len(digits) > 2 else _CENTURY + int(digits)  # noqa: PLR2004 - two digits of a year


def _day(year: int, month: int, day: int) -> dt.date | None:
    if year not in _YEARS:
        return None
    try:
        return dt.date(year, month, day)
    except ValueError:  # there is no such day
        return None
