"""Reading topics up to ends that are fixed when the reading begins.

Readers are members of no group and commit nothing. Records of aborted transactions are not seen. An end is the last
stable offset, so a transaction that is open at the start is not read in part. Memory is bounded, however long the
topics are. Errors of librdkafka leave this module as BrokerError.

A topic that is deleted and created again while it is read gives records of both: that is an error, said once the end is
reached.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka.admin import connected
from worker.adapters.kafka.diagnosis import explain, missing_right
from worker.adapters.kafka.messages import to_record
from worker.adapters.kafka.offline.standalone import concerns_group, standalone_consumer
from worker.adapters.kafka.permissions import denied
from worker.adapters.kafka.topic_ids import TopicIds
from worker.adapters.kafka.transient import is_transient, retry_transient
from worker.domain.errors import BrokerError
from worker.domain.records import Record, TopicPartition
from worker.domain.start_position import is_same_topic

_MAX_QUEUED_KIBIBYTES = 16 * 1024
_ASK_SECONDS = 15.0
_POLL_SECONDS = 0.5
_AGAIN_SECONDS = 0.2
_MAX_AT_ONCE = 500


class TopicRecreatedError(BrokerError):
    """A topic was deleted, or deleted and created again, while it was read."""


class BoundedReader:
    """All partitions of some topics, each from a start to an end; a context manager and an iterable of records.

    `starts` and `ends` are offsets for some or all of the partitions. Without a start a partition is read from its
    low watermark, without an end to where it ends now. `made_for` names the ids of the topics that these offsets belong
    to: those of a topic that has another id by now count as none. Records come in offset order for each partition.

    `lows` and `ends` tell the watermarks taken at the start: where a start lies below the low watermark, retention
    has taken what was between. `topic_ids` are the ids then, empty where the broker tells none. Raises BrokerError
    where a topic does not exist, the broker does not answer, or nothing comes for `silence_seconds` before all ends are
    reached, and TopicRecreatedError.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topics: Collection[str],
        client_options: Mapping[str, str] | None = None,
        *,
        starts: Mapping[TopicPartition, int] | None = None,
        ends: Mapping[TopicPartition, int] | None = None,
        made_for: Mapping[str, str] | None = None,
        silence_seconds: float = 60.0,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._client_options = client_options
        self._silence_seconds = silence_seconds
        self._topics = tuple(topics)
        self._ids = _topic_ids(bootstrap_servers, client_options)
        self.topic_ids: Mapping[str, str] = self._present_ids()  # before any offset is asked for
        self._consumer = _reading_consumer(bootstrap_servers, client_options)
        try:
            spans = _watermarks(self._consumer, bootstrap_servers, topics, client_options)
            self.lows = {partition: low for partition, (low, _) in spans.items()}
            starts, ends = self._valid(starts, made_for), self._valid(ends, made_for)
            self.ends = {partition: ends.get(partition, high) for partition, (_, high) in spans.items()}
            self.starts = {partition: max(starts.get(partition, low), low) for partition, low in self.lows.items()}
            self._positions = dict(self.starts)
            self._open = {partition for partition, end in self.ends.items() if self.starts[partition] < end}
            self._consumer.assign([KafkaPartition(p.topic, p.partition, self.starts[p]) for p in sorted(self._open)])
        except KafkaException as error:
            self._consumer.close()
            raise _broker_error(bootstrap_servers, client_options, error.args[0]) from error
        except BrokerError:
            self._consumer.close()
            raise
        self._heard_at = time.monotonic()
        self._ends_early = False

    @property
    def total(self) -> int:
        """How many offsets lie between starts and ends: never less than the records."""
        return sum(max(0, end - self.starts[partition]) for partition, end in self.ends.items())

    @property
    def passed(self) -> int:
        """How many of these offsets were read: `total` at the end."""
        return sum(position - self.starts[partition] for partition, position in self._positions.items())

    @property
    def finished(self) -> bool:
        """Whether every partition was read to its end."""
        return not self._open

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset to read; the partition's end once that is reached."""
        return self._positions[partition]

    def read(self, max_records: int, timeout_seconds: float) -> list[Record]:
        """Return the next records; none where none comes in time or `finished`."""
        if not self._open:
            return []
        try:
            first = self._consumer.poll(timeout_seconds)
            messages = [first] if first is not None else []
            if messages and max_records > 1:
                messages += self._consumer.consume(max_records - 1, 0)
        except KafkaException as error:
            raise _broker_error(self._bootstrap_servers, self._client_options, error.args[0]) from error
        records = [record for message in messages if (record := self._advance(message)) is not None]
        self._check_silence(heard=bool(messages))
        if self.finished or self._ends_early:
            self._ends_early = False
            self.check_topics()
        return records

    def check_topics(self) -> None:
        """Raise TopicRecreatedError unless everything read so far is of the topics that were there at the start."""
        present = self._present_ids()
        for topic, before in self.topic_ids.items():
            if before and present[topic] != before:
                raise TopicRecreatedError(
                    f"The topic {topic} of Kafka at {self._bootstrap_servers} was deleted, or deleted and created "
                    "again, while it was read; run the command again to read what stands there now."
                )

    def __iter__(self) -> Iterator[Record]:
        while not self.finished:
            yield from self.read(_MAX_AT_ONCE, _POLL_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        self._ids.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _present_ids(self) -> dict[str, str]:
        return _present_ids(self._ids, self._topics, self._bootstrap_servers, self._client_options)

    def _valid(
        self, offsets: Mapping[TopicPartition, int] | None, made_for: Mapping[str, str] | None
    ) -> dict[TopicPartition, int]:
        """Return those of the offsets that belong to the topics as they are."""
        return {
            partition: offset
            for partition, offset in (offsets or {}).items()
            if is_same_topic((made_for or {}).get(partition.topic, ""), self.topic_ids.get(partition.topic, ""))
        }

    def _advance(self, message: Message) -> Record | None:
        """Note how far a partition has come, and return the record if it is one before the end."""
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own name
            if is_transient(error) or concerns_group(error):
                return None
            if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise BrokerError(missing_right(self._client_options or {}, "Read", "topic", message.topic() or ""))
            raise _broker_error(self._bootstrap_servers, self._client_options, error)
        partition = TopicPartition(message.topic() or "", message.partition() or 0)
        offset, end = message.offset() or 0, self.ends[partition]
        if partition not in self._open:
            return None
        # At a partition's end librdkafka tells the next offset; the last ones before it may be transaction markers.
        self._positions[partition] = min(end, offset if error is not None else offset + 1)
        self._ends_early |= error is not None and offset < end
        if self._positions[partition] >= end:
            self._open.discard(partition)
            self._consumer.incremental_unassign([KafkaPartition(*partition)])
        return to_record(message) if error is None and offset < end else None

    def _check_silence(self, *, heard: bool) -> None:
        now = time.monotonic()
        if heard or not self._open:
            self._heard_at = now
        elif now - self._heard_at > self._silence_seconds:
            waiting = ", ".join(f"{p} at {self._positions[p]} of {self.ends[p]}" for p in sorted(self._open)[:3])
            raise BrokerError(
                f"Kafka at {self._bootstrap_servers} sent nothing for {self._silence_seconds:.0f} s, and not all was "
                f"read: {waiting}. Check whether a topic was deleted and created again, and try again."
            )


def watermarks(
    bootstrap_servers: str, topics: Collection[str], client_options: Mapping[str, str] | None = None
) -> dict[TopicPartition, tuple[int, int]]:
    """Return each partition's low watermark and last stable offset. Raises BrokerError."""
    connected(bootstrap_servers, client_options, timeout_seconds=_ASK_SECONDS)
    consumer = _reading_consumer(bootstrap_servers, client_options)
    try:
        return _watermarks(consumer, bootstrap_servers, topics, client_options)
    except KafkaException as error:
        raise _broker_error(bootstrap_servers, client_options, error.args[0]) from error
    finally:
        consumer.close()


def present_topic_ids(
    bootstrap_servers: str, topics: Collection[str], client_options: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the id of each topic, empty where the broker tells none or there is no topic. Raises BrokerError."""
    ids = _topic_ids(bootstrap_servers, client_options)
    return _present_ids(ids, topics, bootstrap_servers, client_options)


def _topic_ids(bootstrap_servers: str, client_options: Mapping[str, str] | None) -> TopicIds:
    return TopicIds(partial(connected, bootstrap_servers, client_options, timeout_seconds=_ASK_SECONDS))


def _present_ids(
    ids: TopicIds, topics: Collection[str], bootstrap_servers: str, client_options: Mapping[str, str] | None
) -> dict[str, str]:
    try:
        return retry_transient(partial(ids.of, topics), timeout_seconds=_ASK_SECONDS, pause_seconds=_AGAIN_SECONDS)
    except KafkaException as error:
        raise _broker_error(bootstrap_servers, client_options, error.args[0]) from error


def _reading_consumer(bootstrap_servers: str, client_options: Mapping[str, str] | None) -> Consumer:
    """Return a consumer that goes on at the earliest record where retention is faster than it."""
    return standalone_consumer(
        bootstrap_servers, client_options, tells_ends=True, max_queued_kibibytes=_MAX_QUEUED_KIBIBYTES
    )


def _watermarks(
    consumer: Consumer, bootstrap_servers: str, topics: Iterable[str], client_options: Mapping[str, str] | None
) -> dict[TopicPartition, tuple[int, int]]:
    """Ask for each partition's low watermark and last stable offset."""
    # Asked for all topics, because asking for one by name may create it.
    known = consumer.list_topics(timeout=_ASK_SECONDS).topics
    found = {}
    for topic in topics:
        if topic not in known:
            if reason := denied(bootstrap_servers, client_options, topic):
                raise BrokerError(reason)
            raise BrokerError(f"Kafka at {bootstrap_servers} has no topic {topic}; create it, or name another.")
        for partition in known[topic].partitions:
            pair = _span(consumer, KafkaPartition(topic, partition))
            if pair is None:
                raise BrokerError(f"Kafka at {bootstrap_servers} does not tell where {topic}/{partition} ends.")
            found[TopicPartition(topic, partition)] = pair
    return found


def _span(consumer: Consumer, partition: KafkaPartition) -> tuple[int, int] | None:
    ask = partial(consumer.get_watermark_offsets, partition, timeout=_ASK_SECONDS)
    # A leader may be on its way to another broker.
    return retry_transient(ask, timeout_seconds=_ASK_SECONDS, pause_seconds=_AGAIN_SECONDS)


def _broker_error(bootstrap_servers: str, client_options: Mapping[str, str] | None, error: KafkaError) -> BrokerError:
    return BrokerError(explain(error, bootstrap_servers, client_options or {}))
