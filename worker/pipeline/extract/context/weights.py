"""Weights as labels write them, in the normal form `12.4 kg`: the printed decimals, a point, the unit.

Invariant: nothing is converted but a smaller unit behind a larger one, and no decimal is lost. The most that a thing
may weigh is no weight. A comma or a point before three digits groups them or begins the decimals: 1,640 KG is a pallet
or a parcel. The rest of the page decides (`NumberStyle`); where it does not, there is no weight.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from worker.pipeline.extract.addresses.countries import COMMA_COUNTRIES, POINT_COUNTRIES
from worker.pipeline.extract.folding import fold, phrases, skeleton

_NUMBER: Final = r"(?P<number>[0-9]{1,3}(?:[ ,.'][0-9]{3})+(?:[.,][0-9]{1,3})?|[0-9]{1,6}(?:\s?[.,]\s?[0-9]{1,3})?)"
# With what recognizers mix up: L and 1 or I, B and 8, S and 5, G and 6.
_KILOGRAMS: Final = r"K[G6]S?[5S]?|KILOGRAMM?E?S?|KILOS?"
_POUNDS: Final = r"L[B8][S5]?|[1I|]B[S5]?|[1I|]8S|POUNDS?"
_GRAMS: Final = r"GRAMS?|GRAMM(?:ES?)?|GRS?|G"
_OUNCES: Final = r"[O0]Z|OUNCES?"
_TONNES: Final = r"TONNES?|TONNEN|T|MT"
_UNIT: Final = (
    rf"(?:(?P<kg>{_KILOGRAMS})|(?P<lb>{_POUNDS})|(?P<g>{_GRAMS})|(?P<oz>{_OUNCES})|(?P<t>{_TONNES}))(?![A-Z0-9])"
)
# 18. 450.00 is no weight of 450.00, nor is what stands behind a digit and an odd sign: 1`234.5.
_WEIGHT: Final = re.compile(
    rf"(?<![0-9,'\-/+])(?<![^A-Z]\.)(?<!^\.)(?<![0-9][.,']\s)(?<![0-9][^\s\w()\[\]=:;|*])(?<![A-Z]){_NUMBER}\s*{_UNIT}"
)
_BARE: Final = re.compile(rf"(?<![0-9A-Z(])(?<![0-9][.,'/\-]){_NUMBER}(?![0-9A-Z,.)'/\-])")  # (2) is a note
_UNIT_ALONE: Final = re.compile(rf"(?<![A-Z0-9]){_UNIT}")
# 4 lb 6 oz, 5 kg 250 g: the ounces belong to the pounds, the grams to the kilograms; how many, and how many decimals.
_MORE: Final = {
    "lb": (re.compile(rf"[.,]?\s*(?P<more>[0-9]{{1,2}}(?:\.[0-9])?)\s*(?:{_OUNCES})(?![A-Z0-9])"), 16, 4),
    "kg": (re.compile(rf"[.,]?\s*(?P<more>[0-9]{{1,3}})\s*(?:{_GRAMS})(?![A-Z0-9])"), 1000, 3),
}

_NAMES: Final = (
    "weight", "wt", "wgt", "gross wt", "net wt", "g.w.", "n.w.", "gw", "nw", "gross", "gross mass", "mass", "gewicht",
    "bruttogewicht", "nettogewicht", "brutto", "netto", "gew.", "masse", "poids", "poids brut", "peso", "peso bruto",
    "peso lordo", "bruto", "lordo", "brutogewicht", "vikt", "bruttovikt", "waga", "waga brutto", "masa", "hmotnost",
    "vaegt", "vekt", "paino",
)  # fmt: skip
_CAPTION: Final = re.compile(rf"(?<![A-Z])(?:{phrases(_NAMES)})(?![A-Z])")
# Words for the most that something may weigh or carry.
_LIMITS: Final = (
    r"MAX(?:IM[UA]M|IMAL[A-Z]{0,2}|\.)?|M\.?\s?G\.?\s?W\.?|G\.?V\.?W\.?R?|PAYLOAD|CAPACITY|SWL|WLL|PTAC|PMA"
    r"|TRAGFAHIGKEIT|TRAGKRAFT|BELASTBARKEIT|NUTZLAST|STAPELLAST|ZUL(?:ASSIGES)?\.?\s*GESAMTGEWICHT|CHARGE\s(?:UTILE|MAX[A-Z]*)"
    r"|PORTATA|CARGA\s(?:UTIL|MAX[A-Z]*)|(?:LAAD|DRAAG)VERMOGEN"
)
_LIMIT: Final = re.compile(
    rf"(?:(?<![A-Z])(?:{_LIMITS})|UP TO|LIMIT|BIS|HASTA|JUSQU'?A|TOT|[<≤>\u00b1]|\+/-|OVER|[0-9]\s?[X\u00d7])"
    r"\s*(?:GROSS|GR\.?|BRUTTO|LOAD)?\s*(?:WEIGHT|WT\.?|MASS)?\W*$"
)
_TESTED: Final = re.compile(r"(?<![A-Z])(?:ALLOWABLE|STACKING|RACKING)(?![A-Z])")  # on a container's safety plate
_LIMITED: Final = re.compile(rf"(?<![A-Z])(?:{_LIMITS})(?![A-Z])")  # in a caption beside or above
_TARE: Final = re.compile(
    r"(?<![A-Z])(?:TAR[EA](?:GEWICHT)?|(?:LEER|EIGEN)GEWICHT|POIDS A VIDE|VGM|VERIFIED GROSS MASS)(?![A-Z])"
)
_NET_OR_GROSS: Final = re.compile(
    r"(?<![A-Z])(?:GROSS|NETT?|LORDO|G\.?W|N\.?W|TAR[EA])(?![A-Z])|BRUTT?O|(?<![A-Z])BRUT(?![A-Z])|NETTO"
    r"|(?:LEER|EIGEN)GEWICHT"
)
# Words of languages that write decimal commas: German, French, Italian, Polish, Nordic. PESO alone may be Mexican.
_COMMA_WORDS: Final = re.compile(
    r"GEWICHT|(?<![A-Z])(?:GEW\.|BRUTTO|NETTO|POIDS|PESO (?:LORDO|NETTO)|LORDO|VIKT|BRUTTOVIKT|WAGA|HMOTNOST|VAG?EGT"
    r"|VEKT|PAINO)(?![A-Z])"
)

# Signs of a container, whose weights are thousands of kilograms: three digits behind a sign are a group.
_CONTAINER: Final = re.compile(
    r"(?<![A-Z])(?:[A-Z]{3}U\s?[0-9]{3}\s?[0-9]{3}|CONTAINER|CNTR|CTNR|CONTENEUR|CONTENEDOR"
    r"|SWAP BOD|WECHSEL(?:BRUCK|BEHALT|AUFBAU)"
    r"|MAX[A-Z]*\.?\s?(?:GR|(?:WT|WEIGHT)\W{0,3}[0-9]{2}[ ,.']?[0-9]{3}(?![0-9]))|M\.?G\.?W|PAYLOAD|CU\.?\s?CAP)"
)
_PLATE: Final = re.compile(rf"(?<![A-Z])(?:{_LIMITS}|CU\.?\s?CAP|CUBE)(?![A-Z])")
# A number that can be written in one way only: with a unit and one or two decimals, or with signs of both kinds.
_MEASURED: Final = r"(?:KGS?|LBS?|G|T|MT|OZ|CBM|CU\.?\s?M|M3|M\u00b3|CM|MM|EUR|USD|GBP|CHF|PLN|\u20ac|\$|\u00a3)"
_PLAIN: Final = re.compile(
    r"(?<![0-9A-Z.,'/\-])(?:"
    rf"(?:0(?P<null>[.,])[0-9]{{3}}|[0-9]{{1,3}}(?:[ .,'][0-9]{{3}}){{0,4}}(?P<few>[.,])[0-9]{{1,2}})\s?{_MEASURED}"
    r"(?![A-Z0-9])"
    r"|(?:EUR|USD|GBP|\u20ac|\$|\u00a3)\s?[0-9]{1,3}(?:[ .,'][0-9]{3}){0,4}(?P<money>[.,])[0-9]{2}(?![0-9.,])"
    r"|[0-9]{1,3}(?P<group>,)[0-9]{3}\s?LBS?(?![A-Z0-9])"
    r"|[0-9]{1,3}(?:(?P<outer>[.,])[0-9]{3}){1,4}(?!(?P=outer))(?P<inner>[.,])[0-9]{1,3}(?![0-9.,])"
    r")"
)

_DIGIT: Final = re.compile("[0-9]")
_LETTERS: Final = re.compile("[A-Z]")
_OR: Final = re.compile(r"(?<![A-Z])(?:OR|ODER|OU)(?![A-Z])")

_SURE: Final = 0.7
_CAPTIONED: Final = 0.9
_UNSURE_UNITS: Final = frozenset({"g", "t"})  # one letter alone says little
_GROUP_DIGITS: Final = 3
# Of kilograms, pounds and tonnes in whole groups of three: 1.640.500 is rather 1.640,500 than what a ship carries.
_TOO_HEAVY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class NumberStyle:
    """How the numbers of a page are written, and what its weights are about.

    `points`: true with decimal points, false with decimal commas, None if not known. `by_numbers`: other numbers of the
    page show it, and not only the country. `container`: the page is about a container. `plate`: it is a container's
    plate, on which no weight but the tare is one.
    """

    points: bool | None = None
    by_numbers: bool = False
    container: bool = False
    plate: bool = False

    @classmethod
    def of(cls, texts: Iterable[str], country: str | None) -> "NumberStyle":
        """Return the style of a page, given its folded texts and the country (ISO 3166) it was written in, if known."""
        texts = tuple(texts)
        signs = {_decimal_sign(match) for text in texts if _DIGIT.search(text) for match in _PLAIN.finditer(text)}
        shown = signs.pop() == "." if len(signs) == 1 else None
        custom = True if country in POINT_COUNTRIES else False if country in COMMA_COUNTRIES else None
        points = custom if shown is None else shown if custom in {None, shown} else None
        container = any(map(_CONTAINER.search, texts))
        plate = any(map(_TARE.search, texts)) and any(map(_PLATE.search, texts))
        return cls(None if signs else points, shown is not None and points is shown, container, plate)


UNKNOWN: Final = NumberStyle()


@dataclass(frozen=True, slots=True)
class FoundWeight:
    """A weight and where in the text it stands."""

    start: int
    stop: int
    value: str
    evidence: float


@lru_cache(maxsize=4096)
def names_weight(caption: str) -> bool:
    """Whether folded text has the caption of a weight."""
    return _CAPTION.search(skeleton(caption)) is not None


def unit_in(caption: str) -> str | None:
    """Return the unit that folded text names apart from a number, as `kg` out of `WEIGHT (KG)`."""
    match = _UNIT_ALONE.search(caption)
    return match.lastgroup if match else None


def is_unit(folded: str) -> bool:
    """Whether folded text is a unit and nothing else, as in a box of its own behind the number."""
    return re.fullmatch(rf"\W*{_UNIT}\W*", folded) is not None


def weighs(folded: str) -> bool:
    """Whether folded text has a number with a unit of weight."""
    return _WEIGHT.search(folded) is not None


def weights_in(
    text: str, *, caption: str = "", near: Sequence[str] = (), style: NumberStyle = UNKNOWN
) -> Iterator[FoundWeight]:
    """Yield the weights of a text.

    `caption` is folded text beside it, which may name the unit that it lacks; `near` are all folded texts that may be
    captions of a weight that has none in its own text, the nearest first.
    """
    folded = fold(text)
    named, stop, label, since = names_weight(caption), 0, "", 0
    above = caption or next(filter(_says_what, near), "")
    for match in _WEIGHT.finditer(folded):
        between = folded[since : match.start()]
        label, since = (between if _LETTERS.search(_OR.sub("", between)) else label or between), match.end()
        if match.start() < stop:
            continue
        weight = _weight(match, folded, named=named, reading=_Reading(between, label, above, style))
        if weight is not None:
            stop = weight.stop
            yield weight
    if not since:
        yield from _bare(folded, caption, style)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What tells how a number is meant.

    `between`: the text between it and the number before it. `label`: the words before it. `above`: the caption, where
    there are no such words. `style`: the rest of the page.
    """

    between: str
    label: str
    above: str
    style: NumberStyle

    @property
    def says(self) -> str:
        return self.label if _says_what(self.label) else self.above

    @property
    def is_limit(self) -> bool:
        if (
            _TESTED.search(self.label)
            or _LIMIT.search(self.label)
            or _LIMIT.search(self.between)
            or (self.says is self.above and _LIMITED.search(self.above))
        ):
            return True
        return self.style.plate and not _TARE.search(self.says)

    def groups(self, mark: str, unit: str) -> bool | None:
        """Whether a sign before three digits groups them; None where it is not known."""
        if mark == " ":  # 2 230 KG may be two pieces
            return True if _LETTERS.search(self.says) else None
        of_container = self.style.container and unit != "t" and _TARE.search(self.says) is not None
        if mark not in ".," or unit == "g" or of_container:
            return True
        return self._comma_groups(unit) if mark == "," else self._point_groups(unit)

    def _comma_groups(self, unit: str) -> bool | None:
        if unit == "lb" or self.style.points:
            return True
        return False if self._is_in_commas else None

    def _point_groups(self, unit: str) -> bool | None:
        if unit == "t" or self.style.points:
            return False
        if self.style.points is False and self.style.by_numbers:
            return True
        named = _NET_OR_GROSS if self._is_in_commas else _TARE
        return None if self.style.container or named.search(self.says) else False

    @property
    def _is_in_commas(self) -> bool:
        points = self.style.points
        return points is False or (points is None and _COMMA_WORDS.search(self.says) is not None)


