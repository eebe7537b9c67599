"""What every RecordSource must do with a retry topic: deliver what is due, in order, and hold up nothing else."""

import asyncio
import time

import pytest

from tests.contracts.brokers import ALL_PROTOCOLS, PARTITIONS, Broker
from tests.contracts.members import MANY, PATIENCE_SECONDS, SILENCE_SECONDS, Listener, member, partition
from worker.domain.headers import DUE_AT
from worker.domain.records import CommitPoint, OutgoingRecord, Record

HOUR_SECONDS = 3600.0


class TimedListener(Listener):
    """Notes when records come, and complains of those that come early."""

    def received(self, records: list[Record]) -> None:  # type: ignore[override]
        now_ms = time.time() * 1000
        for record in records:
            due_ms = int(record.header(DUE_AT) or 0)
            if due_ms > now_ms + 1:  # the clock's own step
                self.violations.append(f"{record.coordinate} came {due_ms - now_ms} ms early")
        super().received(records)


async def write_due(broker: Broker, number: int, *seconds: float) -> None:
    """Write records that are due so many seconds from now."""
    for after in seconds:
        due_ms = round((time.time() + after) * 1000)
        headers = ((DUE_AT, b"%d" % due_ms),)
        await broker.write(OutgoingRecord(broker.topic, None, b"x" * 1000, headers), number)


async def test_a_record_comes_when_it_is_due_and_other_partitions_flow_meanwhile(broker: Broker) -> None:
    listener = TimedListener()
    async with member(broker, listener, max_delay_seconds=HOUR_SECONDS) as source:
        await listener.until(lambda: len(listener.held) == PARTITIONS)
        await write_due(broker, 0, -5, 4, -5)
        await write_due(broker, 1, -5)
        await listener.until_received(2)
        await write_due(broker, 2, -5)
        await listener.until_received(3)
        assert (listener.offsets(0), listener.offsets(1), listener.offsets(2)) == ([0], [0], [0])
        await listener.until_received(5)
        await asyncio.sleep(SILENCE_SECONDS)
        assert source.alive()
    assert listener.offsets(0) == [0, 1, 2]


async def test_nothing_is_lost_or_repeated_under_pauses_and_a_changing_allowance(broker: Broker) -> None:
    count = 20
    for number in range(PARTITIONS):
        await write_due(broker, number, *(0.1 * step for step in range(count)))
    listener = TimedListener()
    async with member(broker, listener, allowed=0, max_delay_seconds=HOUR_SECONDS) as source:
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            turn = 0
            while len(listener.records) < PARTITIONS * count:
                turn += 1
                paused = [partition(broker, turn % PARTITIONS)] if turn % 3 else []
                source.allow(len(listener.records) + (0 if turn % 7 == 0 else 5), paused)
                await asyncio.sleep(1.2 if turn % 7 == 0 else 0.1)
        source.allow(MANY, ())
        await asyncio.sleep(SILENCE_SECONDS)
    for number in range(PARTITIONS):
        assert listener.offsets(number) == list(range(count))


async def test_a_partition_that_is_paused_when_its_record_is_due_delivers_it_when_resumed(broker: Broker) -> None:
    listener = TimedListener()
    async with member(broker, listener, max_delay_seconds=HOUR_SECONDS) as source:
        await listener.until(lambda: len(listener.held) == PARTITIONS)
        await write_due(broker, 0, -1, 1.5)
        await listener.until_received(1)
        source.allow(MANY, [partition(broker, 0)])
        await asyncio.sleep(2.5)
        assert listener.offsets(0) == [0]
        source.allow(MANY, [])
        await listener.until_received(2)
    assert listener.offsets(0) == [0, 1]


async def test_a_forged_due_time_holds_up_no_longer_than_the_longest_delay(broker: Broker) -> None:
    listener = Listener()
    async with member(broker, listener, max_delay_seconds=1.0):
        await listener.until(lambda: len(listener.held) == PARTITIONS)
        await write_due(broker, 0, 1e9, 1e15)
        await asyncio.sleep(0.2)
        assert listener.offsets(0) == []
        await listener.until_received(2)
    assert listener.offsets(0) == [0, 1]


async def test_only_retry_topics_are_delayed(broker: Broker) -> None:
    await write_due(broker, 0, HOUR_SECONDS)
    listener = Listener()
    async with member(broker, listener):
        await listener.until_received(1)
    assert listener.offsets(0) == [0]


@pytest.mark.parametrize("broker", ALL_PROTOCOLS, indirect=True)
async def test_a_rebalance_while_records_wait_neither_loses_nor_repeats_them(broker: Broker) -> None:
    if not broker.moves_partitions:
        pytest.skip("only a real coordinator moves partitions by itself")
    first, second = TimedListener(), TimedListener()
    async with member(broker, first, max_delay_seconds=HOUR_SECONDS):
        await first.until(lambda: len(first.held) == PARTITIONS)
        for number in range(PARTITIONS):
            await write_due(broker, number, 9, 9.2, 9.4)
        await asyncio.sleep(SILENCE_SECONDS)
        async with member(broker, second, max_delay_seconds=HOUR_SECONDS):
            await second.until(lambda: len(second.held) == PARTITIONS // 2)
            assert first.records == second.records == []
        # The second one has left again before anything was due.
        await first.until(lambda: len(first.held) == PARTITIONS)
        assert first.records == []
        await first.until_received(3 * PARTITIONS)
        await asyncio.sleep(SILENCE_SECONDS)
    assert second.records == []
    assert [first.offsets(number) for number in range(PARTITIONS)] == [[0, 1, 2]] * PARTITIONS


@pytest.mark.parametrize("broker", ALL_PROTOCOLS, indirect=True)
async def test_partitions_that_come_back_after_they_left_while_paused_deliver_again(broker: Broker) -> None:
    if not broker.moves_partitions:
        pytest.skip("only a real coordinator moves partitions by itself")
    first, second = Listener(), Listener()
    first.points = {partition(broker, number): CommitPoint(1) for number in range(PARTITIONS)}
    async with member(broker, first) as source:
        for number in range(PARTITIONS):
            await broker.write(OutgoingRecord(broker.topic, None, b"x", ()), number)
        await first.until_received(PARTITIONS)
        source.allow(PARTITIONS, ())
        await asyncio.sleep(2 * SILENCE_SECONDS)  # it pauses all of them
        async with member(broker, second):
            await second.until(lambda: len(second.held) == PARTITIONS // 2)
        await first.until(lambda: len(first.held) == PARTITIONS)
        for number in range(PARTITIONS):
            await broker.write(OutgoingRecord(broker.topic, None, b"x", ()), number)
        source.allow(MANY, ())
        await first.until_received(2 * PARTITIONS)
    assert [first.offsets(number) for number in range(PARTITIONS)] == [[0, 1]] * PARTITIONS
