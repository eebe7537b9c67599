"""Print is read by the real models on the real Triton, whichever way up it comes."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from worker.adapters.clock import SystemClock
from worker.adapters.triton import TritonBackend
from worker.domain.events import Event
from worker.domain.image import PageImage, PageText, Pixels, TextRegion
from worker.local.triton import TritonServer
from worker.pipeline.header.reading import read_header
from worker.pipeline.inference import PageRequests
from worker.pipeline.models import load_models
from worker.pipeline.options import ImageLimits, PipelineOptions
from worker.pipeline.pipeline import Pipeline
from worker.pipeline.recognize.crop import crop_lines
from worker.pipeline.recognize.read import LineReader
from worker.settings import TritonSettings

pytestmark = pytest.mark.real

LINES = ["FROM: LABELWIRE GMBH", "HAUPTSTRASSE 17", "10115 BERLIN", "WEIGHT 12.5 KG", "1Z999AA10123456784"]


class _Deaf:
    def emit(self, event: Event) -> None:
        """Take an event."""


@pytest.fixture
async def backend(triton: TritonServer) -> AsyncIterator[TritonBackend]:
    made = TritonBackend(TritonSettings(url=triton.grpc_url), _Deaf(), SystemClock())
    yield made
    await made.close()


def printed() -> Pixels:
    page = np.full((520, 900, 3), 255, dtype=np.uint8)
    for index, text in enumerate(LINES):
        cv2.putText(page, text, (60, 100 + 80 * index), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (20, 20, 20), 3, cv2.LINE_AA)
    return page


async def read(backend: TritonBackend, pixels: Pixels, options: PipelineOptions | None = None) -> PageText:
    picture = cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes()
    with ThreadPoolExecutor(2) as executor:
        pipeline = Pipeline(backend, await load_models(backend), executor, SystemClock(), options or PipelineOptions())
        reading = await pipeline.process(picture, read_header(picture, ImageLimits()), timeout_seconds=120)
    return reading.pages[0]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
async def test_print_is_read_from_any_side(backend: TritonBackend, quarters: int) -> None:
    text = await read(backend, np.rot90(printed(), -quarters))
    assert [line.text.upper().replace(" ", "") for line in text.lines] == [line.replace(" ", "") for line in LINES]
    off = {(line.rotation_degrees - 90 * quarters + 180) % 360 - 180 for line in text.lines}
    assert max(abs(degrees) for degrees in off) < 5


async def test_blocks_of_all_four_directions_are_read_from_one_page(backend: TritonBackend) -> None:
    page = np.full((1440, 1460, 3), 255, dtype=np.uint8)
    block = printed()
    for quarters, (left, top) in enumerate([(0, 0), (920, 0), (540, 920), (0, 540)]):
        turned = np.rot90(block, -quarters)
        page[top : top + turned.shape[0], left : left + turned.shape[1]] = turned
    text = await read(backend, page)
    for quarters in range(4):
        lines = [line for line in text.lines if abs(line.rotation_degrees - 90 * quarters) < 5]
        assert {line.text.upper().replace(" ", "") for line in lines} == {line.replace(" ", "") for line in LINES}


async def test_a_line_of_five_thousand_pixels_is_read_whole(backend: TritonBackend) -> None:
    words = [f"{letters}{number}" for number, letters in enumerate(["PARCEL", "Berlin", "XK", "Weight", "Ref"] * 9, 10)]
    text = " ".join(words)
    page = np.full((48, 7000, 3), 255, dtype=np.uint8)
    cv2.putText(page, text, (10, 35), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (20, 20, 20), 2, cv2.LINE_AA)
    inked = np.flatnonzero((page < 128).any(axis=(0, 2)))[-1] + 10.0
    region = TextRegion(np.array([[0, 0], [inked, 0], [inked, 48], [0, 48]], dtype=np.float64), 1.0)
    models = await load_models(backend)
    requests = PageRequests(backend, SystemClock(), timeout_seconds=120, request_id="")
    crops = crop_lines(PageImage(page), [region], models.line)
    (line,) = await LineReader(models, requests, PipelineOptions()).read(crops)
    assert len(crops) > 3
    assert line.text.replace(" ", "") == text.replace(" ", "")
    positions = [character.position for character in line.characters]
    assert positions == sorted(positions)


async def test_characters_have_alternatives_that_codes_are_written_with(backend: TritonBackend) -> None:
    page = np.asarray(cv2.GaussianBlur(printed(), (0, 0), 4), dtype=np.uint8)
    characters = [character for line in (await read(backend, page)).lines for character in line.characters]
    others = [alternative for character in characters for alternative in character.alternatives]
    assert others
    assert all(0x21 <= ord(text) <= 0x7E for text, _ in others)
    for character in characters:
        assert character.text not in dict(character.alternatives)
        probabilities = [probability for _, probability in character.alternatives]
        assert probabilities == sorted(probabilities, reverse=True)


async def test_tiles_read_as_the_whole_page_does(backend: TritonBackend) -> None:
    options = PipelineOptions(tiled_from_pixels=1, tile_scale=1.0, tile_side=384, tile_overlap=128)
    text = await read(backend, printed(), options)
    assert [line.text.upper().replace(" ", "") for line in text.lines] == [line.replace(" ", "") for line in LINES]


async def test_pages_read_at_once_read_as_alone(backend: TritonBackend) -> None:
    pages = [printed()[: 140 + 80 * index] for index in range(4)]
    alone = [await read(backend, page) for page in pages]
    at_once = await asyncio.gather(*(read(backend, page) for page in pages))
    for one, other in zip(alone, at_once, strict=True):
        assert [(line.text, line.confidence) for line in one.lines] == [
            (line.text, line.confidence) for line in other.lines
        ]


async def test_a_blank_page_has_no_lines(backend: TritonBackend) -> None:
    for height, width in ((1, 1), (600, 400)):
        assert (await read(backend, np.full((height, width, 3), 255, dtype=np.uint8))).lines == ()
