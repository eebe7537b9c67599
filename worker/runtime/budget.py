"""The time that an attempt at a job may take.

Invariant: while time is held (a circuit is open) no attempt's time runs out; a job's own deadline runs on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class AttemptBudget:
    """The timers of the attempts under way."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._held = False
        self._left_seconds: dict[asyncio.Timeout, float] = {}  # of each attempt under way, while time is held

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Give the block its time. Raises TimeoutError when it is over."""
        async with asyncio.timeout(self.seconds) as timer:
            self._left_seconds[timer] = self.seconds
            if self._held:
                timer.reschedule(None)
            try:
                yield
            finally:
                del self._left_seconds[timer]

    def follow(self, *, held: bool) -> None:
        """Hold all timers, or let them run on with what they had left."""
        if held is self._held:
            return
        self._held, now = held, asyncio.get_running_loop().time()
        for timer, left_seconds in self._left_seconds.items():
            due = timer.when()
            if timer.expired():
                continue
            if not held:
                timer.reschedule(now + left_seconds)
            elif due is not None:
                self._left_seconds[timer] = due - now
                timer.reschedule(None)
