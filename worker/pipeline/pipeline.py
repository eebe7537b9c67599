"""One picture, from bytes to the text of its pages."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from worker.domain.barcode import DecodedBarcode
from worker.domain.errors import Stage
from worker.domain.image import ImageHeader, LineCrop, PageImage, PageText, Pixels, TextLine, TextRegion
from worker.domain.quality import PageQuality
from worker.pipeline.barcodes.find import Codes, find_codes, without_codes
from worker.pipeline.decode.encoded import EncodedPage
from worker.pipeline.decode.exif_turn import ExifTurn
from worker.pipeline.decode.page_rows import HeldRows, PageRows, StreamedRows
from worker.pipeline.decode.square_pixels import PixelStretch
from worker.pipeline.detect.detect import detect
from worker.pipeline.detect.regions import find_regions, page_map
from worker.pipeline.detect.second_look import tile_again
from worker.pipeline.detect.text_direction import is_sideways
from worker.pipeline.detect.tile import TiledPage, tile_page
from worker.pipeline.explanation import PageSearch, rectangle, tiles_on_page
from worker.pipeline.extract.extract import extract
from worker.pipeline.extract.options import FieldOptions
from worker.pipeline.inference import PageRequests
from worker.pipeline.large.page import LargePage
from worker.pipeline.layout.columns import Column, as_read, find_columns, with_columns
from worker.pipeline.layout.reading_order import assemble, place_lines
from worker.pipeline.models import ModelSet
from worker.pipeline.options import PipelineOptions, QualityOptions
from worker.pipeline.quality.gate import PixelMeasures, QualityGate
from worker.pipeline.recognize.crop import crop_lines
from worker.pipeline.recognize.read import LineReader
from worker.pipeline.stages import Stages
from worker.ports import UNTRACED, Clock, InferenceBackend, Tracer


@dataclass(frozen=True, slots=True)
class PictureReading:
    """What a picture's pages say, how many seconds each stage took over all of them, and how each was searched.

    One that is `from_cache` was made earlier, for the same picture: its only stage is the cache's. It lacks what no
    result holds, the searches and the characters of lines.
    """

    pages: tuple[PageText, ...]
    timing_seconds: Mapping[Stage, float]
    searches: tuple[PageSearch, ...] = ()
    from_cache: bool = False


@dataclass(frozen=True, slots=True)
class _DecodedPage:
    """A page, what was measured of its pixels, None if its quality is not judged, and its symbols."""

    image: PageImage
    measures: PixelMeasures | None
    codes: Codes


@dataclass(frozen=True, slots=True)
class _CroppedPage:
    """What is read of a page: its lines, and the columns of characters among them; its quality, None if not judged."""

    lines: list[LineCrop]
    columns: list[tuple[Column, LineCrop]]
    quality: PageQuality | None
    sideways: bool


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
        quality: QualityOptions = QualityOptions(),  # noqa: B008 - frozen
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._backend = backend
        self._models = models
        self._executor = executor
        self._clock = clock
        self._options = options
        self._fields = fields
        self._gate = QualityGate(quality)
        self._tracer = tracer

    async def process(
        self, picture: bytes, header: ImageHeader, *, timeout_seconds: float, request_id: str = ""
    ) -> PictureReading:
        """Read a picture, page after page. Raises JobError, and nothing else."""
        stages = Stages(self._executor, self._clock, self._tracer)
        requests = PageRequests(self._backend, self._clock, timeout_seconds=timeout_seconds, request_id=request_id)
        pages = []
        for number, page in enumerate(header.pages):
            read = self._large_page if page.pixels > self._options.tiled_from_pixels else self._page
            text, search = await read(EncodedPage(picture, header, number), requests, stages)
            if not page.is_square:
                stretch = PixelStretch.of(page)
                text, search = stretch.to_stored_text(text), stretch.to_stored_search(search)
            pages.append((text, search))
        texts, searches = zip(*pages, strict=True)
        return PictureReading(texts, stages.in_order(), searches)

    async def _page(self, encoded: EncodedPage, requests: PageRequests, stages: Stages) -> tuple[PageText, PageSearch]:
        """Read a page that is searched as a whole."""
        image, measures, tiled = await stages.on_cpu(self._decode_and_tile, encoded, stages)
        found, codes = await asyncio.gather(
            self._detect(tiled, requests, stages), stages.on_cpu(self._find_codes, image, stages)
        )
        page = _DecodedPage(image, measures, codes)
        cropped = await stages.on_cpu(self._crop_or_tile_again, page, tiled, found, stages)
        if isinstance(cropped, TiledPage):
            tiled = cropped
            found = await self._detect(tiled, requests, stages)
            cropped = await stages.on_cpu(self._crop_found, page, tiled, found, stages)
        with stages.timed(Stage.READ):
            reader = LineReader(self._models, requests, self._options)
            lines, stacked = await asyncio.gather(
                reader.read(cropped.lines), reader.read([crop for _, crop in cropped.columns])
            )
            lines = with_columns(lines, [column for column, _ in cropped.columns], stacked)
        placed = place_lines(lines, image.width, image.height, self._options)
        text = await stages.on_cpu(self._finish, (image.width, image.height), placed, codes.barcodes, stages)
        search = PageSearch(tiled.scale, tiles_on_page([tiled.tile], tiled.to_page), sideways=cropped.sideways)
        return replace(text, quality=cropped.quality), search

    async def _large_page(
        self, encoded: EncodedPage, requests: PageRequests, stages: Stages
    ) -> tuple[PageText, PageSearch]:
        """Read a page band by band: out of memory, or while it is decoded where it would fill too much of it."""
        header = encoded.page.squared
        streamed = header.streams and header.pixels > self._options.streamed_from_pixels
        held: PageImage | None = None
        turn = ExifTurn.of(header) if streamed else ExifTurn.none()
        if streamed:
            rows: PageRows = StreamedRows(
                partial(encoded.squared_strips, mirrored=turn.mirrored), header.width, header.height
            )
        else:
            with stages.timed(Stage.DECODE):
                held = await stages.on_cpu(encoded.decode_squared)
            rows = HeldRows(held.pixels)
        reading = await LargePage(rows, self._models, requests, self._options, self._gate, stages).read()
        found = reading.lines if held is None else await self._with_columns(held, reading.lines, requests, stages)
        lines, barcodes = map(turn.line, found), map(turn.barcode, reading.barcodes)
        text = await stages.on_cpu(self._finish, header.upright_size, tuple(lines), tuple(barcodes), stages)
        tiles = tuple(rectangle(tile, turn.to_upright) for tile in reading.plan.tiles_on_page())
        search = PageSearch(reading.plan.scale, tiles, streamed, reading.sideways)
        return replace(text, quality=reading.quality), search

    async def _with_columns(
        self, page: PageImage, lines: Sequence[TextLine], requests: PageRequests, stages: Stages
    ) -> Sequence[TextLine]:
        """Return the lines of a page that was read band by band, with its columns of characters in their place."""
        regions = [TextRegion(line.polygon, line.confidence) for line in lines]
        columns = await stages.on_cpu(self._crop_columns, page, regions, stages)
        if not columns:
            return lines
        with stages.timed(Stage.READ):
            stacked = await LineReader(self._models, requests, self._options).read([crop for _, crop in columns])
        read = [as_read(line, region) for line, region in zip(lines, regions, strict=True)]
        before = {id(region): line for line, region in zip(lines, regions, strict=True)}
        after = with_columns(read, [column for column, _ in columns], stacked)
        new = place_lines(
            [line for line in after if id(line.region) not in before], page.width, page.height, self._options
        )
        return [*(before[id(line.region)] for line in after if id(line.region) in before), *new]

    def _decode_and_tile(
        self, encoded: EncodedPage, stages: Stages
    ) -> tuple[PageImage, PixelMeasures | None, TiledPage]:
        with stages.timed(Stage.DECODE):
            page = encoded.decode_squared()
        with stages.timed(Stage.CHECK):
            measures = self._gate.measure(page)
        with stages.timed(Stage.TILE):
            return page, measures, tile_page(page, self._models.tile_shapes, self._options)

    async def _detect(self, tiled: TiledPage, requests: PageRequests, stages: Stages) -> Pixels:
        with stages.timed(Stage.DETECT):
            [found] = await detect([tiled.tile], self._models, requests)
            return found

    def _find_codes(self, page: PageImage, stages: Stages) -> Codes:
        """Run while the server detects: both only look at the page."""
        with stages.timed(Stage.BARCODES):
            return find_codes(page.pixels, self._options.barcodes)

    def _crop_or_tile_again(
        self, page: _DecodedPage, tiled: TiledPage, found: Pixels, stages: Stages
    ) -> _CroppedPage | TiledPage:
        """Cut the lines out of a page, or return the tile in which it is searched a second time."""
        regions = self._find_regions(tiled, found, stages)
        with stages.timed(Stage.TILE):
            again = tile_again(page.image, tiled, regions, self._models.tile_shapes, self._options)
        return self._judge_and_crop(page, regions, stages) if again is None else again

    def _crop_found(self, page: _DecodedPage, tiled: TiledPage, found: Pixels, stages: Stages) -> _CroppedPage:
        return self._judge_and_crop(page, self._find_regions(tiled, found, stages), stages)

    def _find_regions(self, tiled: TiledPage, found: Pixels, stages: Stages) -> list[TextRegion]:
        with stages.timed(Stage.STITCH):
            return find_regions(page_map(tiled, found), self._models.thresholds)

    def _judge_and_crop(self, page: _DecodedPage, regions: list[TextRegion], stages: Stages) -> _CroppedPage:
        image, texts = page.image, without_codes(regions, page.codes.areas)
        with stages.timed(Stage.CHECK):
            quality = self._gate.judge(page.measures, texts, (image.width, image.height))
        columns = self._crop_columns(image, texts, stages)
        with stages.timed(Stage.CROP):
            return _CroppedPage(crop_lines(image, texts, self._models.line), columns, quality, is_sideways(regions))

    def _crop_columns(
        self, page: PageImage, regions: Sequence[TextRegion], stages: Stages
    ) -> list[tuple[Column, LineCrop]]:
        with stages.timed(Stage.CROP):
            columns = [(column, column.crop(page, self._models.line)) for column in find_columns(page, regions)]
            return [(column, crop) for column, crop in columns if crop is not None]

    def _finish(
        self, size: tuple[int, int], lines: Sequence[TextLine], barcodes: tuple[DecodedBarcode, ...], stages: Stages
    ) -> PageText:
        with stages.timed(Stage.ASSEMBLE):
            text = assemble(size, lines, barcodes)
        with stages.timed(Stage.EXTRACT):
            return replace(text, fields=extract(text, self._fields))
