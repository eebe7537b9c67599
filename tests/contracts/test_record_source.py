"""What every RecordSource must do, the real one and the fake."""

import asyncio

import pytest

from tests.contracts.brokers import ALL_PROTOCOLS, PARTITIONS, Broker, Kafka
from tests.contracts.members import (
    MANY,
    PATIENCE_SECONDS,
    SILENCE_SECONDS,
    Listener,
    member,
    partition,
    write,
)
from worker.domain.errors import BrokerError
from worker.domain.offsets import encode_metadata
from worker.domain.records import CommitPoint, Headers, OutgoingRecord

pytestmark = pytest.mark.parametrize("broker", ALL_PROTOCOLS, indirect=True)


async def test_all_partitions_are_assigned_and_records_come_in_order(broker: Broker) -> None:
    await write(broker, 5, partition=0)
    await write(broker, 3, partition=2)
    listener = Listener()
    async with member(broker, listener):
        await listener.until_received(8)
        assert set(listener.held) == {partition(broker, number) for number in range(PARTITIONS)}
    assert set(listener.revocations[-1]) == {partition(broker, number) for number in range(PARTITIONS)}
    assert listener.offsets(0) == [0, 1, 2, 3, 4]
    assert listener.offsets(2) == [0, 1, 2]


async def test_no_record_comes_before_assigned_has_returned(broker: Broker) -> None:
    await write(broker, 2)
    listener = Listener()
    listener.assigning_seconds = 0.1
    async with member(broker, listener):
        await listener.until_received(2)
    assert listener.violations == []
    assert listener.offsets(0) == [0, 1]


async def test_what_assigned_returns_is_committed_before_the_first_record(broker: Broker) -> None:
    await write(broker, 2)
    listener = Listener()
    listener.mark = "begun"
    committed_at_first: list[CommitPoint | None] = []
    async with member(broker, listener, allowed=1):
        await listener.until_received(1)
        committed_at_first.append(await broker.committed(0))
    assert committed_at_first == [CommitPoint(0, "begun")]
    assert await broker.committed(1) == CommitPoint(0, "begun")


async def test_a_new_group_begins_where_it_is_told_to(broker: Broker) -> None:
    await write(broker, 3)
    listener = Listener()
    source = broker.source("latest")
    await source.start(listener)
    source.allow(MANY, ())
    await listener.until(lambda: bool(listener.held))
    assert listener.held[partition(broker, 0)] == CommitPoint(3)
    await write(broker, 1)
    await listener.until_received(1)
    await source.close()
    assert listener.offsets(0) == [3]


async def test_bytes_come_as_they_were_written(broker: Broker) -> None:
    written: list[tuple[bytes | None, bytes | None, Headers]] = [
        (None, b"value", ()),
        (b"key", None, ()),
        (None, None, ()),
        (b"", b"", (("empty", b""),)),
        (b"\xff\x00", b"\x00\xff\n", (("twice", b"\xff\xfe"), ("once", b"1"), ("twice", b"\x00"))),
        ("schlüssel".encode(), b"v", (("übermaß", "größe".encode()),)),
    ]
    for key, value, headers in written:
        await broker.write(OutgoingRecord(broker.topic, key, value, headers), 1)
    listener = Listener()
    async with member(broker, listener):
        await listener.until_received(len(written))
    assert [(record.key, record.value, record.headers) for record in listener.records] == written
    assert [record.coordinate for record in listener.records] == [(broker.topic, 1, n) for n in range(len(written))]
    assert min(record.timestamp_ms for record in listener.records) > 0


