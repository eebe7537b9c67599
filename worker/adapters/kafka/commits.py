"""Commits that are requested, sent, or refused.

Invariant: a refused commit is repeated, except a mark, and never overtakes a newer one of its partition.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka.membership import is_group_denied
from worker.domain.events import CommitFailed, Event
from worker.domain.records import CommitPoint, TopicPartition
from worker.ports import Clock

_LOGGER = logging.getLogger(__name__)
_REPEAT_SECONDS = 1.0

# What the group's coordinator says when a commit meets a rebalance; the next owner begins at the last commit.
EXPECTED_ERRORS = frozenset(
    {
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._NO_OFFSET,  # noqa: SLF001 - librdkafka's own name
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001 - librdkafka's own name
    }
)


class Commits:
    """The commits of one consumer. All but `request` is called on the consumer's thread."""

    def __init__(self, clock: Clock, emit: Callable[[Event], None]) -> None:
        self._clock = clock
        self._emit = emit
        self._requested: dict[TopicPartition, CommitPoint] = {}
        self._lock = threading.Lock()
        self._sent: dict[TopicPartition, CommitPoint] = {}
        self._refused: dict[TopicPartition, CommitPoint] = {}
        self._refused_at = 0.0
        self.is_group_denied = False  # whether the last report said that this client may not commit for its group

    def request(self, points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Note what is to be committed soon; on any thread."""
        with self._lock:
            self._requested.update(points)

    def flush(self, consumer: Consumer, *, asynchronous: bool) -> None:
        """Send what is requested, and again what was refused a second ago or earlier."""
        with self._lock:
            points, self._requested = self._requested, {}
        if self._refused and self._clock.monotonic() - self._refused_at >= _REPEAT_SECONDS:
            refused, self._refused = self._refused, {}
            points = {**refused, **points}
        self.send(consumer, points, asynchronous=asynchronous)

    def send(self, consumer: Consumer, points: Mapping[TopicPartition, CommitPoint], *, asynchronous: bool) -> None:
        """Commit these; never raises."""
        if not points:
            return
        self._sent.update(points)
        for partition in points:
            self._refused.pop(partition, None)  # overtaken
        offsets = kafka_offsets(points)
        try:
            if asynchronous:
                consumer.commit(offsets=offsets, asynchronous=True)
            else:
                self.reported(None, consumer.commit(offsets=offsets, asynchronous=False))
        except KafkaException as error:
            self.reported(error.args[0], offsets)

    def mark(self, consumer: Consumer, points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Commit these at once, before anything else of their partitions; never raises.

        A refused mark is not repeated: by then a transaction may have committed more, and the next commit says all that
        a mark does.
        """
        self.send(consumer, points, asynchronous=False)
        self.forget(points)

    def reported(self, error: KafkaError | None, partitions: list[KafkaPartition]) -> None:
        """Take librdkafka's report: a refused commit is repeated soon, unless a newer one was sent."""
        problems = [problem for partition in partitions if (problem := error or partition.error)]
        self.is_group_denied = any(is_group_denied(problem) for problem in problems)
        if not problems:
            return
        if problems[0].code() not in EXPECTED_ERRORS and not problems[0].retriable():
            _LOGGER.warning("Kafka refused a commit: %s", problems[0].str())
        self._refused_at = self._clock.monotonic()
        for partition in partitions:
            key = TopicPartition(partition.topic, partition.partition)
            sent = self._sent.get(key)
            if (error or partition.error) and sent is not None and sent.offset == partition.offset:
                self._refused[key] = sent
        self._emit(CommitFailed(problems[0].str()))

    def take_out(self, ended: Collection[TopicPartition]) -> dict[TopicPartition, CommitPoint]:
        """Return what still waits to be committed for partitions that end, and forget it."""
        with self._lock:
            requested = {
                partition: self._requested.pop(partition) for partition in ended if partition in self._requested
            }
        refused = {partition: self._refused.pop(partition) for partition in ended if partition in self._refused}
        return {**refused, **requested}

    def forget(self, ended: Collection[TopicPartition]) -> None:
        """Ignore later reports about these partitions."""
        for partition in ended:
            self._sent.pop(partition, None)
            self._refused.pop(partition, None)


def kafka_offsets(points: Mapping[TopicPartition, CommitPoint]) -> list[KafkaPartition]:
    """Return points as librdkafka takes them."""
    return [
        KafkaPartition(partition.topic, partition.partition, point.offset, point.metadata)
        for partition, point in points.items()
    ]
