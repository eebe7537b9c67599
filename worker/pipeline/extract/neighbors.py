"""What stands beside a text: the captions before, left of and above it, and the lines that go on to its right.

Invariant: distances are measured in line heights, never in pixels, along and across the text that is asked about (see
`LineIndex`).
"""

import math
from enum import IntEnum
from typing import Final, NamedTuple

from worker.domain.image import PageText
from worker.pipeline.extract.folding import fold
from worker.pipeline.extract.line_index import LineIndex, PlacedLine, Point, Side
from worker.pipeline.extract.text_span import Span

# Distances in heights: across the text of the taller of two lines, along it of the line that is asked about.
_ABOVE_REACH: Final = 1.6  # from a caption's foot to the head of what it names
_ABOVE_TOUCH: Final = 0.45  # how far the boxes of such a pair may run into each other
_LEFT_REACH: Final = 14.0
_RIGHT_REACH: Final = 3.5  # between the groups of one number
_ROW_SHIFT: Final = 0.5  # how far the middles of two lines of a row may lie apart
_MAX_BESIDE: Final = 3
_MAX_ABOVE: Final = 4
_ABOVE_SHARE: Final = 0.3  # of the shorter of two lines that has to lie over the other
_TINY: Final = 1e-9
_CAPTION_DIGITS: Final = 2  # with more a line is a value itself, and names nothing below or beside it


class CaptionSide(IntEnum):
    """Where a caption stands, seen from what it names; the closest first."""

    BEFORE = 0  # in the same line
    LEFT = 1
    ABOVE = 2


class Caption(NamedTuple):
    """Text that may name a value. `text` is folded; on the side `BEFORE` it ends where the value begins."""

    text: str
    side: CaptionSide
    line_id: int


class Neighbors:
    """The lines of a page, folded, and their captions. Make it once a page, by `of`, for all finders."""

    def __init__(self, folded: tuple[str, ...], index: LineIndex) -> None:
        self.folded = folded
        self.index = index
        self._asked: dict[Span, tuple[Caption, ...]] = {}
        self._naming: dict[int, bool] = {}

    @classmethod
    def of(cls, page: PageText) -> "Neighbors":
        """Fold and index the lines of a page. `folded` has the text of each line, folded, at the same length."""
        return cls(tuple(fold(line.text) for line in page.lines), LineIndex.of(page.lines))

    def captions(self, span: Span) -> tuple[Caption, ...]:
        """Return what may name the text of `span`, the closest first.

        Lines with more than two digits are values themselves and name nothing. Lines to the left count only where
        nothing but signs stands before the span in its own line.
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
        return self._beside(line_id, Side.LEFT, _LEFT_REACH)

    def right_of(self, line_id: int) -> tuple[int, ...]:
        """Return up to three lines close by to the right in the same row, the nearest first."""
        return self._beside(line_id, Side.RIGHT, _RIGHT_REACH)

    def above(self, span: Span) -> tuple[int, ...]:
        """Return up to four lines close above the span that overlap it along the text, the lowest first."""
        own = self.index.lines[span.line_id]
        length = max(len(self.folded[span.line_id]), 1)
        first = _between(own.corners[0], own.corners[1], span.start / length)
        last = _between(own.corners[0], own.corners[1], min(span.stop, length) / length)
        half, reach = math.dist(first, last) / 2, (_ABOVE_REACH + 1.0) * self.index.tallest_near(span.line_id)
        found = []
        for other in self.index.near(span.line_id, _between(first, last, 0.5), half, half, reach, 0.0):
            gap = _gap_above(own, other, first, last)
            if gap is not None:
                found.append((gap, other.line_id))
        return tuple(line for _, line in sorted(found)[:_MAX_ABOVE])

    def _beside(self, line_id: int, side: Side, reach: float) -> tuple[int, ...]:
        height, across = self.index.lines[line_id].height, _ROW_SHIFT * self.index.tallest_near(line_id)
        found = []
        for other, gap, shift in self.index.beside(line_id, side, reach * height, across):
            slack = _ROW_SHIFT * max(height, other.height)
            if -slack < gap < reach * height and shift < slack:
                found.append((gap, other.line_id))
        return tuple(line for _, line in sorted(found)[:_MAX_BESIDE])

    def _names(self, line_id: int) -> bool:
        if line_id not in self._naming:
            text = self.folded[line_id]
            self._naming[line_id] = sum(map(str.isdigit, text)) <= _CAPTION_DIGITS and any(map(str.isalpha, text))
        return self._naming[line_id]


def _gap_above(own: PlacedLine, other: PlacedLine, first: Point, last: Point) -> float | None:
    """Return the gap between another line's foot and the head of a stretch of this line, None if it is not above it."""
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


def _between(first: Point, last: Point, share: float) -> Point:
    return first[0] + (last[0] - first[0]) * share, first[1] + (last[1] - first[1]) * share
