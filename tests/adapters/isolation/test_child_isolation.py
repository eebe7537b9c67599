"""What the real child does beyond the contract: ends from outside, hangs, memory, and the ends of its worker."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.contracts.isolated_child import ROOT, child_command, child_environment
from tests.fleet.workers import wait_until
from tests.runtime.parts import PICTURE, record
from worker.adapters.clock import SystemClock
from worker.adapters.isolation.isolation import ChildIsolation
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import ReaderCrashed
from worker.domain.result import LabelText
from worker.lab.chaos.poison import PoisonKind, poisonous
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents

SLOW_SECONDS = 1.0


@asynccontextmanager
async def isolation(
    events: RecordedEvents,
    command: tuple[str, ...],
    **options: Any,  # noqa: ANN401 - the constructor's
) -> AsyncIterator[ChildIsolation]:
    settings: dict[str, Any] = {"attempt_seconds": 30, "pause_seconds": 0.01, "clock": SystemClock()} | options
    made = ChildIsolation(
        command,
        environment=child_environment(),
        event_sink=events,
        **settings,
    )
    try:
        yield made
    finally:
        await made.close()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def until(done: Callable[[], Any], timeout_seconds: float = 20) -> Any:  # noqa: ANN401
    deadline = time.monotonic() + timeout_seconds
    while not (found := done()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return found


def readers() -> list[int]:
    """Return the children that hold their record: they run Python, and not the first moment after the fork."""
    return [pid for pid in children(os.getpid()) if b"isolated_child" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@dataclass
class Slow:
    """A command whose children take a while to read, and say when they begin."""

    diary: Path

    def command(self, attempt_seconds: float = 30) -> tuple[str, ...]:
        return child_command(attempt_seconds=attempt_seconds, latency_seconds=SLOW_SECONDS, diary=self.diary)

    def begun(self) -> list[int]:
        """Return the process ids of those that began, in order."""
        return [int(pid) for pid in self.diary.read_text().split()]

    async def reading(self, apart: ChildIsolation) -> "tuple[asyncio.Task[LabelText], int]":
        """Return a reading that has begun, and the process that reads."""
        task = asyncio.create_task(apart.read(record(), 2, ""))
        (pid,) = await until(self.begun)
        return task, pid


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    (tmp_path / "diary").touch()
    return Slow(tmp_path / "diary")


@pytest.mark.parametrize("kind", list(PoisonKind))
async def test_the_verdict_names_the_signal(kind: PoisonKind) -> None:
    name = {"SEGV": "SIGSEGV", "OOM": "SIGKILL", "ABORT": "SIGABRT"}[kind.name]
    events, clock = RecordedEvents(), ManualClock()
    async with isolation(events, child_command(), clock=clock, pause_seconds=2) as apart:
        with pytest.raises(JobError, match=rf"three times \(signal {name}\)") as raised:
            await apart.read(record(poisonous(PICTURE, kind), offset=3), 1, "")
    assert raised.value.code is ErrorCode.POISON
    assert [(event.how, event.count) for event in events.of(ReaderCrashed)] == [
        (f"signal {name}", count) for count in (1, 2, 3)
    ]
    # Who took the memory, or killed the child, is given time to be gone; a codec's defect stays.
    assert clock.slept == ([4, 8] if kind is PoisonKind.OOM else [])


async def test_two_kills_from_outside_convict_nobody(slow: Slow) -> None:
    events = RecordedEvents()
    async with isolation(events, slow.command()) as apart:
        task, pid = await slow.reading(apart)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: len(slow.begun()) == 2)
        os.kill(slow.begun()[1], signal.SIGKILL)
        assert (await task).attempt == 2
        assert len(slow.begun()) == 3
    assert [event.how for event in events.of(ReaderCrashed)] == ["signal SIGKILL", "signal SIGKILL"]


async def test_a_child_that_is_killed_while_it_rests_is_replaced() -> None:
    events = RecordedEvents()
    async with isolation(events, child_command()) as apart:
        for number in (1, 2):
            assert (await apart.read(record(), number, "")).attempt == number
            os.kill(readers()[0], signal.SIGKILL)
            await until(lambda: not readers())
    assert events.all == []


async def test_the_workers_signals_do_not_end_the_child(slow: Slow) -> None:
    events = RecordedEvents()
    async with isolation(events, slow.command()) as apart:
        task, pid = await slow.reading(apart)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
        assert (await task).attempt == 2
    assert events.all == []


async def test_a_child_that_hangs_is_ended_and_its_record_tried_again_later(slow: Slow) -> None:
    events = RecordedEvents()
    async with isolation(events, slow.command(), attempt_seconds=1.5, silence_seconds=0.5) as apart:
        task, pid = await slow.reading(apart)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(JobError, match="no answer within 2 seconds") as raised:
            await task
        assert raised.value.code is ErrorCode.ATTEMPT_TIMED_OUT
        assert pid not in readers()
    assert events.all == []


async def test_a_slow_reading_ends_in_the_child_and_the_child_stays(slow: Slow) -> None:
    async with isolation(RecordedEvents(), slow.command(attempt_seconds=0.3)) as apart:
        with pytest.raises(JobError, match=r"longer than 0\.3 seconds") as raised:
            await apart.read(record(), 1, "")
        assert raised.value.code is ErrorCode.ATTEMPT_TIMED_OUT
        assert len(readers()) == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((sys.executable, "-c", "raise SystemExit(3)"), "exit status 3"),
        ((sys.executable, "-c", "import os; os.abort()"), "signal SIGABRT"),
        (("/no/such/program",), "/no/such/program"),
    ],
)
async def test_a_child_that_does_not_start_convicts_nobody(command: tuple[str, ...], words: str) -> None:
    events = RecordedEvents()
    async with isolation(events, command) as apart:
        for _ in range(4):
            with pytest.raises(JobError, match=words) as raised:
                await apart.read(record(), 1, "")
            assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE
    assert events.all == []


async def test_a_cancelled_reading_leaves_no_child(slow: Slow) -> None:
    events = RecordedEvents()
    async with isolation(events, slow.command()) as apart:
        task, _ = await slow.reading(apart)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert readers() == []
    assert events.all == []


async def test_closing_ends_the_child_under_a_reading_and_convicts_nobody(slow: Slow) -> None:
    events = RecordedEvents()
    async with isolation(events, slow.command()) as apart:
        task, _ = await slow.reading(apart)
        await apart.close()
        with pytest.raises(JobError) as raised:
            await task
        assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE
        assert readers() == []
    assert events.all == []


async def test_a_child_that_nobody_needs_is_ended() -> None:
    clock = ManualClock(sleeps_pass=False)
    async with isolation(RecordedEvents(), child_command(), clock=clock, idle_seconds=60) as apart:
        await apart.read(record(), 1, "")
        first = readers()
        for number in (2, 3):
            await clock.until_sleeping()
            clock.advance(40)
            await apart.read(record(), number, "")
        assert readers() == first
        await clock.until_sleeping()
        clock.advance(61)
        await until(lambda: not readers())
        assert (await apart.read(record(), 4, "")).attempt == 4


async def test_memory_that_runs_out_counts_as_a_crash() -> None:
    # Of a kind that is not decoded in strips.
    progressive = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    picture = cv2.imencode(".jpg", np.full((8000, 6000, 3), 255, np.uint8), progressive)[1].tobytes()
    async with isolation(RecordedEvents(), child_command(memory_bytes=100 * 2**20)) as apart:
        assert (await apart.read(record(), 1, "")).pages[0].lines[0].text == "HELLO"
        with pytest.raises(JobError, match=r"three times \(out of memory\)") as raised:
            await apart.read(record(picture), 1, "")
        assert raised.value.code is ErrorCode.POISON


PARENT = """
import asyncio, pathlib, sys
from tests.adapters.isolation.test_child_isolation import child_command, isolation
from tests.runtime.parts import record
from worker.testing.events import RecordedEvents

async def main():
    command = child_command(latency_seconds=60, diary=pathlib.Path(sys.argv[1]))
    async with isolation(RecordedEvents(), command) as apart:
        await apart.read(record(), 1, "")

asyncio.run(main())
"""


def test_a_child_ends_with_a_worker_that_is_killed(slow: Slow) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", PARENT, str(slow.diary)], env=environment) as parent:
        wait_until(lambda: bool(slow.begun()))
        (pid,) = slow.begun()
        assert children(parent.pid) == [pid]
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10)
