"""The time that an attempt at a job may take.

Invariant: while working time is paused (a circuit is open) no attempt's time runs out; a job's own deadline runs on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_PIXELS_IN_TIME: Final = 50_000_000


class AttemptBudget:
    """The timers of the attempts under way: `seconds` each, and more in proportion for a picture over 50 megapixels."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._paused = False
        self._left_seconds: dict[asyncio.Timeout, float] = {}  # by attempt, while paused

    def seconds_for(self, pixels: int) -> float:
        """Return the time for one attempt at a picture."""
        return self._seconds * max(1.0, pixels / _PIXELS_IN_TIME)

    @asynccontextmanager
    async def attempt(self, seconds: float) -> AsyncIterator[None]:
        """Give the block so much time. Raises TimeoutError when it is over."""
        async with asyncio.timeout(seconds) as timer:
            self._left_seconds[timer] = seconds
            if self._paused:
                timer.reschedule(None)
            try:
                yield
            finally:
                del self._left_seconds[timer]

    def set_paused(self, *, paused: bool) -> None:
        """Pause all timers, or let them run on with the time that they had left."""
        if paused is self._paused:
            return
        self._paused, now = paused, asyncio.get_running_loop().time()
        for timer, left_seconds in self._left_seconds.items():
            due = timer.when()
            if timer.expired():
                continue
            if not paused:
                timer.reschedule(now + left_seconds)
            elif due is not None:
                self._left_seconds[timer] = due - now
                timer.reschedule(None)
