"""Reading a page that is too large to be searched as a whole.

A first look finds where there is anything and how large the print is; then bands of tiles pass from top to bottom, and
the lines that end in a band are cut out of the rows that are at hand and read while the next band is searched.
Invariant: the page's pixels are held a window at a time, and the crops of at most `_BANDS_IN_READING` bands.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from worker.domain.barcode import Barcode
from worker.domain.errors import Stage
from worker.domain.geometry import Points, Transform
from worker.domain.image import LineCrop, PageImage, Pixels, TextLine, TextRegion, Tile
from worker.pipeline.assemble import place_lines
from worker.pipeline.bands import Band, Place, ScanPlan, plan_scan
from worker.pipeline.barcodes import Codes, find_codes, merge_barcodes, without_codes
from worker.pipeline.crop import crop_lines
from worker.pipeline.detect import detect
from worker.pipeline.inference import PageRequests
from worker.pipeline.models import ModelSet
from worker.pipeline.options import BarcodeOptions, PipelineOptions
from worker.pipeline.read import LineReader
from worker.pipeline.rows import PageRows
from worker.pipeline.scale import choose_scale, whole_regions
from worker.pipeline.stages import Stages
from worker.pipeline.stitch import find_regions, stitch
from worker.pipeline.strip_map import StripMap
from worker.pipeline.survey import Survey, Surveyor
from worker.pipeline.tile import padded, scaled, tile_page

_BANDS_IN_READING: Final = 2
_DETECTIONS_AT_ONCE: Final = 8
_READINGS_AT_ONCE: Final = 16
_CODE_ROWS: Final = 512  # a symbol of so many rows of the page is seen whole in one window
_CROP_MARGIN: Final = 64  # rows of the map above an open region that its crop may reach into


@dataclass(frozen=True, slots=True)
class LargePageReading:
    """The lines of a page in no order, its symbols, and how it was searched."""

    lines: list[TextLine]
    barcodes: list[Barcode]
    survey: Survey
    plan: ScanPlan


class LargePage:
    """One page in rows, on its way to lines."""

    def __init__(
        self, rows: PageRows, models: ModelSet, requests: PageRequests, options: PipelineOptions, stages: Stages
    ) -> None:
        self._rows = rows
        self._models = models
        self._detections = requests.at_most(_DETECTIONS_AT_ONCE)
        self._readings = requests.at_most(_READINGS_AT_ONCE)
        self._options = options
        self._stages = stages
        self._lines: list[TextLine] = []
        self._barcodes: list[Barcode] = []
        self._areas: list[Points] = []

    async def read(self) -> LargePageReading:
        """Read all lines. Raises JobError."""
        survey = await self._stages.on_cpu(self._survey)
        scale = await self._choose_scale(survey)
        plan = plan_scan(survey, scale, self._models.tile_shapes, self._options)
        try:
            async with asyncio.TaskGroup() as group:
                await self._read_bands(plan, group)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return LargePageReading(self._lines, merge_barcodes(self._barcodes), survey, plan)

    def _survey(self) -> Survey:
        with self._stages.timed(Stage.SURVEY):
            surveyor = Surveyor(self._rows.width, self._rows.height, self._options.detection_long_side)
            for strip in self._rows.strips():
                surveyor.add(strip)
            return surveyor.survey()

    async def _choose_scale(self, survey: Survey) -> float:
        thumbnail_scale = max(survey.thumbnail.shape[:2]) / max(survey.width, survey.height)
        with self._stages.timed(Stage.SURVEY):
            looks = await asyncio.gather(
                self._look(survey.thumbnail), *(self._look(window.pixels) for window in survey.windows)
            )
        coarse = [replace(region, quad=region.quad / thumbnail_scale) for region in looks[0]]
        close = [
            region
            for window, regions in zip(survey.windows, looks[1:], strict=True)
            for region in whole_regions(regions, window.pixels.shape[1], window.pixels.shape[0])
        ]
        return choose_scale(thumbnail_scale, coarse, close, self._options)

    async def _look(self, pixels: Pixels) -> list[TextRegion]:
        """Return the regions of text on a small piece, in its pixels."""
        options = replace(self._options, detection_long_side=max(pixels.shape[:2]))
        tiled = await self._stages.on_cpu(tile_page, PageImage(pixels), self._models.tile_shapes, options)
        maps = await detect(tiled.tiles, self._models, self._detections)
        return await self._stages.on_cpu(lambda: find_regions(stitch(tiled, maps), self._models.thresholds))

    async def _read_bands(self, plan: ScanPlan, group: asyncio.TaskGroup) -> None:
        to_page = Transform.scale_then_shift(self._rows.width / plan.width, self._rows.height / plan.height, 0.0, 0.0)
        strips = StripMap(plan.width, to_page, self._models.thresholds, self._options.tile_side)
        search = _BandSearch(self._rows, plan, strips, to_page, self._models, self._options.barcodes, self._stages)
        free = asyncio.Semaphore(_BANDS_IN_READING)
        for number, band in enumerate(plan.bands):
            tiles = await self._stages.on_cpu(search.tiles, band)
            maps, codes = await asyncio.gather(self._detect(tiles), self._stages.on_cpu(search.codes, band))
            self._barcodes += codes.barcodes
            self._areas += codes.areas
            await free.acquire()
            following = plan.bands[number + 1].start if number + 1 < len(plan.bands) else plan.height
            regions = await self._stages.on_cpu(search.regions, band, tiles, maps, following)
            crops = await self._stages.on_cpu(search.crops, without_codes(regions, self._areas))
            task = group.create_task(self._read_crops(crops))
            task.add_done_callback(lambda _: free.release())

    async def _detect(self, tiles: Sequence[Tile]) -> list[Pixels]:
        with self._stages.timed(Stage.DETECT):
            return await detect(tiles, self._models, self._detections)

    async def _read_crops(self, crops: Sequence[LineCrop]) -> None:
        with self._stages.timed(Stage.READ):
            lines = await LineReader(self._models, self._readings, self._options).read(crops)
        self._lines += place_lines(lines, self._rows.width, self._rows.height, self._options)


class _BandSearch:
    """The geometry of one page's bands: its methods are called in turn, band after band."""

    def __init__(
        self,
        rows: PageRows,
        plan: ScanPlan,
        strips: StripMap,
        to_page: Transform,
        models: ModelSet,
        barcodes: BarcodeOptions,
        stages: Stages,
    ) -> None:
        self._rows = rows
        self._plan = plan
        self._strips = strips
        self._to_page = to_page
        self._models = models
        self._barcodes = barcodes
        self._stages = stages
        self._top = 0
        self._searched_to = 0  # the page's row to which symbols were looked for
        self._window: Pixels = np.zeros((0, 0, 3), dtype=np.uint8)

    def tiles(self, band: Band) -> list[Tile]:
        """Return the band's tiles, at the scale of the search."""
        with self._stages.timed(Stage.DECODE):
            first_row = self._row(min(self._strips.open_from, band.first_row) - _CROP_MARGIN)
            self._top = max(self._top, min(first_row, max(0, self._searched_to - _CODE_ROWS)))
            self._window = self._rows.window(self._top, self._row(band.last_row + _CROP_MARGIN))
        with self._stages.timed(Stage.TILE):
            return [self._tile(place) for place in band.places]

    def codes(self, band: Band) -> Codes:
        """Return the symbols in the rows at hand, where the band has anything."""
        with self._stages.timed(Stage.BARCODES):
            found: list[Barcode] = []
            areas: list[Points] = []
            for start, stop in _stretches(band):
                left, right = self._column(start), self._column(stop)
                codes = find_codes(self._window[:, left:right], self._barcodes)
                shift = (left, self._top)
                found += (replace(code, polygon=code.polygon + shift) for code in codes.barcodes)
                areas += (area + shift for area in codes.areas)
            self._searched_to = self._top + self._window.shape[0]
            return Codes(tuple(found), tuple(areas))

    def regions(self, band: Band, tiles: Sequence[Tile], maps: Sequence[Pixels], following: int) -> list[TextRegion]:
        """Return the regions of text that end in the band; the next band keeps rows from `following` on."""
        with self._stages.timed(Stage.STITCH):
            values = np.zeros((band.stop - band.start, self._plan.width), dtype=np.uint8)
            for place, tile, tile_map in zip(band.places, tiles, maps, strict=True):
                left, top, right, bottom = tile.kept
                rows = slice(place.rows.kept_start - band.start, place.rows.kept_stop - band.start)
                values[rows, place.columns.kept_start : place.columns.kept_stop] = tile_map[top:bottom, left:right]
            found = self._strips.add(values)
            if following > band.stop or following == self._plan.height:
                found += self._strips.skip_to(following)
            return found

    def crops(self, regions: Sequence[TextRegion]) -> list[LineCrop]:
        """Cut regions out of the rows at hand."""
        with self._stages.timed(Stage.CROP):
            return crop_lines(PageImage(self._window), regions, self._models.line, top=self._top)

    def _tile(self, place: Place) -> Tile:
        rows, columns = place.rows, place.columns
        top, bottom = self._row(rows.start), self._row(rows.stop)
        left, right = self._column(columns.start), self._column(columns.stop)
        piece = self._window[top - self._top : bottom - self._top, left:right]
        pixels = scaled(piece, columns.stop - columns.start, rows.stop - rows.start)
        kept = (
            columns.kept_start - columns.start,
            rows.kept_start - rows.start,
            columns.kept_stop - columns.start,
            rows.kept_stop - rows.start,
        )
        to_map = Transform.scale_then_shift(1.0, 1.0, columns.start, rows.start)
        return Tile(padded(pixels, self._models.tile_shapes), to_map, kept)

    def _row(self, map_row: float) -> int:
        """Return the page's row for a row of the map."""
        return min(round(max(map_row, 0) * float(self._to_page.matrix[1, 1])), self._rows.height)

    def _column(self, map_column: float) -> int:
        return min(round(max(map_column, 0) * float(self._to_page.matrix[0, 0])), self._rows.width)


def _stretches(band: Band) -> Iterator[tuple[int, int]]:
    """Return the stretches of the map's columns that the band's tiles show; tiles that overlap make one."""
    stretch: tuple[int, int] | None = None
    for place in sorted(band.places, key=lambda place: place.columns.start):
        if stretch is not None and place.columns.start <= stretch[1]:
            stretch = stretch[0], max(stretch[1], place.columns.stop)
            continue
        if stretch is not None:
            yield stretch
        stretch = place.columns.start, place.columns.stop
    if stretch is not None:
        yield stretch