async def test_nothing_comes_over_the_allowance(broker: Broker) -> None:
    await write(broker, 2, partition=0)
    await write(broker, 7, partition=1)
    listener = Listener()
    async with member(broker, listener, allowed=0) as source:
        await listener.until(lambda: bool(listener.held))
        source.allow(4, ())
        await listener.until_received(4)
        await asyncio.sleep(SILENCE_SECONDS)  # long enough that the source pauses
        assert len(listener.records) == 4
        source.allow(7, ())
        await listener.until_received(7)
        source.allow(9, ())
        await listener.until_received(9)
    assert (listener.offsets(0), listener.offsets(1)) == ([0, 1], [0, 1, 2, 3, 4, 5, 6])


async def test_a_long_pause_and_a_rebalance_under_it_bring_at_most_one_record_over_the_allowance(
    broker: Broker,
) -> None:
    await write(broker, 5)
    listener = Listener()
    async with member(broker, listener, allowed=0) as source:
        await listener.until(lambda: bool(listener.held))
        await asyncio.sleep(SILENCE_SECONDS)
        assert len(listener.records) <= 1
        source.allow(5, ())
        await listener.until_received(5)
    assert listener.offsets(0) == list(range(5))


async def test_a_paused_partition_delivers_nothing_while_others_do(broker: Broker) -> None:
    listener = Listener()
    async with member(broker, listener) as source:
        await listener.until(lambda: bool(listener.held))
        source.allow(MANY, [partition(broker, 0)])
        await asyncio.sleep(0.3)  # a poll that runs is let run
        await write(broker, 3, partition=0)
        await write(broker, 3, partition=1)
        await listener.until_received(3)
        await asyncio.sleep(SILENCE_SECONDS)
        assert listener.offsets(0) == []
        source.allow(MANY, [])
        await listener.until_received(6)
    assert listener.offsets(0) == listener.offsets(1) == [0, 1, 2]


async def test_committed_metadata_comes_back_and_offsets_go_on_from_there(broker: Broker) -> None:
    await write(broker, 6)
    point = CommitPoint(2, encode_metadata(2, {4, 5}))
    first = Listener()
    async with member(broker, first) as source:
        await first.until_received(6)
        source.commit({partition(broker, 0): point})
        await until_committed(broker, 0, point)
    second = Listener()
    async with member(broker, second):
        await second.until_received(4)
        assert second.held[partition(broker, 0)] == point
        assert second.held[partition(broker, 1)] == CommitPoint(0)
    assert second.offsets(0) == [2, 3, 4, 5]


async def until_committed(broker: Broker, number: int, point: CommitPoint) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await broker.committed(number) != point:  # noqa: ASYNC110 - the broker does not say
            await asyncio.sleep(0.1)


async def test_closing_asks_for_all_partitions_and_commits_the_answer(broker: Broker) -> None:
    await write(broker, 3)
    listener = Listener()
    listener.points = {partition(broker, 0): CommitPoint(3, "the end")}
    async with member(broker, listener):
        await listener.until_received(3)
    assert set().union(*listener.revocations) == {partition(broker, number) for number in range(PARTITIONS)}
    assert await broker.committed(0) == CommitPoint(3, "the end")


async def test_a_commit_asked_for_just_before_the_revocation_is_not_lost(broker: Broker) -> None:
    await write(broker, 3)
    listener = Listener()
    source = broker.source()
    listener.on_revoked = lambda: source.commit({partition(broker, 0): CommitPoint(2, "late")})
    await source.start(listener)
    source.allow(MANY, ())
    await listener.until_received(3)
    await source.close()
    assert await broker.committed(0) == CommitPoint(2, "late")


async def test_a_member_that_leaves_without_a_commit_leaves_its_records_to_the_next(broker: Broker) -> None:
    await write(broker, 2)
    first, second = Listener(), Listener()
    async with member(broker, first):
        await first.until_received(2)
    async with member(broker, second):
        await second.until_received(2)
    assert first.offsets(0) == second.offsets(0) == [0, 1]


