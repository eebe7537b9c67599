"""Which partitions of retry topics wait for a record that is not due.

Invariant: a partition waits at one offset. Records behind it are dropped and read again, so waiting takes no memory. A
record that was waited for is delivered, even if the time of day was set back meanwhile.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from worker.domain.due_times import due_at_ms
from worker.domain.records import Record, TopicPartition
from worker.ports import Clock


@dataclass(frozen=True, slots=True)
class _Wait:
    offset: int
    until: float


class Delays:
    """The waits of one consumer, on its thread."""

    def __init__(self, topics: Collection[str], max_delay_seconds: float, clock: Clock) -> None:
        self._topics = frozenset(topics)
        self._max_delay_seconds = max_delay_seconds
        self._clock = clock
        self._waits: dict[TopicPartition, _Wait] = {}
        self._waited_for: dict[TopicPartition, int] = {}

    @property
    def waiting(self) -> Collection[TopicPartition]:
        """The partitions that deliver nothing for now."""
        return self._waits.keys()

    def take_due(self, records: Sequence[Record]) -> list[Record]:
        """Return the records that are due; the partition of a record that is not waits at its offset from now on."""
        return [record for record in records if record.coordinate.topic not in self._topics or self._is_due(record)]

    def expired(self) -> dict[TopicPartition, int]:
        """Return the partitions whose wait is over, each with the offset to read next."""
        now = self._clock.monotonic()
        return {partition: wait.offset for partition, wait in self._waits.items() if wait.until <= now}

    def finish(self, partition: TopicPartition) -> None:
        """End a partition's wait: the record that it waited for is delivered."""
        self._waited_for[partition] = self._waits.pop(partition).offset

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Forget the waits of partitions that another member has now."""
        for partition in partitions:
            self._waits.pop(partition, None)
            self._waited_for.pop(partition, None)

    def position(self, partition: TopicPartition, consumed: int) -> int:
        """Return a partition's position; `consumed` is librdkafka's, which is too high while the partition waits."""
        wait = self._waits.get(partition)
        return wait.offset if wait else consumed

    def _is_due(self, record: Record) -> bool:
        partition, offset = record.topic_partition, record.coordinate.offset
        if partition in self._waits:
            return False
        if self._waited_for.pop(partition, None) == offset:
            return True
        seconds = (due_at_ms(record, self._max_delay_seconds) - self._clock.epoch_ms()) / 1000
        if seconds <= 0:
            return True
        self._waits[partition] = _Wait(offset, self._clock.monotonic() + min(seconds, self._max_delay_seconds))
        return False
