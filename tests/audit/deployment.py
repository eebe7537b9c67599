"""A deployment's topics on a real broker, filled with what a test's `Logs` hold."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from tests.audit.histories import Logs, all_topics
from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.commits import kafka_offsets
from worker.domain.records import CommitPoint, Record, TopicPartition
from worker.settings import KafkaSettings, TopicSettings


class Deployment:
    """One partition a topic, so that offsets are those of the logs."""

    def __init__(self, bootstrap_servers: str, configs: Mapping[str, str] | None = None) -> None:
        name = f"audit-{uuid.uuid4().hex[:12]}"
        self.kafka = KafkaSettings(bootstrap_servers=bootstrap_servers, group_id=name)
        self.topics = TopicSettings(jobs=name, results=f"{name}.text", dead_letters=f"{name}.dlq")
        self.logs = Logs(self.topics)
        create_topics(bootstrap_servers, [TopicSpec(topic, 1, configs or {}) for topic in all_topics(self.topics)])
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 1})
        self._written = 0

    def write(self) -> None:
        """Write what the logs hold and the broker does not have yet."""
        new = list(self.logs.records.values())[self._written :]
        self._written += len(new)
        produce(self._producer, new)
        assert self._producer.flush(20) == 0

    def commit(self, positions: Mapping[TopicPartition, CommitPoint] | None = None) -> None:
        """Commit what the logs say is done."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap_servers, "group.id": self.kafka.group_id})
        try:
            consumer.commit(offsets=kafka_offsets(positions or self.logs.positions()), asynchronous=False)
        finally:
            consumer.close()

    def remove_below(self, topic: str, offset: int) -> None:
        """Let the broker remove a topic's first records, as its retention would."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        for outcome in admin.delete_records([KafkaPartition(topic, 0, offset)]).values():
            outcome.result(20)

    def transaction(self) -> Producer:
        """Begin a transaction."""
        options = {"bootstrap.servers": self.kafka.bootstrap_servers, "transactional.id": uuid.uuid4().hex}
        producer = Producer(options)
        producer.init_transactions(20)
        producer.begin_transaction()
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
        producer.produce(at.topic, record.value, record.key, at.partition, headers=headers)
        producer.poll(0)
