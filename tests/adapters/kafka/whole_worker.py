"""A whole worker in this process, on a real Kafka and a fake Triton, and a plain client beside it."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from tests.real_kafka import create_topic, recreate_topic
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.permissions import KafkaAccess
from worker.adapters.kafka.sink import KafkaSink
from worker.adapters.kafka.source import KafkaSource
from worker.adapters.kafka.transactions import KafkaTransactions
from worker.bootstrap import Ports, Worker, build
from worker.domain.records import Record
from worker.domain.result import LabelText
from worker.settings import KafkaSettings, RuntimeSettings, Settings, TopicSettings
from worker.testing.backend import FakeBackend
from worker.testing.blob import MemoryBlobStore
from worker.testing.block_font import BlockLine, draw_blocks, encode_png
from worker.testing.events import RecordedEvents
from worker.testing.isolation import FakeIsolation

PICTURE = encode_png(draw_blocks([BlockLine("HELLO", 30, 40)], width=240, height=120))
PATIENCE_SECONDS = 60.0
_ANSWER_SECONDS = 20.0
_MAX_BYTES = 1024 * 1024


class Deployment:
    """Topics and a group of their own. What is done here is done with librdkafka's plain clients alone."""

    def __init__(self, bootstrap_servers: str, *, replicas: int = 1, **kafka: object) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._replicas = replicas
        name = f"whole-{uuid.uuid4().hex[:10]}"
        self.settings = Settings(
            kafka=KafkaSettings.model_validate({"bootstrap_servers": bootstrap_servers, "group_id": name, **kafka}),
            topics=TopicSettings(jobs=f"{name}-images", results=f"{name}-text", dead_letters=f"{name}-dlq"),
            runtime=RuntimeSettings(
                drain_seconds=5, readiness_interval_seconds=0.5, retry_delays_seconds=(0.5, 0.5, 0.5)
            ),
        )
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        topics = self.settings.topics
        self.jobs, self.results, self.letters = topics.jobs, topics.results, topics.dead_letters
        for topic in (self.jobs, self.results):
            self.create(topic, 2)
        for topic in (*topics.retry_topics, topics.replay_topic, self.letters):
            self.create(topic, 2, max_bytes=2 * _MAX_BYTES)

    def create(self, topic: str, partitions: int, max_bytes: int = _MAX_BYTES, broker: int | None = None) -> None:
        """Create a topic, on one broker alone if it is given, as soon as an earlier one of its name is gone."""
        configs, placement = {"max.message.bytes": str(max_bytes)}, self._placement(partitions, broker)
        create_topic(self._admin, topic, partitions, configs, **placement)

    def recreate(self, topic: str, partitions: int = 2, max_bytes: int = _MAX_BYTES, broker: int | None = None) -> None:
        """Delete a topic and create it again at once."""
        configs, placement = {"max.message.bytes": str(max_bytes)}, self._placement(partitions, broker)
        recreate_topic(self._admin, topic, partitions, configs, **placement)

    def _placement(self, partitions: int, broker: int | None) -> dict[str, Any]:
        if broker is None:
            return {"replication_factor": self._replicas}
        return {"replica_assignment": [[broker]] * partitions}

    def add_partitions(self, topic: str, partitions: int) -> None:
        """Let a topic have so many partitions from now on."""
        self._admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(_ANSWER_SECONDS)

    def remove_records(self, ends: Mapping[tuple[str, int], int]) -> None:
        """Remove the records below these offsets, as retention does."""
        asked = [TopicPartition(*partition, end) for partition, end in ends.items()]
        for removed in self._admin.delete_records(asked).values():
            removed.result(_ANSWER_SECONDS)

    def set_limit(self, topic: str, max_bytes: int) -> None:
        """Change a topic's max.message.bytes."""
        self.configure(topic, "max.message.bytes", str(max_bytes))

    def configure(self, topic: str, name: str, value: str) -> None:
        """Change a config of a topic."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for changed in self._admin.incremental_alter_configs([resource]).values():
            changed.result(_ANSWER_SECONDS)

    def write(
        self, topic: str, names: Collection[str], partitions: Collection[int] = (0, 1), value: bytes = PICTURE
    ) -> set[str]:
        """Write jobs of these names to the partitions in turn, and return the names."""
        producer = Producer({"bootstrap.servers": self._bootstrap_servers, "linger.ms": 5})
        turns = list(partitions)
        for number, name in enumerate(names):
            producer.produce(
                topic,
                value,
                partition=turns[number % len(turns)],
                headers=[("content-type", b"image/png"), ("job-id", name.encode())],
            )
        assert producer.flush(_ANSWER_SECONDS) == 0
        return set(names)

    def read(self, topic: str) -> list[Message]:
        """Return all records of a topic, by a consumer that is a member of no group."""
        options = {"group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": True}
        reader = Consumer({"bootstrap.servers": self._bootstrap_servers, **options})
        try:
            found = reader.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic]
            reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in found.partitions])
            messages: list[Message] = []
            unfinished, deadline = set(found.partitions), time.monotonic() + _ANSWER_SECONDS
            while unfinished:
                assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
                for message in reader.consume(500, 0.05):
                    error = message.error()
                    if error is None:
                        messages.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own name
                        unfinished.discard(message.partition())
        finally:
            reader.close()
        return messages

    def names(self, topic: str) -> list[str]:
        """Return the jobs that a topic's records name."""
        return [dict(message.headers() or [])["labelwire.job-id"].decode() for message in self.read(topic)]  # type: ignore[union-attr]

    def committed(self, topic: str, partitions: int) -> list[int]:
        """Return what the group has committed, as any client sees it."""
        return [found.offset for found in self.positions(topic, partitions)]

    def positions(self, topic: str, partitions: int) -> list[TopicPartition]:
        """Return the group's positions with their metadata."""
        group = self.settings.kafka.group_id
        onlooker = Consumer({"bootstrap.servers": self._bootstrap_servers, "group.id": group})
        try:
            return onlooker.committed([TopicPartition(topic, n) for n in range(partitions)], timeout=_ANSWER_SECONDS)
        finally:
            onlooker.close()

    def put_positions(self, positions: list[TopicPartition]) -> None:
        """Commit positions for the group, which has no members now."""
        group = self.settings.kafka.group_id
        onlooker = Consumer({"bootstrap.servers": self._bootstrap_servers, "group.id": group})
        try:
            onlooker.commit(offsets=positions, asynchronous=False)
        finally:
            onlooker.close()

    async def until_named(self, topic: str, wanted: Collection[str]) -> list[str]:
        """Wait until a topic names all of these jobs, and return all that it names."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while missing := set(wanted) - set(named := await asyncio.to_thread(self.names, topic)):
            assert time.monotonic() < deadline, f"{len(missing)} of {len(wanted)} never came to {topic}"
            await asyncio.sleep(0.2)
        return named


class RunningWorker:
    """A worker that runs, and what it says."""

    def __init__(self, worker: Worker, backend: FakeBackend, events: RecordedEvents) -> None:
        self.worker = worker
        self.backend = backend
        self.events = events

    async def until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.worker.health.ready:
            assert time.monotonic() < deadline, f"it says {self.worker.health.reason!r}"
            await asyncio.sleep(0.05)

    async def until_unready(self, why: str) -> None:
        """Wait until it is not ready, and says this of it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while why not in self.worker.health.reason:
            assert time.monotonic() < deadline, f"it says {self.worker.health.reason!r}, not {why!r}"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running(deployment: Deployment, *, exactly_once: bool = False) -> AsyncIterator[RunningWorker]:
    """Run a worker until the block ends, then stop it in an orderly way."""
    settings, clock, events = deployment.settings, SystemClock(), RecordedEvents()
    topics = settings.topics
    source = KafkaSource(
        settings.kafka,
        [topics.jobs, *topics.retry_topics, topics.replay_topic],
        delayed_topics=topics.retry_topics,
        max_delay_seconds=2 * max(settings.runtime.retry_delays_seconds),
        drain_seconds=settings.runtime.drain_seconds,
        clock=clock,
        event_sink=events,
    )
    sink, backend = KafkaSink(settings.kafka), FakeBackend()
    transactions = KafkaTransactions(settings.kafka, lambda: source.group_metadata) if exactly_once else None
    stopping = asyncio.Event()
    with ThreadPoolExecutor(2) as executor:
        ports = Ports(
            source,
            sink,
            backend,
            FakeIsolation(_nothing_is_suspect),
            clock,
            events,
            MemoryBlobStore(),
            transactions,
            KafkaAccess(settings.kafka, lambda: source.is_group_denied),
        )
        worker = build(settings, ports, executor)
        task = asyncio.create_task(worker.lifecycle.run(stopping))
        try:
            yield RunningWorker(worker, backend, events)
        finally:
            stopping.set()
            await task
            await sink.close()
            if transactions is not None:
                await transactions.close()


async def _nothing_is_suspect(_record: Record, _attempt: int) -> LabelText:
    raise AssertionError("no worker was killed here")
