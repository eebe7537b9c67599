"""How a worker joins its group, and how the broker deals partitions out to the members."""

import asyncio
import logging
import time
from collections import Counter
from typing import Any, Literal

import pytest
from confluent_kafka import Consumer, KafkaError

from tests.adapters.kafka.scripted_consumer import TOPIC, Brought, ScriptedConsumer, ScriptedTopics, fatal
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.membership import (
    api_lines,
    consumer_options,
    has_consumer_protocol,
    reports_consumer_protocol,
)
from worker.adapters.kafka.source import KafkaSource
from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, Record, TopicPartition
from worker.local.kafka import KafkaServer, MockKafka
from worker.settings import KafkaSettings
from worker.testing.events import RecordedEvents

API = "APIVERSION [rdkafka#producer-1] [thrd:a:1/bootstrap]: a:1/bootstrap:   ApiKey {} Versions {}"
OTHERS = [API.format("Heartbeat (12)", "0..4"), API.format("ShareGroupHeartbeat (76)", "1..1")]


class Joins:
    """Makes scripted consumers, the first of which brings errors, and listens."""

    def __init__(self, *errors: KafkaError) -> None:
        self.errors = list(errors)
        self.protocols: list[str] = []
        self.consumers: list[ScriptedConsumer] = []
        self.received_offsets: list[int] = []
        self.ended: list[BaseException] = []
        self.changed = asyncio.Event()

    def made_with(self, options: dict[str, Any]) -> Any:  # noqa: ANN401 - it stands in for a class of C
        consumer = ScriptedConsumer()
        self.protocols.append(options["group.protocol"])
        self.consumers.append(consumer)
        if self.errors:
            error = self.errors.pop(0)
            consumer.polls.append(lambda _: Brought(0, 0, error))
        else:
            consumer.polls.extend([lambda made: made.rebalance("on_assign", 0), lambda _: Brought(0)])
        return consumer.made_with(options)

    def received(self, records: list[Record]) -> None:
        self.received_offsets += [record.coordinate.offset for record in records]
        self.changed.set()

    async def assigned(self, _partitions: object) -> dict[TopicPartition, CommitPoint]:
        return {}

    async def revoked(self, _partitions: object) -> dict[TopicPartition, CommitPoint]:
        return {}

    def lost(self, partitions: object) -> None:
        """It starts over."""

    def failed(self, error: BaseException) -> None:
        self.ended.append(error)
        self.changed.set()

    def source(
        self, group_protocol: Literal["auto", "consumer", "classic"], *, broker_has_it: bool = True
    ) -> KafkaSource:
        return KafkaSource(
            KafkaSettings(group_protocol=group_protocol, group_instance_id="pod-1"),
            [TOPIC],
            drain_seconds=1,
            clock=SystemClock(),
            event_sink=RecordedEvents(),
            make_consumer=self.made_with,
            topic_ids=ScriptedTopics().made_for,
            probe=lambda _: broker_has_it,
        )

    async def join(self, source: KafkaSource) -> None:
        await source.start(self)  # type: ignore[arg-type]  # its parameters are named for nobody
        source.allow(10, ())
        async with asyncio.timeout(5):
            await self.changed.wait()


async def test_a_broker_that_has_kip_848_groups_is_spoken_to_so() -> None:
    joins = Joins()
    source = joins.source("auto")
    await joins.join(source)
    await source.close()
    assert (joins.protocols, joins.received_offsets) == (["consumer"], [0])


async def test_an_older_broker_is_spoken_to_in_the_classic_protocol(caplog: pytest.LogCaptureFixture) -> None:
    joins = Joins()
    source = joins.source("auto", broker_has_it=False)
    with caplog.at_level(logging.INFO, "worker"):
        await joins.join(source)
    await source.close()
    assert (joins.protocols[-1], joins.received_offsets) == ("classic", [0])
    assert joins.consumers[-1].options["partition.assignment.strategy"] == "cooperative-sticky"
    assert [record.message for record in caplog.records] == [
        "The broker has no KIP-848 groups; this worker uses the classic protocol."
    ]


async def test_a_broker_that_has_its_kip_848_groups_switched_off_is_joined_again_in_the_classic_protocol() -> None:
    joins = Joins(fatal(KafkaError.UNSUPPORTED_VERSION))
    source = joins.source("auto")
    await joins.join(source)
    await source.close()
    assert (joins.protocols, joins.received_offsets) == (["consumer", "classic"], [0])
    assert [consumer.closed for consumer in joins.consumers] == [True, True]


async def test_a_protocol_that_was_asked_for_is_not_replaced() -> None:
    joins = Joins(fatal(KafkaError.UNSUPPORTED_VERSION))
    source = joins.source("consumer", broker_has_it=False)
    await joins.join(source)
    with pytest.raises(BrokerError, match="API version not supported"):
        await source.close()
    assert joins.protocols == ["consumer"]


async def test_a_static_member_waits_until_its_predecessor_is_gone() -> None:
    joins = Joins(fatal(KafkaError.UNRELEASED_INSTANCE_ID), fatal(KafkaError.UNRELEASED_INSTANCE_ID))
    source = joins.source("consumer")
    await joins.join(source)
    await source.close()
    assert (joins.protocols, joins.received_offsets) == (["consumer"] * 3, [0])
    assert {consumer.options["group.instance.id"] for consumer in joins.consumers} == {"pod-1"}


@pytest.mark.parametrize(
    ("lines", "has_it"),
    [
        ([*OTHERS, API.format("ConsumerGroupHeartbeat (68)", "0..1")], True),
        ([*OTHERS, API.format("ConsumerGroupHeartbeat (68)", "0..0")], False),
        (OTHERS, False),
        (["INIT: librdkafka says something else"], True),
    ],
    ids=["Kafka 4", "Kafka 3.9", "Kafka 2", "nothing said"],
)
def test_what_a_broker_speaks_is_seen_in_its_api(lines: list[str], *, has_it: bool) -> None:
    assert reports_consumer_protocol(lines) is has_it


def test_librdkafka_tells_of_a_brokers_api() -> None:
    with MockKafka() as broker:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        lines = api_lines(settings) or []
        assert any("  ApiKey ConsumerGroupHeartbeat (68) Versions" in line for line in lines)
        assert has_consumer_protocol(settings) is True


def test_a_broker_that_does_not_answer_tells_nothing() -> None:
    assert has_consumer_protocol(KafkaSettings(bootstrap_servers="127.0.0.1:1")) is None


@pytest.mark.real
def test_every_member_has_its_share_of_every_topic(kafka: KafkaServer, topic: str) -> None:
    topics = [f"{topic}-{name}" for name in ("jobs", "retry", "replay")]
    create_topics(kafka.bootstrap_servers, [TopicSpec(name, 4) for name in topics])
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, group_id=topic, group_protocol="consumer")
    members = [Consumer(consumer_options(settings, "consumer")) for _ in range(2)]
    shares: list[Counter[str]] = [Counter(), Counter()]
    try:
        for member in members:
            member.subscribe(topics)
        deadline = time.monotonic() + 30
        while min(map(Counter.total, shares)) == 0 or sum(map(Counter.total, shares)) != 12:
            assert time.monotonic() < deadline, shares
            for member in members:
                member.poll(0.1)
            shares = [Counter(partition.topic for partition in member.assignment()) for member in members]
    finally:
        for member in members:
            member.close()
    assert shares == [dict.fromkeys(topics, 2)] * 2
