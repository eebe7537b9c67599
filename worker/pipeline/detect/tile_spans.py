"""A length covered with tiles that overlap.

Invariant: each pixel of the length counts in exactly one tile, and no tile is longer than its side.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from worker.domain.manifest import TileShapes
from worker.pipeline.options import PipelineOptions


@dataclass(frozen=True, slots=True)
class TileSpan:
    """A tile along one axis: it covers [start, stop) of the map and counts in [kept_start, kept_stop)."""

    start: int
    stop: int
    kept_start: int
    kept_stop: int


def spans(length: int, side: int, overlap: int) -> Iterator[TileSpan]:
    """Spread tiles of `side` pixels evenly over `length`, neighbors sharing at least `overlap` pixels.

    What counts of two neighbors meets in the middle of what they share.
    """
    count = _count(length, side, overlap)
    last = length - side
    starts = [index * last // (count - 1) for index in range(count)] if count > 1 else [0]
    stops = [min(start + side, length) for start in starts]
    borders = [0, *((start + stop) // 2 for start, stop in zip(starts[1:], stops, strict=False)), length]
    for start, stop, kept_start, kept_stop in zip(starts, stops, borders, borders[1:], strict=False):
        yield TileSpan(start, stop, kept_start, kept_stop)


def _count(length: int, side: int, overlap: int) -> int:
    return 1 if length <= side else math.ceil((length - overlap) / (side - overlap))


def fitted_side(length: int, side: int, shapes: TileShapes, options: PipelineOptions) -> int:
    """Return the smallest side that covers `length` in no more tiles, where the detector takes any."""
    if shapes.fixed:
        return side
    count = _count(length, side, options.tile_overlap)
    needed = (length + (count - 1) * options.tile_overlap) / count
    return min(side, math.ceil(needed / shapes.multiple_of) * shapes.multiple_of)