@pytest.mark.parametrize("partitions", [PARTITIONS, 1])
async def test_a_topic_that_is_made_anew_is_handed_back_and_read_from_its_beginning(
    broker: Broker, partitions: int
) -> None:
    if not broker.tells_topic_ids:
        pytest.skip("nothing tells the topic from the one before")
    await write(broker, 3)
    listener = Listener()
    async with member(broker, listener):
        await listener.until_received(3)
        former = listener.held[partition(broker, 0)].topic_id
        last = CommitPoint(3, encode_metadata(3, (), topic_id=former))
        listener.points = {partition(broker, 0): last}
        await broker.recreate(partitions)
        await write(broker, 5)
        # Until it is noticed the new topic may be read from where the former one stood.
        await listener.until(lambda: listener.offsets(0).count(0) == 2 and listener.offsets(0)[-1] == 4)
        held, listener.points = dict(listener.held), {}
    assert listener.offsets(0)[-5:] == [0, 1, 2, 3, 4]
    assert {partition(broker, number) for number in range(PARTITIONS)} in listener.revocations
    assert held == {partition(broker, number): CommitPoint(0) for number in range(partitions)}
    assert held[partition(broker, 0)].topic_id not in {"", former}
    # Kafka may take a last commit on the former topic for one on the new topic. It says whose it is.
    assert await broker.committed(0) in (None, last)


async def test_what_was_committed_on_a_topic_that_was_made_anew_counts_as_none(broker: Broker) -> None:
    if not broker.tells_topic_ids:
        pytest.skip("nothing tells the topic from the one before")
    await write(broker, 3)
    first, second = Listener(), Listener()
    async with member(broker, first):
        await first.until_received(3)
        topic_id = first.held[partition(broker, 0)].topic_id
    await broker.recreate()
    await write(broker, 5)
    # A coordinator that is away does not learn that the topic was deleted.
    await broker.commit(0, CommitPoint(3, encode_metadata(3, {4}, topic_id=topic_id)))
    async with member(broker, second):
        await second.until_received(5)
        assert second.held[partition(broker, 0)] == CommitPoint(0)
    assert second.offsets(0) == [0, 1, 2, 3, 4]


async def test_a_source_that_was_never_started_can_be_closed_and_is_alive(broker: Broker) -> None:
    source = broker.source()
    assert source.alive()
    await source.close()
    assert await broker.committed(0) is None


async def test_a_second_member_takes_partitions_over_and_nothing_is_done_twice(broker: Broker) -> None:
    if not broker.moves_partitions:
        pytest.skip("only a real coordinator moves partitions by itself")
    for number in range(PARTITIONS):
        await write(broker, 2, partition=number)
    first, second = Listener(), Listener()
    first.points = {partition(broker, number): CommitPoint(2, "handed over") for number in range(PARTITIONS)}
    async with member(broker, first):
        await first.until_received(2 * PARTITIONS)
        async with member(broker, second):
            await second.until(lambda: len(second.held) == PARTITIONS // 2)
            assert set(first.held) | set(second.held) == {partition(broker, n) for n in range(PARTITIONS)}
            assert not set(first.held) & set(second.held)
            assert set(second.held.values()) == {CommitPoint(2, "handed over")}
            (taken, *_) = second.held
            await write(broker, 1, partition=taken.partition)
            await second.until_received(1)
    assert second.offsets(taken.partition) == [2]


@pytest.mark.parametrize("answer", [asyncio.CancelledError, RuntimeError])
async def test_a_listener_that_fails_ends_the_source_with_an_error(broker: Broker, answer: type[BaseException]) -> None:
    if not isinstance(broker, Kafka):
        pytest.skip("the fake calls its listener from the test itself")

    def fail() -> None:
        raise answer

    listener = Listener()
    listener.on_assigned = fail
    source = broker.source()
    await source.start(listener)
    source.allow(MANY, ())
    await listener.until(lambda: bool(listener.failures))
    with pytest.raises((BrokerError, RuntimeError)) as raised:
        await source.close()
    assert listener.failures == [raised.value]
