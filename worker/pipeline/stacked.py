"""Characters that stand one below another, as on containers and East Asian labels, to one line of text.

The detector finds each such character by itself. Invariant: only lines of one character are joined, and never those of
a table's column: characters that have others beside them in their rows stay what they are.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.domain.image import TextLine
from worker.pipeline.ctc import spell

_FEWEST: Final = 4  # characters, under which it may be chance
_AMISS_HEIGHTS: Final = 0.35  # by which a character may lie beside its column
_PITCH_HEIGHTS: Final = (0.7, 2.0)  # from one character's middle to the next one's
_UNEVEN: Final = 0.25  # of the pitch
_SAME_ROW_HEIGHTS: Final = 0.25
_BESIDE: Final = 0.5  # of the characters; more of them in rows with others are a table's column

Floats = NDArray[np.float64]


def join_stacked(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines with each column of single upright characters joined to one, from its top.

    The joined line keeps the characters' own rotation; its polygon is the rectangle around all of them, from the first
    one's top left.
    """
    single = [index for index, line in enumerate(lines) if len(line.text) == 1]
    if len(single) < _FEWEST:
        return list(lines)
    upright = _Upright(lines)
    columns = [column for column in _columns(upright, single) if upright.stands_alone(column)]
    joined = {index for column in columns for index in column}
    kept = [line for index, line in enumerate(lines) if index not in joined]
    return kept + [_joined([lines[index] for index in column]) for column in columns]


class _Upright:
    """Where lines lie as their own characters stand; arrays are [n] or [n, 2]."""

    def __init__(self, lines: Sequence[TextLine]) -> None:
        corners = np.array([line.polygon for line in lines], dtype=np.float64)
        self.middles: Floats = corners.mean(axis=1)
        down = (corners[:, 3] + corners[:, 2] - corners[:, 0] - corners[:, 1]) / 2
        self.heights: Floats = np.maximum(np.linalg.norm(down, axis=1), 1e-6)
        self.downs: Floats = down / self.heights[:, np.newaxis]

    def apart(self, index: int) -> tuple[Floats, Floats]:
        """Return how far all lines lie below a line and to its right, in its heights."""
        x, y = self.downs[index]
        away = (self.middles - self.middles[index]) / self.heights[index]
        return away @ (x, y), away @ (y, -x)

    def stands_alone(self, column: Sequence[int]) -> bool:
        """Say whether most characters of a column have no other line in their row."""
        others = np.ones(len(self.heights), dtype=np.bool_)
        others[list(column)] = False
        beside = [bool((np.abs(self.apart(index)[0][others]) < _SAME_ROW_HEIGHTS).any()) for index in column]
        return sum(beside) <= _BESIDE * len(column)


def _columns(upright: _Upright, single: Sequence[int]) -> list[list[int]]:
    """Return columns of at least four of the single characters, each evenly spaced."""
    below = {index: _next_below(upright, index, single) for index in single}
    tops = set(single) - set(below.values())
    columns = []
    for top in sorted(tops, key=lambda index: tuple(upright.middles[index])):
        column, seen = [top], {top}
        while (following := below[column[-1]]) is not None and following not in seen:
            if not _is_even(upright, [*column[-2:], following]):
                break
            column.append(following)
            seen.add(following)
        if len(column) >= _FEWEST:
            columns.append(column)
    return columns


def _next_below(upright: _Upright, index: int, single: Sequence[int]) -> int | None:
    """Return the nearest single character under a character, of about its height."""
    down, right = upright.apart(index)
    low, high = _PITCH_HEIGHTS
    near = [
        other
        for other in single
        if low <= down[other] <= high
        and abs(right[other]) <= _AMISS_HEIGHTS
        and 1 / 1.5 <= upright.heights[other] / upright.heights[index] <= 1.5  # noqa: PLR2004 - of one print
    ]
    return min(near, key=lambda other: float(down[other]), default=None)


def _is_even(upright: _Upright, last: Sequence[int]) -> bool:
    gaps = np.linalg.norm(np.diff(upright.middles[list(last)], axis=0), axis=1)
    return bool(np.ptp(gaps) <= _UNEVEN * gaps.mean())


def _joined(column: Sequence[TextLine]) -> TextLine:
    along = column[0].polygon[1] - column[0].polygon[0]
    x, y = along / max(float(np.hypot(*along)), 1e-6)
    placed = np.concatenate([line.polygon for line in column]) @ np.array([[x, -y], [y, x]])
    (left, top), (right, bottom) = placed.min(axis=0), placed.max(axis=0)
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    polygon = np.asarray(corners @ np.array([[x, y], [-y, x]]), dtype=np.float64)
    count = len(column)
    characters = [
        replace(character, position=(place + 0.5) / count)
        for place, line in enumerate(column)
        for character in line.characters
    ]
    text = "".join(line.text for line in column)
    confidence = float(np.mean([line.confidence for line in column]))
    spelled = spell(characters).characters if len(characters) == count else ()
    return TextLine(text, confidence, polygon, column[0].rotation_degrees, spelled)
