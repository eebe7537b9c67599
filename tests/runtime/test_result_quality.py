"""The quality of a page on its way into the result, and a page that the gate turns away."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.adapters.clock import SystemClock
from worker.domain.image import Pixels
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import ModelSet
from worker.pipeline.options import ImageLimits, QualityMode, QualityOptions
from worker.pipeline.pipeline import Pipeline
from worker.reporting.ocr import FileReading, ReadingOptions, read_files
from worker.runtime.model_client import ModelClient
from worker.testing.backend import FakeBackend
from worker.testing.block_font import BlockLine, draw_blocks, encode_png


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def label() -> Pixels:
    return draw_blocks([BlockLine("PARCEL 17", 40, 40), BlockLine("TO BERLIN", 40, 100)], width=640, height=200)


def _written(path: Path, pixels: Pixels) -> Path:
    path.write_bytes(encode_png(pixels))
    return path


async def read(executor: Executor, path: Path, options: QualityOptions, pixels: Pixels) -> tuple[FileReading, int]:
    """Return the reading, and how often the server was asked."""
    backend = FakeBackend()

    def make(models: ModelSet) -> Pipeline:
        return Pipeline(backend, models, executor, SystemClock(), quality=options)

    readings: list[FileReading] = []
    reader = ModelClient(backend, make, partial(read_header, limits=ImageLimits()))
    await read_files([_written(path, pixels)], reader, readings.append, ReadingOptions())
    await backend.close()
    return readings[0], len(backend.calls)


async def test_a_result_says_how_good_its_pages_are(tmp_path: Path, executor: Executor) -> None:
    reading, _ = await read(executor, tmp_path / "a.png", QualityOptions(), label())
    assert reading.result is not None
    quality = reading.result.pages[0].quality
    assert quality is not None
    assert quality.score > 0.9
    assert quality.problems == ()
    assert {"text_height_pixels", "blur_pixels", "contrast_levels", "glare_share"} <= set(quality.measures)
    assert '"quality":{"score":' in reading.result.to_json().decode()


async def test_a_poor_page_is_only_flagged_by_default(tmp_path: Path, executor: Executor) -> None:
    blurred = np.asarray(cv2.GaussianBlur(label(), (0, 0), 4), dtype=np.uint8)
    reading, _ = await read(executor, tmp_path / "a.png", QualityOptions(), blurred)
    assert reading.result is not None
    quality = reading.result.pages[0].quality
    assert quality is not None
    assert "blur_share" in quality.problems


async def test_a_poor_page_is_refused_before_it_is_read(tmp_path: Path, executor: Executor) -> None:
    blurred = np.asarray(cv2.GaussianBlur(label(), (0, 0), 4), dtype=np.uint8)
    reading, requests = await read(executor, tmp_path / "a.png", QualityOptions(QualityMode.REFUSE, 0.9), blurred)
    assert reading.code == "IMAGE_QUALITY_POOR"
    assert "hold still" in str(reading.error)
    assert requests == 1  # it was searched for text, and no line was read


async def test_a_hopeless_picture_is_refused_before_triton_is_asked(tmp_path: Path, executor: Executor) -> None:
    dark = (label() * 0.04).astype(np.uint8)
    reading, requests = await read(executor, tmp_path / "a.png", QualityOptions(QualityMode.REFUSE), dark)
    assert reading.code == "IMAGE_QUALITY_POOR"
    assert "it is black" in str(reading.error)
    assert requests == 0


@pytest.mark.parametrize("mode", list(QualityMode))
async def test_a_blank_page_is_a_result_in_every_mode(tmp_path: Path, executor: Executor, mode: QualityMode) -> None:
    blank = np.full((200, 300, 3), 255, dtype=np.uint8)
    reading, _ = await read(executor, tmp_path / "a.png", QualityOptions(mode, 1.0), blank)
    assert reading.result is not None
    page = reading.result.pages[0]
    assert page.lines == ()
    assert (page.quality is None) is (mode is QualityMode.OFF)
