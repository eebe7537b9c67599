"""A server of models in virtual time, and jobs that pass it as a picture does: decode, detect, crop, read."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tests.simulation.virtual_time import VirtualClock, VirtualTimeLoop
from worker.ports import InferenceRequest, ModelDescription, ServingCapacity, Tensor
from worker.runtime.admission import CURRENT_LANE, Admission
from worker.runtime.triton_guard import TritonGuard
from worker.runtime.work_ahead import WorkAhead
from worker.settings import TritonSettings
from worker.testing.events import RecordedEvents

LARGE_FROM_PIXELS: Final = 4_000_000
FULL_TILE_BYTES: Final = 64
_MAX_PIXELS: Final = 64_000_000


@dataclass(frozen=True, slots=True)
class Served:
    """A model: seconds that an execution takes, and more for each row; executions at once, and rows in each."""

    seconds: float
    row_seconds: float = 0.0
    instances: int = 1
    max_rows: int = 1
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Server:
    """`copies` of the models behind one name, each on `cores`, which the worker has too where it `shares_cores`.

    A request is `way_seconds` on its way, there and back. `tells` says whether the server names its instances.
    """

    detector: Served
    recognizer: Served
    batches: bool = False
    copies: int = 1
    way_seconds: float = 0.0
    tells: bool = True
    cores: int | None = None
    shares_cores: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A job: CPU seconds before, between and after its requests; lines that are read, in requests of `lines_each`.

    A tile of `tile_bytes` takes the detector so much of the time of one of `FULL_TILE_BYTES`.
    """

    decode_seconds: float = 0.02
    crop_seconds: float = 0.02
    lines: int = 24
    lines_each: int = 4
    pixels: int = 1_000_000
    tile_bytes: int = FULL_TILE_BYTES


@dataclass(slots=True)
class Outcome:
    """How a backlog went: seconds in all, jobs in progress, how many were wanted, and the order of admission."""

    seconds: float = 0.0
    job_seconds: float = 0.0
    most_jobs: int = 0
    order: list[int] = field(default_factory=list)
    large_order: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)

    @property
    def mean_jobs(self) -> float:
        return self.job_seconds / self.seconds


class _Instances:
    """One model on one server: takes what waits, in batches up to its rows, on as many instances as it has."""

    def __init__(self, model: Served, cores: asyncio.Semaphore) -> None:
        self._model = model
        self._cores = cores
        self._queue: deque[tuple[int, float, asyncio.Future[None]]] = deque()
        self._free = model.instances
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, rows: int, part: float) -> None:
        done = asyncio.get_running_loop().create_future()
        self._queue.append((rows, part, done))
        if self._model.delay_seconds:
            await asyncio.sleep(self._model.delay_seconds)
        self._start()
        await done

    def _start(self) -> None:
        while self._free and self._queue:
            batch, rows = [self._queue.popleft()], 0
            rows = batch[0][0]
            while self._queue and rows + self._queue[0][0] <= self._model.max_rows:
                batch.append(self._queue.popleft())
                rows += batch[-1][0]
            self._free -= 1
            seconds = max(part for _, part, _ in batch) * (self._model.seconds + rows * self._model.row_seconds)
            self._running.add(task := asyncio.get_running_loop().create_task(self._execute(seconds, batch)))
            task.add_done_callback(self._running.discard)

    async def _execute(self, seconds: float, batch: Sequence[tuple[int, float, "asyncio.Future[None]"]]) -> None:
        async with self._cores:
            await asyncio.sleep(seconds)
        self._free += 1
        for *_, done in batch:
            if not done.done():
                done.set_result(None)
        self._start()


