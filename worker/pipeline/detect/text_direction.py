"""Whether the lines of a page run along it or down.

Invariant: a rectangle that is clearly longer than a character or two runs the way it is long; all others run as the
lines around them do.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points, lengths_and_heights
from worker.domain.image import TextRegion

_LONGISH_RATIO: Final = 1.5
_LINE_RATIO: Final = 3.0  # from which on a rectangle is a line beyond doubt, and tells of its neighbors
_NEIGHBORS: Final = 8
_ONE_CHARACTER: Final = 1.3  # line heights that a character alone in its rectangle may be high
_NEARLY_ALL: Final = 0.8
_TINY: Final = 1e-9

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def is_sideways(regions: Sequence[TextRegion]) -> bool:
    """Say whether nearly all lines of a page, by length, run down it."""
    edges = np.array([region.quad[1] - region.quad[0] for region in regions], dtype=np.float64).reshape(-1, 2)
    lengths = np.linalg.norm(edges, axis=1)
    down = np.abs(edges[:, 1]) > np.abs(edges[:, 0])
    return bool(lengths[down].sum() > _NEARLY_ALL * lengths.sum())


def orient_quads(rectangles: Sequence[Points] | Floats) -> list[Points]:
    """Order the corners of a page's rectangles clockwise so that each first edge runs along the line of text.

    Lines run to the right or down. A rectangle that is at least 1.5 times as long one way runs that way, unless it is
    no longer than the lines around it are high: then it is a character or two of theirs. The others run as most of the
    page does, by length, or as the lines around them do where the page has many of both. Each of `rectangles` is
    float64 [4, 2], in order around it.
    """
    quads = _level(np.asarray(rectangles, dtype=np.float64).reshape(-1, 4, 2))
    widths, heights = lengths_and_heights(quads)
    wide, tall = widths >= _LONGISH_RATIO * heights, heights >= _LONGISH_RATIO * widths
    along, down = float(widths[wide].sum()), float(heights[tall].sum())
    runs_down = ~wide if down > along else tall.copy()
    mixed = max(along, down) < _NEARLY_ALL * (along + down)
    short = (wide | tall) & (np.maximum(widths, heights) < _LINE_RATIO * np.minimum(widths, heights))
    unsure = np.flatnonzero(short | ~(wide | tall) if mixed else short & (tall if along >= down else wide))
    lines = np.maximum(widths, heights) >= _LINE_RATIO * np.minimum(widths, heights)
    if unsure.size and lines.any():
        nearby = _NearbyLines(quads[lines], widths[lines], heights[lines])
        for index in unsure:
            runs_down[index] = nearby.run_down(quads[index].mean(axis=0), widths[index], heights[index])
    quads[runs_down] = np.roll(quads[runs_down], -1, axis=1)
    return list(quads)


class _NearbyLines:
    """The lines beyond doubt of a page: those nearest to a rectangle tell how it runs."""

    def __init__(self, corners: Floats, widths: Floats, heights: Floats) -> None:
        self._low, self._high = corners.min(axis=1), corners.max(axis=1)
        self._down = heights > widths
        self._thickness = np.minimum(widths, heights)

    def run_down(self, place: Floats, width: float, height: float) -> bool:
        """Say whether a rectangle of a few characters runs down, by its shape and the lines nearest its middle."""
        gaps = np.linalg.norm(np.maximum(np.maximum(self._low - place, place - self._high), 0.0), axis=1)
        nearest = np.argsort(gaps, kind="stable")[:_NEIGHBORS]
        weights = 1 / (gaps[nearest] + self._thickness[nearest])
        down = bool(weights[self._down[nearest]].sum() > weights.sum() / 2)
        thickness = float(np.median(self._thickness[nearest][self._down[nearest] == down]))
        longish = max(width, height) >= _LONGISH_RATIO * min(width, height)
        is_theirs = not longish or max(width, height) <= _ONE_CHARACTER * thickness
        return down if is_theirs else bool(height > width)


def _level(corners: Floats) -> Floats:
    """Order the corners of each rectangle, [n, 4, 2], clockwise from the edge that runs most to the right."""
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 1]).T
    clockwise = np.where((ax * by - ay * bx >= 0)[:, np.newaxis, np.newaxis], corners, corners[:, ::-1])
    edges = np.roll(clockwise, -1, axis=1) - clockwise
    rightward = edges[..., 0] / np.maximum(np.hypot(edges[..., 0], edges[..., 1]), _TINY)
    order = (np.argmax(rightward, axis=1)[:, np.newaxis] + np.arange(4)) % 4
    return np.asarray(np.take_along_axis(clockwise, order[..., np.newaxis], axis=1), dtype=np.float64)
