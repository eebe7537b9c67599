"""A loop over memory whose jobs end when the test says so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.runtime.parts import JOBS
from worker.domain.errors import ErrorCode, JobError
from worker.domain.outcome import DeadLettered, Outcome
from worker.domain.records import Coordinate
from worker.runtime.delivery import Delivery
from worker.runtime.health import Health
from worker.runtime.job import InflightJob
from worker.runtime.loop import PARTITIONS, IntakeLimits, Loop, LoopTimes
from worker.runtime.ordering import KeyOrder
from worker.runtime.outbox import DirectOutbox, Outbox
from worker.runtime.partitions import Partitions
from worker.testing.broker import MemoryBroker
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents
from worker.testing.sink import MemorySink
from worker.testing.source import MemorySource


class HandDelivery(Delivery):
    """Jobs work until `finish`; `begun` and `ended` list coordinates, `cancelled` those that were stopped."""

    def __init__(self) -> None:
        self.in_hand: dict[Coordinate, tuple[InflightJob, asyncio.Future[None]]] = {}
        self.begun: list[Coordinate] = []
        self.ended: list[Coordinate] = []
        self.cancelled: list[Coordinate] = []
        self.works_at_once = True
        self.begins_at_once = True

    async def deliver(self, job: InflightJob) -> Outcome:
        coordinate = job.record.coordinate
        self.begun.append(coordinate)
        job.working = self.works_at_once
        if self.begins_at_once:
            job.mark_begun()
        finished = asyncio.get_running_loop().create_future()
        self.in_hand[coordinate] = (job, finished)
        try:
            await finished
        except asyncio.CancelledError:
            self.cancelled.append(coordinate)
            raise
        finally:
            if self.in_hand.get(coordinate) == (job, finished):
                del self.in_hand[coordinate]
        job.complete()
        self.ended.append(coordinate)
        return DeadLettered(JobError(ErrorCode.JOB_INVALID, "It does not matter."))

    def finish(self, *offsets: int, partition: int = 0) -> None:
        for offset in offsets:
            self.in_hand[Coordinate(JOBS, partition, offset)][1].set_result(None)

    def job(self, offset: int, partition: int = 0) -> InflightJob:
        return self.in_hand[Coordinate(JOBS, partition, offset)][0]

    def offsets(self, partition: int = 0) -> list[int]:
        """Return the offsets in hand."""
        return sorted(at.offset for at in self.in_hand if at.partition == partition)


class Member:
    """A worker without its lifecycle: a loop, its source, and what they were given."""

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        window: int = 100,
        limits: IntakeLimits | None = None,
        drain_seconds: float = 1.0,
        takes_at_start: bool = True,
        in_key_order: bool = False,
        outbox: Outbox | None = None,
    ) -> None:
        self.clock = ManualClock(sleeps_pass=False)
        self.source = MemorySource(broker, [JOBS], takes_at_start=takes_at_start)
        self.delivery = HandDelivery()
        self.events = RecordedEvents()
        self.health = Health((PARTITIONS,), self.clock, self.events, pulse_seconds=60)
        self.stopping = asyncio.Event()
        limits = limits or IntakeLimits(1000, 2**30)
        self.loop = Loop(
            source=self.source,
            delivery=self.delivery,
            outbox=outbox or DirectOutbox(MemorySink(broker)),
            partitions=Partitions(window, limits.records),
            limits=limits,
            health=self.health,
            clock=self.clock,
            event_sink=self.events,
            times=LoopTimes(1.0, drain_seconds),
            key_order=KeyOrder() if in_key_order else None,
        )

    async def commit(self) -> None:
        """Let the time of a commit come."""
        await self.clock.until_sleeping()
        self.clock.advance(1)
        await settle()


async def settle() -> None:
    """Let everything happen that needs no time."""
    for _ in range(12):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(member: Member) -> AsyncIterator[Member]:
    """Run a member; at the end it is stopped, and its clock runs on so that no drain lasts."""
    task = asyncio.create_task(member.loop.run(member.stopping))
    member.loop.set_intake(is_open=True)
    await settle()
    try:
        yield member
    finally:
        member.stopping.set()
        member.clock.advance(1000)
        while not task.done():
            member.clock.advance(1000)
            await asyncio.wait([task], timeout=0.01)
        task.result()


async def crash(member: Member, task: "asyncio.Task[None]") -> None:
    """End a member as SIGKILL does: nothing more is committed."""
    member.source.crash()
    task.cancel()
    await asyncio.wait([task])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - turn by turn
            await asyncio.sleep(0.001)
