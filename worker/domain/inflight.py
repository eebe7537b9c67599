"""How many requests may be under way at once: additive increase, multiplicative decrease.

The rules:

1. The limit begins at its ceiling, and stays between 1 and the ceiling.
2. An overloaded server halves it, once for each round trip: a request that was sent before the last decrease was sent
   under the old limit, and says nothing about the new one.
3. It grows by one after as many successes as the limit is, of which only those count that were sent since the last
   decrease and that ended while all slots were taken: only then the server is known to bear them.

Times are seconds of any one clock.
Source: Chiu and Jain, "Analysis of the increase and decrease algorithms for congestion avoidance", 1989.
"""

from typing import Final

FLOOR: Final = 1
_DECREASE: Final = 0.5


class InflightLimit:
    """The limit, and what is under way below it."""

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._limit = ceiling
        self.in_flight = 0  # more than the limit just after a decrease
        self._successes = 0
        self._decreased_at = float("-inf")

    @property
    def limit(self) -> int:
        """How many may be under way."""
        return self._limit

    @property
    def has_free_slot(self) -> bool:
        """Whether one more may be sent."""
        return self.in_flight < self._limit

    @property
    def at_floor(self) -> bool:
        """Whether the limit cannot be lowered."""
        return self._limit == FLOOR

    def enter(self) -> None:
        """Take a slot. Raises RuntimeError if none is free."""
        if not self.has_free_slot:
            raise RuntimeError(f"{self.in_flight} are under way, {self._limit} may be")
        self.in_flight += 1

    def leave(self) -> None:
        """Give a slot back. Raises RuntimeError if none is taken."""
        if not self.in_flight:
            raise RuntimeError("nothing is under way")
        self.in_flight -= 1

    def succeeded(self, sent_at: float) -> None:
        """Note that a request that still holds its slot was answered."""
        if sent_at <= self._decreased_at or self.has_free_slot:
            return
        self._successes += 1
        if self._successes >= self._limit:
            self._limit = min(self._ceiling, self._limit + 1)
            self._successes = 0

    def overloaded(self, sent_at: float, now: float) -> bool:
        """Note that the server was overloaded; True if this lowered the limit, False if the request was sent before."""
        if sent_at <= self._decreased_at:
            return False
        self._limit = max(FLOOR, int(self._limit * _DECREASE))
        self._successes = 0
        self._decreased_at = now
        return True
