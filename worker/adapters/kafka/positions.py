"""A group's positions on partitions: what it has committed, or where it begins.

Invariant: a position is the broker's answer, never a guess; a wrong one would repeat or lose records. What the answers
mean is decided in `domain/start_position.py`.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Literal, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka.commits import EXPECTED_ERRORS, kafka_offsets
from worker.adapters.kafka.messages import metadata_text
from worker.adapters.kafka.topic_ids import TopicIds
from worker.domain.errors import BrokerError
from worker.domain.events import Event, PositionReset
from worker.domain.offsets import encode_metadata
from worker.domain.records import CommitPoint, TopicPartition
from worker.domain.start_position import LogBounds, ResetReason, start_position

_LOGGER = logging.getLogger(__name__)
_ANSWER_SECONDS = 10.0
_MAX_ID_QUERIES = 3
_Answer = TypeVar("_Answer")


class RetryingQueries:
    """Repeats queries until the broker answers.

    `wait` is called between two queries and says whether to ask again: False if the worker ends.
    """

    def __init__(self, wait: Callable[[], bool]) -> None:
        self._wait = wait

    def committed(
        self, consumer: Consumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, CommitPoint] | None:
        """Return what the group has committed, unchanged; None if the worker ends meanwhile.

        Raises BrokerError on a fatal error.
        """
        return self.query(partial(committed_positions, consumer, partitions))

    def query(self, ask: Callable[[], _Answer], *, max_attempts: int | None = None) -> _Answer | None:
        """Return an answer; None if the worker ends meanwhile, or after so many attempts.

        Raises BrokerError on a fatal error.
        """
        attempts = 0
        while True:
            try:
                return ask()
            except KafkaException as failure:
                error = failure.args[0]
                if error.fatal():
                    raise BrokerError(
                        f"Kafka did not answer for the group's positions: {error.str()}; the worker ends."
                    ) from failure
                _LOGGER.warning("Kafka did not answer for the group's positions and is asked again: %s", error.str())
            attempts += 1
            if attempts == max_attempts or not self._wait():
                return None


class Positions:
    """Where a member of the group begins on the partitions that it is given.

    `topics` are all that the group reads. `emit` takes an event for each committed position that is not used.
    """

    def __init__(
        self,
        start_from: Literal["earliest", "latest"],
        topics: Sequence[str],
        topic_ids: TopicIds,
        wait: Callable[[], bool],
        emit: Callable[[Event], None],
    ) -> None:
        self._start_from = start_from
        self._topics = tuple(topics)
        self._topic_ids = topic_ids
        self._queries = RetryingQueries(wait)
        self._emit = emit

    def of(
        self, consumer: Consumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, CommitPoint] | None:
        """Return where to begin on partitions, and commit the first positions of a group that is new.

        None if the worker ends meanwhile. Raises BrokerError on a fatal error.
        """
        if not partitions:
            return {}
        committed = self._queries.committed(consumer, partitions)
        if committed is None:
            return None
        if self._start_from == "latest" and any(partition not in committed for partition in partitions):
            first = self._queries.query(partial(self._first_positions, consumer))
            if first is None:
                return None
            committed |= {partition: point for partition, point in first.items() if partition not in committed}
        return self._starts(consumer, {partition: committed.get(partition) for partition in partitions})

    def beginnings(
        self, consumer: Consumer, partitions: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, CommitPoint] | None:
        """Return the beginnings of partitions of topics that were created again, whatever is committed for them.

        The value of each is where its reading stood on the former topic. None and BrokerError as for `of`.
        """
        points = self._starts(consumer, dict.fromkeys(partitions))
        for partition, point in (points or {}).items():
            self._emit(PositionReset(partition, ResetReason.RECREATED, partitions[partition], point.offset))
        return points

    def _starts(
        self, consumer: Consumer, committed: Mapping[TopicPartition, CommitPoint | None]
    ) -> dict[TopicPartition, CommitPoint] | None:
        topics = {partition.topic for partition in committed}
        # A broker that answers everything but this must not stop the worker.
        ids = self._queries.query(partial(self._topic_ids.of, topics), max_attempts=_MAX_ID_QUERIES) or {}
        points = {}
        for partition, point in committed.items():
            log = self._queries.query(partial(self._log, consumer, partition, point))
            if log is None:
                return None
            start = start_position(point, log._replace(topic_id=ids.get(partition.topic, "")))
            points[partition] = start.point
            if point is not None and start.reset is not None:
                self._emit(PositionReset(partition, start.reset, point.offset, start.point.offset))
        return points

    def _log(self, consumer: Consumer, partition: TopicPartition, committed: CommitPoint | None) -> LogBounds:
        low, end = _watermarks(consumer, partition)
        if committed is not None and committed.offset > end:
            # Whoever commits by hand may have gone beyond the beginning of a transaction that is open.
            end = max(end, self._topic_ids.high_watermark(partition))
        return LogBounds(low, end)

    def _first_positions(self, consumer: Consumer) -> dict[TopicPartition, CommitPoint]:
        """Commit where a new group begins, on all partitions at once; nothing where the group is not new.

        The ends are asked for before it is asked whether the group is new: where two members find it so at the same
        time, the later commit names no record that came after the earlier one's reading began.
        """
        partitions = self._topic_ids.partitions(self._topics)
        ends = {partition: _watermarks(consumer, partition)[1] for partition in partitions}
        if committed_positions(consumer, partitions):
            return {}
        ids = self._topic_ids.of(self._topics)
        marks = {
            partition: CommitPoint(end, encode_metadata(end, (), clean_end=True, topic_id=ids.get(partition.topic, "")))
            for partition, end in ends.items()
        }
        self._commit_first(consumer, marks)
        return {partition: CommitPoint(end) for partition, end in ends.items()}

    def _commit_first(self, consumer: Consumer, marks: Mapping[TopicPartition, CommitPoint]) -> None:
        try:
            taken = consumer.commit(offsets=kafka_offsets(marks), asynchronous=False) if marks else []
        except KafkaException as failure:
            error = failure.args[0]
        else:
            error = next((partition.error for partition in taken if partition.error), None)
        if error is None:
            return
        if error.code() not in EXPECTED_ERRORS:
            raise KafkaException(error)
        # The other members then take their partitions for later ones, and read them from their beginning.
        _LOGGER.warning("Kafka refused the first positions of a new group: %s", error.str())


def _watermarks(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    """Return the first offset and the last stable one."""
    marks = consumer.get_watermark_offsets(KafkaPartition(*partition), timeout=_ANSWER_SECONDS)
    if marks is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - librdkafka's own name
    return marks


def committed_positions(
    consumer: Consumer, partitions: Collection[TopicPartition], *, timeout_seconds: float = _ANSWER_SECONDS
) -> dict[TopicPartition, CommitPoint]:
    """Return what the consumer's group has committed on partitions, those left out on which it has committed nothing.

    These are the offsets and metadata as they stand there: `domain/start_position.py` says what they mean for the log
    and the topic as they are now. Raises KafkaException.
    """
    if not partitions:
        return {}
    asked = [KafkaPartition(partition.topic, partition.partition) for partition in partitions]
    found = consumer.committed(asked, timeout=timeout_seconds)
    for partition in found:
        if partition.error:
            raise KafkaException(partition.error)
    return {
        TopicPartition(partition.topic, partition.partition): CommitPoint(partition.offset, metadata_text(partition))
        for partition in found
        if partition.offset >= 0
    }
