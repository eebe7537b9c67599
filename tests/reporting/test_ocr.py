import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from worker.adapters.clock import SystemClock
from worker.domain.errors import ErrorCode, JobError, ServerMismatchError
from worker.domain.image import Pixels
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import ModelSet
from worker.pipeline.options import ImageLimits
from worker.pipeline.pipeline import Pipeline
from worker.reporting.ocr import FileReading, ReadingOptions, read_files
from worker.runtime.model_client import ModelClient
from worker.testing.backend import FakeBackend
from worker.testing.block_font import BlockLine, draw_blocks, encode_png


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(clock=SystemClock(), latency_seconds=0.005)


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def reader(backend: FakeBackend, executor: Executor) -> ModelClient:
    def make(models: ModelSet) -> Pipeline:
        return Pipeline(backend, models, executor, SystemClock())

    return ModelClient(backend, make, partial(read_header, limits=ImageLimits()))


def label(path: Path, text: str) -> Path:
    pixels: Pixels = draw_blocks([BlockLine(text, 40, 40)], width=640, height=200)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_png(pixels))
    return path


async def read(
    reader: ModelClient, *paths: Path, draw_into: Path | None = None, at_once: int = 3
) -> tuple[bool, list[FileReading]]:
    readings: list[FileReading] = []
    all_read = await read_files(paths, reader, readings.append, ReadingOptions(at_once, draw_into=draw_into))
    return all_read, readings


def texts(reading: FileReading) -> list[str]:
    assert reading.result is not None
    return [line.text for page in reading.result.pages for line in page.lines]


async def test_files_are_reported_in_their_order(tmp_path: Path, reader: ModelClient) -> None:
    paths = [label(tmp_path / f"{number}.png", f"PARCEL {number}") for number in range(9)]
    all_read, readings = await read(reader, *paths)
    assert all_read
    assert [reading.path for reading in readings] == paths
    assert [texts(reading) for reading in readings] == [[f"PARCEL {number}"] for number in range(9)]


async def test_a_result_names_its_file(tmp_path: Path, reader: ModelClient) -> None:
    path = label(tmp_path / "a.png", "A1")
    _, [reading] = await read(reader, path)
    assert reading.result is not None
    assert (reading.result.job_id, reading.result.source.topic) == (str(path), "file")


async def test_one_that_fails_stops_no_other(tmp_path: Path, reader: ModelClient) -> None:
    good, empty, text = label(tmp_path / "good.png", "OK"), tmp_path / "empty.jpg", tmp_path / "text.jpg"
    empty.write_bytes(b"")
    text.write_text("no picture")
    all_read, readings = await read(reader, tmp_path / "none.png", empty, text, tmp_path, good)
    assert not all_read
    assert [reading.error is None for reading in readings] == [False, False, False, False, True]
    assert readings[0].error == f"{tmp_path / 'none.png'}: No such file or directory."
    assert readings[1].error == f"{empty}: the file is empty."
    assert str(readings[2].error).startswith(f"{text}: The value (10 bytes) is text")
    assert texts(readings[4]) == ["OK"]


async def test_a_request_that_fails_is_its_files_sentence(
    tmp_path: Path, reader: ModelClient, backend: FakeBackend
) -> None:
    backend.fail(JobError(ErrorCode.INFERENCE_FAILED, "Triton stumbled."))
    paths = [label(tmp_path / f"{number}.png", "A") for number in range(2)]
    all_read, readings = await read(reader, *paths, at_once=1)
    assert not all_read
    assert [reading.error for reading in readings] == [f"{paths[0]}: Triton stumbled.", None]


async def test_drawings_have_names_of_their_own(tmp_path: Path, reader: ModelClient) -> None:
    first, second = label(tmp_path / "x" / "a.png", "ONE"), label(tmp_path / "y" / "a.png", "TWO")
    all_read, readings = await read(reader, first, second, draw_into=tmp_path / "out" / "deep")
    assert all_read
    assert [drawing.name for reading in readings for drawing in reading.drawings] == ["a.png.png", "a.png.2.png"]
    drawings = sorted((tmp_path / "out" / "deep").iterdir())
    assert [drawing.name for drawing in drawings] == ["a.png.2.png", "a.png.png"]
    assert all(read_header(drawing.read_bytes(), ImageLimits()).pages[0].width > 900 for drawing in drawings)


async def test_every_page_is_drawn(tmp_path: Path, reader: ModelClient) -> None:
    blocks = [draw_blocks([BlockLine(text, 40, 40)], width=640, height=200) for text in ("ONE", "TWO")]
    pages = [Image.fromarray(bgr[:, :, ::-1]) for bgr in blocks]
    path = tmp_path / "both.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    _, [reading] = await read(reader, path, draw_into=tmp_path / "out")
    assert texts(reading) == ["ONE", "TWO"]
    assert reading.drawings == tuple(tmp_path / "out" / f"both.tif.page-{number}.png" for number in (1, 2))
    assert all(drawing.stat().st_size for drawing in reading.drawings)


async def test_a_drawing_that_cannot_be_written_is_an_error(tmp_path: Path, reader: ModelClient) -> None:
    path = label(tmp_path / "a.png", "ONE")
    all_read, [reading] = await read(reader, path, draw_into=path)
    assert not all_read
    assert str(path) in str(reading.error)


async def test_a_server_without_our_models_is_said_once(
    tmp_path: Path, reader: ModelClient, backend: FakeBackend
) -> None:
    backend.models.clear()
    with pytest.raises(ServerMismatchError, match="text_detector"):
        await read(reader, label(tmp_path / "a.png", "A"))


async def test_what_the_report_raises_comes_out_as_it_is(tmp_path: Path, reader: ModelClient) -> None:
    def closed_pipe(_: FileReading) -> None:
        raise BrokenPipeError

    paths = [label(tmp_path / f"{number}.png", "A") for number in range(6)]
    tasks_before = len(asyncio.all_tasks())
    with pytest.raises(BrokenPipeError):
        await read_files(paths, reader, closed_pipe)
    assert len(asyncio.all_tasks()) == tasks_before
