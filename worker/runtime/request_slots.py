"""Who may send a request now: places under the in-flight limit, for two lanes.

Invariants: within a lane places are given in the order in which they were asked for; never more than the limit are
taken; while small requests wait or are under way no large one begins, unless the large lane has waited for its share,
and then one alone; in the gaps between small ones few large ones are under way. A place that is not used is given back.

A request is not preemptible, so a large one that has begun delays every small one behind it by its whole length. The
shares were chosen by simulation: docs/adr/0003-overload.md.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from worker.domain.inflight import InflightLimit
from worker.ports import Clock
from worker.runtime.admission import Lane


@dataclass(frozen=True, slots=True)
class LaneShares:
    """What the large lane gets.

    It gets one request for every `small_per_large` small ones, and one after `patience_seconds` without any. While no
    small request waits or is under way it has up to `large_in_gaps` under way, and once none has been seen for
    `quiet_seconds` it gets every place.
    """

    small_per_large: int = 16
    patience_seconds: float = 4.0
    large_in_gaps: int = 2
    quiet_seconds: float = 10.0


class RequestSlots:
    """The places for requests to one server."""

    def __init__(self, limit: InflightLimit, clock: Clock, shares: LaneShares = LaneShares()) -> None:
        self._limit = limit
        self._clock = clock
        self._shares = shares
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._in_flight = dict.fromkeys(Lane, 0)
        self._small_seen_at = float("-inf")
        self._small_since_large = 0
        self._large_turn_at = 0.0

    @asynccontextmanager
    async def place(self, lane: Lane) -> AsyncIterator[None]:
        """Hold a place, waiting for it first."""
        await self._take(lane)
        try:
            yield
        finally:
            self._give_back(lane)

    @property
    def small_about(self) -> bool:
        """Whether small requests are about, or were lately."""
        is_here = bool(self._in_flight[Lane.SMALL] or self._waiting[Lane.SMALL])
        return is_here or self._clock.monotonic() - self._small_seen_at < self._shares.quiet_seconds

    async def _take(self, lane: Lane) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if lane is Lane.LARGE and not self._large_about:
            self._begin_patience()
        self._waiting[lane].append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._give_back(lane)
            raise

    def _give_back(self, lane: Lane) -> None:
        if lane is Lane.SMALL:
            self._small_seen_at = self._clock.monotonic()
        self._in_flight[lane] -= 1
        self._limit.leave()
        self._admit()

    def _admit(self) -> None:
        while self._limit.has_room and (lane := self._next_lane()) is not None:
            self._waiting[lane].popleft().set_result(None)
            self._limit.enter()
            self._in_flight[lane] += 1
            if lane is Lane.SMALL:
                self._small_since_large += 1
            else:
                self._begin_patience()

    def _begin_patience(self) -> None:
        self._small_since_large, self._large_turn_at = 0, self._clock.monotonic()

    def _next_lane(self) -> Lane | None:
        for waiting in self._waiting.values():
            while waiting and waiting[0].done():  # cancelled
                waiting.popleft()
        if self._waiting[Lane.LARGE] and self._large_may_go():
            return Lane.LARGE
        return Lane.SMALL if self._waiting[Lane.SMALL] else None

    def _large_may_go(self) -> bool:
        if not self.small_about:
            return True
        if not (self._in_flight[Lane.SMALL] or self._waiting[Lane.SMALL]):
            return self._in_flight[Lane.LARGE] < self._shares.large_in_gaps
        return not self._in_flight[Lane.LARGE] and self._has_waited_enough()

    def _has_waited_enough(self) -> bool:
        waited_seconds = self._clock.monotonic() - self._large_turn_at
        return (
            self._small_since_large >= self._shares.small_per_large or waited_seconds >= self._shares.patience_seconds
        )

    @property
    def _large_about(self) -> bool:
        return bool(self._in_flight[Lane.LARGE] or self._waiting[Lane.LARGE])
