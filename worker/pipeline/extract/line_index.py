"""The lines of a page as geometry, and which of them are near a point.

Invariant: every question is answered along and across one line, so that a page that lies skew, sideways or upside down
gives the same answers as an upright one. Lines that run another way are no neighbors. A question costs the lines near
the point, not the whole page.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.domain.image import TextLine

_Floats = NDArray[np.float64]
Point = tuple[float, float]

_MAX_TALLER: Final = 4.0  # times as tall as a line is its tallest neighbor that counts
_CELL_WIDTH: Final = 8.0  # in median heights
_CELL_HEIGHT: Final = 3.0
_TINY: Final = 1e-9


class Side(IntEnum):
    """One of the two ends of a line."""

    LEFT = -1
    RIGHT = 1


class PlacedLine(NamedTuple):
    """A line as geometry, in page pixels.

    `along` is its direction, of length 1; `corners` are clockwise from the text's own top left; `left` and `right` are
    the middles of its two ends.
    """

    line_id: int
    along: Point
    length: float
    height: float
    corners: Sequence[Point]
    left: Point
    right: Point

    def offset_of(self, point: Point) -> Point:
        """Return how far a point lies along the line and down from it, in pixels, seen from the line's top left."""
        (x, y), (along_x, along_y) = self.corners[0], self.along
        dx, dy = point[0] - x, point[1] - y
        return dx * along_x + dy * along_y, dy * along_x - dx * along_y

    def point_at(self, along: float, down: float) -> Point:
        """Return the point that lies so far along the line and down from it, seen from the line's top left."""
        (x, y), (along_x, along_y) = self.corners[0], self.along
        return x + along * along_x - down * along_y, y + along * along_y + down * along_x


@dataclass(frozen=True, slots=True)
class _LineGrid:
    """The lines of about one direction, in the cells of a grid that lies along them: each line in all cells it crosses.

    `size` is the width and height of a cell in pixels; `tallest` is the height of the tallest line.
    """

    cells: Mapping[tuple[int, int], Mapping[int, PlacedLine]]
    along: Point
    size: Point
    tallest: float

    def near(self, point: Point, before: float, after: float, above: float, below: float) -> dict[int, PlacedLine]:
        x = point[0] * self.along[0] + point[1] * self.along[1]
        y = point[1] * self.along[0] - point[0] * self.along[1]
        width, height = self.size
        columns = range(int((x - before) // width), int((x + after) // width) + 1)
        rows = range(int((y - above) // height), int((y + below) // height) + 1)
        cells = self.cells
        found: dict[int, PlacedLine] = {}
        for row in rows:
            for column in columns:
                cell = cells.get((column, row))
                if cell is not None:
                    found.update(cell)
        return found


class LineIndex:
    """All lines of a page. Make it once a page, by `of`."""

    def __init__(self, lines: Sequence[PlacedLine], grids: Sequence[_LineGrid]) -> None:
        self.lines = lines
        self._grids = grids

    @classmethod
    def of(cls, lines: Sequence[TextLine]) -> "LineIndex":
        """Measure the lines and sort them into a grid for each of the four directions. `lines` keeps their order."""
        if not lines:
            return cls((), ())
        quads = np.concatenate([line.polygon for line in lines]).astype(np.float64).reshape(-1, 4, 2)
        placed = _placed(quads)
        quarters = np.round([line.rotation_degrees / 90.0 for line in lines]).astype(int) % 4
        grids = {
            quarter: _grid(quads, placed, np.flatnonzero(quarters == quarter)) for quarter in set(quarters.tolist())
        }
        return cls(placed, [grids[quarter] for quarter in quarters.tolist()])

    def near(
        self, line_id: int, point: Point, before: float, after: float, above: float, below: float
    ) -> Sequence[PlacedLine]:
        """Return the other lines of a line's direction around a point.

        All that pass within so many pixels of the point, before and after it along the text and above and below it, and
        some beyond: the caller measures what it gets.
        """
        found = self._grids[line_id].near(point, before, after, above, below)
        found.pop(line_id, None)
        return list(found.values())

    def tallest_near(self, line_id: int) -> float:
        """Return how tall, in pixels, a neighbor of a line may be that has to be found."""
        return min(self._grids[line_id].tallest, _MAX_TALLER * self.lines[line_id].height)

    def beside(self, line_id: int, side: Side, reach: float, shift: float) -> Iterator[tuple[PlacedLine, float, float]]:
        """Yield the lines on one side of a line, as `near` finds them, each with its distance in pixels.

        That is how far the ends that face each other lie apart along the line, and how far across it. `reach` and
        `shift` are how far they may.
        """
        own = self.lines[line_id]
        (x, y), (along_x, along_y) = own.right if side is Side.RIGHT else own.left, own.along
        before, after = (shift, reach) if side is Side.RIGHT else (reach, shift)
        right = side is Side.RIGHT
        for other in self.near(line_id, (x, y), before, after, shift, shift):
            end_x, end_y = other.left if right else other.right
            end_x, end_y = end_x - x, end_y - y
            yield other, side * (end_x * along_x + end_y * along_y), abs(end_y * along_x - end_x * along_y)


def _placed(quads: _Floats) -> list[PlacedLine]:
    edges = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
    sides = (quads[:, 3] - quads[:, 0] + quads[:, 2] - quads[:, 1]) / 2
    lengths = np.maximum(np.hypot(edges[:, 0], edges[:, 1]), _TINY)
    heights = np.maximum(np.hypot(sides[:, 0], sides[:, 1]), 1.0)
    lefts, rights = quads[:, [0, 3]].mean(axis=1), quads[:, [1, 2]].mean(axis=1)
    columns = np.arange(len(quads)), edges / lengths[:, None], lengths, heights, quads, lefts, rights
    return [PlacedLine(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def _grid(quads: _Floats, placed: Sequence[PlacedLine], members: NDArray[np.int64]) -> _LineGrid:
    chosen, lines = quads[members], [placed[member] for member in members.tolist()]
    along = (chosen[:, 1] - chosen[:, 0] + chosen[:, 2] - chosen[:, 3]).sum(axis=0)
    along /= max(math.hypot(*along), _TINY)
    heights = np.array([line.height for line in lines])
    usual = float(np.sort(heights)[len(heights) // 2])
    size = _CELL_WIDTH * usual, _CELL_HEIGHT * usual
    turn = np.array([[along[0], -along[1]], [along[1], along[0]]])
    lefts, rights = chosen[:, [0, 3]].mean(axis=1), chosen[:, [1, 2]].mean(axis=1)
    cells = _cells(lines, (lefts @ turn / size).tolist(), (rights @ turn / size).tolist())
    return _LineGrid(cells, (float(along[0]), float(along[1])), size, float(heights.max()))


def _cells(
    lines: Sequence[PlacedLine], lefts: Sequence[Point], rights: Sequence[Point]
) -> dict[tuple[int, int], dict[int, PlacedLine]]:
    """Put each line into every cell that its middle crosses; `lefts` and `rights` are its ends, counted in cells."""
    cells: dict[tuple[int, int], dict[int, PlacedLine]] = {}
    for line, (left_x, left_y), (right_x, right_y) in zip(lines, lefts, rights, strict=True):
        level = left_y // 1 == right_y // 1
        slope = 0.0 if level else (right_y - left_y) / max(right_x - left_x, _TINY)
        for column in range(int(left_x // 1), int(max(right_x, left_x) // 1) + 1):
            row = left_y if level else left_y + slope * (min(max(column + 0.5, left_x), right_x) - left_x)
            cells.setdefault((column, int(row // 1)), {})[line.line_id] = line
    return cells
