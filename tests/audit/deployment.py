"""A deployment's topics on a real broker, filled with what a test's `Logs` hold."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, Producer, TopicCollection
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from tests.audit.histories import Logs
from tests.real_kafka import recreate_topic
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.commits import kafka_offsets
from worker.audit.consistent_cut import input_topics, outcome_topics
from worker.domain.records import CommitPoint, Record, TopicPartition
from worker.settings import KafkaSettings, TopicSettings


class Deployment:
    """One partition a topic, so that offsets are those of the logs."""

    def __init__(self, bootstrap_servers: str, configs: Mapping[str, str] | None = None) -> None:
        name = f"audit-{uuid.uuid4().hex[:12]}"
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap_servers, group_id=name)
        self.topics = TopicSettings(jobs=name, results=f"{name}.text", dead_letters=f"{name}.dlq")
        self.logs = Logs(self.topics, SystemClock().epoch_ms())  # retention may take what is much older
        names = (self.topics.jobs, *outcome_topics(self.topics))
        create_topics(bootstrap_servers, [TopicSpec(topic, 1, configs or {}) for topic in names])
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 1})
        self._consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": name})
        self._transactional: Producer | None = None
        self._written = 0

    def write(self) -> None:
        """Write what the logs hold and the broker does not have yet."""
        new = list(self.logs.records.values())[self._written :]
        self._written += len(new)
        produce(self._producer, new)
        assert self._producer.flush(20) == 0

    def commit(self, positions: Mapping[TopicPartition, CommitPoint] | None = None) -> None:
        """Commit what the logs say is done."""
        self._consumer.commit(offsets=kafka_offsets(positions or self.logs.positions()), asynchronous=False)

    def write_in_transaction(self, records: Iterable[Record]) -> None:
        """Write records and positions together, as a worker does that delivers exactly once."""
        if self._transactional is None:
            self._transactional = self._new_transactional()
        self._transactional.begin_transaction()
        written = list(records)
        self._written += len(written)
        produce(self._transactional, written)
        offsets, group = kafka_offsets(self.logs.positions()), self._consumer.consumer_group_metadata()
        self._transactional.send_offsets_to_transaction(offsets, group, 20)
        self._transactional.commit_transaction(20)

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
        self._producer.flush(20)

    def remove_below(self, topic: str, offset: int) -> None:
        """Let the broker remove a topic's first records, as its retention would."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        for outcome in admin.delete_records([KafkaPartition(topic, 0, offset)]).values():
            outcome.result(20)

    def recreate(self, topic: str) -> None:
        """Delete a topic and create it again; the logs begin it anew as well."""
        recreate_topic(AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers}), topic, 1)
        self._written -= self.logs.begin_anew(topic)

    def topic_ids(self) -> dict[str, str]:
        """Return the id of each topic that workers read, as a plain client is told it."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        asked = admin.describe_topics(TopicCollection(list(input_topics(self.topics))))
        return {topic: str(described.result(20).topic_id) for topic, described in asked.items()}

    def transaction(self) -> Producer:
        """Begin a transaction."""
        producer = self._new_transactional()
        producer.begin_transaction()
        return producer

    def _new_transactional(self) -> Producer:
        options = {"bootstrap.servers": self.kafka.bootstrap_servers, "transactional.id": uuid.uuid4().hex}
        producer = Producer(options)
        producer.init_transactions(20)
        return producer

    def environment(self) -> dict[str, str]:
        """Return the settings as a user sets them."""
        return {
            "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "LABELWIRE_KAFKA__GROUP_ID": self.kafka.group_id,
            "LABELWIRE_TOPICS__JOBS": self.topics.jobs,
            "LABELWIRE_TOPICS__RESULTS": self.topics.results,
            "LABELWIRE_TOPICS__DEAD_LETTERS": self.topics.dead_letters,
        }


def produce(producer: Producer, records: Iterable[Record]) -> None:
    """Hand records to a producer, for the partition where they stand."""
    for record in records:
        headers: list[Any] = list(record.headers)
        at = record.coordinate
        producer.produce(
            at.topic, record.value, record.key, at.partition, timestamp=record.timestamp_ms, headers=headers
        )
        producer.poll(0)
