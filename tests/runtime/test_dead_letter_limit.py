"""Over the limit nobody writes a dead letter, and the condition says so until half of a minute's room is free."""

import asyncio

from worker.runtime.dead_letter_limit import DEAD_LETTERS, DeadLetterLimit
from worker.runtime.health import Health
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents


def limit(per_minute: int, *, sleeps_pass: bool = False) -> tuple[DeadLetterLimit, Health, ManualClock]:
    clock = ManualClock(sleeps_pass=sleeps_pass)
    health = Health((DEAD_LETTERS,), clock, RecordedEvents(), pulse_seconds=60)
    return DeadLetterLimit(per_minute, clock, health), health, clock


async def test_whoever_comes_over_the_limit_waits_until_half_of_it_is_free() -> None:
    limited, health, clock = limit(4)
    for _ in range(4):
        await limited.admit()
        clock.advance(10)
    waiting = asyncio.create_task(limited.admit())
    await clock.until_sleeping()
    assert "4 dead letters" in health.reason
    for second in range(41, 71):
        clock.advance(1)
        await asyncio.sleep(0)
        assert waiting.done() == (second == 70), "two of the four are younger than a minute until then"
    assert health.ready


async def test_the_condition_is_met_again_though_nobody_waits() -> None:
    limited, health, clock = limit(1)
    await limited.admit()
    assert limited.look()
    assert not health.ready
    clock.advance(60)
    assert not limited.look()
    assert health.ready


async def test_no_more_than_the_limit_are_written_in_any_minute() -> None:
    limited, _, clock = limit(5, sleeps_pass=True)
    times = []
    for _ in range(40):
        await limited.admit()
        times.append(clock.monotonic())
    assert all(later - earlier >= 60 for earlier, later in zip(times, times[5:], strict=False))


async def test_without_a_limit_nobody_waits() -> None:
    limited, health, clock = limit(0)
    for _ in range(1000):
        await limited.admit()
    assert health.ready
    assert clock.slept == []
