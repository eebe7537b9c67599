"""A clock for budgets: it stands while work is held up by others.

Invariant: `monotonic` never runs back, and the seconds between `stand` and `go_on` are not in it.
"""

from worker.ports import Clock


class WorkingTime:
    """A `Clock` whose `monotonic` can be stopped; the time of day and sleeps are those of the clock beneath."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stood_seconds = 0.0
        self._stands_since: float | None = None

    def stand(self) -> None:
        """Stop `monotonic`, if it runs."""
        if self._stands_since is None:
            self._stands_since = self._clock.monotonic()

    def go_on(self) -> None:
        """Let `monotonic` run, if it stands."""
        if self._stands_since is not None:
            self._stood_seconds += self._clock.monotonic() - self._stands_since
            self._stands_since = None

    def epoch_ms(self) -> int:
        """Return the time of day in epoch milliseconds."""
        return self._clock.epoch_ms()

    def monotonic(self) -> float:
        """Return seconds that never run back, less those in which this clock stood."""
        now = self._clock.monotonic() if self._stands_since is None else self._stands_since
        return now - self._stood_seconds

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._clock.sleep(seconds)
