"""Lines that the ensemble reads as it classifies them come out as by classifier and recognizer in turn."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.adapters.clock import SystemClock
from worker.adapters.triton import TritonBackend
from worker.domain.errors import JobError
from worker.domain.image import LineCrop, TextRegion
from worker.domain.manifest import ModelRole
from worker.lab.evaluation.in_process import InProcessBackend
from worker.models.drawn_lines import draw_lines
from worker.pipeline.inference import PageRequests
from worker.pipeline.models import ModelSet, ServedModel, load_models
from worker.pipeline.options import PipelineOptions
from worker.pipeline.recognize.crop import rotated_180
from worker.pipeline.recognize.read import LineReader, ReadLine
from worker.ports import InferenceBackend, InferenceRequest
from worker.settings import TritonSettings
from worker.testing.events import RecordedEvents

PAD_VALUE = 127


@asynccontextmanager
async def in_process(request: pytest.FixtureRequest) -> AsyncIterator[InferenceBackend]:
    yield InProcessBackend(request.getfixturevalue("onnx_on_gpu"))


@asynccontextmanager
async def real(request: pytest.FixtureRequest) -> AsyncIterator[InferenceBackend]:
    yield TritonBackend(TritonSettings(url=request.getfixturevalue("triton").grpc_url), RecordedEvents(), SystemClock())


Maker = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[InferenceBackend]]


@pytest.fixture(params=[in_process, pytest.param(real, marks=pytest.mark.real)], ids=lambda maker: maker.__name__)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[InferenceBackend]:
    maker: Maker = request.param
    async with maker(request) as made:
        yield made
        await made.close()


async def with_readers(backend: InferenceBackend) -> ModelSet:
    """Return the server's models with readers, also where workers are not told to use them."""
    models = await load_models(backend)
    if models.readers:
        return models
    described = await backend.describe(ModelRole.READER.value)
    assert described is not None
    reader = ServedModel(described.name, described.max_batch_size, described.version)
    return replace(models, readers=dict.fromkeys(models.recognizers, reader))


def page(models: ModelSet, upside_down: range) -> list[LineCrop]:
    """Drawn lines one below the other, those of a range upside down."""
    crops = []
    for row, (line,) in enumerate(draw_lines(14, seed=7)):
        width = min(line.shape[1], models.line.bucket_widths[-1])
        bucket = next(bucket for bucket in models.line.bucket_widths if bucket >= width)
        pixels = np.full((48, bucket, 3), PAD_VALUE, dtype=np.uint8)
        pixels[:, :width] = line[:, :width]
        quad: NDArray[np.float64] = np.array([[0, 0], [width, 0], [width, 48], [0, 48]], float)
        quad[:, 1] += 60.0 * row
        crop = LineCrop(TextRegion(quad, 0.9), pixels, width)
        crops.append(rotated_180(crop, PAD_VALUE) if row in upside_down else crop)
    return crops


async def read(backend: InferenceBackend, models: ModelSet, crops: list[LineCrop]) -> list[ReadLine]:
    requests = PageRequests(backend, SystemClock(), timeout_seconds=120, request_id="r")
    return await LineReader(models, requests, PipelineOptions()).read(crops)


@pytest.mark.parametrize("upside_down", [range(0), range(14), range(7, 14)], ids=["upright", "turned", "mixed"])
async def test_readers_change_no_text_and_no_side(backend: InferenceBackend, upside_down: range) -> None:
    models = await with_readers(backend)
    crops = page(models, upside_down)
    apart = await read(backend, replace(models, readers={}), crops)
    together = await read(backend, models, crops)
    assert [(line.text, line.upside_down) for line in together] == [(line.text, line.upside_down) for line in apart]
    assert [line.confidence for line in together] == pytest.approx([line.confidence for line in apart], abs=1e-4)
    assert sum(bool(line.text.strip()) for line in together) >= 12
    assert sum(line.upside_down for line in together) >= len(upside_down) - 2


async def test_an_ensemble_answers_only_who_asks_for_all_its_outputs(backend: InferenceBackend) -> None:
    models = await with_readers(backend)
    width, reader = max(models.readers.items())
    request = InferenceRequest(reader.name, {"line": np.zeros((1, 48, width, 3), np.uint8)}, ["token"], reader.version)
    with pytest.raises(JobError, match="at least one output"):
        await backend.infer(request, timeout_seconds=20)
