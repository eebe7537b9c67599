"""Lines that stand below one another as a block, by geometry alone.

Invariant: a line belongs to one block at most, distances are measured in line heights along the lines' own direction,
and the work grows with the number of lines and not with its square.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from worker.domain.image import TextLine

# In heights of the taller of two lines.
_SAME_EDGE: Final = 0.7
_CLOSE: Final = 1.5  # between the foot of one line and the head of the next
_EVEN: Final = 1.6  # times the smaller gap beside it: a wider one ends a block
_EVEN_SLACK: Final = 0.45
_CENTER_REACH: Final = 8.0
_TOUCH: Final = -0.55  # boxes of neighboring lines may run into each other
_MIN_HEIGHT_RATIO: Final = 0.5
_PIECE_GAP: Final = 1.1  # between pieces of one row
_PIECE_TOUCH: Final = -0.6
_SAME_ROW: Final = 0.45
_CELL: Final = 4.0


_Neighbor = tuple[int, float, float, float, float]  # line; how far along and down it lies; its length and height


class Box(NamedTuple):
    """A line's box: its own top left, its directions (unit vectors) along and down, its length and height in pixels."""

    x: float
    y: float
    along: tuple[float, float]
    length: float
    height: float

    def offset_of(self, x: float, y: float) -> tuple[float, float]:
        """Return how far a point lies along and down from the top left, in pixels."""
        dx, dy = x - self.x, y - self.y
        return dx * self.along[0] + dy * self.along[1], dy * self.along[0] - dx * self.along[1]


