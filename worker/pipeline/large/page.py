"""Reading a page that is too large to be searched as a whole.

A survey finds where there is anything and a first pass how large the print is; then bands of tiles pass from top to
bottom, and the lines that end in a band are cut out of the rows that are at hand and read while the next band is
searched. Invariant: the rows of a page that streams are held a window at a time, and the crops of at most
`_BANDS_IN_READING` bands.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.domain.barcode import DecodedBarcode
from worker.domain.errors import Stage
from worker.domain.geometry import Points
from worker.domain.image import LineCrop, Pixels, TextLine, TextRegion, Tile
from worker.domain.quality import PageQuality
from worker.pipeline.barcodes.find import merge_barcodes
from worker.pipeline.decode.page_rows import PageRows
from worker.pipeline.detect.detect import detect
from worker.pipeline.inference import PageRequests
from worker.pipeline.large.band_search import BandSearch
from worker.pipeline.large.first_pass import FirstPass
from worker.pipeline.large.scan_plan import ScanPlan, plan_scan
from worker.pipeline.large.survey import Survey, take_survey
from worker.pipeline.layout.reading_order import place_lines
from worker.pipeline.models import ModelSet
from worker.pipeline.options import PipelineOptions
from worker.pipeline.quality.gate import PixelMeasures, QualityGate
from worker.pipeline.recognize.read import LineReader
from worker.pipeline.stages import Stages

_BANDS_IN_READING: Final = 2
_DETECTIONS_AT_ONCE: Final = 4  # each takes its bytes four times over on the way
_READINGS_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class LargePageReading:
    """The lines of a page in no order, its symbols and quality, and how it was searched."""

    lines: list[TextLine]
    barcodes: list[DecodedBarcode]
    quality: PageQuality | None
    plan: ScanPlan
    sideways: bool


class LargePage:
    """One page in rows, on its way to lines."""

    def __init__(
        self,
        rows: PageRows,
        models: ModelSet,
        requests: PageRequests,
        options: PipelineOptions,
        gate: QualityGate,
        stages: Stages,
    ) -> None:
        self._rows = rows
        self._models = models
        self._detections = requests.at_most(_DETECTIONS_AT_ONCE)
        self._readings = requests.at_most(_READINGS_AT_ONCE)
        self._options = options
        self._gate = gate
        self._stages = stages
        self._lines: list[TextLine] = []
        self._barcodes: list[DecodedBarcode] = []
        self._areas: list[Points] = []

    async def read(self) -> LargePageReading:
        """Read all lines. Raises JobError, IMAGE_QUALITY_POOR too, before any line is read."""
        on_cpu = self._stages.on_cpu
        survey, codes = await on_cpu(take_survey, self._rows, self._options, self._stages)
        self._barcodes += codes.barcodes
        self._areas += codes.areas
        measures = await on_cpu(self._measure, survey)
        first = await FirstPass(self._models, self._detections, self._options, self._stages).run(survey)
        quality = await on_cpu(self._judge, measures, first.regions, survey)
        plan = plan_scan(survey, first.scale, self._models.tile_shapes, self._options)
        try:
            async with asyncio.TaskGroup() as group:
                await self._read_bands(plan, group, sideways=first.sideways)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return LargePageReading(self._lines, merge_barcodes(self._barcodes), quality, plan, first.sideways)

    def _measure(self, survey: Survey) -> PixelMeasures | None:
        with self._stages.timed(Stage.CHECK):
            corners = [(window.left, window.top) for window in survey.windows]
            return self._gate.measure_windows([window.pixels for window in survey.windows], corners)

    def _judge(
        self, measures: PixelMeasures | None, regions: Sequence[TextRegion], survey: Survey
    ) -> PageQuality | None:
        with self._stages.timed(Stage.CHECK):
            return self._gate.judge(measures, regions, (survey.width, survey.height))

    async def _read_bands(self, plan: ScanPlan, group: asyncio.TaskGroup, *, sideways: bool) -> None:
        search = BandSearch(self._rows, plan, self._models, self._options, self._stages)
        free = asyncio.Semaphore(_BANDS_IN_READING)
        for number, band in enumerate(plan.bands):
            tiles = await self._stages.on_cpu(search.tiles, band)
            maps, codes = await asyncio.gather(
                self._detect(tiles, sideways=sideways), self._stages.on_cpu(search.codes, band)
            )
            self._barcodes += codes.barcodes
            self._areas += codes.areas
            await free.acquire()
            following = plan.bands[number + 1].start if number + 1 < len(plan.bands) else plan.height
            regions = await self._stages.on_cpu(search.regions, band, maps, following)
            crops = await self._stages.on_cpu(search.crops, regions, self._areas)
            task = group.create_task(self._read_crops(crops))
            task.add_done_callback(lambda _: free.release())

    async def _detect(self, tiles: Sequence[Tile], *, sideways: bool) -> list[Pixels]:
        with self._stages.timed(Stage.DETECT):
            return await detect(tiles, self._models, self._detections, sideways=sideways)

    async def _read_crops(self, crops: Sequence[LineCrop]) -> None:
        with self._stages.timed(Stage.READ):
            lines = await LineReader(self._models, self._readings, self._options).read(crops)
        size = self._rows.width, self._rows.height
        self._lines += await self._stages.on_cpu(place_lines, lines, *size, self._options)
