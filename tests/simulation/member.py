"""A simulated worker: a real one, built as in production, on fakes and in a process that can be frozen and killed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.building import Doors, build_worker
from tests.simulation.source import SimulatedSource
from tests.simulation.virtual_time import VirtualClock, VirtualProcess
from worker.domain.records import TopicPartition


@dataclass(eq=False, slots=True)
class Member:
    """One life of a worker, from its start to its end.

    `evicted` says that the group has put it out; after `away_seconds` the next life begins.
    """

    name: str
    process: VirtualProcess
    source: SimulatedSource
    stopping: asyncio.Event
    task: "asyncio.Task[None]"
    evicted: bool = False
    away_seconds: float = 1.0

    @classmethod
    def start(cls, doors: Doors, process: VirtualProcess, changed: Callable[[], None]) -> "Member":
        """Build a worker and begin its life."""
        source, stopping = SimulatedSource(doors.broker, VirtualClock(doors.loop), changed), asyncio.Event()
        worker = build_worker(doors, source)
        return cls(doors.name, process, source, stopping, process.create_task(worker.lifecycle.run(stopping)))

    @property
    def living(self) -> bool:
        """Whether it has neither ended nor been killed."""
        return self.process.alive and not self.task.done()

    @property
    def in_group(self) -> bool:
        """Whether the group counts it as a member."""
        return self.source.joined and not self.evicted and not self.task.done()

    @property
    def takes_partitions(self) -> bool:
        """Whether it may be given partitions: it is a member and is not about to leave."""
        return self.in_group and not self.stopping.is_set()

    @property
    def held(self) -> list[TopicPartition]:
        """What it believes to hold, in order."""
        return sorted(self.source.held)
