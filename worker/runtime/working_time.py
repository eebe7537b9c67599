"""A clock for budgets: it can be paused while work waits for a server.

Invariant: `monotonic` never runs back, and the seconds between `pause` and `resume` are not in it.
"""

from worker.ports import Clock


class WorkingTime:
    """A `Clock` whose `monotonic` can be paused; the time of day and sleeps are those of the clock below it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paused_seconds = 0.0
        self._paused_since: float | None = None

    def pause(self) -> None:
        """Pause `monotonic`, if it runs."""
        if self._paused_since is None:
            self._paused_since = self._clock.monotonic()

    def resume(self) -> None:
        """Resume `monotonic`, if it is paused."""
        if self._paused_since is not None:
            self._paused_seconds += self._clock.monotonic() - self._paused_since
            self._paused_since = None

    def epoch_ms(self) -> int:
        """Return the time of day in epoch milliseconds."""
        return self._clock.epoch_ms()

    def monotonic(self) -> float:
        """Return seconds that never run back, without those in which this clock was paused."""
        now = self._clock.monotonic() if self._paused_since is None else self._paused_since
        return now - self._paused_seconds

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._clock.sleep(seconds)
