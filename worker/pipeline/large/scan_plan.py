"""Where a large page is searched: bands of tiles, only where there is anything.

Invariants: in the map each pixel within reach of any detail is kept by exactly one tile, the tiles of a band stand in
one range of rows, and bands come from top to bottom.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.domain.manifest import TileShapes
from worker.pipeline.detect.detail_grid import CELL_PIXELS
from worker.pipeline.detect.tile import largest_side
from worker.pipeline.detect.tile_spans import TileSpan, fitted_side, spans
from worker.pipeline.large.survey import Survey
from worker.pipeline.options import PipelineOptions

# Sides of tiles are multiples of this where the detector takes any: each new shape costs the server time and memory.
_STEP_PIXELS: Final = 128
# Blank paper around the detail that a tile shows in addition, so that the detector sees where a line ends.
_MARGIN_PIXELS: Final = 48


@dataclass(frozen=True, slots=True)
class TilePlacement:
    """A tile's placement on the page's probability map."""

    rows: TileSpan
    columns: TileSpan


@dataclass(frozen=True, slots=True)
class Band:
    """Tiles side by side; together they keep the map's rows [`start`, `stop`)."""

    start: int
    stop: int
    placements: tuple[TilePlacement, ...]

    @property
    def first_row(self) -> int:
        """The first row of the map that any tile shows."""
        return min(placement.rows.start for placement in self.placements)

    @property
    def last_row(self) -> int:
        """The row of the map after the last that any tile shows."""
        return max(placement.rows.stop for placement in self.placements)


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """How a page is searched: at `scale`, with a map of `width` x `height` pixels, band after band."""

    scale: float
    width: int
    height: int
    bands: tuple[Band, ...]

    def tiles_on_page(self) -> list[tuple[float, float, float, float]]:
        """Return (left, top, right, bottom) of each tile in pixels of the page."""
        placements = (placement for band in self.bands for placement in band.placements)
        return [
            (
                placement.columns.start / self.scale,
                placement.rows.start / self.scale,
                placement.columns.stop / self.scale,
                placement.rows.stop / self.scale,
            )
            for placement in placements
        ]


def plan_scan(survey: Survey, scale: float, shapes: TileShapes, options: PipelineOptions) -> ScanPlan:
    """Cover all detail of a page with tiles at a scale. A page without any detail has no bands."""
    width, height = max(1, round(survey.width * scale)), max(1, round(survey.height * scale))
    planner = _Planner(survey.detail, CELL_PIXELS * scale, shapes, options)
    return ScanPlan(scale, width, height, tuple(planner.bands(width, height)))


class _Planner:
    """Knows where the detail is on the map: `cell` is the side of a cell of detail in pixels of the map."""

    def __init__(self, detail: NDArray[np.bool_], cell: float, shapes: TileShapes, options: PipelineOptions) -> None:
        self._detail = detail
        self._cell = cell
        step = math.lcm(shapes.multiple_of, _STEP_PIXELS) if not shapes.fixed else shapes.multiple_of
        self._shapes = shapes.model_copy(update={"multiple_of": step})
        self._options = options
        self._side = min(largest_side(self._shapes), options.tile_side)

    def bands(self, width: int, height: int) -> Iterator[Band]:
        for start, stop in self._runs(np.asarray(self._detail.any(axis=1)), height):
            for rows in self._spans(start, stop):
                placements = tuple(self._placements(rows, width, height))
                yield Band(rows.kept_start, rows.kept_stop, placements)

    def _placements(self, rows: TileSpan, width: int, height: int) -> Iterator[TilePlacement]:
        shown = self._detail[self._cells(rows.start, rows.stop)]
        for start, stop in self._runs(np.asarray(shown.any(axis=0)), width):
            for columns in self._spans(start, stop):
                trimmed = self._trimmed(rows, columns, height)
                if trimmed.kept_start < trimmed.kept_stop:
                    yield TilePlacement(trimmed, columns)

    def _trimmed(self, rows: TileSpan, columns: TileSpan, height: int) -> TileSpan:
        """Leave out rows at a tile's top and bottom where its columns hold nothing."""
        if self._shapes.fixed:
            return rows
        within = self._detail[self._cells(rows.start, rows.stop), self._cells(columns.start, columns.stop)]
        runs = list(self._runs(np.asarray(within.any(axis=1)), height, offset=self._first_cell(rows.start)))
        if not runs:
            return rows
        start, stop = max(rows.start, runs[0][0]), min(rows.stop, runs[-1][1])
        stop = min(rows.stop, start + self._whole_steps(stop - start))
        start = max(rows.start, stop - self._whole_steps(stop - start))
        return replace(
            rows,
            start=start,
            stop=stop,
            kept_start=min(max(rows.kept_start, start), stop),
            kept_stop=max(min(rows.kept_stop, stop), start),
        )

    def _runs(self, occupied: NDArray[np.bool_], length: int, offset: int = 0) -> Iterator[tuple[int, int]]:
        """Return the stretches [start, stop) of the map that hold detail, with their margins; near ones are one."""
        run: tuple[int, int] | None = None
        for cell in np.flatnonzero(occupied) + offset:
            start = max(0, math.floor(cell * self._cell) - _MARGIN_PIXELS)
            stop = min(length, math.ceil((cell + 1) * self._cell) + _MARGIN_PIXELS)
            if run is None:
                run = start, stop
            elif start <= run[1]:
                run = run[0], stop
            else:
                yield run
                run = start, stop
        if run is not None:
            yield run

    def _spans(self, start: int, stop: int) -> Iterator[TileSpan]:
        length = stop - start
        for span in spans(
            length, fitted_side(length, self._side, self._shapes, self._options), self._options.tile_overlap
        ):
            yield TileSpan(span.start + start, span.stop + start, span.kept_start + start, span.kept_stop + start)

    def _whole_steps(self, length: int) -> int:
        step = self._shapes.multiple_of
        return -(-length // step) * step

    def _cells(self, start: int, stop: int) -> slice:
        return slice(self._first_cell(start), math.ceil(stop / self._cell))

    def _first_cell(self, start: int) -> int:
        return math.floor(start / self._cell)
