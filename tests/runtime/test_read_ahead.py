"""How many records are taken before they are needed."""

from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.looping import Member, running, settle
from tests.runtime.parts import JOBS, memory_broker
from worker.runtime.job import InflightJob
from worker.runtime.loop import IntakeLimits
from worker.runtime.read_ahead import ReadAhead
from worker.testing.broker import MemoryBroker

LIMIT = 16


def test_records_that_come_late_are_taken_earlier_from_then_on() -> None:
    ahead = ReadAhead(LIMIT)
    assert ahead.records == 2
    for _ in range(3):
        ahead.began(waited=False, is_used_up=True, in_progress=1)
    assert ahead.records == 5
    ahead.began(waited=False, is_used_up=False, in_progress=1)
    assert ahead.records == 5, "the topic was empty, and taking them earlier would have changed nothing"


def test_records_that_wait_are_taken_later_from_then_on() -> None:
    ahead = ReadAhead(LIMIT)
    for _ in range(30):
        ahead.began(waited=False, is_used_up=True, in_progress=1)
    assert ahead.records == LIMIT
    for _ in range(8):
        ahead.began(waited=True, is_used_up=True, in_progress=4)
    assert ahead.records == LIMIT - 2
    for _ in range(60):
        ahead.began(waited=True, is_used_up=True, in_progress=4)
    assert ahead.records == 3, "half as many as are in progress, and one"


@given(st.integers(1, 20), st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 30))))
def test_there_is_always_a_record_ahead_and_never_more_than_the_limit(
    limit: int, begun: list[tuple[bool, bool, int]]
) -> None:
    ahead = ReadAhead(limit)
    for waited, is_used_up, in_progress in begun:
        ahead.began(waited=waited, is_used_up=is_used_up, in_progress=in_progress)
        assert 1 <= ahead.records <= limit


def filled() -> MemoryBroker:
    broker = memory_broker()
    for _ in range(40):
        broker.append(JOBS, b"x")
    return broker


def member(*, in_key_order: bool = False) -> Member:
    found = Member(filled(), limits=IntakeLimits(LIMIT, 2**30), in_key_order=in_key_order)
    found.delivery.begins_at_once = False
    return found


def waiting(member: Member) -> list[InflightJob]:
    return [member.delivery.job(offset) for offset in member.delivery.offsets() if member.delivery.job(offset).ahead]


async def test_no_more_records_are_taken_while_those_at_hand_wait() -> None:
    async with running(member()) as worker:
        assert worker.delivery.offsets() == [0, 1]
        worker.delivery.job(0).mark_begun(waited=True)
        await settle()
        assert worker.delivery.offsets() == [0, 1, 2], "another one is at hand for it"
        assert len(waiting(worker)) == 2


async def test_records_are_taken_earlier_while_jobs_find_their_turn_at_once() -> None:
    async with running(member()) as worker:
        for _ in range(5):
            waiting(worker)[0].mark_begun(waited=False)
            await settle()
        assert len(waiting(worker)) == 7
        for _ in range(5):
            waiting(worker)[0].mark_begun(waited=False)
            await settle()
        assert len(worker.delivery.offsets()) == LIMIT


async def test_jobs_that_wait_for_nothing_here_hold_up_no_record_and_say_nothing_of_those_that_do() -> None:
    async with running(member()) as worker:
        for offset in (0, 1):
            worker.delivery.job(offset).mark_begun()
        await settle()
        assert [job.record.coordinate.offset for job in waiting(worker)] == [2, 3]


async def test_in_key_order_records_may_wait_for_those_before_them() -> None:
    async with running(member(in_key_order=True)) as worker:
        assert len(worker.delivery.begun) == LIMIT