class Blocks:
    """The neighbors of each line. Make it once a page, by `of`."""

    def __init__(self, boxes: Sequence[Box], quarters: Sequence[int], cell: float) -> None:
        self.boxes = boxes
        self._quarters = quarters
        self._cell = cell
        self._grid: dict[tuple[int, int, int], list[int]] = defaultdict(list)

    @classmethod
    def of(cls, lines: Sequence[TextLine]) -> "Blocks":
        """Measure the lines and sort them into a grid by their top left corners."""
        if not lines:
            return cls((), (), 1.0)
        quads = np.concatenate([line.polygon for line in lines]).astype(np.float64).reshape(-1, 4, 2)
        edges = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
        sides = (quads[:, 3] - quads[:, 0] + quads[:, 2] - quads[:, 1]) / 2
        lengths = np.maximum(np.hypot(edges[:, 0], edges[:, 1]), 1.0)
        heights = np.maximum(np.hypot(sides[:, 0], sides[:, 1]), 1.0)
        along = edges / lengths[:, None]
        quarters = np.round([line.rotation_degrees / 90.0 for line in lines]).astype(int) % 4
        boxes = [
            Box(x, y, (ax, ay), length, height)
            for (x, y), (ax, ay), length, height in zip(
                quads[:, 0].tolist(), along.tolist(), lengths.tolist(), heights.tolist(), strict=True
            )
        ]
        blocks = cls(boxes, quarters.tolist(), _CELL * sorted(heights.tolist())[3 * len(lines) // 4])
        blocks._sort()
        return blocks

    def _sort(self) -> None:
        for line, box in enumerate(self.boxes):
            self._grid[self._quarters[line], int(box.x // self._cell), int(box.y // self._cell)].append(line)

    def near(self, line: int, x: float, y: float, aside: float, down: float) -> Iterator[_Neighbor]:
        """Yield the other lines of the same direction whose top left is near a point.

        `aside` and `down` are how far along and across the line they may lie, in heights, roughly.
        """
        boxes, cell, quarter = self.boxes, self._cell, self._quarters[line]
        own_x, own_y, (along_x, along_y), _, height = boxes[line]
        across, upright = abs(along_x) * height, abs(along_y) * height
        reach_x, reach_y = aside * across + down * upright, aside * upright + down * across
        rows = range(int((y - reach_y) // cell), int((y + reach_y) // cell) + 1)
        for column in range(int((x - reach_x) // cell), int((x + reach_x) // cell) + 1):
            for row in rows:
                for other in self._grid.get((quarter, column, row), ()):
                    other_x, other_y, _, length, tall = boxes[other]
                    dx, dy = other_x - own_x, other_y - own_y
                    if other != line:
                        yield other, dx * along_x + dy * along_y, dy * along_x - dx * along_y, length, tall

    def below(
        self, line: int, *, left: float = -_SAME_EDGE, right: float = _SAME_EDGE, far: float = _CLOSE
    ) -> int | None:
        """Return the nearest line below whose left edge lies between `left` and `right` of this one's, in heights."""
        box = self.boxes[line]
        foot_x, foot_y = box.x - box.height * box.along[1], box.y + box.height * box.along[0]
        best, found = math.inf, None
        for other, aside, depth, _, height in self.near(line, foot_x, foot_y, 1.5 * max(right, -left), 1.5 * far):
            tall, gap = max(box.height, height), depth - box.height
            if left * tall <= aside <= right * tall and _TOUCH * tall <= gap <= far * tall and depth > tall / 4:
                weight = gap + abs(aside) / 2
                if weight < best:
                    best, found = weight, other
        return found

    def centered_below(self, line: int) -> int | None:
        """Return the nearest line below whose middle stands below the middle of this one."""
        box = self.boxes[line]
        middle = box.length / 2
        foot_x = box.x + middle * box.along[0] - box.height * box.along[1]
        foot_y = box.y + middle * box.along[1] + box.height * box.along[0]
        best, found = _CLOSE, None
        for other, aside, depth, length, height in self.near(line, foot_x, foot_y, _CENTER_REACH, _CLOSE):
            tall = max(box.height, height)
            gap = (depth - box.height) / tall
            off = abs(aside + length / 2 - middle)
            if _TOUCH <= gap <= best and off <= _SAME_EDGE * tall and depth > tall / 4:
                best, found = gap, other
        return found

    def beside(self, line: int, reach: float = _PIECE_GAP) -> int | None:
        """Return the nearest line that goes on in the same row within `reach` heights."""
        box = self.boxes[line]
        end_x, end_y = box.x + box.length * box.along[0], box.y + box.length * box.along[1]
        best, found = math.inf, None
        for other, aside, depth, _, height in self.near(line, end_x, end_y, 1.5 * max(reach, 1.0), 1.5):
            tall = max(box.height, height)
            shift = depth + (height - box.height) / 2
            gap = aside - box.length
            if _PIECE_TOUCH * tall <= gap <= reach * tall and abs(shift) <= _SAME_ROW * tall and gap < best:
                best, found = gap, other
        return found

    def gap(self, upper: int, lower: int) -> float:
        """Return how far the head of one line lies below the foot of another, in heights of the taller."""
        box, box_of_lower = self.boxes[upper], self.boxes[lower]
        depth = box.offset_of(box_of_lower.x, box_of_lower.y)[1]
        return (depth - box.height) / max(box.height, box_of_lower.height)

    def alike(self, one: int, other: int) -> bool:
        """Say whether two lines are about as high as each other."""
        heights = self.boxes[one].height, self.boxes[other].height
        return min(heights) >= _MIN_HEIGHT_RATIO * max(heights)


@dataclass(frozen=True, slots=True)
class Rows:
    """How the lines of a page go on.

    `pieces` says which line goes on to the right of which in the same row; `next_row` which row stands below which, by
    the first line of each.
    """

    pieces: dict[int, int]
    next_row: dict[int, int]

    @classmethod
    def of(cls, blocks: Blocks, captions: AbstractSet[int]) -> "Rows":
        """Find pieces of rows first, then rows below one another; no row goes on from one of the `captions`."""
        pieces: dict[int, int] = {}
        taken: set[int] = set()
        for line in range(len(blocks.boxes)):
            piece = None if line in captions else blocks.beside(line)
            if piece is not None and piece not in taken and blocks.alike(line, piece):
                pieces[line] = piece
                taken.add(piece)
        links = dict(_links(blocks, taken, taken, blocks.below))
        # What has nothing below its left edge may have it below its middle.
        links |= dict(_links(blocks, taken | set(links), taken | set(links.values()), blocks.centered_below))
        return cls(pieces, _even(links, blocks))

    def row(self, first: int) -> list[int]:
        """Return a line and the pieces that go on from it."""
        row = [first]
        while row[-1] in self.pieces and self.pieces[row[-1]] not in row:
            row.append(self.pieces[row[-1]])
        return row

    def column(self, first: int, most: int) -> list[int]:
        """Return the first lines of up to `most` rows from `first` on downwards."""
        column = [first]
        while len(column) < most and column[-1] in self.next_row and self.next_row[column[-1]] not in column:
            column.append(self.next_row[column[-1]])
        return column


def _links(
    blocks: Blocks, not_upper: AbstractSet[int], not_lower: AbstractSet[int], below: Callable[[int], int | None]
) -> Iterator[tuple[int, int]]:
    """Yield which line stands below which, each below one at most: the nearest."""
    above: dict[int, tuple[float, int]] = {}
    for line in range(len(blocks.boxes)):
        lower = None if line in not_upper else below(line)
        if lower is None or lower in not_lower or not blocks.alike(line, lower):
            continue
        gap = blocks.gap(line, lower)
        if lower not in above or gap < above[lower][0]:
            above[lower] = gap, line
    return ((line, lower) for lower, (_, line) in above.items())


def _even(links: Mapping[int, int], blocks: Blocks) -> dict[int, int]:
    """Return the links without those that are much wider than the one before or behind them."""
    gaps = {line: max(blocks.gap(line, lower), 0.0) for line, lower in links.items()}
    before = {lower: gaps[line] for line, lower in links.items()}
    return {
        line: lower
        for line, lower in links.items()
        if gaps[line] <= _EVEN_SLACK + _EVEN * min(before.get(line, gaps[line]), gaps.get(lower, gaps[line]))
    }
