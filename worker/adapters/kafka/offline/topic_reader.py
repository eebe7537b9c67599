"""Writing a batch of records and reading topics from their start, outside any worker.

Readers here are members of no group and commit nothing: reading a topic changes nothing for its consumers.
Errors of librdkafka leave this module as BrokerError.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.clock import SystemClock
from worker.adapters.kafka.admin import connected, translated
from worker.adapters.kafka.diagnosis import explain, missing_right
from worker.adapters.kafka.messages import to_record
from worker.adapters.kafka.offline.standalone import MAX_MESSAGE_BYTES, IsolationLevel, standalone_consumer
from worker.adapters.kafka.topic_ids import TopicIds
from worker.adapters.kafka.topic_watch import TopicWatch
from worker.adapters.kafka.transient import is_transient
from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, OutgoingRecord, Record, TopicPartition

_DELIVERY_SECONDS = 60.0
_METADATA_SECONDS = 15.0
_LOGGER = logging.getLogger(__name__)


def submit(
    bootstrap_servers: str,
    records: Iterable[OutgoingRecord],
    client_options: Mapping[str, str] | None = None,
    on_delivered: Callable[[], None] | None = None,
) -> int:
    """Write records and return how many; all of them are acknowledged then.

    `on_delivered` is called for each one. Raises BrokerError if any is not acknowledged within a minute.
    """
    connected(bootstrap_servers, client_options, timeout_seconds=_METADATA_SECONDS)
    delivery = _Delivery(bootstrap_servers, client_options or {}, on_delivered)
    producer = Producer(
        {
            **(client_options or {}),
            "bootstrap.servers": bootstrap_servers,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "delivery.timeout.ms": int(_DELIVERY_SECONDS * 1000),
            # A batch that is sent again neither comes twice nor after a later one; with more than one in flight
            # librdkafka may acknowledge what a leader that has just come up did not take.
            "enable.idempotence": True,
            "max.in.flight.requests.per.connection": 1,
            "logger": _LOGGER,
        }
    )
    for record in records:
        _produce(producer, record, delivery)
    producer.flush(_DELIVERY_SECONDS)
    delivery.check()
    return delivery.acknowledged


def _produce(producer: Producer, record: OutgoingRecord, delivery: "_Delivery") -> None:
    while True:
        try:
            producer.produce(record.topic, record.value, record.key, headers=list(record.headers), on_delivery=delivery)
        except BufferError:
            producer.poll(0.5)
        except KafkaException as error:
            raise BrokerError(f"Kafka refused a record for {record.topic}: {error.args[0]}") from error
        else:
            delivery.asked += 1
            producer.poll(0)
            return


class _Delivery:
    """Counts the records that the broker acknowledged."""

    def __init__(
        self, bootstrap_servers: str, client_options: Mapping[str, str], on_delivered: Callable[[], None] | None
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._client_options = client_options
        self._on_delivered = on_delivered
        self._refusal: str | None = None
        self.asked = 0
        self.acknowledged = 0

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Take librdkafka's report on one record."""
        if error is not None:
            denied = error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
            said = missing_right(self._client_options, "Write", "topic", message.topic() or "") if denied else ""
            self._refusal = self._refusal or said or f"{error.str()} ({message.topic()})."
            return
        self.acknowledged += 1
        if self._on_delivered:
            self._on_delivered()

    def check(self) -> None:
        """Raise BrokerError unless every record was acknowledged."""
        if self.acknowledged < self.asked:
            reason = self._refusal or "no answer."
            raise BrokerError(
                f"Kafka at {self._bootstrap_servers} took {self.acknowledged} of {self.asked} records: {reason}"
            )


class TopicReader:
    """Reads all partitions of some topics, from their beginning and on; a context manager.

    The topics must exist when it is made. One that is deleted and created again meanwhile is read from its beginning as
    soon as that is noticed; some of its records may come twice then. Of transactions it reads those that were
    committed, or with `read_uncommitted` all. Raises BrokerError.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topics: Iterable[str],
        client_options: Mapping[str, str] | None = None,
        *,
        isolation_level: IsolationLevel = "read_committed",
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = tuple(topics)
        self._options = client_options or {}
        self._ids = TopicIds(partial(connected, bootstrap_servers, self._options, timeout_seconds=_METADATA_SECONDS))
        self._watch = TopicWatch(self._ids, SystemClock())
        self._consumer = standalone_consumer(bootstrap_servers, client_options, isolation_level=isolation_level)
        self._begin(self._topics)

    def poll(self, timeout_seconds: float) -> Record | None:
        """Return the next record, None if none comes in time."""
        recreated = {partition.topic for partition in self._watch.recreated()}
        if recreated:
            self._begin(recreated)
        message = self._consumer.poll(timeout_seconds)
        if message is None:
            return None
        error = message.error()
        if error is not None:
            if is_transient(error):
                return None
            raise BrokerError(explain(error, self._bootstrap_servers, self._options))
        return to_record(message)

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

    def _begin(self, topics: Collection[str]) -> None:
        """Read these topics from their beginning; the others go on."""
        with translated(self._bootstrap_servers, self._options):
            ids = self._ids.of(topics)
            partitions = [(topic, number) for topic in topics for number in range(self._partition_count(topic))]
            former = [each for each in self._consumer.assignment() if each.topic in topics]
            self._watch.release([TopicPartition(each.topic, each.partition) for each in former])
            self._consumer.incremental_unassign(former)
            self._consumer.incremental_assign([KafkaPartition(*each, OFFSET_BEGINNING) for each in partitions])
        begun = {TopicPartition(*each): CommitPoint(0, topic_id=ids[each[0]]) for each in partitions}
        self._watch.hold(begun)

    def _partition_count(self, topic: str) -> int:
        try:
            found = self._consumer.list_topics(topic, timeout=_METADATA_SECONDS).topics[topic]
        except KafkaException as error:
            raise BrokerError(explain(error.args[0], self._bootstrap_servers, self._options)) from error
        if found.error is not None and found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise BrokerError(missing_right(self._options, "Read", "topic", topic))
        if found.error is not None:
            raise BrokerError(f"Kafka at {self._bootstrap_servers}: topic {topic}: {found.error.str()}")
        return len(found.partitions)
