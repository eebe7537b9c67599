"""Large pages, in memory and streamed, on a server that reads a block font."""

import io
from concurrent.futures import Executor
from dataclasses import replace

import cv2
import numpy as np
import pytest
import zxingcpp
from PIL import Image

from tests.pipeline.readings import read, texts
from worker.domain.barcode import Symbology
from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import Pixels
from worker.pipeline.options import PipelineOptions
from worker.testing.backend import FakeBackend
from worker.testing.block_font import BlockLine, draw_blocks

WIDTH, HEIGHT = 1800, 3000
HELD = PipelineOptions(tiled_from_pixels=1, tile_side=512, tile_overlap=96, barcode_formats=(), tile_scale=0.75)
STREAMED = replace(HELD, streamed_from_pixels=1)

# Far apart in both directions, so that there is much to skip, and long lines that no single tile holds.
LINES = [
    BlockLine("TOP LEFT", 40, 900),
    BlockLine("A LINE THAT NO SINGLE TILE CAN HOLD 01", 100, 960, height=32),
    BlockLine("RIGHT", 1500, 1200),
    BlockLine("SAME ROW", 100, 2100),
    BlockLine("OTHER END", 1400, 2100),
    BlockLine("LAST", 900, 2900),
]
TEXTS = [line.text for line in LINES]


def page(lines: list[BlockLine] | None = None) -> Pixels:
    return draw_blocks(LINES if lines is None else lines, width=WIDTH, height=HEIGHT)


def png(pixels: Pixels, orientation: int = 1) -> bytes:
    encoded, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)).save(encoded, "PNG", exif=exif, compress_level=1)
    return encoded.getvalue()


@pytest.mark.parametrize("options", [HELD, STREAMED])
async def test_lines_are_read_in_order_and_in_place(
    backend: FakeBackend, executor: Executor, options: PipelineOptions
) -> None:
    reading = await read(backend, executor, png(page()), options)
    [text] = reading.pages
    assert texts(text) == TEXTS
    assert (text.width, text.height) == (WIDTH, HEIGHT)
    for line, drawn in zip(text.lines, LINES, strict=True):
        np.testing.assert_allclose(line.polygon[0], [drawn.left, drawn.top], atol=5)
        assert line.rotation_degrees == pytest.approx(0.0, abs=0.5)


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_streamed_page_stands_as_exif_says(backend: FakeBackend, executor: Executor, orientation: int) -> None:
    picture = png(page(), orientation)
    [held] = (await read(backend, executor, picture, HELD)).pages
    [streamed] = (await read(backend, executor, picture, STREAMED)).pages
    assert (streamed.width, streamed.height) == (held.width, held.height)
    if orientation in {1, 3, 6, 8}:  # what is mirrored reads as other text, and as the same in both ways
        assert sorted(texts(held)) == sorted(TEXTS)
    assert texts(streamed) == texts(held)
    for one, other in zip(streamed.lines, held.lines, strict=True):
        np.testing.assert_allclose(one.polygon, other.polygon, atol=4)
        assert (one.rotation_degrees - other.rotation_degrees + 180) % 360 == pytest.approx(180, abs=0.5)


@pytest.mark.parametrize("options", [HELD, STREAMED])
async def test_a_symbol_larger_than_any_cut_is_read_once(
    backend: FakeBackend, executor: Executor, options: PipelineOptions
) -> None:
    code = zxingcpp.create_barcode("A LARGE ONE", zxingcpp.BarcodeFormat.QRCode)
    ink = np.array(code.to_image(scale=60, add_quiet_zones=False), dtype=np.uint8)
    picture = page()
    picture[1300 : 1300 + ink.shape[0], 250 : 250 + ink.shape[1]] = ink[..., np.newaxis]
    small = zxingcpp.create_barcode("SMALL", zxingcpp.BarcodeFormat.Code128).to_image(scale=3)
    picture[200 : 200 + small.shape[0], 1000 : 1000 + small.shape[1]] = np.array(small)[..., np.newaxis]
    [read_page] = (
        await read(backend, executor, png(picture), replace(options, barcode_formats=tuple(Symbology)))
    ).pages
    assert [found.text for found in read_page.barcodes] == ["SMALL", "A LARGE ONE"]
    place = read_page.barcodes[1].polygon
    np.testing.assert_allclose(place[[0, 2]], [[250, 1300], [250 + ink.shape[1], 1300 + ink.shape[0]]], atol=8)


