"""The bare models: the very requests that the pipeline sends, replayed at full load without any worker.

The requests are recorded once, picture by picture, through the worker's own pipeline. Replayed all at once through the
same client, they show what Triton could do if geometry, Kafka and waiting cost nothing: the upper bound that
`pipeline_efficiency` is measured against.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from worker.adapters.clock import SystemClock
from worker.adapters.triton.client import TritonBackend
from worker.domain.events import Event
from worker.domain.result import ModelUsed
from worker.lab.evaluation.dataset import Dataset
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import load_models
from worker.pipeline.options import ImageLimits, PipelineOptions
from worker.pipeline.pipeline import Pipeline
from worker.ports import InferenceBackend, InferenceRequest, ModelDescription, Tensor
from worker.settings import TritonSettings

CONCURRENCY = 32
_REQUEST_SECONDS = 120.0
_PICTURE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as the pipeline sent it; `picture` is its picture's index in the set."""

    picture: int
    request: InferenceRequest


@dataclass(frozen=True, slots=True)
class Recording:
    """All requests of a set, in the order in which the pipeline sent them, and the models that answered them."""

    requests: tuple[RecordedRequest, ...]
    models: Mapping[str, ModelUsed]


@dataclass(frozen=True, slots=True)
class ReplayTimes:
    """How a replay went: its seconds, and for each picture the milliseconds from first request to last answer.

    `client_cpu_seconds` are what sending the requests took of the cores.
    """

    seconds: float
    milliseconds: tuple[float, ...]
    client_cpu_seconds: float


class RecordingBackend:
    """Passes requests on and keeps them."""

    def __init__(self, inner: InferenceBackend) -> None:
        self._inner = inner
        self.picture = 0
        self.requests: list[RecordedRequest] = []

    async def ready(self) -> bool:
        """Ask the inner backend."""
        return await self._inner.ready()

    async def describe(self, model: str) -> ModelDescription | None:
        """Ask the inner backend."""
        return await self._inner.describe(model)

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Keep the request and pass it on."""
        copies = {name: tensor.copy() for name, tensor in request.inputs.items()}
        self.requests.append(RecordedRequest(self.picture, replace(request, inputs=copies)))
        return await self._inner.infer(request, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """Close the inner backend."""
        await self._inner.close()


async def record(
    backend: InferenceBackend, dataset: Dataset, options: PipelineOptions, on_picture: Callable[[], None]
) -> Recording:
    """Read each picture once through the pipeline and return its requests. Raises JobError for one that fails."""
    recording, clock = RecordingBackend(backend), SystemClock()
    models = await load_models(recording)
    with ThreadPoolExecutor(1) as executor:
        pipeline = Pipeline(recording, models, executor, clock, options)
        for number, sample in enumerate(dataset.samples):
            recording.picture = number
            picture = sample.read_bytes()
            header = read_header(picture, ImageLimits())
            await pipeline.process(picture, header, timeout_seconds=_PICTURE_SECONDS, request_id=sample.name)
            on_picture()
    return Recording(tuple(recording.requests), models.used)


def repeated(requests: Sequence[RecordedRequest], times: int) -> list[RecordedRequest]:
    """Return the requests of a backlog in which each picture stands so many times, each copy a picture of its own."""
    count = 1 + max((request.picture for request in requests), default=-1)
    return [replace(one, picture=one.picture + count * copy) for copy in range(times) for one in requests]


async def replay(backend: InferenceBackend, requests: Sequence[RecordedRequest], concurrency: int) -> ReplayTimes:
    """Send all requests, in their order, `concurrency` of them at once."""
    slots = asyncio.Semaphore(concurrency)
    begun: dict[int, float] = {}
    ended: dict[int, float] = {}

    async def send(recorded: RecordedRequest) -> None:
        async with slots:
            begun.setdefault(recorded.picture, time.monotonic())
            await backend.infer(recorded.request, timeout_seconds=_REQUEST_SECONDS)
            ended[recorded.picture] = time.monotonic()

    started, cpu_started = time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for request in requests:
            group.create_task(send(request))
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
    milliseconds = tuple((ended[picture] - begun[picture]) * 1000 for picture in sorted(begun))
    return ReplayTimes(seconds, milliseconds, cpu_seconds)


def record_from(url: str, dataset: Dataset, options: PipelineOptions, on_picture: Callable[[], None]) -> Recording:
    """Record against the server at `url`."""

    async def work() -> Recording:
        async with _backend(url) as backend:
            return await record(backend, dataset, options, on_picture)

    return asyncio.run(work())


def replay_to(url: str, requests: Sequence[RecordedRequest], concurrency: int = CONCURRENCY) -> ReplayTimes:
    """ReplayTimes against the server at `url`."""

    async def work() -> ReplayTimes:
        async with _backend(url) as backend:
            return await replay(backend, requests, concurrency)

    return asyncio.run(work())


class _NoEvents:
    """Hears nothing: a replay has no logs and no metrics."""

    def emit(self, event: Event) -> None:
        """Drop the event."""


@asynccontextmanager
async def _backend(url: str) -> AsyncIterator[TritonBackend]:
    settings = TritonSettings(url=url, max_inflight_requests=CONCURRENCY, request_timeout_seconds=_REQUEST_SECONDS)
    backend = TritonBackend(settings, _NoEvents(), SystemClock())
    try:
        yield backend
    finally:
        await backend.close()
