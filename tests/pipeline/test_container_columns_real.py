"""Container numbers that are printed downwards, read by the real models on the real Triton."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.pipeline.container_columns import NUMBER, Print, drawn
from worker.adapters.clock import SystemClock
from worker.adapters.triton import TritonBackend
from worker.domain.image import PageText
from worker.local.triton import TritonServer
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import load_models
from worker.pipeline.options import ImageLimits, PipelineOptions
from worker.pipeline.pipeline import Pipeline
from worker.settings import TritonSettings
from worker.testing.events import RecordedEvents

pytestmark = pytest.mark.real

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "container-column"
DARK = Print(ink=(240, 240, 240), ground=(50, 50, 50))
MARKS = ["MAX GROSS 30,480 KG", "TARE 2,230 KG", "PAYLOAD 28,250 KG", "CU CAP 33.2 CU M"]


@pytest.fixture
async def backend(triton: TritonServer) -> AsyncIterator[TritonBackend]:
    made = TritonBackend(TritonSettings(url=triton.grpc_url), RecordedEvents(), SystemClock())
    yield made
    await made.close()


async def read(backend: TritonBackend, picture: bytes, options: PipelineOptions | None = None) -> PageText:
    with ThreadPoolExecutor(2) as executor:
        pipeline = Pipeline(backend, await load_models(backend), executor, SystemClock(), options or PipelineOptions())
        reading = await pipeline.process(picture, read_header(picture, ImageLimits()), timeout_seconds=120)
    return reading.pages[0]


def containers(page: PageText) -> set[tuple[str, str]]:
    return {(field.value, field.check.value) for field in page.fields if field.type == "iso6346"}


@pytest.mark.parametrize(
    ("style", "quarters"),
    [
        (Print(gap=0.5), 0),
        (Print(boxed=True), 0),
        (Print(size=40, pitch=1.2, gap=1.5), 0),
        (DARK, 1),
        (Print(ink=(255, 255, 255), ground=(20, 70, 150), below="22G1"), 0),
        (Print(pitch=1.3), 2),
    ],
    ids=["gap", "boxed", "close", "dark, sideways", "on blue, with its size", "on its head"],
)
async def test_a_containers_number_printed_downwards_is_a_field(
    backend: TritonBackend, style: Print, quarters: int
) -> None:
    pixels = np.ascontiguousarray(np.rot90(drawn(NUMBER, style=style)[0], quarters))
    page = await read(backend, cv2.imencode(".png", pixels)[1].tobytes())
    assert containers(page) == {("MSCU6765400", "passed")}


async def test_two_columns_and_other_text_beside_them_are_told_apart(backend: TritonBackend) -> None:
    pixels, _ = drawn(NUMBER, "HLXU 100100 3", style=DARK, beside=MARKS)
    page = await read(backend, cv2.imencode(".png", pixels)[1].tobytes())
    assert containers(page) == {("MSCU6765400", "passed"), ("HLXU1001003", "passed")}


async def test_a_page_that_is_read_in_bands_has_its_column_too(backend: TritonBackend) -> None:
    pixels, _ = drawn(NUMBER, style=Print(pitch=1.2, gap=1.2, boxed=True), beside=MARKS)
    options = PipelineOptions(tiled_from_pixels=200_000)
    page = await read(backend, cv2.imencode(".png", pixels)[1].tobytes(), options)
    assert containers(page) == {("MSCU6765400", "passed")}
    assert "TARE 2,230 KG" in [line.text for line in page.lines]


async def test_the_containers_that_users_sent_are_read(backend: TritonBackend) -> None:
    if not CASES.is_dir():
        pytest.skip("the folder shared/cases/container-column is not beside this checkout")
    read_as = {file.stem: containers(await read(backend, file.read_bytes())) for file in sorted(CASES.glob("*.png"))}
    assert {name for name, told in read_as.items() if told != {("MSCU6765400", "passed")}} == set()
    assert len(read_as) >= 6