@pytest.mark.parametrize(
    ("name", "quarters"), [("Code128", 1), ("ITF", 1), ("PDF417", 1), ("QRCode", 0), ("DataMatrix", 1), ("MaxiCode", 0)]
)
async def test_large_symbols_of_a_streamed_page_are_read_once(
    backend: FakeBackend, executor: Executor, name: str, quarters: int
) -> None:
    code = zxingcpp.create_barcode("30712345000010", zxingcpp.BarcodeFormat[name])
    side = max(code.to_image(scale=1, add_quiet_zones=False).shape)
    ink = np.array(code.to_image(scale=1400 // side, add_quiet_zones=False), dtype=np.uint8)
    ink = np.rot90(ink, quarters)
    picture = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    top, left = (HEIGHT - ink.shape[0]) // 2, (WIDTH - ink.shape[1]) // 2
    picture[top : top + ink.shape[0], left : left + ink.shape[1]] = ink[..., np.newaxis]
    options = replace(STREAMED, barcode_formats=tuple(Symbology))
    [streamed] = (await read(backend, executor, png(picture), options)).pages
    [found] = streamed.barcodes
    assert (found.format, found.text) == (name, "30712345000010")
    low, high = found.polygon.min(axis=0), found.polygon.max(axis=0)
    expected = [[left, top], [left + ink.shape[1], top + ink.shape[0]]]
    np.testing.assert_allclose([low, high], expected, atol=40)


async def test_only_what_holds_anything_is_searched(backend: FakeBackend, executor: Executor) -> None:
    picture = png(page([BlockLine("ALONE", 1000, 2000)]))
    reading = await read(backend, executor, picture, STREAMED)
    assert texts(reading.pages[0]) == ["ALONE"]
    searched = [call.shapes["image"] for call in backend.calls if call.model == "text_detector"]
    # The thumbnail, a window of each half that holds some of it, and one tile.
    assert 3 <= len(searched) <= 4
    assert searched[-1][1] <= 256


@pytest.mark.parametrize("options", [HELD, STREAMED])
async def test_a_blank_page_is_a_page_without_lines(
    backend: FakeBackend, executor: Executor, options: PipelineOptions
) -> None:
    reading = await read(backend, executor, png(page([])), options)
    assert reading.pages[0].lines == ()
    assert {call.model for call in backend.calls} == {"text_detector"}


async def test_the_scale_follows_the_print(backend: FakeBackend, executor: Executor) -> None:
    chosen = replace(HELD, tile_scale=None, tile_side=960)
    sides = []
    for height in (24, 96):
        backend.calls.clear()
        large = draw_blocks([BlockLine("PRINT", 400, 400, height)], width=WIDTH, height=HEIGHT)
        reading = await read(backend, executor, png(large), chosen)
        assert texts(reading.pages[0]) == ["PRINT"]
        sides.append([call.shapes["image"] for call in backend.calls if call.model == "text_detector"][-1][2])
    # Four times the height on the page, and yet no wider where it is searched.
    assert sides[1] <= sides[0] + 128


@pytest.mark.parametrize("shift", [0, 13, 101, 240])
async def test_the_grid_does_not_matter(backend: FakeBackend, executor: Executor, shift: int) -> None:
    moved = np.pad(page(), ((shift, 0), (2 * shift, 0), (0, 0)), constant_values=255)
    reading = await read(backend, executor, png(moved), replace(STREAMED, tile_side=448, tile_overlap=64 + shift // 4))
    assert texts(reading.pages[0]) == TEXTS


async def test_a_page_that_is_cut_short_is_refused(backend: FakeBackend, executor: Executor) -> None:
    picture = png(page())
    with pytest.raises(JobError) as caught:
        await read(backend, executor, picture[: len(picture) * 2 // 3], STREAMED)
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT
    assert backend.calls == []


@pytest.mark.parametrize("requests_before", [0, 2, 4])
async def test_a_failure_of_the_server_is_raised_as_it_is(
    backend: FakeBackend, executor: Executor, requests_before: int
) -> None:
    error = JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton is away.")
    backend.fail(*[None] * requests_before, error)
    with pytest.raises(JobError) as caught:
        await read(backend, executor, png(page()), STREAMED)
    assert caught.value is error
