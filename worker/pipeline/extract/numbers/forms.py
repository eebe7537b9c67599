"""What numbers look like: a template for each form, in which every place has its set of characters."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from worker.pipeline.extract.numbers.captions import Topic
from worker.pipeline.extract.numbers.checks import CheckRule

DIGITS: Final = frozenset("0123456789")
LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CLASSES: Final = {"#": DIGITS, "@": LETTERS, "*": DIGITS | LETTERS}
_TEMPLATE: Final = re.compile(r"(?:(?:\[[0-9A-Z]+\]|[0-9A-Z#@*])(?:\{[1-9][0-9]?\})?)+")
_PLACES: Final = re.compile(r"\[([^\]]+)\](?:\{(\d+)\})?|(.)(?:\{(\d+)\})?")

# What a recognizer may have read for a character of the other class, by the character that it stands for.
_READ_FOR: Final = {
    "0": "ODQ",
    "1": "ILT",
    "2": "Z",
    "4": "A",
    "5": "S",
    "6": "G",
    "7": "T",
    "8": "B",
    "9": "G",
    "O": "0",
    "D": "0",
    "Q": "0",
    "I": "1L",
    "L": "1I",
    "T": "71",
    "Z": "27",
    "A": "4",
    "S": "5",
    "G": "69",
    "B": "8",
    "U": "V",
    "J": "I",
}
MEANT_BY: Final = {
    read: "".join(sorted(meant for meant, others in _READ_FOR.items() if read in others))
    for read in sorted(DIGITS | LETTERS)
}
"""For each character read, those of another class that may be meant by it."""


class ShapeError(ValueError):
    """A template is none."""


class Proof(IntEnum):
    """What a number of a form needs, besides its shape and its check digit, to be taken for one."""

    SHAPE = 0  # nothing: few other numbers look so and pass
    UNDENIED = 1  # no caption that says it is something else
    NAMED = 2  # a caption that says so, a way of grouping, or a barcode of the kind with the same number
    CARRIED = 3  # the carrier's name on the page, with a caption or a way of grouping


@dataclass(frozen=True, slots=True)
class Form:
    """One shape of one kind of number.

    `template` has `#` for a digit, `@` for a letter, `*` for either, `[UJZ]` for one of these, `{6}` for so many, and
    itself for anything else. `topics` are captions that name the kind; `certain` says that its shape alone tells the
    kind, so that it is reported even where the check digit fails. `groups` are ways to print it that tell the kind,
    `page_groups` those that do where a caption anywhere on the label names it. `plausible` looks at what no check digit
    covers, such as a country's code; what begins with one of `not_from` is none either. `strip` leading characters are
    no part of the value. A first group that is one of `words` is a word before another number. With `heeds_captions` a
    number whose shape is proof is still none of this form if it is a part of something longer, or if a caption in its
    row says that it is something else.
    """

    type: str
    template: str
    check: CheckRule | None
    proof: Proof
    topics: frozenset[Topic] = frozenset()
    carrier: str | None = None
    certain: bool = False
    groups: Sequence[tuple[int, ...]] = ()
    page_groups: Sequence[tuple[int, ...]] = ()
    plausible: Callable[[str], bool] | None = None
    strip: int = 0
    words: frozenset[str] = frozenset()
    heeds_captions: bool = False
    not_from: Sequence[str] = ()

    @property
    def has_letters(self) -> bool:
        """Whether its shape has letters that it cannot be without."""
        return any(not allowed & DIGITS for allowed in self.places)

    @property
    def places(self) -> tuple[frozenset[str], ...]:
        """The characters that each place allows."""
        return places_of(self.template)

    def fits(self, number: str) -> bool:
        """Whether a number in normal form has this shape."""
        return _exact(self.template).fullmatch(number) is not None and self._is_plausible(number)

    def resembles(self, number: str) -> bool:
        """Whether a number has this shape but for characters that are easily mistaken."""
        return _loose(self.template).fullmatch(number) is not None

    def passes(self, number: str) -> bool:
        """Whether a number has this shape and its check digit holds; without a check digit the shape decides."""
        return self.fits(number) and self.holds(number)

    def holds(self, number: str) -> bool:
        """Whether the check digit of a number of this shape holds; true without one."""
        return self.check is None or self.check(number[self.strip :])

    def value(self, number: str) -> str:
        """Return the normal form of a number that fits."""
        return number[self.strip :]

    def _is_plausible(self, number: str) -> bool:
        return not number.startswith(tuple(self.not_from)) and (self.plausible is None or self.plausible(number))


@lru_cache(maxsize=256)
def places_of(template: str) -> tuple[frozenset[str], ...]:
    """Return the characters that each place of a template allows. Raises ShapeError."""
    if not _TEMPLATE.fullmatch(template):
        raise ShapeError("it is no sequence of characters and how often each is repeated")
    places: list[frozenset[str]] = []
    for listed, listed_times, single, single_times in _PLACES.findall(template):
        allowed = frozenset(listed) if listed else _CLASSES.get(single, frozenset(single))
        places += [allowed] * int(listed_times or single_times or 1)
    return tuple(places)


@lru_cache(maxsize=256)
def _exact(template: str) -> re.Pattern[str]:
    return re.compile("".join(map(_one_of, places_of(template))))


@lru_cache(maxsize=256)
def _loose(template: str) -> re.Pattern[str]:
    return re.compile("".join(_one_of(_with_lookalikes(allowed)) for allowed in places_of(template)))


def _with_lookalikes(allowed: frozenset[str]) -> frozenset[str]:
    return allowed.union(*(_READ_FOR.get(meant, "") for meant in allowed))


def _one_of(characters: frozenset[str]) -> str:
    return f"[{''.join(sorted(characters))}]"
