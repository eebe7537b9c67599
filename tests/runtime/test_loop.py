"""What the loop takes, commits and hands back."""

import asyncio

import pytest

from tests.runtime.looping import Member, crash, running, settle, until
from tests.runtime.parts import JOBS, memory_broker
from worker.domain.errors import BrokerError
from worker.domain.events import PartitionsChanged
from worker.domain.offsets import decode_done, encode_metadata, suspects_end
from worker.domain.records import CommitPoint, TopicPartition
from worker.runtime.admission import Lane
from worker.runtime.loop import IntakeLimits
from worker.runtime.outbox import DirectOutbox
from worker.testing.broker import MemoryBroker
from worker.testing.sink import MemorySink

A, B = TopicPartition(JOBS, 0), TopicPartition(JOBS, 1)


def filled(count: int, size_bytes: int = 1) -> MemoryBroker:
    broker = memory_broker()
    for _ in range(count):
        broker.append(JOBS, b"x" * size_bytes)
    return broker


def committed(broker: MemoryBroker, partition: TopicPartition = A) -> CommitPoint | None:
    return broker.committed.get(("labelwire", partition))


async def test_no_more_records_are_taken_than_may_be_held() -> None:
    broker = filled(10)
    async with running(Member(broker, limits=IntakeLimits(3, 2**30))) as member:
        assert member.delivery.offsets() == [0, 1, 2]
        member.delivery.finish(1)
        await settle()
        assert member.delivery.offsets() == [0, 2, 3]


async def test_pictures_known_to_be_large_make_room_for_small_ones() -> None:
    broker = filled(10)
    async with running(Member(broker, limits=IntakeLimits(3, 2**30))) as member:
        member.delivery.job(0).large = True
        member.delivery.finish(1)
        await settle()
        assert member.delivery.offsets() == [0, 2, 3, 4]


async def test_no_more_bytes_are_taken_than_may_be_held() -> None:
    broker = filled(1, 1000)
    async with running(Member(broker, limits=IntakeLimits(100, 5 * 2**20))) as member:
        for _ in range(3):
            broker.append(JOBS, b"x" * 2 * 2**20)
        await settle()
        held = sum(job.record.size_bytes for job, _ in member.delivery.in_hand.values())
        assert held <= 5 * 2**20 + 2 * 2**20, "a batch is let in by the size of those before it"
        assert member.delivery.offsets()[:2] == [0, 1]


async def test_a_record_over_the_whole_budget_is_taken_alone() -> None:
    broker = filled(3, 2000)
    async with running(Member(broker, limits=IntakeLimits(100, 1000))) as member:
        assert member.delivery.offsets() == [0]
        member.delivery.finish(0)
        await settle()
        assert member.delivery.offsets() == [1]


async def test_records_without_a_byte_are_taken_like_others() -> None:
    broker = memory_broker()
    for _ in range(5):
        broker.append(JOBS, None)
    async with running(Member(broker, limits=IntakeLimits(2, 1000))) as member:
        assert member.delivery.offsets() == [0, 1]
        member.delivery.finish(0, 1)
        await settle()
        assert member.delivery.offsets() == [2, 3]


async def test_nothing_is_taken_while_the_worker_is_not_fit() -> None:
    broker = filled(4)
    async with running(Member(broker, limits=IntakeLimits(2, 2**30))) as member:
        member.loop.set_intake(is_open=False)
        member.delivery.finish(0, 1)
        await settle()
        assert member.delivery.offsets() == []
        member.loop.set_intake(is_open=True)
        await settle()
        assert member.delivery.offsets() == [2, 3]


async def test_a_full_window_pauses_its_partition_and_no_other() -> None:
    broker = filled(10)
    async with running(Member(broker, window=3, limits=IntakeLimits(3, 2**30))) as member:
        member.delivery.finish(1, 2)
        await settle()
        assert member.source.paused == {A}
        broker.append(JOBS, b"x", partition=1)
        await settle()
        assert (member.delivery.offsets(0), member.delivery.offsets(1)) == ([0], [0])
        member.delivery.finish(0)
        await settle()
        assert member.source.paused == frozenset()
        assert member.delivery.offsets(0) == [3, 4]


def begun(base: int) -> CommitPoint:
    """Return what a member commits that has done everything below `base` and has not ended."""
    return CommitPoint(base, encode_metadata(base, (), topic_id=MemoryBroker.first_id(JOBS)))


