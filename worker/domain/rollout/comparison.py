"""How much two readings of the same page differ.

Lines are matched by where they lie: lines that cover each other by half of the smaller one are read together, so a line
that one detector cuts in two is no difference. The part of the text that differs is that of the character error rate,
with the longer text as the whole, so it is symmetric and at most 1.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from worker.domain.image import PageText, TextLine

_MIN_COVER: Final = 0.5
_MIN_CODE_CHARACTERS: Final = 6
_OTHER: Final = re.compile(r"[^0-9A-Z]+")


@dataclass(frozen=True, slots=True)
class PairComparison:
    """What differs between the reading of the models in use and the candidate's.

    `text` and `fields` are parts of 1, `fields` None where neither has any. `is_blank` says that the candidate alone
    read nothing; `codes_lost` and `codes_won` count barcodes whose text only the models in use, or only the candidate,
    read beside them.
    """

    text: float
    fields: float | None
    is_blank: bool
    codes_lost: int
    codes_won: int


def compare(in_use: Sequence[PageText], candidate: Sequence[PageText]) -> PairComparison:
    """Compare two readings of the same pages. Raises ValueError where they have not the same number of pages."""
    edits = characters = lost = won = 0
    fields: tuple[set[tuple[int, str, str]], set[tuple[int, str, str]]] = (set(), set())
    for number, (one, other) in enumerate(zip(in_use, candidate, strict=True)):
        for first, second in _matched(one.lines, other.lines):
            edits += Levenshtein.distance(first, second)
            characters += max(len(first), len(second))
        for found, page in zip(fields, (one, other), strict=True):
            found.update((number, field.type, field.value) for field in page.fields)
        page_lost, page_won = _codes(one, other)
        lost, won = lost + page_lost, won + page_won
    every = fields[0] | fields[1]
    return PairComparison(
        text=edits / characters if characters else 0.0,
        fields=len(fields[0] ^ fields[1]) / len(every) if every else None,
        is_blank=any(page.lines for page in in_use) and not any(page.lines for page in candidate),
        codes_lost=lost,
        codes_won=won,
    )


def _matched(one: Sequence[TextLine], other: Sequence[TextLine]) -> Iterator[tuple[str, str]]:
    """Yield the texts that lie at the same place, "" where one has none."""
    groups = _Groups(len(one) + len(other))
    if one and other:
        boxes = _boxes(other)
        for left, box in enumerate(_boxes(one)):  # one by one: a page of noise has thousands of lines
            for right in np.flatnonzero(_cover(box, boxes) >= _MIN_COVER):
                groups.join(left, len(one) + int(right))
    texts: dict[int, tuple[list[str], list[str]]] = {}
    for number, line in enumerate((*one, *other)):
        texts.setdefault(groups.of(number), ([], []))[number >= len(one)].append(" ".join(line.text.split()))
    for first, second in texts.values():
        yield " ".join(first), " ".join(second)


class _Groups:
    """Numbers that belong together."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def of(self, number: int) -> int:
        """Return the name of a number's group."""
        while self._parents[number] != number:
            number = self._parents[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Put two numbers, and all that belong to them, into one group."""
        self._parents[self.of(other)] = self.of(one)


def _boxes(lines: Sequence[TextLine]) -> NDArray[np.float64]:
    """Return [lines, 4]: left, top, right and bottom in pixels."""
    corners = np.array([line.polygon for line in lines], dtype=np.float64)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _cover(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each of the boxes [boxes, 4] which part of the smaller one lies in both, it and `box` [4]."""
    common = np.prod(np.clip(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0, None), axis=1)
    smaller = np.minimum(np.prod(box[2:] - box[:2]), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    cover: NDArray[np.float64] = np.divide(common, smaller, out=np.zeros_like(common), where=smaller > 0)
    return cover


def _codes(one: PageText, other: PageText) -> tuple[int, int]:
    """Count the barcodes whose text stands on one reading of the page alone."""
    first, second = (_compact(" ".join(line.text for line in page.lines)) for page in (one, other))
    lost = won = 0
    for code in {_compact(barcode.text) for barcode in (*one.barcodes, *other.barcodes)}:
        if len(code) >= _MIN_CODE_CHARACTERS:
            lost += code in first and code not in second
            won += code in second and code not in first
    return lost, won


def _compact(text: str) -> str:
    return _OTHER.sub("", text.upper())
