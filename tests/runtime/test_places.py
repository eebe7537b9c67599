"""RequestSlots under the limit: in order within a lane, small before large, and the large lane gets its share."""

import asyncio
import random
from collections import Counter

import pytest

from tests.runtime.looping import settle
from worker.domain.inflight import InflightLimit
from worker.runtime.admission import Lane
from worker.runtime.request_slots import LaneShares, RequestSlots
from worker.testing.clock import ManualClock

SHARES = LaneShares(small_per_large=3, patience_seconds=2.0, large_in_gaps=2, quiet_seconds=10.0)
SMALL, LARGE, BACKGROUND = Lane.SMALL, Lane.LARGE, Lane.BACKGROUND


class Room:
    """RequestSlots, and requests that hold them until the test says so."""

    def __init__(self, limit: int) -> None:
        self.clock = ManualClock(sleeps_pass=False)
        self.limit = InflightLimit(limit)
        self.places = RequestSlots(self.limit, self.clock, SHARES)
        self.begun: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.doors: dict[str, asyncio.Event] = {}

    async def ask(self, lane: Lane, *names: str) -> None:
        for name in names:
            self.doors[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self.hold(lane, name))
            await settle()

    async def hold(self, lane: Lane, name: str) -> None:
        async with self.places.slot(lane):
            self.begun.append(name)
            await self.doors[name].wait()

    async def end(self, *names: str) -> None:
        for name in names:
            self.doors[name].set()
            await settle()

    async def cancel(self, *names: str) -> None:
        for name in names:
            self.tasks[name].cancel()
        await settle()


async def test_places_are_given_in_order_and_no_more_than_there_are() -> None:
    room = Room(2)
    await room.ask(SMALL, "a", "b", "c", "d")
    assert room.begun == ["a", "b"]
    await room.end("b", "a")
    assert room.begun == ["a", "b", "c", "d"]


async def test_a_background_request_begins_only_while_no_other_waits_or_runs() -> None:
    room = Room(8)
    await room.ask(LARGE, "L1")
    await room.ask(BACKGROUND, "b1", "b2")
    await room.ask(SMALL, "a")
    assert room.begun == ["L1", "a"]
    await room.end("a")
    assert room.begun == ["L1", "a"], "the large one still runs"
    await room.end("L1")
    assert room.begun == ["L1", "a", "b1"], "one at a time"
    await room.ask(SMALL, "c")
    assert room.begun[-1] == "c", "and no small one waits for it"
    await room.end("b1")
    assert room.begun[-1] == "c"
    await room.end("c")
    assert room.begun[-1] == "b2"


async def test_a_large_request_waits_until_nothing_small_is_about() -> None:
    room = Room(8)
    await room.ask(SMALL, "a", "b")
    await room.ask(LARGE, "L1", "L2", "L3")
    assert room.begun == ["a", "b"]
    await room.end("a")
    assert room.begun == ["a", "b"]
    await room.end("b")
    assert room.begun == ["a", "b", "L1", "L2"], "few at a time, for small ones were seen lately"
    await room.ask(SMALL, "c")
    assert room.begun[-1] == "c", "a small one never waits for a large one's place"
    await room.end("L1", "L2")
    assert room.begun[-1] == "c"
    await room.end("c")
    assert room.begun[-1] == "L3"


async def test_the_large_lane_has_every_place_once_it_is_quiet() -> None:
    room = Room(3)
    await room.ask(SMALL, "a")
    await room.end("a")
    await room.ask(LARGE, "L1", "L2", "L3", "L4")
    assert room.begun == ["a", "L1", "L2"]
    room.clock.advance(SHARES.quiet_seconds)
    await room.end("L1")
    assert room.begun == ["a", "L1", "L2", "L3", "L4"]


async def test_small_ones_cannot_starve_a_large_one() -> None:
    room = Room(2)
    await room.ask(SMALL, "s0")
    await room.ask(LARGE, "L1", "L2")
    for turn in range(12):
        await room.ask(SMALL, f"s{turn + 1}")
        await room.end(f"s{turn}", "L1" if "L1" in room.begun else "s0")
    assert room.begun.index("L1") == 4, "after three small ones"
    assert "L2" in room.begun
    assert room.begun.index("L2") - room.begun.index("L1") == SHARES.small_per_large + 1


async def test_patience_ends_with_time_too() -> None:
    room = Room(4)
    await room.ask(SMALL, "a", "b")
    await room.ask(LARGE, "L1", "L2")
    room.clock.advance(SHARES.patience_seconds)
    await room.end("b")
    assert room.begun == ["a", "b", "L1"]


async def test_a_large_one_that_comes_late_has_not_waited_yet() -> None:
    room = Room(4)
    await room.ask(SMALL, *"abcdefgh"[:4])
    await room.end(*"abc")
    await room.ask(SMALL, *"efg")
    room.clock.advance(100)
    await room.ask(LARGE, "L1")
    await room.end("d")
    assert "L1" not in room.begun


@pytest.mark.parametrize("lane", Lane)
async def test_a_cancelled_waiter_lets_those_behind_it_pass(lane: Lane) -> None:
    room = Room(1)
    await room.ask(SMALL, "a")
    await room.ask(lane, "x", "y")
    await room.cancel("x")
    await room.end("a")
    assert room.begun == ["a", "y"]
    await room.end("y")
    assert room.limit.in_flight == 0


async def test_who_is_cancelled_just_when_its_turn_comes_gives_the_place_on() -> None:
    room = Room(1)
    await room.ask(SMALL, "a", "b", "c")
    room.doors["a"].set()
    await asyncio.sleep(0)  # "a" wakes and gives its place to "b", which has not run yet
    room.tasks["b"].cancel()
    await settle()
    assert room.begun in (["a", "c"], ["a", "b", "c"])
    await room.end("c")
    assert room.limit.in_flight == 0


@pytest.mark.parametrize("seed", range(30))
async def test_any_order_of_coming_ending_and_cancelling_leaves_nothing_behind(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    room = Room(chance.randint(1, 4))
    for number in range(60):
        name = f"{number}"
        await room.ask(chance.choice([SMALL, SMALL, LARGE]), name)
        assert room.limit.in_flight <= room.limit.limit
        for other in chance.sample(sorted(room.tasks), k=min(2, len(room.tasks))):
            if chance.random() < 0.4:
                room.tasks[other].cancel()
            else:
                room.doors[other].set()
        for _ in range(chance.randint(0, 3)):
            await asyncio.sleep(0)
        room.clock.advance(chance.random())
    while any(not task.done() for task in room.tasks.values()):
        await room.end(*room.tasks)
    assert room.limit.in_flight == 0
    assert Counter(task.cancelled() for task in room.tasks.values())[False] > 0
