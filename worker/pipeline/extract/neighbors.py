"""What stands around a piece of text: the captions before, left of and above it, and what goes on to its right.

Invariant: every question is answered in the direction of the text that asks, so that a page that lies skew, sideways or
on its head answers as an upright one; no distance is fixed in pixels. A question costs the lines near it, not the page.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.domain.image import PageText
from worker.pipeline.extract.folding import fold
from worker.pipeline.extract.span import Span

_Floats = NDArray[np.float64]
_Point = tuple[float, float]

# Distances in heights: of the taller of two lines across the text, of the asking line along it.
_ABOVE_REACH: Final = 1.6  # from a caption's foot to the head of what it names
_ABOVE_TOUCH: Final = 0.45  # how far the boxes of such a pair may run into each other
_LEFT_REACH: Final = 14.0
_RIGHT_REACH: Final = 3.5  # between the pieces of one number
_ROW_SHIFT: Final = 0.5  # how far the middles of two lines of a row may lie apart
_MAX_BESIDE: Final = 3
_MAX_ABOVE: Final = 4
_ABOVE_SHARE: Final = 0.3  # of the shorter of two lines that has to lie over the other
_TALLER: Final = 4.0  # times as tall as a line is its tallest neighbor that counts
_CELL_WIDTH: Final = 8.0  # in median heights
_CELL_HEIGHT: Final = 3.0
_TINY: Final = 1e-9
_CAPTION_DIGITS: Final = 2  # with more a line is a value itself, and names nothing below or beside it


class CaptionSide(IntEnum):
    """Where a caption stands, seen from what it names; the closest tie first."""

    BEFORE = 0  # in the same line
    LEFT = 1
    ABOVE = 2


class Caption(NamedTuple):
    """Text that may name a value. `text` is folded; what stands `BEFORE` ends where the value begins."""

    text: str
    place: CaptionSide
    line_id: int


class _Placed(NamedTuple):
    """A line as geometry: its direction, of length 1, and its corners and the middles of its ends in page pixels."""

    line_id: int
    along: _Point
    height: float
    corners: Sequence[_Point]
    left: _Point
    right: _Point


@dataclass(frozen=True, slots=True)
class _LineGrid:
    """The lines of about one direction, in the cells of a grid that lies along them: each line in all that it crosses.

    `size` is the width and height of a cell in pixels; `tallest` is the height of the tallest line.
    """

    cells: Mapping[tuple[int, int], Sequence[_Placed]]
    along: _Point
    size: _Point
    tallest: float

    def near(self, middle: _Point, before: float, after: float, over: float, under: float) -> Sequence[_Placed]:
        """Return the lines around a point, as far as these distances along and across, and some beyond."""
        x = middle[0] * self.along[0] + middle[1] * self.along[1]
        y = middle[1] * self.along[0] - middle[0] * self.along[1]
        width, height = self.size
        columns = range(int((x - before) // width), int((x + after) // width) + 1)
        rows = range(int((y - over) // height), int((y + under) // height) + 1)
        cells = self.cells
        found: dict[int, _Placed] = {}
        for row in rows:
            for column in columns:
                for placed in cells.get((column, row), ()):
                    found[placed.line_id] = placed
        return list(found.values())


class Neighbors:
    """The neighborhood of each line of a page. Make it once a page, by `of`, and hand it to all who ask."""

    def __init__(self, folded: tuple[str, ...], homes: Mapping[int, tuple[_LineGrid, _Placed]]) -> None:
        self.folded = folded
        self._homes = homes
        self._asked: dict[Span, tuple[Caption, ...]] = {}
        self._naming: dict[int, bool] = {}

    @classmethod
    def of(cls, page: PageText) -> "Neighbors":
        """Look at a page. `folded` will hold the text of each line, folded, at the same length."""
        folded = tuple(fold(line.text) for line in page.lines)
        if not page.lines:
            return cls(folded, {})
        quads = np.concatenate([line.polygon for line in page.lines]).astype(np.float64).reshape(-1, 4, 2)
        angles = np.array([line.rotation_degrees for line in page.lines])
        quarters = np.round(angles / 90.0).astype(int) % 4
        frames = [_frame(quads, np.flatnonzero(quarters == quarter)) for quarter in sorted(set(quarters.tolist()))]
        homes = {line.line_id: (frame, line) for frame in frames for cell in frame.cells.values() for line in cell}
        return cls(folded, homes)

    def captions(self, span: Span) -> tuple[Caption, ...]:
        """Return what may name the text of `span`, the closest first.

        Lines that are values themselves (more than two digits) name nothing beside or below them. What is left is asked
        only where the span begins its line, or nothing but signs stands before it.
        """
        if span not in self._asked:
            self._asked[span] = self._captions(span)
        return self._asked[span]

    def _captions(self, span: Span) -> tuple[Caption, ...]:
        found = []
        before = self.folded[span.line_id][: span.start].rstrip()
        named = any(map(str.isalpha, before))
        if named:
            found.append(Caption(before, CaptionSide.BEFORE, span.line_id))
        if not any(map(str.isalnum, before)):
            found += [
                Caption(self.folded[i], CaptionSide.LEFT, i) for i in self.left_of(span.line_id) if self._names(i)
            ]
        found += [Caption(self.folded[i], CaptionSide.ABOVE, i) for i in self.above(span) if self._names(i)]
        return tuple(found)

    def left_of(self, line_id: int) -> tuple[int, ...]:
        """Return up to three lines to the left in the same row, the nearest first."""
        return self._beside(line_id, -1, _LEFT_REACH, _MAX_BESIDE)

    def right_of(self, line_id: int) -> tuple[int, ...]:
        """Return up to three lines that go on to the right in the same row, the nearest first, close by alone."""
        return self._beside(line_id, 1, _RIGHT_REACH, _MAX_BESIDE)

    def above(self, span: Span) -> tuple[int, ...]:
        """Return up to four lines close above the span that lie over it, the lowest first."""
        frame, own = self._homes[span.line_id]
        length = max(len(self.folded[span.line_id]), 1)
        first = _between(own.corners[0], own.corners[1], span.start / length)
        last = _between(own.corners[0], own.corners[1], min(span.stop, length) / length)
        half, reach = math.dist(first, last) / 2, (_ABOVE_REACH + 1.0) * min(frame.tallest, _TALLER * own.height)
        found = []
        for other in frame.near(_between(first, last, 0.5), half, half, reach, 0.0):
            gap = _gap_above(own, other, first, last)
            if gap is not None and other.line_id != span.line_id:
                found.append((gap, other.line_id))
        return tuple(line for _, line in sorted(found)[:_MAX_ABOVE])

    def _beside(self, line_id: int, side: int, reach: float, most: int) -> tuple[int, ...]:
        frame, own = self._homes[line_id]
        (x, y), (along_x, along_y) = own.right if side > 0 else own.left, own.along
        across = _ROW_SHIFT * min(frame.tallest, _TALLER * own.height)
        back, forth = (across, reach * own.height) if side > 0 else (reach * own.height, across)
        found = []
        for other in frame.near((x, y), back, forth, across, across):
            end_x, end_y = other.left if side > 0 else other.right
            end_x, end_y = end_x - x, end_y - y
            gap, slack = side * (end_x * along_x + end_y * along_y), _ROW_SHIFT * max(own.height, other.height)
            if (
                -slack < gap < reach * own.height
                and abs(end_y * along_x - end_x * along_y) < slack
                and other is not own
            ):
                found.append((gap, other.line_id))
        return tuple(line for _, line in sorted(found)[:most])

    def _names(self, line_id: int) -> bool:
        if line_id not in self._naming:
            text = self.folded[line_id]
            self._naming[line_id] = sum(map(str.isdigit, text)) <= _CAPTION_DIGITS and any(map(str.isalpha, text))
        return self._naming[line_id]


def _gap_above(own: _Placed, other: _Placed, first: _Point, last: _Point) -> float | None:
    """Return how far another line's foot lies over the stretch of a line's head, None if it does not lie over it."""
    along_x, along_y = own.along
    x, y = (first[0] + last[0]) / 2, (first[1] + last[1]) / 2
    half = ((last[0] - first[0]) * along_x + (last[1] - first[1]) * along_y) / 2
    (x0, y0), (x1, y1), (right_x, right_y), (left_x, left_y) = other.corners
    foot_left = (left_x - x) * along_x + (left_y - y) * along_y
    foot_right = (right_x - x) * along_x + (right_y - y) * along_y
    left = min((x0 - x) * along_x + (y0 - y) * along_y, foot_left)
    right = max((x1 - x) * along_x + (y1 - y) * along_y, foot_right)
    if min(right, half) - max(left, -half) <= _ABOVE_SHARE * min(right - left, 2 * half):
        return None
    share = min(max(-foot_left / max(foot_right - foot_left, _TINY), 0.0), 1.0)
    foot_x, foot_y = left_x + (right_x - left_x) * share - x, left_y + (right_y - left_y) * share - y
    gap = foot_x * along_y - foot_y * along_x
    reach, touch = _ABOVE_REACH * max(own.height, other.height), _ABOVE_TOUCH * min(own.height, other.height)
    return gap if -touch < gap < reach else None


def _between(first: _Point, last: _Point, share: float) -> _Point:
    return first[0] + (last[0] - first[0]) * share, first[1] + (last[1] - first[1]) * share


def _frame(quads: _Floats, members: NDArray[np.int64]) -> _LineGrid:
    chosen = quads[members]
    edges = chosen[:, 1] - chosen[:, 0] + chosen[:, 2] - chosen[:, 3]
    lengths = np.maximum(np.hypot(edges[:, 0], edges[:, 1]), _TINY)
    along = edges.sum(axis=0)
    along /= max(math.hypot(*along), _TINY)
    sides = chosen[:, 3] - chosen[:, 0] + chosen[:, 2] - chosen[:, 1]
    heights = np.maximum(np.hypot(sides[:, 0], sides[:, 1]) / 2, 1.0)
    lefts, rights = chosen[:, [0, 3]].mean(axis=1), chosen[:, [1, 2]].mean(axis=1)
    columns = members, edges / lengths[:, None], heights, chosen, lefts, rights
    placed = [_Placed(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
    usual = float(np.sort(heights)[len(heights) // 2])
    size = _CELL_WIDTH * usual, _CELL_HEIGHT * usual
    turn = np.array([[along[0], -along[1]], [along[1], along[0]]])
    cells = _cells(placed, (lefts @ turn / size).tolist(), (rights @ turn / size).tolist())
    return _LineGrid(cells, (float(along[0]), float(along[1])), size, float(heights.max()))


def _cells(
    placed: Sequence[_Placed], lefts: Sequence[_Point], rights: Sequence[_Point]
) -> dict[tuple[int, int], list[_Placed]]:
    """Put each line into every cell that its middle crosses; `lefts` and `rights` are its ends, counted in cells."""
    cells: dict[tuple[int, int], list[_Placed]] = {}
    for line, (left_x, left_y), (right_x, right_y) in zip(placed, lefts, rights, strict=True):
        level = left_y // 1 == right_y // 1
        slope = 0.0 if level else (right_y - left_y) / max(right_x - left_x, _TINY)
        for column in range(int(left_x // 1), int(max(right_x, left_x) // 1) + 1):
            row = left_y if level else left_y + slope * (min(max(column + 0.5, left_x), right_x) - left_x)
            cells.setdefault((column, int(row // 1)), []).append(line)
    return cells
