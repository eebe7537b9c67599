"""The pieces of a long line, each read alone, to one line.

Invariant: a character in the middle of what two pieces share comes from one of them exactly, so that none is lost or
doubled; what a piece cut through lies near its ends and is never taken from it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from worker.domain.image import Character
from worker.pipeline.recognize.ctc import Spelling, spell

_NEAR_HEIGHTS = 0.5  # line heights between two places of one character
_UNEQUAL = 0.25  # what a pair of different characters at one place is worth against one of equal ones


@dataclass(frozen=True, slots=True)
class LinePiece:
    """What one crop of a line reads as, and which part of the line's length it shows, from 0 to 1."""

    spelling: Spelling
    span: tuple[float, float]


def join_pieces(pieces: Sequence[LinePiece], line_height: float) -> Spelling:
    """Return the whole line. `pieces` are in order from its left end; `line_height` is a part of the line's length.

    Where two pieces overlap, their characters are paired by place, in order; the line changes over from one to the
    other at the pair of equal characters nearest the middle, else at one of different characters, else at the middle.
    """
    joined = _placed(pieces[0])
    for left, right in itertools.pairwise(pieces):
        shared = (right.span[0], left.span[1])
        joined = _join(joined, _placed(right), shared, _NEAR_HEIGHTS * line_height)
    return spell(joined)


def _placed(piece: LinePiece) -> list[Character]:
    """Return a piece's characters with their positions along the whole line."""
    start, stop = piece.span
    return [
        character._replace(position=start + character.position * (stop - start))
        for character in piece.spelling.characters
    ]


def _join(
    left: Sequence[Character], right: Sequence[Character], shared: tuple[float, float], near: float
) -> list[Character]:
    start, stop = shared
    middle = (start + stop) / 2
    first = next((index for index, character in enumerate(left) if character.position >= start - near), len(left))
    last = next((index for index, character in enumerate(right) if character.position > stop + near), len(right))
    pairs = [(first + i, j) for i, j in _paired(left[first:], right[:last], near)]
    if not pairs:
        return [
            *(character for character in left if character.position < middle),
            *(character for character in right if character.position >= middle),
        ]
    i, j = min(pairs, key=lambda pair: _preference(left[pair[0]], right[pair[1]], middle))
    surer = max(left[i], right[j], key=lambda character: character.confidence)
    return [*left[:i], surer, *right[j + 1 :]]


def _preference(one: Character, other: Character, middle: float) -> tuple[bool, bool, float]:
    place = (one.position + other.position) / 2
    return one.text != other.text, one.text.isspace() or other.text.isspace(), abs(place - middle)


def _paired(left: Sequence[Character], right: Sequence[Character], near: float) -> list[tuple[int, int]]:
    """Return the pairs, in order and without crossing, whose nearness and likeness sum up highest.

    Source: Needleman and Wunsch, "A general method applicable to the search for similarities in the amino acid sequence
    of two proteins" (1970), without a price for gaps.
    """
    best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, j in itertools.product(range(len(left)), range(len(right))):
        together = best[i][j] + _gain(left[i], right[j], near)
        best[i + 1][j + 1] = max(together, best[i][j + 1], best[i + 1][j])
    pairs = []
    i, j = len(left), len(right)
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs


def _gain(one: Character, other: Character, near: float) -> float:
    nearness = max(0.0, 1 - abs(one.position - other.position) / near)
    return nearness if one.text == other.text else _UNEQUAL * nearness
