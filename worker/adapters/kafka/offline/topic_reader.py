"""Reading topics from their beginning and on, outside any worker.

Readers are members of no group and commit nothing: reading a topic changes nothing for its consumers. Errors of
librdkafka leave this module as BrokerError.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.clock import SystemClock
from worker.adapters.kafka.admin import connected, translated
from worker.adapters.kafka.diagnosis import explain, missing_right
from worker.adapters.kafka.messages import to_record
from worker.adapters.kafka.offline.standalone import IsolationLevel, concerns_group, standalone_consumer
from worker.adapters.kafka.topic_ids import TopicIds
from worker.adapters.kafka.topic_watch import TopicWatch
from worker.adapters.kafka.transient import is_transient
from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, Record, TopicPartition

_METADATA_SECONDS = 15.0


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
            if is_transient(error) or concerns_group(error):
                return None
            if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise BrokerError(missing_right(self._options, "Read", "topic", message.topic() or ""))
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
