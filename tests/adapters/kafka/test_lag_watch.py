"""The ends of partitions: by what a scripted broker tells of them, in virtual time, and on brokers that are there."""

import asyncio
import logging
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from tests.contracts.brokers import Kafka
from tests.contracts.members import Listener, member, write
from worker.adapters.kafka.lag_watch import LagWatch
from worker.adapters.kafka.topic_ids import TopicIds
from worker.domain.events import LagObserved
from worker.domain.records import CommitPoint, TopicPartition
from worker.local.kafka import MockKafka
from worker.testing.clock import ManualClock

FIRST, SECOND = TopicPartition("jobs", 0), TopicPartition("jobs", 1)


class ScriptedEnds:
    """Answers each question when it is told to."""

    def __init__(self) -> None:
        self.asked: list[dict[KafkaPartition, Future[object]]] = []

    def list_offsets(self, asked: Collection[KafkaPartition], **_: object) -> dict[KafkaPartition, Future[object]]:
        self.asked.append({partition: Future() for partition in asked})
        return self.asked[-1]

    def tell(self, *ends: int | KafkaError) -> None:
        """Answer the last question, in the order of partitions."""
        by_partition = sorted(self.asked[-1].items(), key=lambda each: each[0].partition)
        for (_, future), end in zip(by_partition, ends, strict=True):
            if isinstance(end, KafkaError):
                future.set_exception(KafkaException(end))
            else:
                future.set_result(SimpleNamespace(offset=end))


@pytest.fixture
def broker() -> ScriptedEnds:
    return ScriptedEnds()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def watch(broker: ScriptedEnds, clock: ManualClock) -> LagWatch:
    made = LagWatch(TopicIds(lambda: broker), clock)  # type: ignore[arg-type, return-value]
    made.hold({FIRST: CommitPoint(3), SECOND: CommitPoint(0)})
    return made


def test_the_ends_are_told_once_and_asked_for_again(watch: LagWatch, broker: ScriptedEnds, clock: ManualClock) -> None:
    assert watch.ends() == {}
    broker.tell(7, 9)
    assert watch.ends() == {FIRST: 7, SECOND: 9}
    assert watch.ends() == {}
    assert len(broker.asked) == 1
    clock.advance(5)
    assert watch.ends() == {}
    broker.tell(8, 9)
    assert watch.ends() == {FIRST: 8, SECOND: 9}
    assert watch.begun_at(FIRST) == 3


def test_nothing_is_asked_while_nothing_is_held(watch: LagWatch, broker: ScriptedEnds) -> None:
    watch.release([FIRST, SECOND])
    assert watch.ends() == {}
    assert broker.asked == []


def test_a_partition_that_left_meanwhile_is_not_told(watch: LagWatch, broker: ScriptedEnds) -> None:
    watch.ends()
    watch.release([FIRST])
    broker.tell(7, 9)
    assert watch.ends() == {SECOND: 9}


def test_a_partition_without_an_answer_costs_the_others_nothing(
    watch: LagWatch, broker: ScriptedEnds, caplog: pytest.LogCaptureFixture
) -> None:
    watch.ends()
    broker.tell(KafkaError(KafkaError.LEADER_NOT_AVAILABLE), 9)
    with caplog.at_level(logging.WARNING):
        assert watch.ends() == {SECOND: 9}
    assert "did not tell the end of a partition" in caplog.text


def test_an_answer_that_does_not_come_is_not_waited_for(
    watch: LagWatch, broker: ScriptedEnds, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    watch.ends()
    clock.advance(9)
    assert watch.ends() == {}
    assert len(broker.asked) == 1
    clock.advance(1)
    with caplog.at_level(logging.WARNING):
        assert watch.ends() == {}
    assert "did not tell the ends" in caplog.text
    assert len(broker.asked) == 2
    broker.tell(7, 9)
    assert watch.ends() == {FIRST: 7, SECOND: 9}


@pytest.fixture(params=["mock", pytest.param("real", marks=pytest.mark.real)])
def bootstrap_servers(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "real":
        yield request.getfixturevalue("kafka").bootstrap_servers
        return
    with MockKafka() as mock:
        yield mock.bootstrap_servers


async def test_the_lag_of_a_member_that_takes_nothing_grows_with_the_log(bootstrap_servers: str) -> None:
    broker, listener = Kafka(bootstrap_servers, limits_sizes=False), Listener()
    await broker.create(broker.topic)
    await write(broker, 2, partition=0)
    async with member(broker, listener, allowed=2):
        await listener.until_received(2)
        await write(broker, 3, partition=0)
        await write(broker, 4, partition=1)  # of which nothing was ever fetched
        async with asyncio.timeout(20):
            while sum(told(broker).values()) + len(listener.records) != 9:  # noqa: ASYNC110 - events are only kept
                await asyncio.sleep(0.1)
    assert set(told(broker)) == {0, 1, 2, 3}
    assert len(listener.records) <= 3, "the allowance is two, and one more may come"


def told(broker: Kafka) -> dict[int, int]:
    """Return the last lag of each partition."""
    return {event.partition.partition: event.lag for event in broker.events.of(LagObserved)}
