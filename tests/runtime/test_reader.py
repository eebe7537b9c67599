"""Pictures are read by the models that Triton serves now."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.runtime.parts import LIMITS, PICTURE, Parts, record
from worker.domain.errors import ErrorCode, JobError, ServerMismatchError
from worker.pipeline.header import read_header
from worker.pipeline.models import ModelSet
from worker.pipeline.pipeline import PictureReading, Pipeline
from worker.ports import ModelDescription, Tensor
from worker.runtime.reader import ModelReader
from worker.testing.backend import FakeBackend, fake_models

REJECTED = JobError(ErrorCode.INFERENCE_REJECTED, "Triton refuses the request.")
UNAVAILABLE = JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton is away.")


class Counting:
    """Makes pipelines, and counts them."""

    def __init__(self, parts: Parts) -> None:
        self.made: list[ModelSet] = []
        self._make = parts.pipeline_maker()

    def __call__(self, models: ModelSet) -> Pipeline:
        self.made.append(models)
        return self._make(models)


def reader_of(parts: Parts, pipelines: Counting) -> ModelReader:
    return ModelReader(parts.backend, pipelines, lambda picture: read_header(picture, LIMITS))


async def read(reader: ModelReader) -> PictureReading:
    return await reader.process(PICTURE, reader.header(PICTURE), timeout_seconds=5, request_id="job")


def version_two() -> dict[str, ModelDescription]:
    return {name: replace(model, version="2") for name, model in fake_models().items()}


async def test_the_models_are_looked_at_before_the_first_picture(parts: Parts) -> None:
    pipelines = Counting(parts)
    reader = reader_of(parts, pipelines)
    assert reader.models_used == {}
    assert [line.text for line in (await read(reader)).pages[0].lines] == ["HELLO"]
    assert reader.models_used["text_recognizer"].version == "1"
    assert len(pipelines.made) == 1


async def test_the_same_models_keep_their_pipeline(parts: Parts) -> None:
    pipelines = Counting(parts)
    reader = reader_of(parts, pipelines)
    for _ in range(3):
        await reader.look()
    assert len(pipelines.made) == 1


async def test_after_a_doubt_changed_models_get_a_pipeline_of_their_own(parts: Parts) -> None:
    pipelines = Counting(parts)
    reader = reader_of(parts, pipelines)
    await read(reader)
    parts.backend.models = version_two()
    await read(reader)
    assert reader.models_used["text_recognizer"].version == "1", "nobody doubted"
    parts.backend.fail(UNAVAILABLE)
    with pytest.raises(JobError, match="away"):
        await read(reader)
    assert reader.doubtful
    await read(reader)
    assert reader.models_used["text_recognizer"].version == "2"
    assert len(pipelines.made) == 2


async def test_a_refused_request_is_the_jobs_fault_where_the_models_are_the_same(parts: Parts) -> None:
    reader = reader_of(parts, Counting(parts))
    await read(reader)
    parts.backend.fail(REJECTED)
    with pytest.raises(JobError) as raised:
        await read(reader)
    assert raised.value.code is ErrorCode.INFERENCE_REJECTED


async def test_a_refused_request_is_nobodys_fault_where_the_models_changed(parts: Parts) -> None:
    await parts.reader.look()
    parts.backend.models = version_two()
    parts.backend.fail(REJECTED)
    await parts.deliver(record())
    assert parts.letters() == []
    assert len(parts.results()) == 1


async def test_a_refused_request_is_nobodys_fault_where_the_server_no_longer_fits(parts: Parts) -> None:
    reader = reader_of(parts, Counting(parts))
    await read(reader)
    del parts.backend.models["text_recognizer"]
    parts.backend.fail(REJECTED)
    with pytest.raises(JobError) as raised:
        await read(reader)
    assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE
    with pytest.raises(ServerMismatchError, match="text_recognizer"):
        await reader.look()
    with pytest.raises(JobError) as raised:
        await read(reader)
    assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE


class ChangesWhileLookedAt(FakeBackend):
    """Another doubt arises while the models are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.looking = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def describe(self, model: str) -> ModelDescription | None:
        found = await super().describe(model)
        self.looking.set()
        await self.go_on.wait()
        return found


async def test_a_doubt_that_arises_during_a_look_is_not_settled_by_it(parts: Parts) -> None:
    backend = parts.backend = ChangesWhileLookedAt()
    reader = reader_of(parts, Counting(parts))
    await reader.look()
    backend.looking.clear()
    backend.go_on.clear()
    looking = asyncio.create_task(reader.look())
    await backend.looking.wait()
    parts.backend.fail(UNAVAILABLE)
    with pytest.raises(JobError, match="away"):
        await read(reader)
    backend.go_on.set()
    await looking
    assert reader.doubtful


class Outage(FakeBackend):
    """A server that is away once, while a picture is read, and is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.during: Callable[[], None] | None = None

    async def infer(self, *args: Any, **kwargs: Any) -> Mapping[str, Tensor]:  # noqa: ANN401
        answer = await super().infer(*args, **kwargs)
        if self.during is not None:
            self.during()
        return answer


@pytest.mark.parametrize("models", [fake_models, version_two])
async def test_a_text_is_believed_after_an_outage_only_if_the_models_are_the_same(
    parts: Parts, models: Callable[[], dict[str, ModelDescription]]
) -> None:
    parts.backend = backend = Outage()
    pipelines = Counting(parts)
    reader = reader_of(parts, pipelines)

    def come_back() -> None:
        backend.during, backend.models = None, models()
        reader.doubt()

    backend.during = come_back
    if models is fake_models:
        assert [line.text for line in (await read(reader)).pages[0].lines] == ["HELLO"]
        assert len(pipelines.made) == 1
    else:
        with pytest.raises(JobError, match="models changed") as raised:
            await read(reader)
        assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE
        assert len(pipelines.made) == 2
