"""Weights as labels write them, in the normal form `12.4 kg`: the printed decimals, a point, the unit.

Invariant: nothing is converted and no decimal is added or lost; what a label allows at most is not what it weighs.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from worker.pipeline.extract.folding import fold, phrases, skeleton

_NUMBER: Final = r"(?P<number>[0-9]{1,3}(?:[ ,.'][0-9]{3})+(?:[.,][0-9]{1,3})?|[0-9]{1,6}(?:\s?[.,]\s?[0-9]{1,3})?)"
# The recogniser takes L for 1 or I, B for 8, S for 5 and G for 6.
_KILOGRAMS: Final = r"K[G6]S?[5S]?|KILOGRAMM?E?S?|KILOS?"
_POUNDS: Final = r"L[B8][S5]?|[1I|]B[S5]?|[1I|]8S|POUNDS?"
_GRAMS: Final = r"GRAMS?|GRAMM(?:ES?)?|GRS?|G"
_OUNCES: Final = r"[O0]Z|OUNCES?"
_TONNES: Final = r"TONNES?|TONNEN|T|MT"
_UNIT: Final = (
    rf"(?:(?P<kg>{_KILOGRAMS})|(?P<lb>{_POUNDS})|(?P<g>{_GRAMS})|(?P<oz>{_OUNCES})|(?P<t>{_TONNES}))(?![A-Z0-9])"
)
# 18. 450.00 is no weight of 450.00.
_WEIGHT: Final = re.compile(rf"(?<![0-9.,'\-/+])(?<![0-9][.,']\s)(?<![A-Z]){_NUMBER}\s*{_UNIT}")
_BARE: Final = re.compile(rf"(?<![0-9A-Z(])(?<![0-9][.,'/\-]){_NUMBER}(?![0-9A-Z,.)'/\-])")  # (2) is a note
_UNIT_ALONE: Final = re.compile(rf"(?<![A-Z0-9]){_UNIT}")
# 4 lb 6 oz: the ounces belong to the pounds.
_OUNCES_MORE: Final = re.compile(rf"\s*(?P<more>[0-9]{{1,2}}(?:\.[0-9])?)\s*(?:{_OUNCES})(?![A-Z0-9])")
_OUNCES_PER_POUND: Final = 16

_NAMES: Final = (
    "weight", "wt", "wgt", "gross wt", "net wt", "g.w.", "n.w.", "gw", "nw", "gross", "gross mass", "mass", "gewicht",
    "bruttogewicht", "nettogewicht", "brutto", "netto", "gew.", "masse", "poids", "poids brut", "peso", "peso bruto",
    "peso lordo", "bruto", "lordo", "brutogewicht", "vikt", "bruttovikt", "waga", "waga brutto", "masa", "hmotnost",
    "vaegt", "vekt", "paino",
)  # fmt: skip
_CAPTION: Final = re.compile(rf"(?<![A-Z])(?:{phrases(_NAMES)})(?![A-Z])")
_LIMIT: Final = re.compile(
    r"(?:MAX(?:IM[UA]M|\.)?|UP TO|LIMIT|BIS|HASTA|JUSQU'?A|TOT|[<≤>]|OVER|[0-9]\s?[X\u00d7]"
    r"|PAYLOAD|CAPACITY|TRAGFAHIGKEIT|TRAGKRAFT|BELASTBARKEIT|NUTZLAST|STAPELLAST)"
    r"\s*(?:GROSS|BRUTTO|LOAD)?\s*(?:WEIGHT|WT|MASS)?\W*$"
)

_SURE: Final = 0.7
_CAPTIONED: Final = 0.9
_UNSURE_UNITS: Final = frozenset({"g", "t"})  # one letter alone says little
_GROUP_DIGITS: Final = 3
# Of kilograms, pounds and tonnes in whole groups of three: 1.640.500 is rather 1.640,500 than what a ship carries.
_TOO_HEAVY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class FoundWeight:
    """A weight and where in the text it stands."""

    start: int
    stop: int
    value: str
    evidence: float


@lru_cache(maxsize=4096)
def names_weight(caption: str) -> bool:
    """Say whether folded text names a weight."""
    return _CAPTION.search(skeleton(caption)) is not None


def unit_in(caption: str) -> str | None:
    """Return the unit that folded text names apart from a number, as `kg` out of `WEIGHT (KG)`."""
    match = _UNIT_ALONE.search(caption)
    return match.lastgroup if match else None


def is_unit(folded: str) -> bool:
    """Say whether folded text is a unit and nothing else, as in a box of its own behind the number's."""
    return re.fullmatch(rf"\W*{_UNIT}\W*", folded) is not None


