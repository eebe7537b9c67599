"""What keeps a worker from its topics is named, stops it without loss, and is over by itself once it is mended.

The broker is a real one that knows its users; the worker's Kafka is real, its Triton is not. Jobs are sent and results
read by plain clients.
"""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined]

from tests.adapters.kafka.secured_broker import PASSWORD, USER, SecuredKafka
from tests.runtime.parts import PICTURE
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.access import KafkaAccess
from worker.adapters.kafka.admin import create_topics
from worker.adapters.kafka.sink import KafkaSink
from worker.adapters.kafka.source import KafkaSource
from worker.adapters.kafka.topics import topic_specs
from worker.bootstrap import Ports, Worker, build
from worker.domain.errors import LocalStackError
from worker.local.stack import provision_kafka
from worker.settings import KafkaSettings, RuntimeSettings, Settings, TopicSettings
from worker.testing.backend import FakeBackend
from worker.testing.blob import MemoryBlobStore
from worker.testing.events import RecordedEvents
from worker.testing.isolation import FakeIsolation

pytestmark = pytest.mark.real

READ, WRITE, DESCRIBE_CONFIGS = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS
TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    try:
        provision_kafka()
    except LocalStackError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has to run on a real Kafka: {error}")
        pytest.skip(f"no real Kafka here: {error}")
    with SecuredKafka(run_dir=tmp_path_factory.mktemp("secured-kafka")) as server:
        yield server


def client(secured: SecuredKafka, **more: str) -> dict[str, str]:
    """Return the options of the user, with more."""
    options = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
    }
    return options | {name.replace("_", "."): value for name, value in more.items()}


@dataclass
class Deployment:
    """Topics and a group of their own, on which the user has all rights that a worker needs."""

    secured: SecuredKafka
    prefix: str = field(default_factory=lambda: f"s{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.topics = TopicSettings(
            jobs=f"{self.prefix}-jobs", results=f"{self.prefix}-text", dead_letters=f"{self.prefix}-dlq"
        )
        create_topics(self.secured.bootstrap_servers, topic_specs(self.topics, 1, 8 * 2**20))
        topics = self.topics
        for name in (topics.jobs, *topics.retry_topics, topics.replay_topic):
            self.secured.allow(TOPIC, name, READ)
        for name in (topics.results, topics.dead_letters, *topics.retry_topics):
            self.secured.allow(TOPIC, name, WRITE)
        self.secured.allow(GROUP, self.prefix, READ)

    def settings(self, group_protocol: str = "auto") -> Settings:
        return Settings(
            kafka=KafkaSettings.model_validate(
                {
                    "bootstrap_servers": self.secured.sasl,
                    "group_id": self.prefix,
                    "group_protocol": group_protocol,
                    "client": client(self.secured),
                }
            ),
            topics=self.topics,
            runtime=RuntimeSettings(readiness_interval_seconds=0.3, drain_seconds=3),
        )

    def submit(self, *values: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.secured.bootstrap_servers})
        for number, value in enumerate(values):
            headers = [("content-type", b"image/png"), ("job-id", str(number).encode())]
            producer.produce(self.topics.jobs, value, headers=headers)
        assert producer.flush(20) == 0

    def read(self, topic: str) -> list[bytes]:
        """Return what stands on a topic of one partition now."""
        consumer = Consumer({"bootstrap.servers": self.secured.bootstrap_servers, "group.id": "anybody"})
        _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        values = []
        while len(values) < high:
            message = consumer.poll(5)
            assert message is not None
            values.append(message.value() or b"")
        consumer.close()
        return values


@pytest.fixture
def deployment(secured: SecuredKafka) -> Deployment:
    return Deployment(secured)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Worker]:
    """Run a worker with real Kafka clients in this process."""
    events, clock, topics = RecordedEvents(), SystemClock(), settings.topics
    source = KafkaSource(
        settings.kafka,
        [topics.jobs, *topics.retry_topics, topics.replay_topic],
        delayed_topics=topics.retry_topics,
        drain_seconds=3,
        clock=clock,
        event_sink=events,
    )
    sink, stopping = KafkaSink(settings.kafka), asyncio.Event()
    isolation = FakeIsolation(lambda _record, _attempt: pytest.fail("no suspects here"))
    ports = Ports(source, sink, FakeBackend(), isolation, clock, events, MemoryBlobStore())
    ports = Ports(
        source, sink, FakeBackend(), isolation, clock, events, MemoryBlobStore(), access=KafkaAccess(settings.kafka)
    )
    with ThreadPoolExecutor(2) as executor:
        worker = build(settings, ports, executor)
        life = asyncio.create_task(worker.lifecycle.run(stopping))
        try:
            yield worker
            assert not life.done(), "it lives on"
        finally:
            stopping.set()
            await life
            await worker.guard.close()
            await sink.close()


async def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.1)


def spoil_results(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    return TOPIC, it.topics.results, WRITE


def spoil_letters(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    return TOPIC, it.topics.dead_letters, WRITE


def spoil_retries(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    return TOPIC, it.topics.retry_topics[0], WRITE


def spoil_jobs(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    return TOPIC, it.topics.jobs, READ


def spoil_group(it: Deployment) -> tuple[ResourceType, str, AclOperation]:
    return GROUP, it.prefix, READ


@pytest.mark.parametrize(
    ("spoil", "protocol"),
    [
        (spoil_results, "auto"),
        (spoil_letters, "auto"),
        (spoil_retries, "auto"),
        (spoil_jobs, "auto"),
        (spoil_jobs, "classic"),
        (spoil_group, "auto"),
        (spoil_group, "classic"),
    ],
)
async def test_a_right_that_goes_while_it_works_is_named_and_nothing_is_lost(
    deployment: Deployment, spoil: Callable[[Deployment], tuple[ResourceType, str, AclOperation]], protocol: str
) -> None:
    kind, name, operation = spoil(deployment)
    async with working(deployment.settings(protocol)) as worker:
        await until(lambda: worker.health.ready)
        await asyncio.to_thread(deployment.secured.forbid, kind, name, operation)
        await asyncio.to_thread(deployment.submit, PICTURE, b"no picture")
        await until(lambda: not worker.health.ready)
        named = f"Kafka does not let user {USER!r} {operation.name.capitalize()} {kind.name.lower()} {name}: grant it"
        await until(lambda: named in worker.health.reason)
        assert worker.health.alive
        await asyncio.to_thread(deployment.secured.allow, kind, name, operation)
        await until(lambda: worker.health.ready)
        await until(lambda: len(deployment.read(deployment.topics.results)) == 1)
        await until(lambda: len(deployment.read(deployment.topics.dead_letters)) == 1)
    assert deployment.read(deployment.topics.dead_letters) == [b"no picture"]