def _weight(match: re.Match[str], folded: str, *, named: bool, reading: _Reading) -> FoundWeight | None:
    unit = match.lastgroup or ""
    before = folded[: match.start()]
    if reading.is_limit:
        return None
    named = named or names_weight(before)
    if unit in _UNSURE_UNITS and not named:
        return None
    number = _normal(match["number"], unit, reading)
    if number is None:
        return None
    stop = match.end()
    if unit in _MORE and number.isdecimal():
        pattern, parts, decimals = _MORE[unit]
        if more := pattern.match(folded, stop):
            number = f"{int(number) + float(more['more']) / parts:.{decimals}f}".rstrip("0").rstrip(".")
            stop = more.end()
    return FoundWeight(match.start(), stop, f"{number} {unit}", _CAPTIONED if named else _SURE)


def _bare(folded: str, caption: str, style: NumberStyle) -> Iterator[FoundWeight]:
    """Yield the first number whose caption names weight and unit."""
    match = _BARE.search(folded)
    if match is None:
        return
    before = folded[: match.start()]
    if not caption and unit_in(before) is None:
        return
    caption = before if names_weight(before) else caption
    unit = unit_in(caption) if names_weight(caption) else None
    reading = _Reading(before, before, caption, style)
    number = _normal(match["number"], unit, reading) if unit and not reading.is_limit else None
    if number is not None:
        yield FoundWeight(match.start(), match.end(), f"{number} {unit}", _CAPTIONED)


