"""A page whose text runs down is shown to the detector the right way, and only such a page."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from worker.domain.geometry import Transform
from worker.domain.image import PageText, Pixels, Tile
from worker.domain.manifest import ModelRole, TileShapes
from worker.pipeline.detect import detect, takes_turned
from worker.pipeline.header import read_header
from worker.pipeline.inference import PageRequests
from worker.pipeline.models import load_models
from worker.pipeline.options import ImageLimits
from worker.pipeline.pipeline import Pipeline
from worker.testing.backend import FakeBackend
from worker.testing.block_script import BlockLine, draw_blocks, encode_png
from worker.testing.clock import ManualClock

TEXTS = ["FIRST LINE", "SECOND", "THE THIRD ONE", "4"]


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as made:
        yield made


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


async def test_a_detector_of_fixed_shapes_is_shown_none_that_it_does_not_take(executor: Executor) -> None:
    backend = FakeBackend()
    text = await read(backend, page(1), executor, TileShapes(fixed=((1216, 1088),)))
    assert {line.text for line in text.lines} == set(TEXTS)
    shapes = {call.shapes["image"][1:3] for call in backend.calls if call.model == ModelRole.DETECTOR}
    assert shapes == {(1216, 1088)}


async def test_turned_tiles_give_maps_of_the_tiles_as_they_lie() -> None:
    backend = FakeBackend()
    pixels = page(1)
    tile = Tile(pixels[:192, :320], Transform.identity(), (0, 0, 320, 192))
    models = await load_models(backend)
    requests = PageRequests(backend, ManualClock(), timeout_seconds=10, request_id="")
    (plain,) = await detect([tile], models, requests)
    (sideways,) = await detect([tile], models, requests, sideways=True)
    np.testing.assert_array_equal(plain, sideways)
    assert plain.any()
    assert [call.shapes["image"] for call in backend.calls] == [(1, 192, 320, 3), (1, 320, 192, 3)]


def test_a_turned_tile_is_taken_where_its_shape_is() -> None:
    tile = Tile(np.zeros((192, 320, 3), dtype=np.uint8), Transform.identity(), (0, 0, 320, 192))
    assert takes_turned([tile], TileShapes())
    assert takes_turned([tile], TileShapes(fixed=((320, 192), (192, 320))))
    assert not takes_turned([tile], TileShapes(fixed=((192, 320),)))