class SimulatedServer:
    """An `InferenceBackend` that takes time and answers nothing."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.cores = [asyncio.Semaphore(server.cores or 1000) for _ in range(server.copies)]
        self._models = {"detector": server.detector, "recognizer": server.recognizer}
        self._copies = [
            {name: _Instances(model, cores) for name, model in self._models.items()} for cores in self.cores
        ]
        self._sent = 0

    async def ready(self) -> bool:
        return True

    async def describe(self, model: str) -> ModelDescription | None:
        served = self._models[model]
        capacity = ServingCapacity(served.instances, served.max_rows if self._server.batches else 1)
        return ModelDescription(model, "1", served.max_rows, (), (), {}, capacity if self._server.tells else None)

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:  # noqa: ARG002
        self._sent += 1
        copy = self._copies[self._sent % len(self._copies)]
        await asyncio.sleep(self._server.way_seconds / 2)
        rows, row_bytes = request.inputs["rows"].shape
        await copy[request.model].run(rows, row_bytes / FULL_TILE_BYTES)
        await asyncio.sleep(self._server.way_seconds / 2)
        return {}

    async def close(self) -> None:
        return


class _Backlog:
    """Jobs that all wait from the beginning."""

    def __init__(self, server: Server, threads: int, max_jobs: int) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        self._loop = loop
        self._work = WorkAhead(threads)
        settings = TritonSettings(max_inflight_requests=256)
        backend = SimulatedServer(server)
        self._cores = backend.cores[0] if server.shares_cores else asyncio.Semaphore(threads)
        self._guard = TritonGuard(backend, settings, VirtualClock(loop), RecordedEvents(), work=self._work)
        self._admission = Admission(
            *(self._work,),
            max_jobs=max_jobs,
            max_pixels=_MAX_PIXELS,
            large_from_pixels=LARGE_FROM_PIXELS,
            max_large_jobs=1,
        )
        self._threads = asyncio.Semaphore(threads)
        self.outcome = Outcome()

    async def run(self, pictures: Sequence[Picture]) -> Outcome:
        for model in ("detector", "recognizer"):
            await self._guard.describe(model)
        await asyncio.gather(*(self._job(number, picture) for number, picture in enumerate(pictures)))
        self.outcome.seconds = self._loop.time()
        return self.outcome

    async def _job(self, number: int, picture: Picture) -> None:
        lane = self._admission.lane_of(picture.pixels)
        CURRENT_LANE.set(lane)
        async with self._admission.admitted(picture.pixels), self._counted():
            is_large = picture.pixels > LARGE_FROM_PIXELS
            (self.outcome.large_order if is_large else self.outcome.order).append(number)
            await self._cpu(picture.decode_seconds)
            await self._ask("detector", 1, picture.tile_bytes)
            await self._cpu(picture.crop_seconds)
            full, rest = divmod(picture.lines, picture.lines_each)
            chunks = [picture.lines_each] * full + [rest] * bool(rest)
            await asyncio.gather(*(self._ask("recognizer", rows) for rows in chunks))

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        begun = self._loop.time()
        self.outcome.most_jobs = max(self.outcome.most_jobs, self._admission.jobs)
        self.outcome.wanted.append(self._admission.wanted_jobs)
        try:
            yield
        finally:
            self.outcome.job_seconds += self._loop.time() - begun

    async def _cpu(self, seconds: float) -> None:
        async with self._threads, self._cores:
            await asyncio.sleep(seconds)

    async def _ask(self, model: str, rows: int, row_bytes: int = FULL_TILE_BYTES) -> None:
        request = InferenceRequest(model, {"rows": np.zeros((rows, row_bytes), np.uint8)}, [])
        await self._guard.infer(request, timeout_seconds=3600.0)


def run_backlog(server: Server, pictures: Sequence[Picture], *, threads: int = 2, max_jobs: int = 8) -> Outcome:
    """Read a backlog in virtual time."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(_backlog(server, pictures, threads, max_jobs))
    finally:
        loop.close()


async def _backlog(server: Server, pictures: Sequence[Picture], threads: int, max_jobs: int) -> Outcome:
    return await _Backlog(server, threads, max_jobs).run(pictures)
