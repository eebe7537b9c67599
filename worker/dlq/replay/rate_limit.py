"""How many records may be written by now.

Invariant: the rate over a phase, from its first record on, is at most `rate`. After a slow moment the records that it
delayed follow faster, but no more than `_MAX_DEBT_SECONDS` hold, so that a long stall does not end in a flood.
"""

_MAX_DEBT_SECONDS = 2.0


class RateLimit:
    """A rate in records a second; None is no limit. Times are of a monotonic clock, in seconds."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._began: float | None = None
        self._spent = 0

    def due(self, now: float) -> int | None:
        """Return how many records may be written now; None where there is no rate. The first call starts the clock."""
        if self._rate is None:
            return None
        if self._began is None:
            self._began = now
        debt = (now - self._began) * self._rate - self._spent
        excess_seconds = (debt - 1) / self._rate - _MAX_DEBT_SECONDS
        if excess_seconds > 0:
            self._began += excess_seconds
        return int((now - self._began) * self._rate - self._spent)

    def spend(self, records: int) -> None:
        """Note that records were written."""
        self._spent += records

    def next_in(self, now: float) -> float:
        """Return in how many seconds the next record may be written."""
        if self._rate is None or self._began is None:
            return 0.0
        return max(0.0, self._began + (self._spent + 1) / self._rate - now)
