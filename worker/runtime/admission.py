"""How much is under way at once: jobs and decoded pixels, in two lanes.

Invariants: within a lane jobs are admitted in the order in which they asked; a job over a lane's whole pixel budget is
admitted when its lane is empty; what runs in the large lane takes nothing from the small one's budget.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Final


class Lane(StrEnum):
    """Big pictures have a lane of their own, so that they never delay small ones."""

    SMALL = "small"
    LARGE = "large"


# The lane of the job that this task works for.
CURRENT_LANE: Final[ContextVar[Lane]] = ContextVar("labelwire_lane", default=Lane.SMALL)


class _Budget:
    """Jobs and pixels of one lane, first come first served."""

    def __init__(self, max_jobs: int, max_pixels: int) -> None:
        self._max_jobs = max_jobs
        self._max_pixels = max_pixels
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.jobs = 0
        self.pixels = 0

    async def acquire(self, pixels: int) -> None:
        """Wait for a place, and take it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((pixels, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(pixels)
            self._admit()
            raise

    def release(self, pixels: int) -> None:
        """Give a place back."""
        self.jobs -= 1
        self.pixels -= pixels
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            pixels, turn = self._waiting[0]
            if not turn.done():
                if not self._fits(pixels):
                    return
                self.jobs += 1
                self.pixels += pixels
                turn.set_result(None)
            self._waiting.popleft()

    def _fits(self, pixels: int) -> bool:
        return self.jobs == 0 or (self.jobs < self._max_jobs and self.pixels + pixels <= self._max_pixels)


class Admission:
    """Who may decode now."""

    def __init__(self, *, max_jobs: int, max_pixels: int, large_from_pixels: int, max_large_jobs: int) -> None:
        self._large_from_pixels = large_from_pixels
        self._lanes = {
            Lane.SMALL: _Budget(max_jobs, max_pixels),
            Lane.LARGE: _Budget(max_large_jobs, max_pixels),
        }

    def lane_of(self, pixels: int) -> Lane:
        """Return the lane for a picture of so many pixels."""
        return Lane.LARGE if pixels > self._large_from_pixels else Lane.SMALL

    @asynccontextmanager
    async def place(self, pixels: int) -> AsyncIterator[Lane]:
        """Hold a place for a picture of so many pixels, waiting for it first."""
        lane = self.lane_of(pixels)
        budget = self._lanes[lane]
        await budget.acquire(pixels)
        try:
            yield lane
        finally:
            budget.release(pixels)

    @property
    def jobs(self) -> int:
        """Jobs that hold a place."""
        return sum(budget.jobs for budget in self._lanes.values())

    @property
    def pixels(self) -> int:
        """Pixels that are held."""
        return sum(budget.pixels for budget in self._lanes.values())
