"""Characters that stand one below another, as on containers and East Asian labels, to one line of text.

The detector finds each such character by itself. A column begins with four of them or more, evenly spaced; what stands
below or above at a gap goes on, as the serial number and the check digit of a container do below its owner's code.
Invariant: only lines of one character are joined, and never those of a table's column: characters that have others
beside them in their rows stay what they are, unless they are another such column, or the column is a container's number
with the right check digit.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.domain.image import Character, TextLine
from worker.pipeline.extract.folding import fold
from worker.pipeline.extract.numbers.checks import intermodal
from worker.pipeline.recognize.ctc import spell

_MIN_CHARACTERS: Final = 4  # characters, under which it may be chance
_MAX_OFFSET_HEIGHTS: Final = 0.35  # by which a character may lie beside its column
_PITCH_HEIGHTS: Final = (0.7, 2.0)  # from one character's middle to the next one's
_MAX_PITCH_DEVIATION: Final = 0.25  # of the pitch
_MAX_HEIGHT_RATIO: Final = 1.5  # of one print
_SAME_ROW_HEIGHTS: Final = 0.25
_MAX_SHARE_BESIDE: Final = 0.5  # of the characters; more of them in rows with others are a table's column
_GAP_HEIGHTS: Final = 1.8  # by which the next group may stand farther than the next character
_MAX_GAPS: Final = 4
_SPACE: Final = 1.2  # pitches, from which on two characters have a space between them
_ANOTHER_PITCHES: Final = 1.1  # at least so far beside a column another one may stand
_CONTAINER: Final = re.compile(r"[A-Z]{3}[UJZABDEK][0-9]{7}")

Floats = NDArray[np.float64]


def join_stacked(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines with each column of single upright characters joined to one, from its top.

    The joined line keeps the characters' own rotation; its polygon is the rectangle around all of them, from the first
    one's top left.
    """
    single = [index for index, line in enumerate(lines) if len(line.text) == 1]
    if len(single) < _MIN_CHARACTERS:
        return list(lines)
    upright = _UprightLayout(lines, single)
    columns = _columns(upright, single)
    stacked = {index for column in columns for index in column}
    columns = [
        column
        for column in columns
        if _is_container(lines, column) or upright.stands_alone(column, stacked - {*column})
    ]
    joined = {index for column in columns for index in column}
    kept = [line for index, line in enumerate(lines) if index not in joined]
    return kept + [_joined([lines[index] for index in column]) for column in columns]


def _is_container(lines: Sequence[TextLine], column: Sequence[int]) -> bool:
    """Say whether a column is a container's number, or begins with one, and its check digit holds."""
    number = _CONTAINER.match("".join(fold(lines[index].text) for index in column))
    return number is not None and intermodal(number.group())


class _UprightLayout:
    """Where lines lie as their own characters stand; arrays are [n] or [n, 2]."""

    def __init__(self, lines: Sequence[TextLine], single: Sequence[int]) -> None:
        corners = np.array([line.polygon for line in lines], dtype=np.float64)
        self.middles: Floats = corners.mean(axis=1)
        corners[single] = _as_most_stand(corners[single])
        down = (corners[:, 3] + corners[:, 2] - corners[:, 0] - corners[:, 1]) / 2
        self.heights: Floats = np.maximum(np.linalg.norm(down, axis=1), 1e-6)
        self.downs: Floats = down / self.heights[:, np.newaxis]

    def offsets(self, index: int) -> tuple[Floats, Floats]:
        """Return how far all lines lie below a line and to its right, in its heights."""
        x, y = self.downs[index]
        away = (self.middles - self.middles[index]) / self.heights[index]
        return away @ (x, y), away @ (y, -x)

    def stands_alone(self, column: Sequence[int], stacked: Collection[int]) -> bool:
        """Say whether most characters of a column have no other line in their row.

        Those of another column do not count, if the two stand as far apart as columns do.
        """
        others = np.ones(len(self.heights), dtype=np.bool_)
        others[list(column)] = False
        elsewhere = np.zeros_like(others)
        elsewhere[list(stacked)] = True
        far = _ANOTHER_PITCHES * float(np.median(self.pitches(column)))
        beside = 0
        for index in column:
            down, right = self.offsets(index)
            counts = others & ~(elsewhere & (np.abs(right) * self.heights[index] >= far))
            beside += bool((np.abs(down[counts]) < _SAME_ROW_HEIGHTS).any())
        return beside <= _MAX_SHARE_BESIDE * len(column)

    def pitches(self, column: Sequence[int]) -> Floats:
        """Return how far each character of a column stands from the next, in pixels."""
        return np.asarray(np.linalg.norm(np.diff(self.middles[list(column)], axis=0), axis=1), dtype=np.float64)


