"""Outcomes leave with their positions, all or nothing, and what cannot be written is told to whoever waits for it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextvars import ContextVar

import pytest

from tests.runtime.parts import JOBS, RESULTS
from worker.domain.errors import ErrorCode, JobError
from worker.domain.offsets import decode_done
from worker.domain.records import ClusterDescription, CommitPoint, Coordinate, OutgoingRecord, Record, TopicPartition
from worker.ports import FencedError
from worker.runtime.job import InflightJob
from worker.runtime.outbox import TransactionalOutbox
from worker.runtime.partitions import Partitions
from worker.testing.clock import ManualClock

A = TopicPartition(JOBS, 0)
AWAY = JobError(ErrorCode.BROKER_UNAVAILABLE, "The broker is away.")
TOO_LARGE = JobError(ErrorCode.RESULT_TOO_LARGE, "It is too large.")
CURRENT_JOB: ContextVar[str] = ContextVar("current_job", default="none")


class ScriptedTransactions:
    """A `TransactionalSink` that commits when it is let, and fails as it is told."""

    def __init__(self) -> None:
        self.committed: list[tuple[list[bytes | None], CommitPoint]] = []
        self.script: list[Exception] = []
        self.refuses: bytes | None = None
        self.let = asyncio.Event()
        self.let.set()
        self.begun = 0
        self.written_for: list[str] = []

    async def commit(self, records: Sequence[OutgoingRecord], points: Mapping[TopicPartition, CommitPoint]) -> None:
        self.begun += 1
        self.written_for.append(CURRENT_JOB.get())
        await self.let.wait()
        if self.script:
            raise self.script.pop(0)
        values = [record.value for record in records]
        if self.refuses in values and self.refuses is not None:
            raise TOO_LARGE
        self.committed.append((values, points[A]))

    async def describe(self, topics: Collection[str]) -> ClusterDescription:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Desk:
    """An outbox, and jobs of one partition."""

    def __init__(self, jobs: int = 4) -> None:
        self.sink = ScriptedTransactions()
        self.clock = ManualClock()
        self.partitions = Partitions(100)
        self.partitions.assign({A: CommitPoint(0)})
        self.outbox = TransactionalOutbox(self.sink, self.partitions, self.clock)
        self.jobs = [self._job(offset) for offset in range(jobs)]

    def _job(self, offset: int) -> InflightJob:
        record = Record(Coordinate(*A, offset), None, b"x", (), 0)
        tracker = self.partitions.deliver(record)
        assert tracker is not None
        return InflightJob(record, tracker)

    def put(self, offset: int) -> "asyncio.Task[None]":
        outgoing = OutgoingRecord(RESULTS, None, b"%d" % offset, ())
        return asyncio.create_task(self.outbox.put(self.jobs[offset], outgoing))

    def base(self) -> int | None:
        return self.jobs[0].tracker.base


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_ready_meanwhile_goes_into_the_next_transaction() -> None:
    desk = Desk()
    desk.sink.let.clear()
    puts = [desk.put(2)]
    await settle()
    puts += [desk.put(0), desk.put(3)]
    await settle()
    assert desk.base() == 0
    desk.sink.let.set()
    await asyncio.gather(*puts)
    first, second = desk.sink.committed
    assert (first[0], first[1].offset, set(decode_done(first[1]))) == ([b"2"], 0, {2})
    assert (second[0], second[1].offset, set(decode_done(second[1]))) == ([b"0", b"3"], 1, {2, 3})
    assert desk.base() == 1


async def test_a_transaction_belongs_to_none_of_the_jobs_that_it_writes_for() -> None:
    desk = Desk()
    token = CURRENT_JOB.set("job 0")
    await desk.put(0)
    CURRENT_JOB.reset(token)
    assert desk.sink.written_for == ["none"]


async def test_a_transaction_that_fails_has_written_and_counted_nothing() -> None:
    desk = Desk()
    desk.sink.script = [AWAY]
    with pytest.raises(JobError) as raised:
        await desk.put(0)
    assert raised.value is AWAY
    assert desk.base() == 0
    await desk.put(0)
    assert desk.base() == 1


async def test_one_record_that_is_too_large_keeps_no_other_back() -> None:
    desk = Desk()
    desk.sink.refuses = b"1"
    ends = await asyncio.gather(*(desk.put(offset) for offset in range(4)), return_exceptions=True)
    assert ends == [None, TOO_LARGE, None, None]
    assert sorted(value for values, _ in desk.sink.committed for value in values if value) == [b"0", b"2", b"3"]
    assert desk.base() == 1


async def test_what_is_anothers_by_now_is_dropped_and_what_is_kept_is_written() -> None:
    desk = Desk()
    desk.sink.script = [FencedError(), FencedError()]
    kept = desk.put(0)
    await kept
    assert desk.base() == 1
    desk.sink.script = [FencedError()]
    dropped = desk.put(1)
    await settle()
    desk.partitions.drop([A])
    desk.sink.script = []
    lost = desk.put(2)
    await settle()
    assert dropped.done()
    assert lost.cancelled()
    assert all(b"2" not in values for values, _ in desk.sink.committed)


async def test_whoever_is_cancelled_before_the_transaction_is_not_in_it() -> None:
    desk = Desk()
    desk.sink.let.clear()
    first, second = desk.put(0), desk.put(1)
    await settle()
    third = desk.put(2)
    await settle()
    third.cancel()
    desk.sink.let.set()
    await asyncio.gather(first, second)
    await settle()
    assert [values for values, _ in desk.sink.committed] == [[b"0", b"1"]]


async def test_to_settle_is_to_know_how_the_transaction_under_way_ends() -> None:
    desk = Desk()
    desk.sink.let.clear()
    put = desk.put(0)
    await settle()
    put.cancel()
    settling = asyncio.create_task(desk.outbox.wait_until_idle())
    await settle()
    assert not settling.done()
    desk.sink.let.set()
    await settling
    assert desk.base() == 1, "it was written, so it counts, though nobody waits for it"