async def test_offsets_are_committed_up_to_the_lowest_open_one_with_a_map_of_the_rest() -> None:
    broker = filled(5)
    async with running(Member(broker)) as member:
        member.delivery.finish(0, 2, 4)
        await settle()
        assert committed(broker) == begun(0), "a commit waits for its time"
        await member.commit()
        point = committed(broker)
        assert point is not None
        assert point.offset == 1
        assert decode_done(point) == {2, 4}
        member.delivery.finish(1, 3)
        await settle()
        await member.commit()
        assert committed(broker) == begun(5)


async def test_a_revocation_waits_for_what_works_and_stops_what_waits() -> None:
    broker = filled(3)
    async with running(Member(broker, drain_seconds=60)) as member:
        member.delivery.job(1).working = False
        revoking = asyncio.create_task(member.source.revoke([A]))
        await settle()
        assert [at.offset for at in member.delivery.cancelled] == [1]
        assert not revoking.done()
        member.delivery.finish(0, 2)
        await revoking
    point = committed(broker)
    assert point is not None
    assert decode_done(point) == {2}
    assert (point.offset, suspects_end(point, 10)) == (1, 1)


async def test_a_job_that_fails_while_its_partition_leaves_is_not_waited_for() -> None:
    broker = filled(2)
    async with running(Member(broker, drain_seconds=60)) as member:
        revoking = asyncio.create_task(member.source.revoke([A]))
        await settle()
        member.delivery.finish(0)
        member.delivery.job(1).working = False
        async with asyncio.timeout(5):
            await revoking
        assert [at.offset for at in member.delivery.cancelled] == [1]
    assert committed(broker) is not None


async def test_what_is_not_finished_in_the_drain_time_is_stopped_and_is_no_suspect() -> None:
    broker = filled(2)
    async with running(Member(broker, drain_seconds=60)) as member:
        revoking = asyncio.create_task(member.source.revoke([A]))
        await settle()
        member.delivery.finish(1)
        member.clock.advance(60)
        await revoking
        assert [at.offset for at in member.delivery.cancelled] == [0]
    point = committed(broker)
    assert point is not None
    assert (point.offset, set(decode_done(point)), suspects_end(point, 10)) == (0, {1}, 0)


async def test_what_is_kept_runs_on_through_a_rebalance() -> None:
    broker = filled(2)
    broker.append(JOBS, b"x", partition=1)
    async with running(Member(broker)) as member:
        member.delivery.job(0).working = member.delivery.job(1).working = False
        await member.source.revoke([A])
        assert member.delivery.offsets(1) == [0]
        member.delivery.finish(0, partition=1)
        await settle()
        await member.commit()
        assert committed(broker, B) == begun(1)


async def test_a_lost_partition_is_dropped_at_once_and_never_committed() -> None:
    broker = filled(3)
    async with running(Member(broker)) as member:
        member.delivery.finish(0)
        await settle()
        member.source.lose([A])
        await settle()
        assert [at.offset for at in member.delivery.cancelled] == [1, 2]
        await member.commit()
    assert committed(broker) == begun(0)


async def test_a_job_of_an_old_assignment_says_nothing_about_the_new_one() -> None:
    broker = filled(2)
    async with running(Member(broker)) as member:
        old = member.delivery.in_hand.copy()
        member.source.lose([A])
        await member.source.assign([A])
        await settle()
        assert member.delivery.offsets() == [0, 1]
        assert all(future.cancelled() for _, future in old.values())
        member.delivery.finish(1)
        await settle()
        await member.commit()
        point = committed(broker)
        assert point is not None
        assert (point.offset, set(decode_done(point))) == (0, {1})


async def test_stopping_hands_everything_back_and_commits() -> None:
    broker = filled(3)
    member = Member(broker, drain_seconds=60)
    task = asyncio.create_task(member.loop.run(member.stopping))
    member.loop.set_intake(is_open=True)
    await settle()
    member.stopping.set()
    await settle()
    broker.append(JOBS, b"x")
    await settle()
    assert member.delivery.offsets() == [0, 1, 2], "nothing is taken any more"
    member.delivery.finish(0, 1, 2)
    await task
    point = committed(broker)
    assert point is not None
    assert (point.offset, suspects_end(point, 10)) == (3, 3)
    assert member.source.held == frozenset()