def _as_most_stand(corners: Floats) -> Floats:
    """Turn the corners of characters, [n, 4, 2], by quarters so that all stand as most of them do.

    Which way a character alone was taken to stand follows from its shape, and of some it does not.
    """
    across = corners[:, 1] - corners[:, 0]
    quarters = np.round(np.degrees(np.arctan2(across[:, 1], across[:, 0])) / 90.0).astype(int) % 4
    usual = int(np.argmax(np.bincount(quarters, minlength=4)))
    order = (np.arange(4) + (usual - quarters)[:, np.newaxis]) % 4
    return np.asarray(np.take_along_axis(corners, order[..., np.newaxis], axis=1), dtype=np.float64)


def _columns(upright: _UprightLayout, single: Sequence[int]) -> list[list[int]]:
    """Return columns of single characters, each from its top: evenly spaced ones, and what goes on at a gap."""
    below = {index: _next_below(upright, index, single) for index in single}
    evens = _even_columns(upright, single, below)
    columns: list[list[int]] = []
    taken: set[int] = set()
    for even in evens:
        if taken & {*even}:
            continue
        column = _extended_over_gaps(upright, even, [index for index in single if index not in taken])
        columns.append(column)
        taken |= {*column}
    return columns


def _even_columns(upright: _UprightLayout, single: Sequence[int], below: Mapping[int, int | None]) -> list[list[int]]:
    """Return columns of at least four of the single characters, each evenly spaced."""
    tops = sorted(single, key=lambda index: tuple(upright.middles[index] @ _text_axes(upright, index)))
    columns = []
    seen: set[int] = set()
    for top in tops:
        if top in seen:
            continue
        column = _even_column(upright, top, below)
        if len(column) >= _MIN_CHARACTERS:
            columns.append(column)
            seen |= {*column}
    return columns


def _text_axes(upright: _UprightLayout, index: int) -> Floats:
    """Return what turns a place on the page to (down, right) as a character stands, [2, 2]."""
    x, y = upright.downs[index]
    return np.array([[x, y], [y, -x]])


def _even_column(upright: _UprightLayout, top: int, below: Mapping[int, int | None]) -> list[int]:
    """Return a character and those below it for as long as they are evenly spaced."""
    column, seen = [top], {top}
    while (following := below[column[-1]]) is not None and following not in seen:
        if not _is_even(upright, [*column[-2:], following]):
            break
        column.append(following)
        seen.add(following)
    return column


def _extended_over_gaps(upright: _UprightLayout, even: Sequence[int], single: Sequence[int]) -> list[int]:
    """Return an even column with the groups of characters that go on above and below it at a gap."""
    column = list(even)
    pitch = float(upright.pitches(even).mean())
    for side in (1, -1):
        for _ in range(_MAX_GAPS):
            end = column[-1] if side > 0 else column[0]
            following = _beyond_gap(upright, end, side * pitch, [index for index in single if index not in column])
            if following is None:
                break
            group = _group_at_pitch(
                upright, following, side * pitch, [index for index in single if index not in column]
            )
            column = [*column, *group] if side > 0 else [*group[::-1], *column]
    return column


