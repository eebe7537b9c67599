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
        self._running: set[asyncio.Timeout] = set()
        self._held: dict[asyncio.Timeout, float] | None = None

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Give the block its time. Raises TimeoutError when it is over."""
        async with asyncio.timeout(self.seconds) as timer:
            self._running.add(timer)
            if self._held is not None:
                self._hold(timer, self._held)
            try:
                yield
            finally:
                self._running.discard(timer)

    def follow(self, *, held: bool) -> None:
        """Hold all timers, or let them run on."""
        if held:
            self.hold()
        else:
            self.go_on()

    def hold(self) -> None:
        """Stop all timers."""
        if self._held is None:
            self._held = {}
            for timer in self._running:
                self._hold(timer, self._held)

    def go_on(self) -> None:
        """Let them run on with what they had left."""
        held, self._held = self._held or {}, None
        now = asyncio.get_running_loop().time()
        for timer, remaining_seconds in held.items():
            if timer in self._running and not timer.expired():
                timer.reschedule(now + remaining_seconds)

    @staticmethod
    def _hold(timer: asyncio.Timeout, held: dict[asyncio.Timeout, float]) -> None:
        due = timer.when()
        if due is not None and not timer.expired():
            held[timer] = due - asyncio.get_running_loop().time()
            timer.reschedule(None)