def _normal(number: str, unit: str, reading: _Reading) -> str | None:
    """Return the number with a decimal point; None if it is zero, or cannot be read in one way alone.

    The last point or comma is the decimal one, unless it groups digits: see `_groups_last`. What stands before it
    groups digits, and does so with one sign: `1.640,500.5` is nobody's number.
    """
    packed = re.sub(r"(?<=[.,])\s|\s(?=[.,])", "", number)
    marks = re.findall(r"[^0-9]", packed)
    parts = re.split(r"[^0-9]", packed)
    if len(set(marks[:-1])) > 1:
        return None
    groups = _groups_last(parts, marks, unit, reading)
    if groups is None:
        return None
    if groups:
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


def _groups_last(parts: Sequence[str], marks: Sequence[str], unit: str, reading: _Reading) -> bool | None:
    """Whether the last sign of a number stands before three digits and groups them; None where it is not known.

    Behind a different sign it is the decimal one: 1.640,500. Nobody groups what begins with 0.
    """
    if not marks:
        return True
    if len(parts[-1]) != _GROUP_DIGITS or len(set(marks)) > 1 or (parts[0].startswith("0") and len(marks) == 1):
        return False
    return len(marks) > 1 or reading.groups(marks[-1], unit)


def _says_what(text: str) -> bool:
    return names_weight(text) or _LIMITED.search(text) is not None or _TARE.search(text) is not None


def _decimal_sign(match: re.Match[str]) -> str:
    if match["group"]:
        return "."
    return str(next(filter(None, (match["null"], match["few"], match["money"], match["inner"]))))
