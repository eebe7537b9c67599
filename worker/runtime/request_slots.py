"""Which request may be sent now: slots under the in-flight limit, for three lanes.

Invariants: within a lane slots are given in the order in which they were asked for, and never more than the limit.
While small requests wait or run no large one begins, unless the large lane is due its share, and then one at a time.
When small requests pause, a few large ones may run. A background request begins only while no other request waits or
runs, itself included. A slot that is not used is given back.

A large request that has begun cannot be interrupted and delays every small one behind it. The shares were chosen by
simulation: docs/adr/0003-overload.md.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from worker.domain.inflight import InflightLimit
from worker.ports import Clock
from worker.runtime.admission import Lane
from worker.runtime.weighted_gate import WeightedGate


@dataclass(frozen=True, slots=True)
class LaneShares:
    """What the large lane gets.

    It gets one request for every `small_per_large` small ones, and one after `patience_seconds` without any. While no
    small request waits or is under way it has up to `large_in_gaps` under way, and once none has been seen for
    `quiet_seconds` it gets every slot.
    """

    small_per_large: int = 16
    patience_seconds: float = 4.0
    large_in_gaps: int = 2
    quiet_seconds: float = 10.0


class RequestSlots:
    """The slots for requests to one server."""

    def __init__(self, limit: InflightLimit, clock: Clock, shares: LaneShares = LaneShares()) -> None:
        self._limit = limit
        self._clock = clock
        self._shares = shares
        self._gate = WeightedGate(self, Lane)
        self._in_flight = dict.fromkeys(Lane, 0)
        self._small_seen_at = float("-inf")
        self._small_since_large = 0
        self._large_turn_at = 0.0

    @asynccontextmanager
    async def slot(self, lane: Lane) -> AsyncIterator[None]:
        """Wait for a slot, and hold it during the block."""
        if lane is Lane.LARGE and not self._is_busy(Lane.LARGE):
            self._restart_patience()
        async with self._gate.entered(lane):
            yield

    @property
    def has_small_requests(self) -> bool:
        """Whether small requests wait or are under way, or were lately."""
        return self._is_busy(Lane.SMALL) or (self._clock.monotonic() - self._small_seen_at < self._shares.quiet_seconds)

    def next_lane(self, heads: Mapping[Lane, int]) -> Lane | None:
        """Return the lane whose turn it is (a gate's rule)."""
        if not self._limit.has_free_slot:
            return None
        if Lane.LARGE in heads and self._large_may_enter(small_waits=Lane.SMALL in heads):
            return Lane.LARGE
        if Lane.SMALL in heads:
            return Lane.SMALL
        is_idle = not any(self._in_flight.values()) and Lane.LARGE not in heads
        return Lane.BACKGROUND if Lane.BACKGROUND in heads and is_idle else None

    def enter(self, lane: Lane, weight: int) -> None:  # noqa: ARG002 - each request takes one slot
        """Take a slot."""
        self._limit.enter()
        self._in_flight[lane] += 1
        if lane is Lane.SMALL:
            self._small_since_large += 1
        elif lane is Lane.LARGE:
            self._restart_patience()

    def leave(self, lane: Lane, weight: int) -> None:  # noqa: ARG002 - each request takes one slot
        """Give a slot back."""
        if lane is Lane.SMALL:
            self._small_seen_at = self._clock.monotonic()
        self._in_flight[lane] -= 1
        self._limit.leave()

    def _is_busy(self, lane: Lane) -> bool:
        return bool(self._in_flight[lane]) or self._gate.is_awaited(lane)

    def _restart_patience(self) -> None:
        self._small_since_large, self._large_turn_at = 0, self._clock.monotonic()

    def _large_may_enter(self, *, small_waits: bool) -> bool:
        if small_waits or self._in_flight[Lane.SMALL]:
            return not self._in_flight[Lane.LARGE] and self._has_waited_enough()
        return not self.has_small_requests or self._in_flight[Lane.LARGE] < self._shares.large_in_gaps

    def _has_waited_enough(self) -> bool:
        waited_seconds = self._clock.monotonic() - self._large_turn_at
        return (
            self._small_since_large >= self._shares.small_per_large or waited_seconds >= self._shares.patience_seconds
        )
