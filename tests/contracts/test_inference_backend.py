"""What every InferenceBackend must do, the real ones and the fake."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from tests.adapters.triton.triton_servicer import ScriptedTriton
from worker.adapters.clock import SystemClock
from worker.adapters.triton import TritonBackend
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import Event
from worker.lab.evaluation.in_process import InProcessBackend
from worker.ports import InferenceBackend, InferenceRequest, Tensor
from worker.runtime.triton_guard import TritonGuard
from worker.settings import TritonSettings
from worker.testing.backend import FakeBackend

DETECTOR = "text_detector"


class _Deaf:
    def emit(self, event: Event) -> None:
        """Take an event."""


def _backend(url: str) -> TritonBackend:
    return TritonBackend(TritonSettings(url=url), _Deaf(), SystemClock())


@asynccontextmanager
async def scripted(_: pytest.FixtureRequest) -> AsyncIterator[InferenceBackend]:
    async with ScriptedTriton() as server:
        yield _backend(server.address)


@asynccontextmanager
async def real(request: pytest.FixtureRequest) -> AsyncIterator[InferenceBackend]:
    yield _backend(request.getfixturevalue("triton").grpc_url)


@asynccontextmanager
async def fake(_: pytest.FixtureRequest) -> AsyncIterator[InferenceBackend]:
    yield FakeBackend(clock=SystemClock(), latency_seconds=0.01)


@asynccontextmanager
async def guarded(_: pytest.FixtureRequest) -> AsyncIterator[InferenceBackend]:
    clock = SystemClock()
    yield TritonGuard(FakeBackend(clock=clock, latency_seconds=0.01), TritonSettings(), clock, _Deaf())


@asynccontextmanager
async def in_process(request: pytest.FixtureRequest) -> AsyncIterator[InferenceBackend]:
    yield InProcessBackend(request.getfixturevalue("onnx_on_gpu"))


Maker = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[InferenceBackend]]


@pytest.fixture(
    params=[fake, guarded, scripted, in_process, pytest.param(real, marks=pytest.mark.real)],
    ids=lambda maker: maker.__name__,
)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[InferenceBackend]:
    maker: Maker = request.param
    async with maker(request) as made:
        yield made
        await made.close()


def pictures(count: int, *, side: int = 64) -> Tensor:
    return np.random.default_rng(5).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


async def detect(backend: InferenceBackend, images: Tensor) -> Tensor:
    answer = await backend.infer(InferenceRequest(DETECTOR, {"image": images}, ["probability"]), timeout_seconds=60)
    assert list(answer) == ["probability"]
    return answer["probability"]


async def test_it_is_ready(backend: InferenceBackend) -> None:
    assert await backend.ready()


async def test_a_model_describes_itself(backend: InferenceBackend) -> None:
    described = await backend.describe(DETECTOR)
    assert described is not None
    assert described.name == DETECTOR
    assert described.version
    assert described.max_batch_size >= 1
    assert [(spec.name, spec.datatype, spec.shape[-1], len(spec.shape)) for spec in described.inputs] == [
        ("image", "UINT8", 3, 3)
    ]
    assert [(spec.name, spec.datatype, len(spec.shape)) for spec in described.outputs] == [("probability", "UINT8", 2)]


async def test_an_unknown_model_has_no_description(backend: InferenceBackend) -> None:
    assert await backend.describe("no_such_model") is None


async def test_an_answer_has_the_batch_and_shape_of_its_request(backend: InferenceBackend) -> None:
    probability = await detect(backend, pictures(2))
    assert probability.dtype == np.uint8
    assert probability.shape == (2, 64, 64)


async def test_an_answer_does_not_depend_on_its_batch(backend: InferenceBackend) -> None:
    both = pictures(2)
    together = await detect(backend, both)
    alone = [await detect(backend, both[place : place + 1]) for place in (0, 1)]
    assert np.array_equal(together, np.concatenate(alone))


async def test_requests_at_once_get_their_own_answers(backend: InferenceBackend) -> None:
    images = [pictures(1, side=side) for side in (32, 64, 96, 128)]
    answers = await asyncio.gather(*(detect(backend, image) for image in images))
    assert [answer.shape[1:] for answer in answers] == [image.shape[1:3] for image in images]


@pytest.mark.parametrize(
    ("model", "inputs", "outputs", "code"),
    [
        ("no_such_model", {"image": pictures(1)}, ["probability"], ErrorCode.INFERENCE_UNAVAILABLE),
        (DETECTOR, {"picture": pictures(1)}, ["probability"], ErrorCode.INFERENCE_REJECTED),
        (DETECTOR, {"image": pictures(1).astype(np.int32)}, ["probability"], ErrorCode.INFERENCE_REJECTED),
        (DETECTOR, {"image": pictures(1)}, ["no_such_output"], ErrorCode.INFERENCE_REJECTED),
    ],
    ids=["model", "input", "type", "output"],
)
async def test_what_does_not_fit_is_a_typed_error(
    backend: InferenceBackend, model: str, inputs: Mapping[str, Any], outputs: list[str], code: ErrorCode
) -> None:
    with pytest.raises(JobError, match=model) as raised:
        await backend.infer(InferenceRequest(model, inputs, outputs), timeout_seconds=10)
    assert raised.value.code is code


async def test_a_request_that_names_a_version_is_answered_by_no_other(backend: InferenceBackend) -> None:
    described = await backend.describe(DETECTOR)
    assert described is not None
    inputs = {"image": pictures(1)}
    answer = await backend.infer(
        InferenceRequest(DETECTOR, inputs, ["probability"], version=described.version), timeout_seconds=60
    )
    assert answer["probability"].shape == (1, 64, 64)
    with pytest.raises(JobError, match=DETECTOR) as raised:
        await backend.infer(InferenceRequest(DETECTOR, inputs, ["probability"], version="7"), timeout_seconds=10)
    assert raised.value.code is ErrorCode.MODELS_CHANGED


async def test_a_cancelled_request_is_cancelled_and_the_next_one_is_answered(backend: InferenceBackend) -> None:
    task = asyncio.create_task(detect(backend, pictures(1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await detect(backend, pictures(1))).shape == (1, 64, 64)


async def test_a_closed_backend_says_so(backend: InferenceBackend) -> None:
    await backend.close()
    assert not await backend.ready()
    with pytest.raises(JobError) as raised:
        await detect(backend, pictures(1))
    assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE
    await backend.close()
