"""Room for fetched pictures."""

import asyncio

import pytest

from worker.runtime.fetch_memory import FetchMemory, Lease


async def held(room: FetchMemory, size_bytes: int, end: asyncio.Event) -> None:
    with room.lease() as lease:
        await lease.grow(size_bytes)
        await end.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_room_is_given_in_order_and_never_more_than_there_is() -> None:
    room, ends = FetchMemory(100, 9), [asyncio.Event() for _ in range(4)]
    tasks = [asyncio.ensure_future(held(room, size, end)) for size, end in zip((60, 30, 50, 5), ends, strict=True)]
    await settle()
    assert room.held_bytes == 90  # the last would fit, and waits for its turn
    ends[0].set()
    await settle()
    assert room.held_bytes == 85
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)
    assert room.held_bytes == 0


async def test_a_picture_over_the_whole_room_has_it_alone() -> None:
    room, first, second = FetchMemory(100, 9), asyncio.Event(), asyncio.Event()
    tasks = [asyncio.ensure_future(held(room, 1, first)), asyncio.ensure_future(held(room, 500, second))]
    await settle()
    assert room.held_bytes == 1
    first.set()
    await settle()
    assert room.held_bytes == 500
    second.set()
    await asyncio.gather(*tasks)


async def test_who_is_cancelled_leaves_no_room_taken_and_lets_the_next_in() -> None:
    room, end = FetchMemory(100, 9), asyncio.Event()
    tasks = [asyncio.ensure_future(held(room, size, end)) for size in (80, 90, 20)]
    await settle()
    tasks[1].cancel()
    await settle()
    assert room.held_bytes == 100
    tasks[0].cancel()
    end.set()
    await asyncio.wait(tasks)
    assert room.held_bytes == 0


async def test_one_who_was_given_room_and_is_cancelled_in_the_same_turn_gives_it_back() -> None:
    room = FetchMemory(100, 9)
    with room.lease() as first:
        await first.grow(100)
        waiting = asyncio.ensure_future(room.reserve(100))
        await settle()
        first.shrink(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert room.held_bytes == 0


async def test_a_lease_grows_and_shrinks_and_takes_nothing_twice() -> None:
    room = FetchMemory(100, 9)
    with room.lease() as lease:
        for size, expected in ((40, 40), (40, 40), (70, 70), (30, 70)):
            await lease.grow(size)
            assert room.held_bytes == lease.size_bytes == expected
        lease.shrink(10)
        lease.shrink(50)
        assert room.held_bytes == 10
    assert room.held_bytes == Lease(room).size_bytes == 0
