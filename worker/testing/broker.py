"""Topics and committed positions in memory, shared by the sources and sinks of a test.

Invariant: each partition is owned by at most one source of a group, and offsets rise by one with each record, but for
the gaps that a test asks for.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from worker.domain.records import (
    ClusterDescription,
    CommitPoint,
    Coordinate,
    Headers,
    OutgoingRecord,
    Record,
    TopicLimits,
    TopicPartition,
)
from worker.ports import Clock

_FIRST_TIMESTAMP_MS = 1_700_000_000_000


@dataclass(slots=True)
class _Log:
    records: list[Record] = field(default_factory=list)
    low: int = 0
    end: int = 0


class MemoryBroker:
    """A broker without a network.

    `reachable` may be set to False: then it describes nothing and takes nothing. Committed positions are kept by group
    and partition in `committed`, and survive the crash of a member and the deletion of their topic, which Kafka removes
    them after. Records are stamped by `clock`, or one millisecond
    apart if there is none.
    """

    def __init__(self, cluster_id: str = "memory", clock: Clock | None = None) -> None:
        self.cluster_id = cluster_id
        self.reachable = True
        self.committed: dict[tuple[str, TopicPartition], CommitPoint] = {}
        self.owners: dict[tuple[str, TopicPartition], object] = {}
        self._clock = clock
        self._limits: dict[str, TopicLimits] = {}
        self._logs: dict[TopicPartition, _Log] = {}
        self._ids: dict[str, str] = {}
        self._made: dict[str, int] = {}
        self._watchers: list[Callable[[], None]] = []

    def create_topic(self, name: str, partitions: int = 1, max_message_bytes: int | None = None) -> None:
        """Make a topic, or change the limits of one that exists; its records stay."""
        if name not in self._limits:
            self._made[name] = self._made.get(name, 0) + 1
            self._ids[name] = _topic_id(name, self._made[name])
        self._limits[name] = TopicLimits(partitions, max_message_bytes)
        for number in range(partitions):
            self._logs.setdefault(TopicPartition(name, number), _Log())
        for watcher in self._watchers:
            watcher()

    def delete_topic(self, name: str) -> None:
        """Remove a topic with its records."""
        for partition in self.partitions(name):
            del self._logs[partition]
        del self._limits[name]
        del self._ids[name]

    @staticmethod
    def first_id(name: str) -> str:
        """Return the id of the first topic of a name."""
        return _topic_id(name, 1)

    def topic_id(self, name: str) -> str:
        """Return what tells a topic from earlier and later ones of its name; empty for one that does not exist."""
        return self._ids.get(name, "")

    def partitions(self, topic: str) -> tuple[TopicPartition, ...]:
        """Return a topic's partitions, none for one that does not exist."""
        limits = self._limits.get(topic)
        return tuple(TopicPartition(topic, number) for number in range(limits.partitions if limits else 0))

    def limits(self, topic: str) -> TopicLimits | None:
        """Return a topic's limits, None for one that does not exist."""
        return self._limits.get(topic)

    def describe(self, topics: Collection[str], *, limits_hidden: bool = False) -> ClusterDescription:
        """Return what a real broker says of itself and these topics."""
        found = {name: self._limits.get(name) for name in topics}
        if limits_hidden:
            found = {name: limits and TopicLimits(limits.partitions, None) for name, limits in found.items()}
        return ClusterDescription(self.cluster_id, found)

    def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int = 0,
        gap: int = 0,
    ) -> Record:
        """Write a record, after a gap of so many offsets, and return it as a reader gets it."""
        log = self._logs[TopicPartition(topic, partition)]
        offset = log.end + gap
        timestamp_ms = self._clock.epoch_ms() if self._clock else _FIRST_TIMESTAMP_MS + offset
        record = Record(Coordinate(topic, partition, offset), key, value, headers, timestamp_ms)
        log.records.append(record)
        log.end = offset + 1
        for watcher in self._watchers:
            watcher()
        return record

    def take(self, record: OutgoingRecord) -> None:
        """Write a sink's record; those of one key go to one partition."""
        limits = self._limits[record.topic]
        partition = sum(record.key or b"") % limits.partitions
        self.append(record.topic, record.value, key=record.key, headers=record.headers, partition=partition)

    def take_together(self, records: Sequence[OutgoingRecord]) -> None:
        """Write records as a transaction does: its end takes an offset of each partition, too."""
        ends = {partition: log.end for partition, log in self._logs.items()}
        for record in records:
            self.take(record)
        for partition, end in ends.items():
            if self._logs[partition].end > end:
                self._logs[partition].end += 1

    def records(self, topic: str) -> list[Record]:
        """Return all records of a topic, by partition and offset."""
        return [record for partition in self.partitions(topic) for record in self._logs[partition].records]

    def low(self, partition: TopicPartition) -> int:
        """Return the offset of the first record that retention has left."""
        return self._logs[partition].low

    def end(self, partition: TopicPartition) -> int:
        """Return the offset that the next record of a partition takes."""
        return self._logs[partition].end

    def read(self, partition: TopicPartition, offset: int, limit: int) -> list[Record]:
        """Return at most `limit` records of a partition from an offset on."""
        log = self._logs.get(partition)
        if log is None:
            return []
        first = bisect_left(log.records, offset, key=_offset)
        return log.records[first : first + limit]

    def truncate(self, partition: TopicPartition, end: int) -> None:
        """Lose a partition's records from an offset on, as an unclean election of a leader does."""
        log = self._logs[partition]
        del log.records[bisect_left(log.records, end, key=_offset) :]
        log.end = min(log.end, end)

    def expire(self, partition: TopicPartition, low: int) -> None:
        """Remove a partition's records below an offset, as retention does."""
        log = self._logs[partition]
        del log.records[: bisect_left(log.records, low, key=_offset)]
        log.low = low

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` after each record that is written, and each topic that is made."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Call it no more."""
        self._watchers.remove(watcher)


def _topic_id(name: str, number: int) -> str:
    return f"{name}#{number}"


def _offset(record: Record) -> int:
    return record.coordinate.offset
