"""A page from bytes to text, on a server that reads a block font."""

import asyncio
from concurrent.futures import Executor

import cv2
import numpy as np
import pytest
import zxingcpp

from tests.pipeline.readings import read, read_pixels, texts
from worker.domain.barcode import GS1Element
from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.image import Pixels
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import load_models
from worker.pipeline.options import ImageLimits, PipelineOptions
from worker.pipeline.pipeline import Pipeline
from worker.testing.backend import FakeBackend
from worker.testing.block_font import BlockLine, draw_blocks, encode_png
from worker.testing.clock import ManualClock

LINES = [
    BlockLine("FROM ANNA", 60, 40),
    BlockLine("NO 17", 500, 42),
    BlockLine("BERLIN 10115", 60, 100, height=26),
    BlockLine("TO BO", 60, 170),
    BlockLine("1Z999AA10123456784", 60, 230),
    BlockLine("2 OF 3", 60, 290),
    BlockLine("KG 12-5", 400, 290),
    BlockLine("END", 60, 350),
    BlockLine("-", 300, 352),
]
TEXTS = [line.text for line in LINES]


def label() -> Pixels:
    return draw_blocks(LINES, width=800, height=420)


async def test_a_label_is_read_in_order_and_in_place(backend: FakeBackend, executor: Executor) -> None:
    reading = await read_pixels(backend, executor, label())
    assert texts(reading.pages[0]) == TEXTS
    assert (reading.pages[0].width, reading.pages[0].height) == (800, 420)
    for line, drawn in zip(reading.pages[0].lines, LINES, strict=True):
        np.testing.assert_allclose(line.polygon[0], [drawn.left, drawn.top], atol=3)
        assert line.confidence == pytest.approx(0.99)
        assert line.rotation_degrees == 0.0


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
async def test_a_page_is_read_from_any_side(backend: FakeBackend, executor: Executor, quarters: int) -> None:
    reading = await read_pixels(backend, executor, np.rot90(label(), -quarters))
    assert texts(reading.pages[0]) == TEXTS
    assert {line.rotation_degrees for line in reading.pages[0].lines} == {90.0 * quarters}


async def test_a_large_page_is_read_through_tiles(backend: FakeBackend, executor: Executor) -> None:
    large = np.asarray(cv2.resize(label(), None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    options = PipelineOptions(tiled_from_pixels=2_000_000, tile_side=320, tile_overlap=96)
    reading = await read_pixels(backend, executor, large, options)
    assert texts(reading.pages[0]) == TEXTS
    assert sum(call.model == "text_detector" for call in backend.calls) > 8


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (300, 200)])
async def test_a_blank_page_asks_no_recogniser(backend: FakeBackend, executor: Executor, size: tuple[int, int]) -> None:
    reading = await read_pixels(backend, executor, np.full((*size, 3), 255, dtype=np.uint8))
    assert reading.pages[0].lines == ()
    assert [call.model for call in backend.calls] == ["text_detector"]


def with_symbol(pixels: Pixels) -> Pixels:
    symbol = zxingcpp.create_barcode("(00)106141411234567897", zxingcpp.BarcodeFormat.QRCode, gs1=True)
    ink = np.asarray(symbol.to_image(scale=4, add_quiet_zones=False))
    marked = pixels.copy()
    marked[250 : 250 + ink.shape[0], 620 : 620 + ink.shape[1]] = ink[:, :, np.newaxis]
    return marked


async def test_symbols_are_read_and_never_taken_for_text(backend: FakeBackend, executor: Executor) -> None:
    page = (await read_pixels(backend, executor, with_symbol(label()))).pages[0]
    (symbol,) = page.barcodes
    assert (symbol.format, symbol.elements) == ("QRCode", (GS1Element("00", "106141411234567897"),))
    np.testing.assert_allclose(symbol.polygon[0], [620, 250], atol=2)
    assert texts(page) == TEXTS


async def test_symbols_are_left_alone_where_none_are_wanted(backend: FakeBackend, executor: Executor) -> None:
    options = PipelineOptions(barcode_formats=())
    assert (await read_pixels(backend, executor, with_symbol(label()), options)).pages[0].barcodes == ()


async def test_no_line_is_cut_out_of_a_symbol(backend: FakeBackend, executor: Executor) -> None:
    def lines_sent() -> int:
        sent = sum(call.shapes["line"][0] for call in backend.calls if "line" in call.shapes)
        backend.calls.clear()
        return sent

    await read_pixels(backend, executor, with_symbol(label()))
    without_symbol = lines_sent()
    await read_pixels(backend, executor, with_symbol(label()), PipelineOptions(barcode_formats=()))
    assert without_symbol < lines_sent()  # this server marks anything dark as text


async def test_every_stage_is_timed(backend: FakeBackend, executor: Executor) -> None:
    reading = await read_pixels(backend, executor, label())
    searched = [Stage.DECODE, Stage.CHECK, Stage.TILE, Stage.DETECT, Stage.STITCH, Stage.CROP]
    expected = [*searched, Stage.READ, Stage.BARCODES, Stage.ASSEMBLE, Stage.EXTRACT]
    assert list(reading.timing_seconds) == expected


async def test_time_on_the_server_counts_for_its_stage(executor: Executor) -> None:
    clock = ManualClock()
    backend = FakeBackend(clock=clock, latency_seconds=2.0)
    pipeline = Pipeline(backend, await load_models(backend), executor, clock)
    picture = encode_png(draw_blocks([BlockLine("A", 50, 50)], width=200, height=200))
    header = read_header(picture, ImageLimits())
    reading = await pipeline.process(picture, header, timeout_seconds=30)
    assert reading.timing_seconds[Stage.DETECT] == 2.0
    assert reading.timing_seconds[Stage.READ] == 4.0  # classified, then read
    assert reading.timing_seconds[Stage.CROP] == 0.0


@pytest.mark.parametrize("requests_before", [0, 1])
async def test_a_failure_of_the_server_is_raised_as_it_is(
    backend: FakeBackend, executor: Executor, requests_before: int
) -> None:
    error = JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton is away.")
    backend.fail(*[None] * requests_before, error)
    with pytest.raises(JobError) as caught:
        await read_pixels(backend, executor, label())
    assert caught.value is error


async def test_a_damaged_picture_makes_no_request(backend: FakeBackend, executor: Executor) -> None:
    with pytest.raises(JobError) as caught:
        await read(backend, executor, encode_png(label())[:-200])
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT
    assert backend.calls == []


async def test_many_pages_at_once_do_not_mix(backend: FakeBackend, executor: Executor) -> None:
    pages = [draw_blocks([BlockLine(f"PAGE {index}", 40, 40)], width=400, height=120) for index in range(20)]
    readings = await asyncio.gather(*(read_pixels(backend, executor, page) for page in pages))
    assert [texts(reading.pages[0]) for reading in readings] == [[f"PAGE {index}"] for index in range(20)]
