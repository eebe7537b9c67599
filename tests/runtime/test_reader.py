"""Pictures are read by the models that Triton serves now."""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.runtime.parts import LIMITS, PICTURE, Parts, record
from worker.bootstrap import make_model_client
from worker.domain.errors import ErrorCode, JobError, ServerMismatchError
from worker.domain.manifest import ModelManifest, dictionary_digest
from worker.domain.result import LabelText
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import ModelSet
from worker.pipeline.pipeline import PictureReading, Pipeline
from worker.ports import ModelDescription, Tensor
from worker.runtime.model_client import ModelClient
from worker.settings import Settings
from worker.testing.backend import FakeBackend, fake_models
from worker.testing.block_font import DICTIONARY

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


def reader_of(parts: Parts, pipelines: Counting) -> ModelClient:
    return ModelClient(parts.backend, pipelines, lambda picture: read_header(picture, LIMITS))


async def read(reader: ModelClient) -> PictureReading:
    return await reader.process(PICTURE, reader.header(PICTURE), timeout_seconds=5, request_id="job")


def version_two() -> dict[str, ModelDescription]:
    return {name: replace(model, version="2") for name, model in fake_models().items()}


async def test_the_server_is_asked_for_its_models_before_the_first_picture(parts: Parts) -> None:
    pipelines = Counting(parts)
    reader = reader_of(parts, pipelines)
    assert reader.models_used == {}
    assert [line.text for line in (await read(reader)).pages[0].lines] == ["HELLO"]
    assert reader.models_used["text_recognizer"].version == fake_models()["text_recognizer"].version
    assert len(pipelines.made) == 1


async def test_the_same_models_keep_their_pipeline(parts: Parts) -> None:
    pipelines = Counting(parts)
    reader = reader_of(parts, pipelines)
    for _ in range(3):
        await reader.refresh()
    assert len(pipelines.made) == 1


async def test_changed_models_get_a_pipeline_of_their_own(parts: Parts) -> None:
    pipelines = Counting(parts)
    reader = reader_of(parts, pipelines)
    await read(reader)
    parts.backend.models = version_two()
    with pytest.raises(JobError, match="version") as raised:
        await read(reader)
    assert raised.value.code is ErrorCode.MODELS_CHANGED
    assert reader.stale
    await read(reader)
    assert reader.models_used["text_recognizer"].version == "2"
    assert len(pipelines.made) == 2


async def test_a_job_that_met_changed_models_is_read_again_and_charged_nothing(parts: Parts) -> None:
    await parts.reader.refresh()
    parts.backend.models = version_two()
    await parts.deliver(record())
    (written,) = parts.results()
    result = LabelText.model_validate_json(written.value or b"")
    assert (result.attempt, result.models["text_recognizer"].version) == (1, "2")
    assert parts.letters() == []


async def test_after_an_outage_the_models_are_asked_for(parts: Parts) -> None:
    reader = reader_of(parts, Counting(parts))
    await read(reader)
    parts.backend.fail(UNAVAILABLE)
    with pytest.raises(JobError, match="away"):
        await read(reader)
    assert reader.stale


def another_alphabet(*, number_says_nothing: bool) -> dict[str, ModelDescription]:
    """Models with the letters in another order; where their number says nothing, it is the one of the first models."""
    models = {}
    for name, model in fake_models().items():
        manifest = ModelManifest.model_validate_json(model.parameters["manifest"])
        changes: dict[str, object] = {}
        parameters = dict(model.parameters)
        if "dictionary" in parameters:
            dictionary = ["", *reversed(json.loads(parameters["dictionary"])[1:])]
            parameters["dictionary"] = json.dumps(dictionary)
        if manifest.dictionary_sha256 is not None:
            changes["dictionary_sha256"] = dictionary_digest(["", *reversed(DICTIONARY[1:])])
        parameters["manifest"] = manifest.model_copy(update=changes).to_json()
        models[name] = replace(model, parameters=parameters)
    return models if number_says_nothing else numbered(models)


def numbered(models: Mapping[str, ModelDescription]) -> dict[str, ModelDescription]:
    """Return models as a build numbers them: by their content."""
    built = {}
    for name, model in models.items():
        manifest = ModelManifest.model_validate_json(model.parameters["manifest"])
        manifest = manifest.model_copy(update={"version": manifest.number})
        parameters = {**model.parameters, "manifest": manifest.to_json()}
        built[name] = replace(model, parameters=parameters, version=manifest.number)
    return built


@pytest.mark.parametrize("number_says_nothing", [False, True], ids=["numbered by content", "number says nothing"])
@pytest.mark.parametrize("when", ["before the first request", "while it is read"])
async def test_a_text_is_returned_only_if_the_models_were_the_same_all_along(
    parts: Parts, when: str, *, number_says_nothing: bool
) -> None:
    """Without any sign: the server never was away, and nobody looked meanwhile."""
    parts.backend = backend = Outage()
    if number_says_nothing:
        backend.models = {name: without_a_number(model) for name, model in fake_models().items()}
    reader = reader_of(parts, Counting(parts))
    await reader.refresh()

    def reload() -> None:
        backend.during, backend.models = None, another_alphabet(number_says_nothing=number_says_nothing)

    if when == "while it is read":
        backend.during = reload
    else:
        reload()
    with pytest.raises(JobError) as raised:
        await read(reader)
    assert raised.value.code is ErrorCode.MODELS_CHANGED
    assert [line.text for line in (await read(reader)).pages[0].lines] != ["HELLO"], "the other alphabet's own text"


