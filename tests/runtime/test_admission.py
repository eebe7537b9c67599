"""Who may decode now."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.ports import ModelDescription, ServingCapacity
from worker.runtime.admission import Admission, Lane
from worker.runtime.work_ahead import CURRENT_JOB, WorkAhead

MAX_PIXELS = 100
LARGE_FROM = 50


def admission(max_jobs: int = 4, max_large_jobs: int = 1, work: WorkAhead | None = None) -> Admission:
    return Admission(
        work or WorkAhead(1),
        max_jobs=max_jobs,
        max_pixels=MAX_PIXELS,
        large_from_pixels=LARGE_FROM,
        max_large_jobs=max_large_jobs,
    )


class Visitor:
    """A job that asks for a place and holds it until it is let go."""

    def __init__(self, places: Admission, pixels: int, order: list[int]) -> None:
        self.pixels = pixels
        self.lane: Lane | None = None
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._visit(places, order))

    async def _visit(self, places: Admission, order: list[int]) -> None:
        async with places.admitted(self.pixels) as self.lane:
            order.append(self.pixels)
            await self.leave.wait()

    @property
    def is_in(self) -> bool:
        return self.lane is not None


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def end(*visitors: Visitor) -> None:
    for visitor in visitors:
        visitor.task.cancel()
    await asyncio.gather(*(visitor.task for visitor in visitors), return_exceptions=True)


async def test_jobs_are_admitted_in_the_order_in_which_they_asked() -> None:
    places, order = admission(), list[int]()
    visitors = [Visitor(places, pixels, order) for pixels in (40, 45, 50, 1, 2)]
    await settle()
    assert order == [40, 45], "the third does not fit, and the small ones behind it wait their turn"
    visitors[0].leave.set()
    await settle()
    assert order == [40, 45, 50, 1, 2]
    await end(*visitors)


async def test_the_number_of_jobs_is_limited() -> None:
    places, order = admission(max_jobs=2), list[int]()
    visitors = [Visitor(places, 1, order) for _ in range(3)]
    await settle()
    assert (places.jobs, places.pixels) == (2, 2)
    await end(*visitors)
    assert (places.jobs, places.pixels) == (0, 0)


async def test_the_large_lane_delays_nothing_small() -> None:
    places, order = admission(), list[int]()
    large = [Visitor(places, 80, order), Visitor(places, 90, order)]
    small = Visitor(places, LARGE_FROM, order)
    await settle()
    assert order == [80, LARGE_FROM]
    assert (large[0].lane, small.lane) == (Lane.LARGE, Lane.SMALL)
    large[0].leave.set()
    await settle()
    assert order == [80, LARGE_FROM, 90]
    await end(*large, small)


async def test_a_job_over_the_whole_budget_is_admitted_alone() -> None:
    places, order = admission(max_large_jobs=3), list[int]()
    first, giant, after = (Visitor(places, pixels, order) for pixels in (60, 1000, 51))
    await settle()
    assert order == [60]
    first.leave.set()
    await settle()
    assert order == [60, 1000]
    giant.leave.set()
    await settle()
    assert order == [60, 1000, 51]
    await end(first, giant, after)


async def test_a_cancelled_job_gives_its_place_back() -> None:
    places, order = admission(max_jobs=1), list[int]()
    inside, waiting, next_one = (Visitor(places, 1 + number, order) for number in range(3))
    await settle()
    await end(waiting)
    inside.leave.set()
    await settle()
    assert order == [1, 3]
    await end(next_one)
    assert (places.jobs, places.pixels) == (0, 0)


async def test_a_job_cancelled_in_the_moment_of_its_admission_gives_its_place_back() -> None:
    places, order = admission(max_jobs=1), list[int]()
    inside, called, next_one = (Visitor(places, 1 + number, order) for number in range(3))
    await settle()
    inside.leave.set()
    while places.pixels != called.pixels:  # noqa: ASYNC110 - turn by turn, to see the moment
        await asyncio.sleep(0)
    assert not called.is_in, "it was given the place and has not run yet"
    called.task.cancel()
    await settle()
    assert order == [1, 3]
    await end(called, next_one)
    assert (places.jobs, places.pixels) == (0, 0)


async def test_a_job_that_fails_gives_its_place_back() -> None:
    places = admission()
    with pytest.raises(LookupError):
        async with places.admitted(10):
            raise LookupError
    assert (places.jobs, places.pixels) == (0, 0)


def serving(instances: int) -> WorkAhead:
    work = WorkAhead(threads=8)
    work.described("model", ModelDescription("model", "1", 8, (), (), {}, ServingCapacity(instances, 1)))
    return work


async def test_no_more_small_jobs_begin_than_keep_the_models_busy() -> None:
    work, order = serving(instances=1), list[int]()
    places = admission(max_jobs=8, work=work)
    visitors = [Visitor(places, pixels, order) for pixels in (1, 2, 3, 80)]
    await settle()
    assert order == [1, 2, 80], "a large one is always needed"
    assert places.wanted_jobs == 2
    assert not places.would_admit(1)
    assert not places.has_room()
    work.described("model", ModelDescription("model", "1", 8, (), (), {}, ServingCapacity(2, 1)))
    await settle()
    assert order == [1, 2, 80, 3], "whoever waits need not wait for a job's end"
    assert places.would_admit(1)
    assert places.wanted_jobs == 4
    await end(*visitors)


async def test_every_large_job_is_needed_within_its_budget() -> None:
    places = Admission(serving(1), max_jobs=8, max_pixels=1000, large_from_pixels=LARGE_FROM, max_large_jobs=3)
    order = list[int]()
    visitors = [Visitor(places, pixels, order) for pixels in (60, 70, 80, 90)]
    await settle()
    assert order == [60, 70, 80]
    await end(*visitors)


async def test_one_job_is_admitted_however_busy_the_threads_are() -> None:
    places, order = admission(work=serving(instances=1)), list[int]()
    only = Visitor(places, 1, order)
    await settle()
    assert order == [1]
    await end(only)


async def test_a_job_that_would_overtake_another_one_is_not_admitted_at_once() -> None:
    places, order = admission(), list[int]()
    visitors = [Visitor(places, pixels, order) for pixels in (40, 45, 50)]
    await settle()
    assert order == [40, 45]
    assert not places.would_admit(1)
    assert places.would_admit(80), "the other lane is empty"
    await end(*visitors)


async def test_only_jobs_of_the_small_lane_count_for_the_models() -> None:
    places, seen = admission(), dict[int, bool]()
    for pixels in (1, 80):
        async with places.admitted(pixels):
            seen[pixels] = CURRENT_JOB.get() is not None
    assert seen == {1: True, 80: False}
    assert CURRENT_JOB.get() is None


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 160)),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(ACTIONS, st.integers(1, 3), st.integers(1, 2))
def test_no_lane_is_ever_over_its_budget(actions: list[tuple[str, int]], max_jobs: int, max_large: int) -> None:
    asyncio.run(walk(actions, max_jobs, max_large))


async def walk(actions: list[tuple[str, int]], max_jobs: int, max_large: int) -> None:
    places, visitors = admission(max_jobs, max_large), list[Visitor]()
    for kind, number in actions:
        if kind == "ask":
            visitors.append(Visitor(places, number, []))
        elif number < len(visitors):
            visitor = visitors[number]
            visitor.leave.set() if kind == "leave" else visitor.task.cancel()
        if number % 3:
            await asyncio.sleep(0)
        else:
            await settle()
        check(places, visitors, max_jobs, max_large)
    await settle()
    check_nobody_waits_in_vain(visitors)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(end, *visitors)
    assert (places.jobs, places.pixels) == (0, 0)


def check(places: Admission, visitors: list[Visitor], max_jobs: int, max_large: int) -> None:
    inside = [visitor for visitor in visitors if visitor.is_in and not visitor.task.done()]
    for lane, limit in ((Lane.SMALL, max_jobs), (Lane.LARGE, max_large)):
        pixels = [visitor.pixels for visitor in inside if visitor.lane is lane]
        assert len(pixels) <= limit
        assert sum(pixels) <= MAX_PIXELS or len(pixels) == 1
    assert places.jobs >= 0
    assert places.pixels >= 0


def check_nobody_waits_in_vain(visitors: list[Visitor]) -> None:
    for lane in Lane:
        here = [v for v in visitors if (v.pixels > LARGE_FROM) == (lane is Lane.LARGE) and not v.task.done()]
        assert not here or any(visitor.is_in for visitor in here)
