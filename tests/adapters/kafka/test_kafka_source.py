"""What the source makes of what librdkafka seldom says."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from tests.adapters.kafka.scripted_consumer import (
    ALL_BROKERS_DOWN,
    TIMED_OUT,
    TOPIC,
    TRANSPORT,
    Brought,
    ScriptedConsumer,
    Told,
    fatal,
    refused,
)
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.source import KafkaSource
from worker.domain.errors import BrokerError
from worker.domain.events import CommitFailed, Event, LagObserved
from worker.domain.records import CommitPoint, Record, TopicPartition
from worker.ports import Clock
from worker.settings import KafkaSettings
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents

FIRST = TopicPartition(TOPIC, 0)


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.points: dict[TopicPartition, CommitPoint] = {}
        self.marks: dict[TopicPartition, CommitPoint] = {}

    def received(self, records: Sequence[Record]) -> None:
        self.said += [record.coordinate.offset for record in records]

    async def assigned(self, partitions: Mapping[TopicPartition, CommitPoint]) -> Mapping[TopicPartition, CommitPoint]:
        self.said += [("assigned", key.partition, point.offset) for key, point in partitions.items()]
        return self.marks

    async def revoked(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, CommitPoint]:
        self.said += [("revoked", key.partition) for key in partitions]
        return self.points

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        self.said += [("lost", key.partition) for key in partitions]

    def failed(self, error: BaseException) -> None:
        self.said.append(error)


def source_of(
    consumer: ScriptedConsumer, clock: Clock, events: RecordedEvents, *, tells_membership: bool = True
) -> KafkaSource:
    settings = KafkaSettings(group_protocol="consumer")
    return KafkaSource(
        settings,
        [TOPIC],
        drain_seconds=1,
        clock=clock,
        event_sink=events,
        tells_membership=tells_membership,
        make_consumer=consumer.made_with,
        topic_ids=consumer.topics.made_for,
    )


@asynccontextmanager
async def running(
    consumer: ScriptedConsumer, listener: Listener, events: RecordedEvents | None = None, clock: Clock | None = None
) -> AsyncIterator[KafkaSource]:
    source = source_of(consumer, clock or SystemClock(), events or RecordedEvents())
    source.allow(1000, ())
    await source.start(listener)
    try:
        yield source
    finally:
        await source.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - a thread of librdkafka's kind does not say
            await asyncio.sleep(0.01)


def assigns(*partitions: int) -> Callable[[ScriptedConsumer], None]:
    return lambda consumer: consumer.rebalance("on_assign", *partitions)


def revokes(*partitions: int) -> Callable[[ScriptedConsumer], None]:
    return lambda consumer: consumer.rebalance("on_revoke", *partitions)


def loses(*partitions: int) -> Callable[[ScriptedConsumer], None]:
    return lambda consumer: consumer.rebalance("on_lost", *partitions)


def brings(offset: int, partition: int = 0) -> Callable[[ScriptedConsumer], Brought]:
    return lambda _: Brought(offset, partition)


@pytest.mark.parametrize("ends", [revokes, loses])
async def test_a_message_that_was_polled_before_its_partition_left_is_not_handed_over_after(
    ends: Callable[[int], Callable[[ScriptedConsumer], None]],
) -> None:
    consumer, listener = ScriptedConsumer(), Listener()
    consumer.polls.extend([assigns(0, 1), brings(7), brings(3, 1)])
    consumer.consumes.extend([ends(0)])
    async with running(consumer, listener):
        await until(lambda: 3 in listener.said)
    assert 7 not in listener.said


async def test_a_message_of_an_old_assignment_is_not_handed_over_under_the_next_one() -> None:
    consumer, listener = ScriptedConsumer(), Listener()

    def comes_back(consumer: ScriptedConsumer) -> Brought:
        consumer.rebalance("on_lost", 0)
        consumer.rebalance("on_assign", 0)
        return Brought(4)

    consumer.polls.extend([assigns(0), brings(7)])
    consumer.consumes.append(comes_back)
    async with running(consumer, listener):
        await until(lambda: 4 in listener.said)
    assert listener.said[:4] == [("assigned", 0, 0), ("lost", 0), ("assigned", 0, 0), 4]


async def test_what_was_committed_is_asked_for_until_the_coordinator_tells_it() -> None:
    consumer, listener = ScriptedConsumer(), Listener()
    loading = Told(-1001, KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS))
    consumer.answers.extend([refused(TIMED_OUT), [loading], [Told(41)]])
    consumer.polls.append(assigns(0))
    async with running(consumer, listener):
        await until(lambda: bool(listener.said))
    assert listener.said[0] == ("assigned", 0, 41)


async def test_where_a_new_group_begins_is_asked_for_until_the_broker_tells_it() -> None:
    consumer, listener = ScriptedConsumer(), Listener()
    consumer.watermarks.extend([None, (17, 20)])
    consumer.polls.append(assigns(0))
    async with running(consumer, listener):
        await until(lambda: bool(listener.said))
    assert listener.said[0] == ("assigned", 0, 17)
    assert consumer.begun_at == {0: 17}


async def test_a_mark_that_is_refused_ends_nothing_and_never_comes_late() -> None:
    consumer, listener, events, clock = ScriptedConsumer(), Listener(), RecordedEvents(), ManualClock()
    listener.marks = {FIRST: CommitPoint(0, "begun")}
    consumer.refusals.append(refused(KafkaError.REBALANCE_IN_PROGRESS))
    consumer.polls.extend([assigns(0), brings(0)])
    async with running(consumer, listener, events, clock):
        await until(lambda: 0 in listener.said)
        clock.advance(10)
        for _ in range(3):
            consumer.idle.clear()
            assert await asyncio.to_thread(consumer.idle.wait, 5)
    assert consumer.commits == [], "a transaction may have committed more meanwhile"
    assert len(events.of(CommitFailed)) == 1


async def test_a_worker_that_stops_while_the_coordinator_is_away_stops_at_once() -> None:
    consumer, listener = ScriptedConsumer(), Listener()
    consumer.answers.extend([refused(TIMED_OUT)] * 1000)
    consumer.polls.append(assigns(0))
    consumer.on_close = revokes(0)
    async with asyncio.timeout(5), running(consumer, listener):
        await until(lambda: len(consumer.answers) < 1000)
    assert listener.said == [("revoked", 0)]
    assert consumer.closed


async def test_a_refused_commit_is_repeated_until_it_is_taken() -> None:
    consumer, listener, events, clock = ScriptedConsumer(), Listener(), RecordedEvents(), ManualClock()
    consumer.polls.append(assigns(0))
    consumer.late_refusals.append(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
    async with running(consumer, listener, events, clock) as source:
        await until(lambda: bool(listener.said))
        source.commit({FIRST: CommitPoint(5, "map")})
        await until(lambda: bool(events.of(CommitFailed)))
        assert len(consumer.commits) == 1
        clock.advance(1)
        await until(lambda: len(consumer.commits) == 2)
    assert consumer.commits == [(0, 5, "map"), (0, 5, "map")]
    assert len(events.of(CommitFailed)) == 1


@pytest.mark.parametrize("newer_is_on_its_way", [False, True])
async def test_a_refused_commit_never_overtakes_a_newer_one(*, newer_is_on_its_way: bool) -> None:
    consumer, listener, events, clock = ScriptedConsumer(), Listener(), RecordedEvents(), ManualClock()
    consumer.polls.append(assigns(0))
    consumer.late_refusals.extend([KafkaError(KafkaError.REBALANCE_IN_PROGRESS), None])
    async with running(consumer, listener, events, clock) as source:
        await until(lambda: bool(listener.said))
        source.commit({FIRST: CommitPoint(5)})
        if not newer_is_on_its_way:
            await until(lambda: bool(events.of(CommitFailed)))
        source.commit({FIRST: CommitPoint(6)})
        await until(lambda: bool(consumer.commits) and consumer.commits[-1][1] == 6)
        consumer.idle.clear()
        clock.advance(2)
        await asyncio.to_thread(consumer.idle.wait, 5)
    assert consumer.commits[-1][:2] == (0, 6)


async def test_a_refused_commit_is_made_at_the_revocation_at_last() -> None:
    consumer, listener = ScriptedConsumer(), Listener()
    consumer.polls.append(assigns(0))
    consumer.refusals.append(refused(TRANSPORT))
    consumer.on_close = revokes(0)
    async with running(consumer, listener) as source:
        await until(lambda: bool(listener.said))
        source.commit({FIRST: CommitPoint(5, "map")})
        await until(lambda: not consumer.refusals)
    assert consumer.commits == [(0, 5, "map")]


async def test_a_lost_partition_is_not_committed() -> None:
    consumer, listener = ScriptedConsumer(), Listener()
    consumer.polls.append(assigns(0))
    consumer.refusals.append(refused(TRANSPORT))
    async with running(consumer, listener) as source:
        await until(lambda: bool(listener.said))
        source.commit({FIRST: CommitPoint(5)})
        await until(lambda: not consumer.refusals)
        consumer.polls.append(loses(0))
        await until(lambda: ("lost", 0) in listener.said)
    assert consumer.commits == []


@pytest.mark.parametrize(
    "fenced", [KafkaError(KafkaError.FENCED_INSTANCE_ID, fatal=True), fatal(KafkaError.FENCED_INSTANCE_ID)]
)
async def test_a_fatal_error_ends_the_source_and_close_raises_it(fenced: KafkaError) -> None:
    consumer, listener = ScriptedConsumer(), Listener()
    consumer.polls.append(lambda _: Brought(0, 0, fenced))
    source = source_of(consumer, SystemClock(), RecordedEvents())
    source.allow(10, ())
    await source.start(listener)
    await until(lambda: bool(listener.said))
    with pytest.raises(BrokerError, match="membership"):
        await source.close()
    assert isinstance(listener.said[0], BrokerError)
    assert consumer.closed


async def test_an_error_that_passes_ends_nothing() -> None:
    consumer, listener = ScriptedConsumer(), Listener()
    away = KafkaError(ALL_BROKERS_DOWN)
    consumer.polls.extend([assigns(0), lambda _: Brought(0, 0, away), brings(0)])
    async with running(consumer, listener):
        await until(lambda: 0 in listener.said)
    assert listener.said == [("assigned", 0, 0), 0]


async def test_a_source_that_has_not_started_or_has_ended_is_alive_and_one_that_hangs_is_not() -> None:
    consumer, listener, clock = ScriptedConsumer(), Listener(), ManualClock()
    source = source_of(consumer, clock, RecordedEvents())
    clock.advance(10_000)  # Triton may be away for long before the start
    assert source.alive()
    hanging, let_go = threading.Event(), threading.Event()

    def hang(_: ScriptedConsumer) -> None:
        hanging.set()
        let_go.wait(5)

    consumer.polls.append(hang)
    source.allow(10, ())
    await source.start(listener)
    await asyncio.to_thread(hanging.wait, 5)
    assert source.alive()
    clock.advance(10_000)
    assert not source.alive()
    let_go.set()
    await source.close()
    clock.advance(10_000)
    assert source.alive()


async def test_events_come_on_the_loops_thread() -> None:
    threads: list[int] = []

    class Noting(RecordedEvents):
        def emit(self, event: Event) -> None:
            threads.append(threading.get_ident())
            super().emit(event)

    consumer, listener, events, clock = ScriptedConsumer(), Listener(), Noting(), ManualClock()
    consumer.polls.append(assigns(0))
    async with running(consumer, listener, events, clock):
        await until(lambda: bool(listener.said))
        clock.advance(60)
        await until(lambda: bool(events.all))
    assert events.of(LagObserved)[0] == LagObserved(FIRST, 7)
    assert set(threads) == {threading.get_ident()}


@pytest.mark.parametrize("tells_membership", [True, False])
async def test_the_membership_is_told_only_to_who_needs_it(*, tells_membership: bool) -> None:
    consumer, listener = ScriptedConsumer(), Listener()
    consumer.polls.extend([assigns(0), brings(3)])
    source = source_of(consumer, SystemClock(), RecordedEvents(), tells_membership=tells_membership)
    source.allow(1000, ())
    await source.start(listener)

    await until(consumer.idle.is_set)
    await asyncio.sleep(0)  # what the thread said until then is heard
    told = source.group_metadata
    await source.close()

    assert told is (consumer if tells_membership else None)


async def test_options_that_librdkafka_refuses_are_a_broker_error_and_the_source_can_be_closed() -> None:
    settings = KafkaSettings(client={"no_such_option": SecretStr("1")})
    source = KafkaSource(settings, ["jobs"], drain_seconds=1, clock=SystemClock(), event_sink=RecordedEvents())
    with pytest.raises(BrokerError, match=r"no\.such\.option"):
        await source.start(Listener())
    async with asyncio.timeout(5):
        await source.close()