def without_a_number(model: ModelDescription) -> ModelDescription:
    manifest = ModelManifest.model_validate_json(model.parameters["manifest"]).model_copy(update={"version": None})
    return replace(model, parameters={**model.parameters, "manifest": manifest.to_json()})


async def test_a_change_that_the_monitor_finds_gives_up_what_is_being_read(parts: Parts) -> None:
    parts.backend = backend = Hanging()
    pipelines = Counting(parts)
    reader = reader_of(parts, pipelines)
    await reader.refresh()
    reading = asyncio.create_task(read(reader))
    await backend.asked.wait()
    await reader.refresh()
    assert not reading.done(), "the same models"
    backend.models = version_two()
    await reader.refresh()
    with pytest.raises(JobError) as raised:
        await reading
    assert raised.value.code is ErrorCode.MODELS_CHANGED
    assert len(pipelines.made) == 2


async def test_a_refused_request_is_the_jobs_fault_where_the_models_are_the_same(parts: Parts) -> None:
    reader = reader_of(parts, Counting(parts))
    await read(reader)
    parts.backend.fail(REJECTED)
    with pytest.raises(JobError) as raised:
        await read(reader)
    assert raised.value.code is ErrorCode.INFERENCE_REJECTED


async def test_a_refused_request_is_nobodys_fault_where_the_models_changed(parts: Parts) -> None:
    await parts.reader.refresh()
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
        await reader.refresh()
    with pytest.raises(JobError) as raised:
        await read(reader)
    assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE


class ChangesWhileAsked(FakeBackend):
    """There is another sign while the server is asked for its models."""

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


async def test_a_sign_of_change_during_a_refresh_is_not_answered_by_it(parts: Parts) -> None:
    backend = parts.backend = ChangesWhileAsked()
    reader = reader_of(parts, Counting(parts))
    await reader.refresh()
    backend.looking.clear()
    backend.go_on.clear()
    looking = asyncio.create_task(reader.refresh())
    await backend.looking.wait()
    parts.backend.fail(UNAVAILABLE)
    with pytest.raises(JobError, match="away"):
        await read(reader)
    backend.go_on.set()
    await looking
    assert reader.stale


async def test_what_was_asked_for_earlier_never_replaces_what_was_asked_for_later(parts: Parts) -> None:
    backend = parts.backend = ChangesWhileAsked()
    reader = reader_of(parts, Counting(parts))
    await reader.refresh()
    backend.looking.clear()
    backend.go_on.clear()
    slow = asyncio.create_task(reader.refresh())
    await backend.looking.wait()
    backend.models = version_two()
    quick = asyncio.create_task(reader.refresh())
    await asyncio.sleep(0)
    backend.go_on.set()
    await asyncio.gather(slow, quick)
    assert reader.models_used["text_recognizer"].version == "2"


class Asked(FakeBackend):
    """Counts how often it is asked for its models, and takes a moment to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    async def describe(self, model: str) -> ModelDescription | None:
        self.times += model == "text_detector"
        await asyncio.sleep(0)
        return await super().describe(model)


async def test_pictures_that_end_together_ask_together(parts: Parts) -> None:
    backend = parts.backend = Asked()
    backend.models = {name: without_a_number(model) for name, model in fake_models().items()}
    reader = reader_of(parts, Counting(parts))
    await reader.refresh()
    asked = backend.times
    await asyncio.gather(*(read(reader) for _ in range(20)))
    assert asked < backend.times <= asked + 6


class Hanging(FakeBackend):
    """A server that answers no request."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def infer(self, *_args: Any, **_more: Any) -> Mapping[str, Tensor]:  # noqa: ANN401
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


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
        reader.invalidate()

    backend.during = come_back
    if models is fake_models:
        assert [line.text for line in (await read(reader)).pages[0].lines] == ["HELLO"]
        assert len(pipelines.made) == 1
    else:
        with pytest.raises(JobError) as raised:
            await read(reader)
        assert raised.value.code is ErrorCode.MODELS_CHANGED
        await read(reader)
        assert len(pipelines.made) == 2


@pytest.mark.parametrize(("device", "fits"), [("any", True), ("cpu", True), ("gpu", False)])
async def test_a_worker_that_was_told_its_tritons_device_refuses_models_for_another(
    parts: Parts, device: str, *, fits: bool
) -> None:
    settings = Settings.model_validate({"triton": {"device": device}})
    with ThreadPoolExecutor(1) as executor:
        reader = make_model_client(settings, parts.backend, executor, parts.clock)
        if fits:
            await reader.refresh()
        else:
            with pytest.raises(ServerMismatchError, match="built for a cpu, but LABELWIRE_TRITON__DEVICE says"):
                await reader.refresh()
