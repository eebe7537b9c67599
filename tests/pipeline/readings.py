"""Pictures read by the whole pipeline, on a clock that stands."""

from concurrent.futures import Executor

import numpy as np

from worker.domain.image import PageText, Pixels
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import load_models
from worker.pipeline.options import ImageLimits, PipelineOptions
from worker.pipeline.pipeline import PictureReading, Pipeline
from worker.testing.backend import FakeBackend
from worker.testing.block_font import encode_png
from worker.testing.clock import ManualClock


async def read(
    backend: FakeBackend, executor: Executor, picture: bytes, options: PipelineOptions | None = None
) -> PictureReading:
    """Read an encoded picture."""
    pipeline = Pipeline(backend, await load_models(backend), executor, ManualClock(), options or PipelineOptions())
    return await pipeline.process(picture, read_header(picture, ImageLimits()), timeout_seconds=30, request_id="j")


async def read_pixels(
    backend: FakeBackend, executor: Executor, pixels: Pixels, options: PipelineOptions | None = None
) -> PictureReading:
    """Read a page of uint8 [height, width, 3] BGR."""
    return await read(backend, executor, encode_png(np.ascontiguousarray(pixels)), options)


def texts(page: PageText) -> list[str]:
    """Return what the lines of a page say."""
    return [line.text for line in page.lines]
