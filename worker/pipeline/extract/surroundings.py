"""What stands around a piece of text: the captions before, left of and above it, and what goes on to its right.

Invariant: every question is answered in the direction of the text that asks, so that a page that lies skew, sideways or
on its head answers as an upright one; no distance is fixed in pixels. A question costs the lines near it, not the page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.domain.image import PageText
from worker.pipeline.extract.candidate import Span
from worker.pipeline.extract.folding import fold

_Floats = NDArray[np.float64]

# Distances in heights of the taller of two lines.
_ABOVE_REACH: Final = 1.6  # from a caption's foot to the head of what it names
_ABOVE_TOUCH: Final = 0.45  # how far the boxes of such a pair may run into each other
_LEFT_REACH: Final = 14.0
_RIGHT_REACH: Final = 3.5  # between the pieces of one number
_ROW_SHIFT: Final = 0.5  # how far the middles of two lines of a row may lie apart
_MOST_LEFT: Final = 3
_MOST_ABOVE: Final = 4
_CAPTION_DIGITS: Final = 2  # with more a line is a value itself, and names nothing below or beside it
_FAN: Final = 0.06  # the tangent by which lines of one page may differ in direction: perspective


class Place(IntEnum):
    """Where a caption stands, seen from what it names; the closest tie first."""

    BEFORE = 0  # in the same line
    LEFT = 1
    ABOVE = 2


@dataclass(frozen=True, slots=True)
class Caption:
    """Text that may name a value. `text` is folded; what stands `BEFORE` ends where the value begins."""

    text: str
    place: Place
    line_id: int


@dataclass(frozen=True, slots=True)
class _Frame:
    """The lines of about one direction, sorted by how far down they lie; all arrays are in this order.

    `quads` is float64 [n, 4, 2] in page pixels, `depths` the place of each middle across the direction `down`.
    """

    ids: NDArray[np.int64]
    quads: _Floats
    depths: _Floats
    heights: _Floats
    down: _Floats
    longest: float
    tallest: float


class Surroundings:
    """The neighbourhood of each line of a page. Make it once a page, by `of`, and hand it to all who ask."""

    def __init__(self, folded: tuple[str, ...], frames: Sequence[_Frame], homes: dict[int, tuple[int, int]]) -> None:
        self.folded = folded
        self._frames = frames
        self._homes = homes  # line -> its frame and its place there

    @classmethod
    def of(cls, page: PageText) -> "Surroundings":
        """Look at a page. `folded` will hold the text of each line, folded, at the same length."""
        folded = tuple(fold(line.text) for line in page.lines)
        if not page.lines:
            return cls(folded, (), {})
        quads = np.stack([line.polygon for line in page.lines]).astype(np.float64)
        angles = np.array([line.rotation_degrees for line in page.lines])
        quarters = np.round(angles / 90.0).astype(int) % 4
        frames = [_frame(quads, np.flatnonzero(quarters == quarter)) for quarter in sorted(set(quarters.tolist()))]
        homes = {
            int(line): (number, place) for number, frame in enumerate(frames) for place, line in enumerate(frame.ids)
        }
        return cls(folded, frames, homes)

    def captions(self, span: Span) -> tuple[Caption, ...]:
        """Return what may name the text of `span`, the closest first.

        Lines that are values themselves (more than two digits) name nothing beside or below them. What is left is asked
        only where the span begins its line, or nothing but signs stands before it.
        """
        found = []
        before = self.folded[span.line_id][: span.start].rstrip()
        named = any(map(str.isalpha, before))
        if named:
            found.append(Caption(before, Place.BEFORE, span.line_id))
        if not any(map(str.isalnum, before)):
            found += [Caption(self.folded[i], Place.LEFT, i) for i in self.left_of(span.line_id) if self._names(i)]
        found += [Caption(self.folded[i], Place.ABOVE, i) for i in self.above(span) if self._names(i)]
        return tuple(found)

    def left_of(self, line_id: int) -> tuple[int, ...]:
        """Return up to three lines to the left in the same row, the nearest first."""
        return self._beside(line_id, -1.0, _LEFT_REACH, _MOST_LEFT)

    def right_of(self, line_id: int) -> tuple[int, ...]:
        """Return up to three lines that go on to the right in the same row, the nearest first, close by alone."""
        return self._beside(line_id, 1.0, _RIGHT_REACH, _MOST_LEFT)

    def above(self, span: Span) -> tuple[int, ...]:
        """Return up to four lines close above the span that lie over it, the lowest first."""
        frame, place = self._home(span.line_id)
        quad, height = frame.quads[place], float(frame.heights[place])
        near = _near(frame, place, _ABOVE_REACH + 1.0)
        length = max(len(self.folded[span.line_id]), 1)
        first = quad[0] + (quad[1] - quad[0]) * (span.start / length)
        last = quad[0] + (quad[1] - quad[0]) * (min(span.stop, length) / length)
        along, down = _axes(quad)
        quads = frame.quads[near] - (first + last) / 2
        xs, half = quads @ along, float((last - first) @ along) / 2
        lefts, rights = xs[:, [0, 3]].min(axis=1), xs[:, [1, 2]].max(axis=1)
        overlaps = np.minimum(rights, half) - np.maximum(lefts, -half)
        gaps = -_height_at(quads[:, 3] @ down, quads[:, 2] @ down, xs[:, 3], xs[:, 2])
        tall = np.maximum(frame.heights[near], height)
        fits = (overlaps > 0.3 * np.minimum(rights - lefts, 2 * half)) & (gaps < _ABOVE_REACH * tall)
        fits &= (gaps > -_ABOVE_TOUCH * np.minimum(frame.heights[near], height)) & (frame.ids[near] != span.line_id)
        chosen = np.flatnonzero(fits)
        order = chosen[np.argsort(gaps[chosen], kind="stable")][:_MOST_ABOVE]
        return tuple(int(line) for line in frame.ids[near][order])

    def _beside(self, line_id: int, side: float, reach: float, most: int) -> tuple[int, ...]:
        frame, place = self._home(line_id)
        quad, height = frame.quads[place], float(frame.heights[place])
        near = _near(frame, place, 1.0)
        along, down = _axes(quad)
        own, other = ((1, 2), (0, 3)) if side > 0 else ((0, 3), (1, 2))
        ends = frame.quads[near][:, other].mean(axis=1) - quad[list(own)].mean(axis=0)
        gaps, shifts = side * (ends @ along), np.abs(ends @ down)
        tall = np.maximum(frame.heights[near], height)
        fits = (gaps > -_ROW_SHIFT * tall) & (gaps < reach * tall) & (shifts < _ROW_SHIFT * tall)
        chosen = np.flatnonzero(fits & (frame.ids[near] != line_id))
        order = chosen[np.argsort(gaps[chosen], kind="stable")][:most]
        return tuple(int(line) for line in frame.ids[near][order])

    def _home(self, line_id: int) -> tuple[_Frame, int]:
        number, place = self._homes[line_id]
        return self._frames[number], place

    def _names(self, line_id: int) -> bool:
        text = self.folded[line_id]
        return sum(map(str.isdigit, text)) <= _CAPTION_DIGITS and any(map(str.isalpha, text))


def _frame(quads: _Floats, members: NDArray[np.int64]) -> _Frame:
    chosen = quads[members]
    edges = chosen[:, 1] - chosen[:, 0] + chosen[:, 2] - chosen[:, 3]
    along = edges.sum(axis=0)
    along /= max(math.hypot(*along), 1e-9)
    down = np.array([-along[1], along[0]])
    depths = chosen.mean(axis=1) @ down
    order = np.argsort(depths, kind="stable")
    sides = chosen[:, 3] - chosen[:, 0] + chosen[:, 2] - chosen[:, 1]
    heights = np.maximum(np.hypot(sides[:, 0], sides[:, 1]) / 2, 1.0)
    return _Frame(
        ids=members[order],
        quads=chosen[order],
        depths=depths[order],
        heights=heights[order],
        down=down,
        longest=float(np.hypot(edges[:, 0], edges[:, 1]).max() / 2),
        tallest=float(heights.max()),
    )


def _near(frame: _Frame, place: int, reach: float) -> slice:
    """Return the lines whose middles may lie within `reach` heights, whatever their heights and slopes."""
    window = (reach + 0.5) * min(frame.tallest, 8 * float(frame.heights[place])) + _FAN * frame.longest
    first, last = np.searchsorted(frame.depths, [frame.depths[place] - window, frame.depths[place] + window])
    return slice(int(first), int(last))


def _axes(quad: _Floats) -> tuple[_Floats, _Floats]:
    edge = quad[1] - quad[0] + quad[2] - quad[3]
    along = edge / max(math.hypot(*edge), 1e-9)
    return along, np.array([-along[1], along[0]])


def _height_at(left: _Floats, right: _Floats, left_x: _Floats, right_x: _Floats) -> _Floats:
    """Return how deep each foot lies below x = 0, or below the end that is nearest to it."""
    share = np.clip(-left_x / np.maximum(right_x - left_x, 1e-9), 0.0, 1.0)
    return np.asarray(left + (right - left) * share, dtype=np.float64)
