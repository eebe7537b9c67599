"""The guard before the real server, which stops, dies and comes back under load."""

import asyncio
import time
from collections.abc import Callable

import numpy as np
import pytest

from worker.adapters.clock import SystemClock
from worker.adapters.triton import TritonBackend
from worker.local.triton import TritonServer
from worker.ports import InferenceRequest
from worker.runtime.triton_guard import TritonGuard
from worker.settings import TritonSettings
from worker.testing.events import RecordedEvents

pytestmark = pytest.mark.real

# A busy machine answers in that time, but the server is away for longer: an outage must not take a request's time.
_REQUEST_SECONDS = 10.0
_AWAY_SECONDS = 12.0
IMAGE = np.random.default_rng(2).integers(0, 256, (1, 320, 320, 3), dtype=np.uint8)


class Load:
    """Requests without end, some at once, until `enough` is set; `errors` is what any of them raised."""

    def __init__(self, guard: TritonGuard) -> None:
        self.answers: set[bytes] = set()
        self.answered_at: list[float] = []
        self.errors: list[Exception] = []
        self.enough = asyncio.Event()
        self._guard = guard

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(16):
                tasks.create_task(self._ask())

    async def _ask(self) -> None:
        while not self.enough.is_set():
            try:
                answer = await self._guard.infer(
                    InferenceRequest("text_detector", {"image": IMAGE}, ["probability"]),
                    timeout_seconds=_REQUEST_SECONDS,
                )
            except Exception as error:  # noqa: BLE001 - the test looks at them
                self.errors.append(error)
            else:
                self.answers.add(answer["probability"].tobytes())
                self.answered_at.append(time.monotonic())


def stop(server: TritonServer) -> None:
    server.stop()


def kill(server: TritonServer) -> None:
    server.kill()


@pytest.mark.parametrize("end", [stop, kill])
async def test_an_outage_under_load_fails_nothing_and_ends_with_the_servers_start(
    triton: TritonServer, end: Callable[[TritonServer], None]
) -> None:
    events = RecordedEvents()
    settings = TritonSettings(url=triton.grpc_url)
    guard = TritonGuard(TritonBackend(settings, events, SystemClock()), settings, SystemClock(), events)
    load = Load(guard)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(1)
    await asyncio.to_thread(end, triton)
    await asyncio.sleep(_AWAY_SECONDS)
    was_open, before = guard.is_open, len(load.answered_at)
    await asyncio.to_thread(triton.start)
    ready_at = time.monotonic()
    await asyncio.sleep(4)
    load.enough.set()
    await running
    await guard.close()
    assert was_open
    assert load.errors == []
    assert len(load.answers) == 1, "every answer is the same"
    assert load.answered_at[before] - ready_at < 3
