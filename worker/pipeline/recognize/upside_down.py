"""Which way up the lines of a page stand, out of what a classifier says of some and how well others were read.

Invariant: lines that run along the page and lines that run down it say nothing of each other's side; a line too short
to tell follows its neighbors.

A classifier is wrong on one line in twenty, and on all lines of some typefaces. Evidence is therefore added up as
log-odds, bounded for each line, and what a line reads as has the last word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points, lengths_and_heights

_TELLING_RATIO: Final = 2.0  # of length to height: lines that a classifier, or their reading, can tell the side of
_MAX_LOG_ODDS: Final = 3.0  # at a probability of 0.95
_CERTAIN_SHARE: Final = 0.7  # of the evidence, for less against
_CERTAIN_LOG_ODDS: Final = 2.0
_REACH_HEIGHTS: Final = 3.0  # over which a neighbor's word loses two thirds of its weight
_FARTHEST_HEIGHTS: Final = 12.0
_TINY: Final = 1e-6

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LinePositions:
    """Where the lines of a page lie; all arrays are [n].

    `starts` and `stops` are along the direction of the line's axis, `middles` across it, in pixels; `runs_down` tells
    the axes apart.
    """

    runs_down: Flags
    starts: Floats
    stops: Floats
    middles: Floats
    heights: Floats

    @classmethod
    def of(cls, quads: Sequence[Points]) -> "LinePositions":
        """Place rectangles, float64 [4, 2] each, whose first edge runs along the line, to the right or down."""
        corners = np.asarray(quads, dtype=np.float64).reshape(-1, 4, 2)
        edges = corners[:, 1] - corners[:, 0]
        runs_down = np.abs(edges[:, 1]) > np.abs(edges[:, 0])
        u, v = np.empty(corners.shape[:2]), np.empty(corners.shape[:2])
        for axis in (runs_down, ~runs_down):
            x, y = edges[axis].sum(axis=0) / max(float(np.hypot(*edges[axis].sum(axis=0))), _TINY)
            u[axis], v[axis] = corners[axis] @ (x, y), corners[axis] @ (-y, x)
        _, heights = lengths_and_heights(corners)
        return cls(runs_down, u.min(axis=1), u.max(axis=1), v.mean(axis=1), np.maximum(heights, _TINY))

    def __len__(self) -> int:
        """Count the lines."""
        return len(self.heights)

    @property
    def telling(self) -> Flags:
        """Which lines are long enough to tell their side."""
        return self.stops - self.starts >= _TELLING_RATIO * self.heights


def log_odds(probabilities: Sequence[float]) -> Floats:
    """Return the evidence of each probability, bounded: above 0 for upside down."""
    bounded = np.clip(np.asarray(probabilities, dtype=np.float64), _TINY, 1 - _TINY)
    return np.clip(np.log(bounded / (1 - bounded)), -_MAX_LOG_ODDS, _MAX_LOG_ODDS)


def sample(positions: LinePositions, limit: int) -> list[int]:
    """Return up to `limit` lines to ask first, from all over the page and of both axes."""
    axes = [axis for axis in (~positions.runs_down, positions.runs_down) if axis.any()]
    candidates = [
        np.flatnonzero(axis & positions.telling if (axis & positions.telling).any() else axis) for axis in axes
    ]
    if len(candidates) < 2:  # noqa: PLR2004 - axes
        return [index for part in candidates for index in spread(positions, part, limit)]
    fewer, more = sorted(candidates, key=len)
    count = min(max(1, round(limit * len(fewer) / (len(fewer) + len(more)))), limit - 1)
    return spread(positions, more, limit - count) + spread(positions, fewer, count)


def certain(evidence: Floats) -> bool:
    """Say whether the evidence of some lines of one axis speaks for all of them."""
    total = abs(float(evidence.sum()))
    return total >= _CERTAIN_LOG_ODDS and total >= _CERTAIN_SHARE * float(np.abs(evidence).sum())


def decide(positions: LinePositions, evidence: Floats) -> Flags:
    """Return which lines stand upside down, each by its own evidence and its neighbors'; 0 is no evidence.

    A line without either stands as the lines of its axis do.
    """
    upside_down = np.zeros(len(positions), dtype=np.bool_)
    for axis in (positions.runs_down, ~positions.runs_down):
        members = np.flatnonzero(axis)
        members = members[np.argsort(positions.middles[members], kind="stable")]
        whole = float(evidence[members].sum())
        local = _with_neighbors(positions, members, evidence)
        upside_down[members] = np.where(np.abs(local) > _TINY, local, whole) > 0
    return upside_down


def spread(positions: LinePositions, candidates: NDArray[np.intp], count: int) -> list[int]:
    """Return the longest of the candidates in each of `count` parts of the page."""
    if len(candidates) <= count:
        return [int(index) for index in candidates]
    ordered = candidates[np.argsort(positions.middles[candidates], kind="stable")]
    lengths = positions.stops - positions.starts
    return [int(part[np.argmax(lengths[part])]) for part in np.array_split(ordered, count)] if count else []


def _with_neighbors(positions: LinePositions, members: NDArray[np.intp], evidence: Floats) -> Floats:
    """Return each member's evidence and its neighbors', which weighs less with distance; members ascend across."""
    middles, starts, stops = positions.middles[members], positions.starts[members], positions.stops[members]
    heights, own = positions.heights[members], evidence[members]
    reach = _FARTHEST_HEIGHTS * heights
    firsts = np.searchsorted(middles, middles - reach, side="left")
    lasts = np.searchsorted(middles, middles + reach, side="right")
    blended = np.zeros(len(members))
    for index, (first, last) in enumerate(zip(firsts.tolist(), lasts.tolist(), strict=True)):
        near = slice(first, last)
        gaps = np.maximum(np.maximum(starts[near] - stops[index], starts[index] - stops[near]), 0.0)
        distances = (gaps + np.abs(middles[near] - middles[index])) / heights[index]
        weights = np.where(distances <= _FARTHEST_HEIGHTS, np.exp(-distances / _REACH_HEIGHTS), 0.0)
        blended[index] = float(weights @ own[near])
    return blended