def weights_in(text: str, *, caption: str = "", points: bool = False) -> Iterator[FoundWeight]:
    """Yield the weights of a text. `caption` is folded text beside it, which may name the unit that it lacks.

    `points` says that whoever wrote it writes a decimal point.
    """
    folded = fold(text)
    named, stop = names_weight(caption), 0
    for match in _WEIGHT.finditer(folded):
        weight = _weight(match, folded, named=named, points=points) if match.start() >= stop else None
        if weight is not None:
            stop = weight.stop
            yield weight
    if not stop:
        yield from _bare(folded, caption, points=points)


def _weight(match: re.Match[str], folded: str, *, named: bool, points: bool) -> FoundWeight | None:
    unit = match.lastgroup or ""
    before = folded[: match.start()]
    if _LIMIT.search(before):
        return None
    named = named or names_weight(before)
    if unit in _UNSURE_UNITS and not named:
        return None
    number = _normal(match["number"], unit, points=points)
    if number is None:
        return None
    more = _OUNCES_MORE.match(folded, match.end()) if unit == "lb" else None
    stop = more.end() if more else match.end()
    if more:
        number = f"{float(number) + float(more['more']) / _OUNCES_PER_POUND:.4f}".rstrip("0").rstrip(".")
    return FoundWeight(match.start(), stop, f"{number} {unit}", _CAPTIONED if named else _SURE)


def _bare(folded: str, caption: str, *, points: bool) -> Iterator[FoundWeight]:
    """Yield the first number whose caption names weight and unit."""
    match = _BARE.search(folded)
    if match is None:
        return
    before = folded[: match.start()]
    if not caption and unit_in(before) is None:
        return
    caption = before if names_weight(before) else caption
    unit = unit_in(caption) if names_weight(caption) else None
    number = _normal(match["number"], unit, points=points) if unit else None
    if number is not None:
        yield FoundWeight(match.start(), match.end(), f"{number} {unit}", _CAPTIONED)


def _normal(number: str, unit: str, *, points: bool) -> str | None:
    """Return the number with a decimal point; None if it is nothing that weighs anything, or may be two numbers.

    The last point or comma is the decimal one, unless it groups digits: see `_groups_last`. What stands before it
    groups digits, and does so with one sign: `1.640,500.5` is nobody's number.
    """
    packed = re.sub(r"(?<=[.,])\s|\s(?=[.,])", "", number)
    marks = re.findall(r"[^0-9]", packed)
    parts = re.split(r"[^0-9]", packed)
    if len(set(marks[:-1])) > 1:
        return None
    if not marks or _groups_last(parts, marks, unit, points=points):
        whole, decimals = "".join(parts), ""
    elif marks[-1] in ".,":
        whole, decimals = "".join(parts[:-1]), parts[-1]
    else:
        return None
    whole = whole.lstrip("0") or "0"
    if not float(f"{whole}.{decimals or 0}"):
        return None
    if len(marks) > 1 and not decimals and int(whole) >= _TOO_HEAVY and unit != "g":
        return None
    return f"{whole}.{decimals}" if decimals else whole


def _groups_last(parts: Sequence[str], marks: Sequence[str], unit: str, *, points: bool) -> bool:
    """Whether the last sign of a number stands before three digits and groups them.

    It does if it is no point and no comma; if it repeats; and alone if it is one of grams, or a comma of those who
    write decimal points, as all do who weigh in pounds. Behind another sign it is the decimal one: 1.640,500. What
    begins with 0 is grouped by nobody.
    """
    if len(parts[-1]) != _GROUP_DIGITS or len(set(marks)) > 1:
        return False
    if len(marks) > 1 or marks[-1] not in ".,":
        return True
    return not parts[0].startswith("0") and (unit == "g" or (marks[-1] == "," and (points or unit == "lb")))
