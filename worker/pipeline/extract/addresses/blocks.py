"""Which lines stand in one row and which rows stand below one another as a block, by geometry alone.

Invariant: a line belongs to one row and one block at most. Distances are measured in line heights, along the lines' own
direction (see `LineIndex`).
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from worker.pipeline.extract.line_index import LineIndex, Side

# In heights of the taller of two lines.
_SAME_EDGE: Final = 0.7
_CLOSE: Final = 1.5  # between the foot of one line and the head of the next
_EVEN: Final = 1.6  # times the smaller of the gaps above and below: a wider gap ends a block
_EVEN_SLACK: Final = 0.45
_TOUCH: Final = -0.55  # boxes of neighboring lines may run into each other
_MIN_HEIGHT_RATIO: Final = 0.5
_ROW_GAP: Final = 1.1  # between lines of one row
_ROW_TOUCH: Final = -0.6
_SAME_ROW: Final = 0.45


class BlockGeometry:
    """Finds the line that goes on to the right of a line, or below it."""

    def __init__(self, index: LineIndex) -> None:
        self.lines = index.lines
        self._index = index

    def below(
        self, line: int, *, left: float = -_SAME_EDGE, right: float = _SAME_EDGE, far: float = _CLOSE
    ) -> int | None:
        """Return the nearest line below whose left edge lies between `left` and `right` of this one's, in heights."""
        own, tallest = self.lines[line], self._index.tallest_near(line)
        found = []
        near = self._index.near(
            line, own.corners[3], -left * tallest, right * tallest, -_TOUCH * tallest, (far + 0.5) * tallest
        )
        for other in near:
            aside, depth = own.offset_of(other.corners[0])
            tall, gap = max(own.height, other.height), depth - own.height
            if left * tall <= aside <= right * tall and _TOUCH * tall <= gap <= far * tall and depth > tall / 4:
                found.append((gap + abs(aside) / 2, other.line_id))
        return min(found)[1] if found else None

    def centered_below(self, line: int) -> int | None:
        """Return the nearest line below whose middle stands below the middle of this one."""
        own, tallest = self.lines[line], self._index.tallest_near(line)
        middle = own.length / 2
        found = []
        foot, aside = own.point_at(middle, own.height), _SAME_EDGE * tallest
        for other in self._index.near(line, foot, aside, aside, -_TOUCH * tallest, (_CLOSE + 0.5) * tallest):
            start, depth = own.offset_of(other.corners[0])
            tall = max(own.height, other.height)
            gap, off = (depth - own.height) / tall, abs(start + other.length / 2 - middle)
            if _TOUCH <= gap <= _CLOSE and off <= _SAME_EDGE * tall and depth > tall / 4:
                found.append((gap, other.line_id))
        return min(found)[1] if found else None

    def beside(self, line: int, reach: float = _ROW_GAP) -> int | None:
        """Return the nearest line that goes on in the same row within `reach` heights."""
        own, tallest = self.lines[line], self._index.tallest_near(line)
        found = []
        for other, gap, shift in self._index.beside(line, Side.RIGHT, reach * tallest, _SAME_ROW * tallest):
            tall = max(own.height, other.height)
            if _ROW_TOUCH * tall <= gap <= reach * tall and shift <= _SAME_ROW * tall:
                found.append((gap, other.line_id))
        return min(found)[1] if found else None

    def gap(self, upper: int, lower: int) -> float:
        """Return how far the head of one line lies below the foot of another, in heights of the taller."""
        one, other = self.lines[upper], self.lines[lower]
        return (one.offset_of(other.corners[0])[1] - one.height) / max(one.height, other.height)

    def are_alike(self, one: int, other: int) -> bool:
        """Whether two lines are about as tall as each other."""
        heights = self.lines[one].height, self.lines[other].height
        return min(heights) >= _MIN_HEIGHT_RATIO * max(heights)


@dataclass(frozen=True, slots=True)
class Rows:
    """How the lines of a page go on.

    `next_in_row` maps a line to the line that goes on to its right in the same row. `next_row` maps the first line of a
    row to the first line of the row below.
    """

    next_in_row: dict[int, int]
    next_row: dict[int, int]

    @classmethod
    def of(cls, geometry: BlockGeometry, captions: AbstractSet[int]) -> "Rows":
        """Join lines to rows first, then rows to blocks. No row goes on behind one of the `captions`."""
        next_in_row: dict[int, int] = {}
        taken: set[int] = set()
        for line in range(len(geometry.lines)):
            following = None if line in captions else geometry.beside(line)
            if following is not None and following not in taken and geometry.are_alike(line, following):
                next_in_row[line] = following
                taken.add(following)
        links = dict(_links(geometry, taken, taken, geometry.below))
        # What has nothing below its left edge may have it below its middle.
        links |= dict(_links(geometry, taken | set(links), taken | set(links.values()), geometry.centered_below))
        return cls(next_in_row, _even(links, geometry))

    def row(self, first: int) -> list[int]:
        """Return a line and the lines that go on from it in its row."""
        row = [first]
        while row[-1] in self.next_in_row and self.next_in_row[row[-1]] not in row:
            row.append(self.next_in_row[row[-1]])
        return row

    def column(self, first: int, most: int) -> list[int]:
        """Return the first lines of up to `most` rows from `first` on downwards."""
        column = [first]
        while len(column) < most and column[-1] in self.next_row and self.next_row[column[-1]] not in column:
            column.append(self.next_row[column[-1]])
        return column


def _links(
    geometry: BlockGeometry,
    not_upper: AbstractSet[int],
    not_lower: AbstractSet[int],
    below: Callable[[int], int | None],
) -> Iterator[tuple[int, int]]:
    """Yield pairs of an upper and a lower line. A line stands below one other at most: the nearest."""
    above: dict[int, tuple[float, int]] = {}
    for line in range(len(geometry.lines)):
        lower = None if line in not_upper else below(line)
        if lower is None or lower in not_lower or not geometry.are_alike(line, lower):
            continue
        gap = geometry.gap(line, lower)
        if lower not in above or gap < above[lower][0]:
            above[lower] = gap, line
    return ((line, lower) for lower, (_, line) in above.items())


def _even(links: Mapping[int, int], geometry: BlockGeometry) -> dict[int, int]:
    """Return the links without those whose gap is much wider than the gap above or below it."""
    gaps = {line: max(geometry.gap(line, lower), 0.0) for line, lower in links.items()}
    before = {lower: gaps[line] for line, lower in links.items()}
    return {
        line: lower
        for line, lower in links.items()
        if gaps[line] <= _EVEN_SLACK + _EVEN * min(before.get(line, gaps[line]), gaps.get(lower, gaps[line]))
    }