def _beyond_gap(upright: _UprightLayout, end: int, pitch: float, single: Sequence[int]) -> int | None:
    """Return the nearest character of a column's print beyond its end; over its head where `pitch` is negative."""
    down, right = upright.offsets(end)
    height = upright.heights[end]
    reach = abs(pitch) / height
    side = 1.0 if pitch > 0 else -1.0
    near = [
        other
        for other in single
        if (1 - _MAX_PITCH_DEVIATION) * reach <= side * down[other] <= reach + _GAP_HEIGHTS
        and abs(right[other]) <= _MAX_OFFSET_HEIGHTS
        and _of_one_print(upright, end, other)
    ]
    return min(near, key=lambda other: float(side * down[other]), default=None)


def _group_at_pitch(upright: _UprightLayout, first: int, pitch: float, single: Sequence[int]) -> list[int]:
    """Return a character and those that follow it at about the pitch."""
    group = [first]
    while True:
        left = [index for index in single if index not in group]
        following = _beyond_gap(upright, group[-1], pitch, left)
        if following is None:
            return group
        away = float(np.linalg.norm(upright.middles[following] - upright.middles[group[-1]]))
        if abs(away - abs(pitch)) > _MAX_PITCH_DEVIATION * abs(pitch):
            return group
        group.append(following)


def _next_below(upright: _UprightLayout, index: int, single: Sequence[int]) -> int | None:
    """Return the nearest single character under a character, of about its height."""
    down, right = upright.offsets(index)
    low, high = _PITCH_HEIGHTS
    near = [
        other
        for other in single
        if low <= down[other] <= high
        and abs(right[other]) <= _MAX_OFFSET_HEIGHTS
        and _of_one_print(upright, index, other)
    ]
    return min(near, key=lambda other: float(down[other]), default=None)


def _of_one_print(upright: _UprightLayout, one: int, other: int) -> bool:
    return bool(1 / _MAX_HEIGHT_RATIO <= upright.heights[other] / upright.heights[one] <= _MAX_HEIGHT_RATIO)


def _is_even(upright: _UprightLayout, last: Sequence[int]) -> bool:
    gaps = np.linalg.norm(np.diff(upright.middles[list(last)], axis=0), axis=1)
    return bool(np.ptp(gaps) <= _MAX_PITCH_DEVIATION * gaps.mean())


def _joined(column: Sequence[TextLine]) -> TextLine:
    along = column[0].polygon[1] - column[0].polygon[0]
    x, y = along / max(float(np.hypot(*along)), 1e-6)
    placed = np.concatenate([line.polygon for line in column]) @ np.array([[x, -y], [y, x]])
    (left, top), (right, bottom) = placed.min(axis=0), placed.max(axis=0)
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    polygon = np.asarray(corners @ np.array([[x, y], [-y, x]]), dtype=np.float64)
    ahead = _spaces(np.array([line.polygon.mean(axis=0) for line in column]))
    count = len(column) + sum(ahead)
    characters: list[Character] = []
    for line, space in zip(column, ahead, strict=True):
        if space:
            characters.append(Character(" ", line.confidence, (len(characters) + 0.5) / count))
        characters += [one._replace(position=(len(characters) + 0.5) / count) for one in line.characters]
    text = "".join(f" {line.text}" if space else line.text for line, space in zip(column, ahead, strict=True))
    confidence = float(np.mean([line.confidence for line in column]))
    spelled = spell(characters).characters if len(characters) == count else ()
    return TextLine(text, confidence, polygon, column[0].rotation_degrees, spelled)


def _spaces(middles: Floats) -> list[bool]:
    """Say before which characters of a column, by their middles [n, 2], there is a gap."""
    steps = np.linalg.norm(np.diff(middles, axis=0), axis=1)
    return [False, *(steps > _SPACE * np.median(steps)).tolist()]
