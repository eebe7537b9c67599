"""A page that lies on its side or askew is shown to the detector straight, and only such a page."""

import math
from concurrent.futures import Executor
from dataclasses import replace

import cv2
import numpy as np
import pytest

from worker.domain.geometry import Transform
from worker.domain.image import PageImage, PageText, Pixels, TextRegion, Tile
from worker.domain.manifest import ModelRole, TileShapes
from worker.pipeline.detect.detect import detect
from worker.pipeline.detect.second_look import tile_straight, turn_degrees
from worker.pipeline.detect.text_direction import orient_quads
from worker.pipeline.header.reading import read_header
from worker.pipeline.inference import PageRequests
from worker.pipeline.models import load_models
from worker.pipeline.options import ImageLimits, PipelineOptions
from worker.pipeline.pipeline import Pipeline
from worker.testing.backend import FakeBackend
from worker.testing.block_font import BlockLine, draw_blocks, encode_png
from worker.testing.clock import ManualClock

TEXTS = ["FIRST LINE", "SECOND", "THE THIRD ONE", "4"]


def page(quarters: int) -> Pixels:
    lines = [BlockLine(text, 40, 40 + 60 * row) for row, text in enumerate(TEXTS)]
    return np.ascontiguousarray(np.rot90(draw_blocks(lines, width=480, height=320), -quarters))


async def read(backend: FakeBackend, pixels: Pixels, executor: Executor, shapes: TileShapes | None = None) -> PageText:
    models = await load_models(backend)
    models = replace(models, tile_shapes=shapes or models.tile_shapes)
    picture = encode_png(pixels)
    header = read_header(picture, ImageLimits())
    reading = await Pipeline(backend, models, executor, ManualClock()).process(picture, header, timeout_seconds=30)
    return reading.pages[0]


@pytest.mark.parametrize(("quarters", "looks"), [(0, 1), (1, 2), (2, 1), (3, 2)])
async def test_a_sideways_page_is_looked_at_twice(executor: Executor, quarters: int, looks: int) -> None:
    backend = FakeBackend()
    text = await read(backend, page(quarters), executor)
    assert [line.text for line in text.lines] == TEXTS
    assert {line.rotation_degrees for line in text.lines} == {90.0 * quarters}
    assert len(backend.lines_sent(ModelRole.DETECTOR)) == looks


@pytest.mark.parametrize("shapes", [TileShapes(), TileShapes(fixed=((640, 640),))])
async def test_a_page_askew_is_found_as_if_it_were_level(executor: Executor, shapes: TileShapes) -> None:
    backend = FakeBackend()
    radians = math.radians(12)
    turn = np.array([[math.cos(radians), -math.sin(radians), 120], [math.sin(radians), math.cos(radians), 20]])
    askew = cv2.warpAffine(page(0), turn, (640, 480), flags=cv2.INTER_NEAREST, borderValue=(255, 255, 255))
    text = await read(backend, np.asarray(askew, dtype=np.uint8), executor, shapes)
    assert [line.text for line in text.lines] == TEXTS
    assert all(abs(line.rotation_degrees - 12) < 1 for line in text.lines)
    for row, line in enumerate(text.lines):
        begin = turn @ (40, 40 + 60 * row, 1)
        assert np.hypot(*(line.polygon[0] - begin)) < 6


@pytest.mark.parametrize("degrees", [-170.0, -95.0, -60.0, -15.0, -3.0, 0.0, 4.5, 30.0, 80.0, 90.0, 93.0, 181.0])
def test_the_turn_is_that_of_the_text(degrees: float) -> None:
    radians = math.radians(degrees)
    turn = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])
    shapes = [(300, 20), (280, 22), (20, 22), (30, 90)]
    corners = [np.array([[0, 0], [w, 0], [w, h], [0, h]], dtype=np.float64) for w, h in shapes]
    regions = [TextRegion(quad, 1.0) for quad in orient_quads([each @ turn.T for each in corners])]
    modulo = (degrees + 45) % 180 - 45  # lines run to the right or down
    expected = 0.0 if abs(modulo) < 4 else 90.0 if abs(modulo - 90) < 4 else modulo
    assert turn_degrees(regions) == pytest.approx(expected, abs=1e-6)


def test_a_blank_page_has_no_turn() -> None:
    assert turn_degrees([]) == 0.0


@pytest.mark.parametrize("degrees", [90.0, 12.0, -20.0])
def test_the_straight_picture_shows_what_lies_there(degrees: float) -> None:
    rows, columns = np.indices((300, 400))
    picture = np.dstack([columns / 2, rows / 2, np.zeros_like(rows)]).astype(np.uint8)
    quad = np.array([[150, 120], [250, 130], [248, 150], [148, 140]], dtype=np.float64)
    options = PipelineOptions(detection_long_side=400, max_enlargement=1.0)
    tiled = tile_straight(PageImage(picture), [TextRegion(quad, 1.0)], degrees, TileShapes(), options)
    tile = tiled.tile
    for x, y in ((30.5, 30.5), (tiled.width - 30.5, 20.5), (tiled.width // 2 + 0.5, tiled.height // 2 + 0.5)):
        place = tiled.to_page.apply(np.array([x, y]))
        blue, green, _ = tile.pixels[int(y), int(x)].astype(float)
        assert abs(blue - (place[0] - 0.5) / 2) < 2
        assert abs(green - (place[1] - 0.5) / 2) < 2


async def test_turned_tiles_give_maps_of_the_tiles_as_they_lie() -> None:
    backend = FakeBackend()
    pixels = page(1)
    tile = Tile(pixels[:192, :320], Transform.identity())
    models = await load_models(backend)
    requests = PageRequests(backend, ManualClock(), timeout_seconds=10, request_id="")
    (plain,) = await detect([tile], models, requests)
    (sideways,) = await detect([tile], models, requests, sideways=True)
    np.testing.assert_array_equal(plain, sideways)
    assert plain.any()
    assert [call.shapes["image"] for call in backend.calls] == [(1, 192, 320, 3), (1, 320, 192, 3)]
