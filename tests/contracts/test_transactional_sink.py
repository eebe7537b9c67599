"""What every TransactionalSink must do, the real one and the fake."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.contracts.brokers import PARTITIONS, TRANSACTIONAL, Broker, Memory
from tests.contracts.members import MANY, PATIENCE_SECONDS, Listener, member, partition, write
from worker.domain.errors import BrokerError, ErrorCode, JobError
from worker.domain.records import CommitPoint, OutgoingRecord
from worker.ports import FencedError, RecordSource, TransactionalSink
from worker.testing.source import MemorySource

KIBIBYTE = 1024

pytestmark = pytest.mark.parametrize("broker", TRANSACTIONAL, indirect=True)


@asynccontextmanager
async def writer(broker: Broker, source: RecordSource) -> AsyncIterator[TransactionalSink]:
    sink = broker.transactions(source)
    try:
        yield sink
    finally:
        await sink.close()


def results(topic: str, *values: bytes) -> list[OutgoingRecord]:
    return [OutgoingRecord(topic, b"key", value, (("name", b"\xff"),)) for value in values]


async def holding(listener: Listener) -> None:
    await listener.until(lambda: len(listener.held) == PARTITIONS)
    await asyncio.sleep(0.3)  # until the source has told of its membership


async def values(broker: Broker, topic: str, count: int) -> list[bytes | None]:
    return [record.value for record in await broker.read(topic, count)]


async def test_records_and_positions_are_written_together(broker: Broker, topic: str) -> None:
    await broker.create(topic)
    listener = Listener()
    async with member(broker, listener) as source, writer(broker, source) as sink:
        await holding(listener)
        await sink.commit(results(topic, b"1", b"2"), {partition(broker, 0): CommitPoint(3, "map")})
        await sink.commit(results(topic, b"3"), {partition(broker, 1): CommitPoint(5, "other")})
        records = await broker.read(topic, 3)
        assert await broker.committed(0) == CommitPoint(3, "map")
        assert await broker.committed(1) == CommitPoint(5, "other")
    assert [record.value for record in records] == [b"1", b"2", b"3"]
    assert {(record.key, record.headers) for record in records} == {(b"key", (("name", b"\xff"),))}


async def test_a_successor_is_told_of_positions_and_metadata(broker: Broker, topic: str) -> None:
    await broker.create(topic)
    await write(broker, 4)
    first, second = Listener(), Listener()
    async with member(broker, first) as source, writer(broker, source) as sink:
        await holding(first)
        await sink.commit(results(topic, b"1"), {partition(broker, 0): CommitPoint(3, "map")})
    async with member(broker, second):
        await second.until_received(1)
        assert second.held[partition(broker, 0)] == CommitPoint(3, "map")
    assert second.offsets(0) == [3]


async def test_a_reader_of_what_was_written_finds_gaps_in_the_offsets_alone(broker: Broker) -> None:
    listener = Listener()
    async with member(broker, listener) as source, writer(broker, source) as sink:
        await holding(listener)
        for value in (b"1", b"2", b"3"):
            await sink.commit(results(broker.topic, value), {partition(broker, 0): CommitPoint(0, value.decode())})
        await listener.until_received(3)
    (number,) = {record.coordinate.partition for record in listener.records}
    assert [record.value for record in listener.records] == [b"1", b"2", b"3"]
    assert listener.offsets(number) == [0, 2, 4]


async def test_a_transaction_with_a_record_that_is_too_large_writes_nothing_and_the_next_one_is_taken(
    broker: Broker, topic: str
) -> None:
    await broker.create(topic, max_message_bytes=64 * KIBIBYTE)
    large = random.Random(1).randbytes(65 * KIBIBYTE)  # noqa: S311 - no secret
    listener = Listener()
    async with member(broker, listener) as source, writer(broker, source) as sink:
        await holding(listener)
        with pytest.raises(JobError) as raised:
            await sink.commit(results(topic, b"1", large, b"2"), {partition(broker, 0): CommitPoint(3)})
        assert raised.value.code is ErrorCode.RESULT_TOO_LARGE
        assert await broker.committed(0) is None
        # By the key in the same partition as the one that was refused.
        await sink.commit(results(topic, b"3"), {partition(broker, 0): CommitPoint(1)})
        assert await values(broker, topic, 1) == [b"3"]
        assert await broker.committed(0) == CommitPoint(1)


async def test_a_member_that_has_left_is_fenced_and_nothing_of_its_transaction_is_seen(
    broker: Broker, topic: str
) -> None:
    await broker.create(topic)
    first, second = Listener(), Listener()
    old = broker.source()
    async with writer(broker, old) as sink:
        await old.start(first)
        old.allow(MANY, ())
        await holding(first)
        await sink.commit(results(topic, b"1"), {partition(broker, 0): CommitPoint(1, "first")})
        await old.close()
        async with member(broker, second) as new, writer(broker, new) as successor:
            await holding(second)
            with pytest.raises(FencedError):
                await sink.commit(results(topic, b"zombie"), {partition(broker, 0): CommitPoint(9, "zombie")})
            await successor.commit(results(topic, b"2"), {partition(broker, 0): CommitPoint(2, "second")})
            assert await values(broker, topic, 2) == [b"1", b"2"]
            assert await broker.committed(0) == CommitPoint(2, "second")


async def test_a_member_whose_partitions_moved_on_is_fenced_until_it_knows(broker: Broker, topic: str) -> None:
    await broker.create(topic)
    first, second = Listener(), Listener()
    async with member(broker, first) as old, writer(broker, old) as sink:
        await holding(first)
        if isinstance(old, MemorySource):
            await old.revoke([partition(broker, 0)])
            with pytest.raises(FencedError):
                await sink.commit(results(topic, b"0"), {partition(broker, 0): CommitPoint(1)})
            return
        async with member(broker, second):
            await second.until(lambda: len(second.held) == PARTITIONS // 2)
            kept = next(iter(first.held))
            await eventually_committed(sink, results(topic, b"1"), {kept: CommitPoint(1, "kept")})
        assert await values(broker, topic, 1) == [b"1"]


async def eventually_committed(sink: TransactionalSink, records: list[OutgoingRecord], points: object) -> None:
    """Commit as the worker does: again, while the member does not know yet how the group has moved on."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await sink.commit(records, points)  # type: ignore[arg-type]
            except FencedError:
                await asyncio.sleep(0.2)
            else:
                return


