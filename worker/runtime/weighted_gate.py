"""The one kind of queue for what is bounded: jobs and pixels, fetched bytes, requests.

A gate has lanes. In each lane tasks wait in a queue, each with a weight, which is what it asks for. A rule says which
lane's first task may enter next. Invariants: tasks of a lane enter in the order in which they asked; a task that is
canceled while it waits leaves the queue, and one that is canceled just when it was admitted gives its weight back.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

LaneT = TypeVar("LaneT")


class GateRule(Protocol[LaneT]):
    """What a gate bounds, and which lane goes first."""

    def next_lane(self, heads: Mapping[LaneT, int], /) -> LaneT | None:
        """Return the lane whose first task may enter now, if any; `heads` are the weights of the first tasks."""

    def enter(self, lane: LaneT, weight: int, /) -> None:
        """Take the weight."""

    def leave(self, lane: LaneT, weight: int, /) -> None:
        """Give the weight back."""


class WeightedGate(Generic[LaneT]):
    """Admits waiting tasks as the rule says."""

    def __init__(self, rule: GateRule[LaneT], lanes: Iterable[LaneT]) -> None:
        self._rule = rule
        self._queues: dict[LaneT, deque[tuple[int, asyncio.Future[None]]]] = {lane: deque() for lane in lanes}

    @asynccontextmanager
    async def entered(self, lane: LaneT, weight: int = 1) -> AsyncIterator[None]:
        """Wait, enter, and leave at the end of the block."""
        await self.enter(lane, weight)
        try:
            yield
        finally:
            self.leave(lane, weight)

    async def enter(self, lane: LaneT, weight: int = 1) -> None:
        """Wait to be admitted; the caller has to `leave` with the same weight."""
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues[lane].append((weight, admitted))
        self.admit_waiting()
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.cancelled():
                self.admit_waiting()  # the task behind it may fit
            else:
                self.leave(lane, weight)
            raise

    def leave(self, lane: LaneT, weight: int = 1) -> None:
        """Give the weight back."""
        self._rule.leave(lane, weight)
        self.admit_waiting()

    def is_awaited(self, lane: LaneT) -> bool:
        """Whether a task waits in a lane."""
        return any(not admitted.done() for _, admitted in self._queues[lane])

    def admit_waiting(self) -> None:
        """Let those enter whom the rule lets in now: call it when what the rule looks at has changed."""
        while (lane := self._rule.next_lane(self._heads())) is not None:
            weight, admitted = self._queues[lane].popleft()
            self._rule.enter(lane, weight)
            admitted.set_result(None)

    def _heads(self) -> dict[LaneT, int]:
        for queue in self._queues.values():
            while queue and queue[0][1].done():  # canceled
                queue.popleft()
        return {lane: queue[0][0] for lane, queue in self._queues.items() if queue}
