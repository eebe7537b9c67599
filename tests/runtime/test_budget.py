"""An attempt's time runs out, but for the time in which nothing could be done."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.simulation.virtual_time import VirtualTimeLoop
from worker.bootstrap import isolated_seconds
from worker.picture_settings import BlobSettings
from worker.runtime.budget import AttemptBudget
from worker.settings import LimitSettings, RuntimeSettings, Settings


def virtually(run: Callable[[], Awaitable[None]]) -> float:
    """Run it in virtual time and return the seconds that passed."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:

        async def main() -> float:
            await run()
            return asyncio.get_running_loop().time()

        return runner.run(main())


async def work_for(budget: AttemptBudget, seconds: float, pixels: int = 1) -> None:
    async with budget.attempt(budget.seconds_for(pixels)):
        await asyncio.sleep(seconds)


def test_an_attempt_ends_when_its_time_is_over() -> None:
    async def run() -> None:
        await work_for(AttemptBudget(5), 4.9)
        with pytest.raises(TimeoutError):
            await work_for(AttemptBudget(5), 5.1)

    assert virtually(run) == pytest.approx(9.9)


def test_a_larger_picture_has_more_time() -> None:
    async def run() -> None:
        await work_for(AttemptBudget(5), 9.9, pixels=100_000_000)
        with pytest.raises(TimeoutError):
            await work_for(AttemptBudget(5), 10.1, pixels=100_000_000)

    assert virtually(run) == pytest.approx(19.9)


def test_held_time_does_not_count() -> None:
    async def run() -> None:
        budget = AttemptBudget(5)
        working = asyncio.create_task(work_for(budget, 100))
        await asyncio.sleep(3)
        budget.set_paused(paused=True)
        late = asyncio.create_task(work_for(budget, 100))
        await asyncio.sleep(50)
        assert not working.done()
        budget.set_paused(paused=False)
        await asyncio.sleep(1.9)
        assert not working.done()
        await asyncio.sleep(0.2)
        assert isinstance(working.exception(), TimeoutError)
        assert not late.done()
        await asyncio.wait([late])
        assert isinstance(late.exception(), TimeoutError)

    assert virtually(run) == pytest.approx(3 + 50 + 5)


def test_what_ends_while_time_is_held_is_forgotten() -> None:
    async def run() -> None:
        budget = AttemptBudget(5)
        working = asyncio.create_task(work_for(budget, 10))
        await asyncio.sleep(1)
        budget.set_paused(paused=True)
        await working
        budget.set_paused(paused=False)
        await asyncio.sleep(20)

    assert virtually(run) == pytest.approx(30)


@pytest.mark.parametrize(("prefixes", "fetch_seconds"), [((), 0), (("s3://labels/",), 7)])
def test_a_reading_apart_has_time_for_the_fetch_and_for_all_pages(
    prefixes: tuple[str, ...], fetch_seconds: float
) -> None:
    blob = BlobSettings(allowed_prefixes=prefixes, timeout_seconds=7)
    limits = LimitSettings(max_image_pixels=100_000_000)
    chosen = Settings(blob=blob, limits=limits, runtime=RuntimeSettings(attempt_seconds=10))
    assert isolated_seconds(chosen) == 10 * 2 * 2 + fetch_seconds
