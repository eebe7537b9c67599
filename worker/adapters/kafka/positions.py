"""Where a group stands on partitions: what it has committed, or where it begins.

Invariant: an answer is the broker's, never a guess; to begin elsewhere would repeat or lose records.
"""

import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import Literal, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka.messages import metadata_text
from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, TopicPartition

_LOGGER = logging.getLogger(__name__)
_ANSWER_SECONDS = 10.0
_Answer = TypeVar("_Answer")


class Positions:
    """Asks the broker until it answers.

    `wait` is called between two questions and says whether to ask again: False where the worker ends.
    """

    def __init__(self, start_from: Literal["earliest", "latest"], wait: Callable[[], bool]) -> None:
        self._start_from = start_from
        self._wait = wait

    def of(
        self, consumer: Consumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, CommitPoint] | None:
        """Return what the group has committed, and where it begins what it has never committed.

        None if the worker ends meanwhile. Raises BrokerError on a fatal error.
        """
        if not partitions:
            return {}
        found = self._until_answered(partial(_committed, consumer, partitions))
        if found is None:
            return None
        points = {}
        for partition in partitions:
            point = found.get(partition) or self._until_answered(partial(self._begin, consumer, partition))
            if point is None:
                return None
            points[partition] = point
        return points

    def _begin(self, consumer: Consumer, partition: TopicPartition) -> CommitPoint:
        asked = KafkaPartition(partition.topic, partition.partition)
        marks = consumer.get_watermark_offsets(asked, timeout=_ANSWER_SECONDS)
        if marks is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - librdkafka's own name
        return CommitPoint(marks[0] if self._start_from == "earliest" else marks[1])

    def _until_answered(self, ask: Callable[[], _Answer]) -> _Answer | None:
        while True:
            try:
                return ask()
            except KafkaException as failure:
                error = failure.args[0]
                if error.fatal():
                    raise BrokerError(f"Kafka does not tell where the group stands: {error.str()}") from failure
                _LOGGER.warning("Kafka does not tell where the group stands, asked again: %s", error.str())
            if not self._wait():
                return None


def _committed(consumer: Consumer, partitions: Collection[TopicPartition]) -> dict[TopicPartition, CommitPoint]:
    asked = [KafkaPartition(partition.topic, partition.partition) for partition in partitions]
    found = consumer.committed(asked, timeout=_ANSWER_SECONDS)
    for partition in found:
        if partition.error:
            raise KafkaException(partition.error)
    return {
        TopicPartition(partition.topic, partition.partition): CommitPoint(partition.offset, metadata_text(partition))
        for partition in found
        if partition.offset >= 0
    }
