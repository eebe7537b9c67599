"""A member of a group that keeps what it is told, and what tests do with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from tests.contracts.brokers import Broker
from worker.domain.records import CommitPoint, OutgoingRecord, Record, TopicPartition
from worker.ports import RecordSource

PATIENCE_SECONDS = 30.0
SILENCE_SECONDS = 1.0
MANY = 1_000_000


class Listener:
    """Keeps what it is told, in order, and checks what holds at any time."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.held: dict[TopicPartition, CommitPoint] = {}
        self.revocations: list[set[TopicPartition]] = []
        self.points: dict[TopicPartition, CommitPoint] = {}
        self.mark: str | None = None
        self.failures: list[BaseException] = []
        self.violations: list[str] = []
        self.on_revoked: Callable[[], None] = lambda: None
        self.on_assigned: Callable[[], None] = lambda: None
        self.assigning_seconds = 0.0
        self._changed = asyncio.Event()

    def received(self, records: Sequence[Record]) -> None:
        self.violations += [f"{r.coordinate} is not held" for r in records if r.topic_partition not in self.held]
        self.records += records
        self._changed.set()

    async def assigned(self, partitions: Mapping[TopicPartition, CommitPoint]) -> Mapping[TopicPartition, CommitPoint]:
        self.on_assigned()
        await asyncio.sleep(self.assigning_seconds)
        self.held.update(partitions)
        self._changed.set()
        if self.mark is None:
            return {}
        return {partition: CommitPoint(point.offset, self.mark) for partition, point in partitions.items()}

    async def revoked(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, CommitPoint]:
        for partition in partitions:
            self.held.pop(partition, None)
        self.on_revoked()
        await asyncio.sleep(0.05)  # what comes meanwhile comes too late
        self.revocations.append(set(partitions))
        self._changed.set()
        return {partition: point for partition, point in self.points.items() if partition in partitions}

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            self.held.pop(partition, None)

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self._changed.set()

    def offsets(self, partition: int) -> list[int]:
        return [record.coordinate.offset for record in self.records if record.coordinate.partition == partition]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def until_received(self, count: int) -> None:
        await self.until(lambda: len(self.records) >= count)


@asynccontextmanager
async def member(
    broker: Broker, listener: Listener, allowed: int = MANY, max_delay_seconds: float | None = None
) -> AsyncIterator[RecordSource]:
    source = broker.source(max_delay_seconds=max_delay_seconds)
    await source.start(listener)
    source.allow(allowed, ())
    try:
        yield source
    finally:
        await source.close()
    assert listener.violations == []


async def write(broker: Broker, count: int, partition: int = 0, value: bytes = b"x") -> None:
    for number in range(count):
        await broker.write(OutgoingRecord(broker.topic, b"%d" % number, value, ()), partition)


def partition(broker: Broker, number: int) -> TopicPartition:
    return TopicPartition(broker.topic, number)
