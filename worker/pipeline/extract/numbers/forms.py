"""What numbers look like. A form is one shape of one type of number: a template allows characters at each position."""

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

# What a recognizer may read for a character of the other class (a letter for a digit), by the printed character.
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
"""For each character as read, the characters of the other class that may be printed there."""


class ShapeError(ValueError):
    """A template cannot be parsed."""


class Proof(IntEnum):
    """What a number needs besides its shape and its check digit before it counts as one of a form."""

    SHAPE = 0  # nothing: few other numbers have this shape and pass
    UNDENIED = 1  # no caption says that it is something else
    NAMED = 2  # a caption that says so, a way of grouping, or a barcode of the type with the same number
    CARRIED = 3  # the carrier's name on the page, with a caption or a way of grouping


@dataclass(frozen=True, slots=True)
class Form:
    """One shape of one type of number.

    `template`: `#` is a digit, `@` a letter, `*` either, `[UJZ]` one of these, `{6}` six times what stands before it;
    anything else stands for itself.
    `topics`: the captions that name the type.
    `certain`: the shape alone tells the type, so the number is reported even where the check digit fails.
    `groups`: the lengths of groups, as printed, that tell the type; `page_groups` tell it where a caption anywhere on
    the label names it.
    `plausible`: checks what no check digit covers, such as a country's code.
    `not_from`: what begins with one of these is no number of this form.
    `strip`: so many leading characters are no part of the value.
    `words`: a first group that is one of these is a word before another number.
    `heeds_captions`: even where the shape is proof, a part of something longer is no number of this form, nor is one
    that a caption in its row calls something else.
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
        """Whether there is a position that no digit may take."""
        return any(not allowed & DIGITS for allowed in self.positions)

    @property
    def positions(self) -> tuple[frozenset[str], ...]:
        """The characters that each position allows."""
        return positions_of(self.template)

    def fits(self, number: str) -> bool:
        """Whether a number in normal form has this shape."""
        return _exact(self.template).fullmatch(number) is not None and self._is_plausible(number)

    def resembles(self, number: str) -> bool:
        """Whether a number has this shape, apart from characters that are easily mistaken for others."""
        return _loose(self.template).fullmatch(number) is not None

    def passes(self, number: str) -> bool:
        """Whether a number has this shape and its check digit, if the form has one, holds."""
        return self.fits(number) and self.holds(number)

    def holds(self, number: str) -> bool:
        """Whether the check digit of a number of this shape holds; true for a form without one."""
        return self.check is None or self.check(number[self.strip :])

    def value(self, number: str) -> str:
        """Return the normal form of a number that fits."""
        return number[self.strip :]

    def _is_plausible(self, number: str) -> bool:
        return not number.startswith(tuple(self.not_from)) and (self.plausible is None or self.plausible(number))


@lru_cache(maxsize=256)
def positions_of(template: str) -> tuple[frozenset[str], ...]:
    """Return the characters that each position of a template allows. Raises ShapeError."""
    if not _TEMPLATE.fullmatch(template):
        raise ShapeError("it is no sequence of characters and how often each is repeated")
    positions: list[frozenset[str]] = []
    for listed, listed_times, single, single_times in _PLACES.findall(template):
        allowed = frozenset(listed) if listed else _CLASSES.get(single, frozenset(single))
        positions += [allowed] * int(listed_times or single_times or 1)
    return tuple(positions)


@lru_cache(maxsize=256)
def _exact(template: str) -> re.Pattern[str]:
    return re.compile("".join(map(_one_of, positions_of(template))))


@lru_cache(maxsize=256)
def _loose(template: str) -> re.Pattern[str]:
    return re.compile("".join(_one_of(_with_lookalikes(allowed)) for allowed in positions_of(template)))


def _with_lookalikes(allowed: frozenset[str]) -> frozenset[str]:
    return allowed.union(*(_READ_FOR.get(meant, "") for meant in allowed))


def _one_of(characters: frozenset[str]) -> str:
    return f"[{''.join(sorted(characters))}]"
