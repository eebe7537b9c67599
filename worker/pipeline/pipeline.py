"""One picture, from bytes to the text of its pages."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from worker.domain.errors import Stage
from worker.domain.image import ImageHeader, LineCrop, PageImage, PageText, Pixels
from worker.pipeline.assemble import assemble
from worker.pipeline.barcodes import Codes, find_codes, without_codes
from worker.pipeline.crop import crop_lines
from worker.pipeline.decode import decode
from worker.pipeline.detect import detect
from worker.pipeline.extract.extract import extract
from worker.pipeline.extract.options import FieldOptions
from worker.pipeline.inference import PageRequests
from worker.pipeline.models import ModelSet
from worker.pipeline.options import PipelineOptions
from worker.pipeline.read import LineReader, ReadLine
from worker.pipeline.stitch import find_regions, stitch
from worker.pipeline.tile import TiledPage, tile_page
from worker.ports import Clock, InferenceBackend

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class PictureReading:
    """What a picture's pages say, and how many seconds each stage took over all of them."""

    pages: tuple[PageText, ...]
    timing_seconds: Mapping[Stage, float]


class Pipeline:
    """Reads pictures: geometry in the executor's threads, tensors on the server."""

    def __init__(
        self,
        backend: InferenceBackend,
        models: ModelSet,
        executor: Executor,
        clock: Clock,
        options: PipelineOptions = PipelineOptions(),  # noqa: B008 - frozen
        fields: FieldOptions = FieldOptions(),  # noqa: B008 - frozen
    ) -> None:
        self._backend = backend
        self._models = models
        self._executor = executor
        self._clock = clock
        self._options = options
        self._fields = fields

    async def process(
        self, picture: bytes, header: ImageHeader, *, timeout_seconds: float, request_id: str = ""
    ) -> PictureReading:
        """Read a picture, page after page. Raises JobError, and nothing else."""
        watch = _Stopwatch(self._clock)
        requests = PageRequests(self._backend, self._clock, timeout_seconds=timeout_seconds, request_id=request_id)
        pages = [
            await self._page(partial(decode, picture, header, number), requests, watch)
            for number in range(len(header.pages))
        ]
        return PictureReading(tuple(pages), watch.in_order())

    async def _page(self, decoded: Callable[[], PageImage], requests: PageRequests, watch: "_Stopwatch") -> PageText:
        page, tiled = await self._on_cpu(lambda: self._decode_and_tile(decoded, watch))
        maps, codes = await asyncio.gather(
            self._detect(tiled, requests, watch), self._on_cpu(lambda: self._find_codes(page, watch))
        )
        crops = await self._on_cpu(lambda: self._stitch_and_crop(page, tiled, maps, codes, watch))
        with watch.stage(Stage.READ):
            lines = await LineReader(self._models, requests, self._options).read(crops)
        return await self._on_cpu(lambda: self._assemble(page, lines, codes, watch))

    def _decode_and_tile(self, decoded: Callable[[], PageImage], watch: "_Stopwatch") -> tuple[PageImage, TiledPage]:
        with watch.stage(Stage.DECODE):
            page = decoded()
        with watch.stage(Stage.TILE):
            return page, tile_page(page, self._models.tile_shapes, self._options)

    async def _detect(self, tiled: TiledPage, requests: PageRequests, watch: "_Stopwatch") -> list[Pixels]:
        with watch.stage(Stage.DETECT):
            return await detect(tiled.tiles, self._models, requests)

    def _find_codes(self, page: PageImage, watch: "_Stopwatch") -> Codes:
        """Run while the server detects: both only look at the page."""
        with watch.stage(Stage.BARCODES):
            return find_codes(page.pixels, self._options.barcodes)

    def _stitch_and_crop(
        self, page: PageImage, tiled: TiledPage, maps: list[Pixels], codes: Codes, watch: "_Stopwatch"
    ) -> list[LineCrop]:
        with watch.stage(Stage.STITCH):
            regions = find_regions(stitch(tiled, maps), self._models.thresholds)
        with watch.stage(Stage.CROP):
            return crop_lines(page, without_codes(regions, codes.areas), self._models.line)

    def _assemble(self, page: PageImage, lines: list[ReadLine], codes: Codes, watch: "_Stopwatch") -> PageText:
        with watch.stage(Stage.ASSEMBLE):
            text = replace(assemble(page, lines, self._options), barcodes=codes.barcodes)
        with watch.stage(Stage.EXTRACT):
            return replace(text, fields=extract(text, self._fields))

    async def _on_cpu(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


class _Stopwatch:
    """Seconds by stage, of one picture."""

    def __init__(self, clock: Clock) -> None:
        self.seconds: dict[Stage, float] = defaultdict(float)
        self._clock = clock

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        started = self._clock.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] += self._clock.monotonic() - started

    def in_order(self) -> dict[Stage, float]:
        """Return the seconds in the order of the way, whatever ran at the same time."""
        return {stage: self.seconds[stage] for stage in Stage if stage in self.seconds}
