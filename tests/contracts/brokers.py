"""The brokers that source and sink are held to their contracts on: memory, librdkafka's mock cluster, a real one."""

import asyncio
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Protocol

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from tests.real_kafka import recreate_topic
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.adapters.kafka.sink import KafkaSink
from worker.adapters.kafka.source import KafkaSource
from worker.adapters.kafka.transactions import KafkaTransactions
from worker.domain.records import CommitPoint, OutgoingRecord, Record, TopicPartition
from worker.ports import RecordSink, RecordSource, TransactionalSink
from worker.settings import KafkaSettings
from worker.testing.broker import MemoryBroker
from worker.testing.events import RecordedEvents
from worker.testing.sink import MemorySink
from worker.testing.source import MemorySource
from worker.testing.transactions import MemoryTransactions

PARTITIONS = 4

# The mock cluster and the real broker have KIP-848 groups; the classic ones are tried on the real one.
ALL = ("memory", "mock", pytest.param("real", marks=pytest.mark.real))
# The mock cluster does not show positions that were written in a transaction.
TRANSACTIONAL = ("memory", ALL[2], pytest.param("classic", marks=pytest.mark.real))
ALL_PROTOCOLS = (*ALL, pytest.param("classic", marks=pytest.mark.real))


class Broker(Protocol):
    """What the contracts need of a broker; each instance has one group of its own."""

    topic: str

    @property
    def moves_partitions(self) -> bool:
        """Whether its coordinator gives partitions of one living member to another."""

    @property
    def limits_sizes(self) -> bool:
        """Whether a topic's size limit is kept."""

    @property
    def tells_topic_ids(self) -> bool:
        """Whether it tells a topic from an earlier one of its name."""

    def source(
        self, start_from: Literal["earliest", "latest"] = "earliest", max_delay_seconds: float | None = None
    ) -> RecordSource:
        """Return a new member of the group. With a longest delay, `topic` is a retry topic."""

    def sink(self) -> RecordSink:
        """Return a new sink."""

    def transactions(self, source: RecordSource) -> TransactionalSink:
        """Return what writes in transactions for a member of the group."""

    async def create(self, topic: str, max_message_bytes: int | None = None) -> None:
        """Create a topic of four partitions."""

    async def recreate(self, partitions: int = PARTITIONS) -> None:
        """Delete `topic` and create it again."""

    async def write(self, record: OutgoingRecord, partition: int) -> None:
        """Write a record to a partition, around any sink."""

    async def read(self, topic: str, count: int) -> list[Record]:
        """Return the first records of a topic."""

    async def committed(self, partition: int) -> CommitPoint | None:
        """Return what the group has committed for a partition of `topic`."""

    async def commit(self, partition: int, point: CommitPoint) -> None:
        """Let the group, which has no members, have committed this for a partition of `topic`."""


class Memory:
    """No broker at all."""

    moves_partitions = False
    limits_sizes = True
    tells_topic_ids = True

    def __init__(self) -> None:
        self.topic = "jobs"
        self.broker = MemoryBroker(clock=SystemClock())

    def source(
        self, start_from: Literal["earliest", "latest"] = "earliest", max_delay_seconds: float | None = None
    ) -> MemorySource:
        return MemorySource(
            self.broker,
            [self.topic],
            start_from=start_from,
            delayed_topics=[self.topic] if max_delay_seconds else [],
            max_delay_seconds=max_delay_seconds or 1,
            clock=SystemClock(),
        )

    def sink(self) -> MemorySink:
        return MemorySink(self.broker)

    def transactions(self, source: RecordSource) -> MemoryTransactions:
        return MemoryTransactions(self.broker, source)

    async def create(self, topic: str, max_message_bytes: int | None = None) -> None:
        self.broker.create_topic(topic, PARTITIONS, max_message_bytes)

    async def recreate(self, partitions: int = PARTITIONS) -> None:
        self.broker.delete_topic(self.topic)
        self.broker.create_topic(self.topic, partitions)

    async def write(self, record: OutgoingRecord, partition: int) -> None:
        self.broker.append(record.topic, record.value, key=record.key, headers=record.headers, partition=partition)

    async def read(self, topic: str, count: int) -> list[Record]:
        return self.broker.records(topic)[:count]

    async def committed(self, partition: int) -> CommitPoint | None:
        return self.broker.committed.get(("labelwire", TopicPartition(self.topic, partition)))

    async def commit(self, partition: int, point: CommitPoint) -> None:
        self.broker.committed["labelwire", TopicPartition(self.topic, partition)] = point


