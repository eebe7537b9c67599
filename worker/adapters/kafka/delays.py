"""Which partitions of retry topics wait for a record that is not due.

Invariant: a partition waits at one offset, and what came behind it is dropped and read again, so that waiting takes no
memory; a record that was waited for is delivered, whatever the time of day says by then.
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

    def sift(self, records: Sequence[Record]) -> list[Record]:
        """Return those that are due; the partition of any other one waits at it from now on."""
        return [record for record in records if record.coordinate.topic not in self._topics or self._is_due(record)]

    def over(self) -> dict[TopicPartition, int]:
        """Return the partitions whose wait is over, each with the offset to read next."""
        now = self._clock.monotonic()
        return {partition: wait.offset for partition, wait in self._waits.items() if wait.until <= now}

    def end(self, partition: TopicPartition) -> None:
        """Let a partition deliver what it waited for."""
        self._waited_for[partition] = self._waits.pop(partition).offset

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Wait no longer for these: another member does."""
        for partition in partitions:
            self._waits.pop(partition, None)
            self._waited_for.pop(partition, None)

    def position(self, partition: TopicPartition, consumed: int) -> int:
        """Return where a partition really stands, of which librdkafka has handed on all below `consumed`."""
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
