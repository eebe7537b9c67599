"""The loop whose time is its own."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.simulation.virtual_time import (
    StandstillError,
    VirtualClock,
    VirtualExecutor,
    VirtualProcess,
    VirtualTimeLoop,
)


@pytest.fixture
def loop() -> Iterator[VirtualTimeLoop]:
    made = VirtualTimeLoop(max_callbacks=1000)
    yield made
    made.close()


def test_an_hour_passes_at_once_and_exactly(loop: VirtualTimeLoop) -> None:
    clock, began = VirtualClock(loop), time.monotonic()
    before_ms = clock.epoch_ms()
    loop.run_until_complete(clock.sleep(3600))
    assert clock.monotonic() == 3600
    assert clock.epoch_ms() - before_ms == 3_600_000
    assert time.monotonic() - began < 5


def test_sleepers_wake_in_the_order_of_their_times(loop: VirtualTimeLoop) -> None:
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(seconds)

    async def all_sleep() -> None:
        await asyncio.gather(*map(sleep, (3.0, 1.0, 2.0)))

    loop.run_until_complete(all_sleep())
    assert woken == [1.0, 2.0, 3.0]
    assert loop.time() == 3.0


def test_waiting_for_nothing_is_a_standstill_and_not_a_hang(loop: VirtualTimeLoop) -> None:
    with pytest.raises(StandstillError, match="nothing is due"):
        loop.run_until_complete(loop.create_future())


def test_spinning_without_end_is_a_standstill(loop: VirtualTimeLoop) -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110 - it shall spin
            await asyncio.sleep(0)

    with pytest.raises(StandstillError, match="still something is due"):
        loop.run_until_complete(spin())


def test_a_frozen_process_stands_still_and_goes_on_where_it_was(loop: VirtualTimeLoop) -> None:
    process, beats = VirtualProcess(loop, "one"), list[float]()

    async def beat() -> None:
        for _ in range(5):
            await asyncio.sleep(1)
            beats.append(loop.time())

    beating = process.create_task(beat())
    loop.call_at(2.5, process.freeze)
    loop.call_at(10, process.thaw)
    loop.run_until_complete(beating)
    assert beats == [1, 2, 10, 11, 12]


def test_what_a_process_begins_belongs_to_it_whoever_wakes_it(loop: VirtualTimeLoop) -> None:
    process, door, steps = VirtualProcess(loop, "one"), asyncio.Event(), list[str]()

    async def child() -> None:
        await door.wait()
        steps.append("through")

    async def parent() -> None:
        await loop.create_task(child())

    process.create_task(parent())
    loop.call_at(1, process.kill)
    loop.call_at(2, door.set)
    loop.run_until_complete(asyncio.sleep(5))
    assert steps == []
    process.release()
    loop.run_until_complete(asyncio.sleep(1))
    assert steps == ["through"]


def test_a_killed_process_says_no_last_word(loop: VirtualTimeLoop) -> None:
    process, words = VirtualProcess(loop, "one"), list[str]()

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            words.append("bye")

    working = process.create_task(work())
    loop.call_at(1, process.kill)
    loop.call_at(2, working.cancel)
    loop.call_at(3, process.thaw)
    loop.run_until_complete(asyncio.sleep(20))
    assert words == []
    process.release()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(working)


def test_an_executors_work_takes_virtual_time_and_its_errors_come_back(loop: VirtualTimeLoop) -> None:
    executor = VirtualExecutor(loop, lambda: 0.5)
    assert loop.run_until_complete(loop.run_in_executor(executor, pow, 2, 5)) == 32
    assert loop.time() == 0.5
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(loop.run_in_executor(executor, divmod, 1, 0))


def test_sets_of_tasks_have_the_same_order_in_every_run() -> None:
    def order() -> list[str]:
        loop = VirtualTimeLoop()

        async def tasks_in_a_set() -> list[str]:
            tasks = {loop.create_task(asyncio.sleep(0), name=f"task {number}") for number in range(40)}
            await asyncio.wait(tasks)
            return [task.get_name() for task in tasks]

        try:
            return loop.run_until_complete(tasks_in_a_set())
        finally:
            loop.close()

    assert order() == order() == sorted(order(), key=lambda name: int(name.split()[1]))
