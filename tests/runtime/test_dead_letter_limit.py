"""Over the limit bad jobs wait in their order, the worker says for how long, and only too many of them stop it."""

import asyncio

from tests.runtime.parts import PICTURE, in_hand, record
from worker.domain.events import DeadLettersWaiting
from worker.runtime.dead_letter_limit import DEAD_LETTERS, DeadLetterLimit, WaitingBounds
from worker.runtime.health import Health
from worker.runtime.job import JobInHand
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
        self.tasks: list[asyncio.Task[None]] = []

    async def bad(self, *numbers: int) -> list[JobInHand]:
        """Let bad jobs come."""
        jobs = [in_hand(record(offset=number)) for number in numbers]
        self.tasks += [asyncio.create_task(self._admit(job)) for job in jobs]
        await asyncio.sleep(0)
        return jobs

    async def _admit(self, job: JobInHand) -> None:
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
    assert [job.aside for job in jobs] == [False] * 2 + [True] * 8
    world.limit.look()
    assert world.health.ready, "a worker that goes on with good jobs is ready"
    assert "8 bad jobs wait for the limit of 2 dead letters a minute, which takes about 4 min" in world.health.notice
    told = world.events.of(DeadLettersWaiting)
    assert told[0].loud
    assert (told[-1].waiting, told[-1].seconds, told[-1].loud) == (8, 240.0, False)
    await world.advance(61 * 5)
    world.limit.look()
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
    assert world.limit.may_wait(in_hand(record()))
    assert world.health.ready
    assert world.clock.slept == []


async def test_who_comes_over_the_bound_in_records_or_bytes_or_fills_the_window_is_to_go_round() -> None:
    size_bytes = record(PICTURE).size_bytes
    for bounds in (WaitingBounds(in_memory=3), WaitingBounds(in_memory_bytes=3 * size_bytes)):
        world = Limited(1, bounds)
        assert world.limit.may_wait(in_hand(record()))
        await world.bad(0, 1, 2)
        assert world.limit.may_wait(in_hand(record()))
        await world.bad(3)
        assert not world.limit.may_wait(in_hand(record()))
        assert world.health.ready
        for task in world.tasks:
            task.cancel()
    world = Limited(1)
    await world.bad(0)
    far = in_hand(record(offset=0))
    assert world.limit.may_wait(far)
    far.tracker.deliver(4096)
    assert not world.limit.may_wait(far), "half of the window is for good jobs"


async def test_only_more_than_the_bound_stop_the_intake_until_fewer_wait() -> None:
    world = Limited(2, WaitingBounds(in_memory=3))
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
    world = Limited(2, WaitingBounds(in_all=5, round_seconds=600))
    await world.bad(0, 1, 2)
    for _ in range(4):
        world.limit.gone_round()
    assert world.health.ready
    assert world.limit.wait_seconds == 150
    world.limit.gone_round()
    assert "6 bad jobs wait" in world.health.reason
    await world.advance(600)
    world.limit.look()
    assert world.health.ready
    assert world.limit.waiting == 0


async def test_who_is_cancelled_leaves_the_queue() -> None:
    world = Limited(1)
    await world.bad(0, 1, 2, 3)
    for task in world.tasks[1:3]:
        task.cancel()
    await world.advance(60)
    assert world.admitted == [0, 3]
    assert world.limit.waiting == 0


async def test_what_waits_follows_the_limit_and_the_memory() -> None:
    bounds = WaitingBounds.of(600, held_bytes=100, in_all=7, round_seconds=600)
    assert bounds == WaitingBounds(in_memory=6000, in_memory_bytes=50, in_all=7, round_seconds=600)
    assert WaitingBounds.of(10**9, held_bytes=100, in_all=7, round_seconds=600).in_memory == 10_000
    assert WaitingBounds.of(0, held_bytes=100, in_all=7, round_seconds=600).in_memory == 1