async def test_many_transactions_in_a_row_keep_their_order(broker: Broker, topic: str) -> None:
    await broker.create(topic)
    count = 15
    listener = Listener()
    async with member(broker, listener) as source, writer(broker, source) as sink:
        await holding(listener)
        for number in range(count):
            point = {partition(broker, 0): CommitPoint(number)}
            await sink.commit(results(topic, b"%d a" % number, b"%d b" % number), point)
    expected = [b"%d %s" % (number, letter) for number in range(count) for letter in (b"a", b"b")]
    assert await values(broker, topic, 2 * count) == expected


async def test_before_there_is_a_member_nothing_is_written(broker: Broker, topic: str) -> None:
    await broker.create(topic)
    async with writer(broker, broker.source()) as sink:
        with pytest.raises((JobError, FencedError)):
            await sink.commit(results(topic, b"1"), {partition(broker, 0): CommitPoint(1)})
    assert await broker.committed(0) is None


async def test_topics_are_described(broker: Broker, topic: str) -> None:
    await broker.create(topic, max_message_bytes=70_000)
    async with writer(broker, broker.source()) as sink:
        described = (await sink.describe([topic, "no-such-topic"])).topics
    found = described[topic]
    assert found is not None
    assert (found.partitions, found.max_message_bytes) == (PARTITIONS, 70_000)
    assert described["no-such-topic"] is None


async def test_the_fake_fails_as_it_is_told_and_is_fenced_while_it_waits(broker: Broker) -> None:
    if not isinstance(broker, Memory):
        pytest.skip("of the fake alone")
    await broker.create("results")
    source = broker.source()
    await source.start(Listener())
    sink, point = broker.transactions(source), {partition(broker, 0): CommitPoint(1)}
    away = JobError(ErrorCode.BROKER_UNAVAILABLE, "away")
    sink.refuse(away, None)
    with pytest.raises(JobError, match="away"):
        await sink.commit(results("results", b"1"), point)
    await sink.commit(results("results", b"2"), point)
    sink.broken = away
    with pytest.raises(JobError, match="away"):
        await sink.commit(results("results", b"3"), point)
    sink.broken = None
    sink.hold()
    held = asyncio.create_task(sink.commit(results("results", b"4"), point))
    await asyncio.sleep(0)
    source.crash()
    sink.release()
    with pytest.raises(FencedError):
        await held
    broker.broker.reachable = False
    with pytest.raises(JobError):
        await sink.commit(results("results", b"5"), {})
    with pytest.raises(BrokerError):
        await sink.describe(["results"])
    assert [record.value for record in broker.broker.records("results")] == [b"2"]
    assert (sink.attempts, sink.committed) == (5, 1)
