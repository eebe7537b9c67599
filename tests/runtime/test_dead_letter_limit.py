"""Over the limit bad jobs wait in their order, the worker says for how long, and only too many of them stop it."""

import asyncio
from typing import Any

import pytest

from tests.runtime.parts import JOBS, PICTURE, in_hand, record
from worker.domain.events import DeadLettersWaiting
from worker.domain.offsets import OffsetTracker
from worker.runtime.dead_letter_limit import DEAD_LETTERS, DeadLetterLimit, WaitingBounds
from worker.runtime.health import Health
from worker.runtime.job import InflightJob
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents


class Limited:
    """A limit over a clock that the test moves."""

    def __init__(self, per_minute: int, bounds: WaitingBounds | None = None, *, sleeps_pass: bool = False) -> None:
        self.clock = ManualClock(sleeps_pass=sleeps_pass)
        self.events = RecordedEvents()
        self.health = Health((DEAD_LETTERS,), self.clock, self.events, pulse_seconds=60)
        self.limit = DeadLetterLimit(per_minute, self.clock, self.health, self.events, bounds)
        self.admitted: list[int] = []
        self.tasks: list[asyncio.Task[Any]] = []

    async def bad(self, *numbers: int) -> list[InflightJob]:
        """Let bad jobs come."""
        jobs = [in_hand(record(offset=number)) for number in numbers]
        self.tasks += [asyncio.create_task(self._admit(job)) for job in jobs]
        for _ in range(4):
            await asyncio.sleep(0)
        return jobs

    async def _admit(self, job: InflightJob) -> None:
        await self.limit.admit(job)
        self.admitted.append(job.record.coordinate.offset)

    async def advance(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.clock.advance(1)
            for _ in range(20):
                await asyncio.sleep(0)


async def test_over_the_limit_jobs_are_admitted_in_their_order_as_the_minute_has_room() -> None:
    world = Limited(2)
    await world.bad(0)
    await world.advance(10)
    await world.bad(1, 2, 3, 4)
    assert world.admitted == [0, 1]
    await world.advance(49)
    assert world.admitted == [0, 1]
    await world.advance(1)
    assert world.admitted == [0, 1, 2]
    await world.advance(10)
    assert world.admitted == [0, 1, 2, 3]
    await world.advance(50)
    assert world.admitted == [0, 1, 2, 3, 4]


async def test_while_some_wait_the_worker_is_ready_and_says_how_many_and_how_long() -> None:
    world = Limited(2)
    jobs = await world.bad(*range(10))
    assert [job.queued for job in jobs] == [False] * 2 + [True] * 8
    world.limit.update()
    assert world.health.ready, "a worker that goes on with good jobs is ready"
    assert "8 bad jobs wait for the limit of 2 dead letters a minute, which takes about 4 min" in world.health.notice
    told = world.events.of(DeadLettersWaiting)
    assert told[0].loud
    assert (told[-1].waiting, told[-1].seconds, told[-1].loud) == (8, 240.0, False)
    await world.advance(61 * 5)
    world.limit.update()
    assert world.admitted == list(range(10))
    assert world.health.notice == ""
    told = world.events.of(DeadLettersWaiting)
    assert (told[-1].waiting, told[-1].loud) == (0, True)
    assert sum(event.loud for event in told) <= 6, "a line a minute"


async def test_no_more_than_the_limit_are_written_in_any_minute() -> None:
    world = Limited(5, sleeps_pass=True)
    times = []
    for number in range(40):
        await world.limit.admit(in_hand(record(offset=number)))
        times.append(world.clock.monotonic())
    assert all(later - earlier >= 60 for earlier, later in zip(times, times[5:], strict=False))
    assert times[-1] <= 7 * 60 + 1, "and no fewer"


async def test_without_a_limit_nobody_waits() -> None:
    world = Limited(0)
    await world.bad(*range(1000))
    assert len(world.admitted) == 1000
    assert world.health.ready
    assert world.clock.slept == []


async def test_who_comes_over_the_bound_in_records_or_bytes_is_to_go_round() -> None:
    size_bytes = record(PICTURE).size_bytes
    for bounds in (WaitingBounds(max_records_in_memory=3), WaitingBounds(max_bytes_in_memory=3 * size_bytes)):
        world = Limited(1, bounds)
        await world.bad(0, 1, 2, 3)
        assert not await world.limit.admit(in_hand(record(offset=4)), may_postpone=True)
        assert world.limit.waiting == 3
        assert world.health.ready
        for task in world.tasks:
            task.cancel()


async def test_who_holds_up_a_quarter_of_the_window_is_sent_on_once_half_of_it_is_used() -> None:
    world, tracker = Limited(1), OffsetTracker(window=8)
    elsewhere = in_hand(record(offset=0))
    came: dict[int, bool] = {}

    async def wait(offset: int) -> None:
        tracker.deliver(offset)
        came[offset] = await world.limit.admit(InflightJob(record(offset=offset), tracker), may_postpone=True)

    world.tasks.append(asyncio.create_task(world.limit.admit(elsewhere, may_postpone=True)))
    await asyncio.sleep(0)
    for offset in range(4):
        world.tasks.append(asyncio.create_task(wait(offset)))
        await asyncio.sleep(0)
    await world.advance(1)
    assert came == {0: False, 1: False}, "the head of the queue as well"
    assert world.limit.waiting == 2
    await world.advance(120)
    assert came == {0: False, 1: False, 2: True, 3: True}


async def test_only_more_than_the_bound_stop_the_intake_until_fewer_wait() -> None:
    world = Limited(2, WaitingBounds(max_records_in_memory=3))
    changes: list[bool] = []
    world.limit.on_change(lambda: changes.append(world.health.is_met(DEAD_LETTERS)))
    await world.bad(0, 1, 2, 3, 4)
    assert world.health.ready
    await world.bad(5)
    assert "4 bad jobs wait" in world.health.reason
    assert "No job is taken until fewer wait." in world.health.reason
    assert changes[-1] is False, "at once, not at the next look"
    await world.advance(60)
    assert world.health.ready
    assert changes[-1] is True


async def test_those_that_went_round_count_until_they_are_back() -> None:
    world = Limited(2, WaitingBounds(max_waiting=5, postponement_seconds=600))
    await world.bad(0, 1, 2)
    for _ in range(4):
        world.limit.postponed()
    assert world.health.ready
    assert world.limit.wait_seconds == 600 + 4 * 30, "the one that waits here is written before those are back"
    world.limit.postponed()
    assert "6 bad jobs wait" in world.health.reason
    await world.advance(600)
    world.limit.update()
    assert world.limit.waiting == 5, "a round may take a tenth longer"
    await world.advance(90)
    world.limit.update()
    assert world.health.ready
    assert world.limit.waiting == 0


async def test_who_is_back_is_counted_once_and_the_time_is_told_while_all_are_away() -> None:
    world = Limited(2, WaitingBounds(postponement_topic=JOBS))
    await world.bad(0, 1)
    for _ in range(4):
        world.limit.postponed()
    await world.advance(300)
    world.limit.update()
    assert world.events.of(DeadLettersWaiting)[-1].seconds == 300 + 4 * 30
    assert world.events.of(DeadLettersWaiting)[-1].loud, "a line a minute, though nothing changes"
    await world.bad(2, 3, 4, 5)
    assert world.admitted == [0, 1, 2, 3]
    assert world.limit.waiting == 2
    for task in world.tasks:
        task.cancel()


@pytest.mark.parametrize(("in_memory", "paused_topics"), [(8, (JOBS,)), (20, ())])
async def test_where_memory_holds_less_than_a_round_takes_the_slowest_retry_topic_waits_for_places(
    in_memory: int, paused_topics: tuple[str, ...]
) -> None:
    world = Limited(1, WaitingBounds(max_records_in_memory=in_memory, postponement_topic=JOBS))  # ten a round
    await world.bad(*range(in_memory * 3 // 4))
    assert world.limit.paused_topics == ()
    await world.bad(20)
    assert world.limit.paused_topics == paused_topics, "before it is full: some are on their way"
    await world.advance(60 * 2)
    assert world.limit.paused_topics == paused_topics
    await world.advance(60 * in_memory // 4)
    assert world.limit.paused_topics == (), "over half of the places are free"
    for task in world.tasks:
        task.cancel()


async def test_who_is_cancelled_leaves_the_queue() -> None:
    world = Limited(1)
    await world.bad(0, 1, 2, 3)
    for task in world.tasks[1:3]:
        task.cancel()
    await world.advance(60)
    assert world.admitted == [0, 3]
    assert world.limit.waiting == 0


async def test_what_waits_follows_the_limit_and_the_memory() -> None:
    bounds = WaitingBounds.of(600, held_bytes=100, max_waiting=7, postponement_seconds=600)
    assert bounds == WaitingBounds(
        max_records_in_memory=6000, max_bytes_in_memory=50, max_waiting=7, postponement_seconds=600
    )
    assert (
        WaitingBounds.of(10**9, held_bytes=100, max_waiting=7, postponement_seconds=600).max_records_in_memory == 10_000
    )
    assert WaitingBounds.of(0, held_bytes=100, max_waiting=7, postponement_seconds=600).max_records_in_memory == 1
