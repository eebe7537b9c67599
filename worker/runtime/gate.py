"""The one queue behind whatever is bounded: jobs and pixels, fetched bytes, requests.

A gate has lanes. In each, tasks wait in line with a weight, what they ask for; a rule says which lane's first task may
enter next. Invariants: tasks of a lane enter in the order in which they asked; a task that is canceled while it waits
leaves the line, and one that is canceled just when it was let in gives its weight back.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

LaneT = TypeVar("LaneT")


class GateRule(Protocol[LaneT]):
    """What a gate bounds, and who goes first."""

    def next_lane(self, heads: Mapping[LaneT, int], /) -> LaneT | None:
        """Return the lane whose first may enter now, None if nobody may; `heads` are the weights of the first ones."""

    def enter(self, lane: LaneT, weight: int, /) -> None:
        """Take the weight."""

    def leave(self, lane: LaneT, weight: int, /) -> None:
        """Give the weight back."""


class Gate(Generic[LaneT]):
    """Lets in, lane by lane, as the rule says."""

    def __init__(self, rule: GateRule[LaneT], lanes: Iterable[LaneT]) -> None:
        self._rule = rule
        self._lines: dict[LaneT, deque[tuple[int, asyncio.Future[None]]]] = {lane: deque() for lane in lanes}

    @asynccontextmanager
    async def hold(self, lane: LaneT, weight: int = 1) -> AsyncIterator[None]:
        """Enter, waiting first, and leave at the end."""
        await self.enter(lane, weight)
        try:
            yield
        finally:
            self.leave(lane, weight)

    async def enter(self, lane: LaneT, weight: int = 1) -> None:
        """Wait to be let in; whoever was let in has to `leave` with the same weight."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines[lane].append((weight, turn))
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._let_in()  # who stood behind may fit
            else:
                self.leave(lane, weight)
            raise

    def leave(self, lane: LaneT, weight: int = 1) -> None:
        """Give back what was entered with."""
        self._rule.leave(lane, weight)
        self._let_in()

    def is_awaited(self, lane: LaneT) -> bool:
        """Whether anybody waits in a lane."""
        return any(not turn.done() for _, turn in self._lines[lane])

    def _let_in(self) -> None:
        while (lane := self._rule.next_lane(self._heads())) is not None:
            weight, turn = self._lines[lane].popleft()
            self._rule.enter(lane, weight)
            turn.set_result(None)

    def _heads(self) -> dict[LaneT, int]:
        for line in self._lines.values():
            while line and line[0][1].done():  # canceled
                line.popleft()
        return {lane: line[0][0] for lane, line in self._lines.items() if line}