class Kafka:
    """A broker that speaks Kafka's protocol, and a group that speaks one of its two."""

    moves_partitions = True

    def __init__(
        self, bootstrap_servers: str, *, limits_sizes: bool, group_protocol: Literal["auto", "classic"] = "auto"
    ) -> None:
        self.topic = f"jobs-{uuid.uuid4().hex[:12]}"
        self.limits_sizes = limits_sizes
        self.tells_topic_ids = limits_sizes  # the mock cluster does neither
        self.events = RecordedEvents()
        self.settings = KafkaSettings(
            bootstrap_servers=bootstrap_servers,
            group_id=f"group-{uuid.uuid4().hex[:12]}",
            group_protocol=group_protocol,
            transaction_timeout_seconds=5,
        )

    def source(
        self, start_from: Literal["earliest", "latest"] = "earliest", max_delay_seconds: float | None = None
    ) -> KafkaSource:
        return KafkaSource(
            self.settings.model_copy(update={"start_from": start_from}),
            [self.topic],
            delayed_topics=[self.topic] if max_delay_seconds else [],
            max_delay_seconds=max_delay_seconds or 1,
            drain_seconds=5.0,
            clock=SystemClock(),
            event_sink=self.events,
        )

    def sink(self) -> KafkaSink:
        return KafkaSink(self.settings)

    def transactions(self, source: RecordSource) -> KafkaTransactions:
        assert isinstance(source, KafkaSource)
        return KafkaTransactions(self.settings, lambda: source.group_metadata)

    async def create(self, topic: str, max_message_bytes: int | None = None) -> None:
        configs: Mapping[str, str] = {"max.message.bytes": str(max_message_bytes)} if max_message_bytes else {}
        spec = TopicSpec(topic, PARTITIONS, configs)
        await asyncio.to_thread(create_topics, self.settings.bootstrap_servers, [spec])

    async def recreate(self, partitions: int = PARTITIONS) -> None:
        admin = AdminClient({"bootstrap.servers": self.settings.bootstrap_servers})
        await asyncio.to_thread(recreate_topic, admin, self.topic, partitions)

    async def write(self, record: OutgoingRecord, partition: int) -> None:
        producer = Producer({"bootstrap.servers": self.settings.bootstrap_servers, "linger.ms": 0})
        headers: list[tuple[str, str | bytes | None]] = [*record.headers]
        producer.produce(record.topic, record.value, record.key, partition=partition, headers=headers)
        assert await asyncio.to_thread(producer.flush, 20.0) == 0

    async def read(self, topic: str, count: int) -> list[Record]:
        return await asyncio.to_thread(self._read, topic, count)

    def _read(self, topic: str, count: int) -> list[Record]:
        records: list[Record] = []
        deadline = time.monotonic() + 20
        with TopicReader(self.settings.bootstrap_servers, [topic]) as reader:
            while len(records) < count and time.monotonic() < deadline:
                record = reader.poll(0.2)
                records += [record] if record else []
        return records

    async def committed(self, partition: int) -> CommitPoint | None:
        return await asyncio.to_thread(self._committed, partition)

    def _committed(self, partition: int) -> CommitPoint | None:
        with self._onlooker() as consumer:
            (found,) = consumer.committed([KafkaPartition(self.topic, partition)], timeout=20)
        return CommitPoint(found.offset, found.metadata or "") if found.offset >= 0 else None

    async def commit(self, partition: int, point: CommitPoint) -> None:
        await asyncio.to_thread(self._commit, partition, point)

    def _commit(self, partition: int, point: CommitPoint) -> None:
        offset = KafkaPartition(self.topic, partition, point.offset, point.metadata)
        with self._onlooker() as consumer:
            consumer.commit(offsets=[offset], asynchronous=False)

    @contextmanager
    def _onlooker(self) -> Iterator[Consumer]:
        """Speak for the group without being its member."""
        options = {"bootstrap.servers": self.settings.bootstrap_servers, "group.id": self.settings.group_id}
        consumer = Consumer(options)
        try:
            yield consumer
        finally:
            consumer.close()
