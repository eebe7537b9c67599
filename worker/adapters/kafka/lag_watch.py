"""Where the logs of the partitions end that are held, so that their lag is known.

The consumer learns of an end with what it fetches, so of a partition that is paused it knows a former one: during an
outage the lag would stand still while jobs come. Of a partition from which nothing was fetched it knows none. So the
ends are asked for every few seconds, without waiting for the answer.

Invariant: one question is under way at most, and an answer that does not come in time is not waited for.
"""

import logging
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException

from worker.adapters.kafka.topic_ids import TopicIds
from worker.domain.records import CommitPoint, TopicPartition
from worker.ports import Clock

_LOGGER = logging.getLogger(__name__)
_INTERVAL_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 10.0


class LagWatch:
    """The ends of the partitions that are held, on the consumer's thread."""

    def __init__(self, topic_ids: TopicIds, clock: Clock) -> None:
        self._topic_ids = topic_ids
        self._clock = clock
        self._begun_at: dict[TopicPartition, int] = {}
        self._asked: Mapping[TopicPartition, Future[Any]] = {}
        self._asked_at = self._ask_at = clock.monotonic()

    def hold(self, points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Watch these partitions, which are read as the points say."""
        self._begun_at |= {partition: point.offset for partition, point in points.items()}

    def release(self, partitions: Collection[TopicPartition]) -> None:
        """Watch these no longer."""
        for partition in partitions:
            self._begun_at.pop(partition, None)

    def begun_at(self, partition: TopicPartition) -> int:
        """Return where a partition began to be read, which is its position until something of it is taken."""
        return self._begun_at[partition]

    def ends(self) -> dict[TopicPartition, int]:
        """Return the ends that were told since the last call. Never waits."""
        now = self._clock.monotonic()
        found: dict[TopicPartition, int] = {}
        if self._asked and all(future.done() for future in self._asked.values()):
            found, self._asked = self._told(), {}
        elif self._asked and now >= self._asked_at + _ANSWER_SECONDS:
            _LOGGER.warning("Kafka's client did not tell the ends of partitions in %g s.", _ANSWER_SECONDS)
            self._asked = {}
        if self._begun_at and not self._asked and now >= self._ask_at:
            self._asked_at, self._ask_at = now, now + _INTERVAL_SECONDS
            self._asked = self._topic_ids.ask_high_watermarks(self._begun_at.keys())
        return found

    def _told(self) -> dict[TopicPartition, int]:
        ends = {}
        for partition, future in self._asked.items():
            try:
                ends[partition] = int(future.result().offset)
            except KafkaException as error:
                _LOGGER.warning("Kafka did not tell the end of a partition: %s", error.args[0].str())
        return {partition: end for partition, end in ends.items() if partition in self._begun_at}
