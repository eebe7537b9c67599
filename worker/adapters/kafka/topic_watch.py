"""Notices that a topic was deleted and created again while its partitions are held.

A consumer then keeps its positions and uses them on the new topic, and nothing reports the change. So the topics' ids
are asked for once a second, without waiting for the answer.

Invariant: an id that was replaced is never believed again, because a broker that lags behind may still report it. A
partition that was assigned without an id gets the first id that the broker reports.
"""

import logging
from collections.abc import Collection, Mapping

from confluent_kafka import KafkaException

from worker.adapters.kafka.topic_ids import TopicFound, TopicIds
from worker.domain.offsets import topic_id_of
from worker.domain.records import CommitPoint, TopicPartition
from worker.ports import Clock

_LOGGER = logging.getLogger(__name__)
_INTERVAL_SECONDS = 1.0
_ANSWER_SECONDS = 10.0  # the request has a timeout of its own; that its future is done is not certain


class TopicWatch:
    """The ids under which partitions are held, on the consumer's thread."""

    def __init__(self, topic_ids: TopicIds, clock: Clock) -> None:
        self._topic_ids = topic_ids
        self._clock = clock
        self._held: dict[TopicPartition, str] = {}
        self._former: set[str] = set()
        self._asked_at = self._ask_at = clock.monotonic()

    def hold(self, points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Watch the topics of these partitions, which are read as the points say."""
        self._held |= {partition: point.topic_id or topic_id_of(point) for partition, point in points.items()}
        self._topic_ids.forget()

    def release(self, partitions: Collection[TopicPartition]) -> None:
        """Watch these no longer."""
        for partition in partitions:
            self._held.pop(partition, None)

    def recreated(self) -> dict[TopicPartition, bool]:
        """Return the partitions that are held of topics which were created again, and whether the new ones have them.

        Never waits.
        """
        found = self._answer()
        if self._topic_ids.is_asked and self._clock.monotonic() >= self._asked_at + _ANSWER_SECONDS:
            _LOGGER.warning("Kafka's client gave no answer for the topics' ids in %g s; another asks.", _ANSWER_SECONDS)
            self._topic_ids.close()
        if self._held and not self._topic_ids.is_asked and self._clock.monotonic() >= self._ask_at:
            self._asked_at = self._clock.monotonic()
            self._ask_at = self._asked_at + _INTERVAL_SECONDS
            self._topic_ids.ask({partition.topic for partition in self._held})
        changed, first_ids = {}, {}
        for partition, held_as in self._held.items():
            topic = found.get(partition.topic)
            if topic is None or topic.topic_id in {"", held_as} or topic.topic_id in self._former:
                continue
            if held_as:
                changed[partition] = partition.partition < topic.partitions
            else:
                first_ids[partition] = topic.topic_id
        self._held |= first_ids
        self._former.update(self._held[partition] for partition in changed)
        return changed

    def _answer(self) -> Mapping[str, TopicFound]:
        try:
            return self._topic_ids.answer() or {}
        except KafkaException as error:
            _LOGGER.warning("Kafka did not answer for the topics' ids and is asked again: %s", error.args[0].str())
            return {}