async def test_readiness_follows_the_assignment() -> None:
    async with running(Member(memory_broker(), takes_at_start=False)) as member:
        assert not member.health.ready
        await member.source.assign([A, B])
        assert member.health.ready
        await member.source.revoke([A])
        assert member.health.ready
        member.source.lose([B])
        assert not member.health.ready
        assert "none yet" in member.health.reason
    kinds = [event.kind for event in member.events.of(PartitionsChanged)]
    assert kinds[:3] == ["assigned", "revoked", "lost"]


async def test_a_source_that_fails_ends_the_loop_with_its_error() -> None:
    member = Member(filled(1))
    task = asyncio.create_task(member.loop.run(member.stopping))
    await settle()
    member.source.fail(BrokerError("fenced"))
    with pytest.raises(ExceptionGroup) as raised:
        await task
    assert raised.group_contains(BrokerError, match="fenced")


async def test_a_source_that_cannot_start_ends_the_loop_with_its_error() -> None:
    broker = memory_broker()
    broker.reachable = False
    member = Member(broker)
    with pytest.raises(ExceptionGroup) as raised:
        await member.loop.run(member.stopping)
    assert raised.group_contains(BrokerError, match="not reachable")


async def test_commits_that_are_refused_are_made_later() -> None:
    broker = filled(2)
    async with running(Member(broker)) as member:
        member.source.refuses_commits = True
        member.delivery.finish(0)
        await settle()
        await member.commit()
        assert committed(broker) == begun(0)
        member.source.refuses_commits = False
        member.delivery.finish(1)
        await until(lambda: not member.delivery.in_hand)
        await member.commit()
        assert committed(broker) == begun(2)


async def test_a_log_that_was_cut_is_read_from_there() -> None:
    broker = filled(5)
    async with running(Member(broker)) as member:
        member.delivery.finish(0, 1, 2)
        await settle()
        broker.truncate(A, 1)
        again = broker.append(JOBS, b"other")
        assert again.coordinate.offset == 1
        member.loop.received([again])
        assert member.delivery.begun.count(again.coordinate) == 1
        await until(lambda: member.delivery.begun.count(again.coordinate) == 2)
        await member.commit()
        point = committed(broker)
        assert point is not None
        assert point.offset == 1


async def test_what_a_killed_member_had_in_hand_is_suspect_and_what_it_handed_back_is_not() -> None:
    broker, limits = filled(6), IntakeLimits(3, 2**30)
    first = Member(broker, limits=limits)
    task = asyncio.create_task(first.loop.run(first.stopping))
    first.loop.set_intake(is_open=True)
    await settle()
    assert first.delivery.offsets() == [0, 1, 2]
    await crash(first, task)
    async with running(Member(broker, limits=limits)) as second:
        assert [second.delivery.job(offset).suspect for offset in (0, 1, 2)] == [True, True, True]
        second.delivery.finish(0)
        await settle()
        assert not second.delivery.job(3).suspect, "no member held more than its intake"
        for job, _ in second.delivery.in_hand.values():
            job.working = False
        await second.source.revoke([A])
    async with running(Member(broker, limits=limits)) as third:
        assert [third.delivery.job(offset).suspect for offset in (1, 2, 3)] == [True, True, False]


async def test_jobs_of_a_key_have_their_turns_in_their_order() -> None:
    broker = memory_broker()
    for key in (b"a", b"a", b"b", None, b"a"):
        broker.append(JOBS, b"x", key=key)
    async with running(Member(broker, in_key_order=True)) as member:
        assert member.delivery.offsets() == [0, 2, 3]
        member.delivery.finish(0)
        await settle()
        assert member.delivery.offsets() == [1, 2, 3]
        member.delivery.finish(1, 2)
        await settle()
        assert member.delivery.offsets() == [3, 4]


async def test_a_large_picture_gives_its_place_back_to_small_ones() -> None:
    broker = filled(5)
    async with running(Member(broker, limits=IntakeLimits(2, 2**30))) as member:
        assert member.delivery.offsets() == [0, 1]
        member.delivery.job(0).set_lane(Lane.LARGE)
        await settle()
        assert member.delivery.offsets() == [0, 1, 2]


class EndlessOutbox(DirectOutbox):
    """An outbox whose last transaction's end is never known."""

    async def wait_until_idle(self) -> None:
        await asyncio.Event().wait()


@pytest.mark.timeout(60)
async def test_beside_a_transaction_whose_end_is_unknown_nothing_is_committed() -> None:
    broker = filled(1)
    async with running(Member(broker, outbox=EndlessOutbox(MemorySink(broker)))) as member:
        member.delivery.finish(0)
        await settle()
        await member.source.revoke([A])
    assert committed(broker) == begun(0)
