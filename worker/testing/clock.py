"""A clock that moves only when a test moves it.

Invariant: only `advance` moves the time; with `sleeps_pass`, `sleep` calls it. Sleepers wake in the order of their
times and never early.
"""

import asyncio
import heapq
import itertools


class ManualClock:
    """A `Clock` for tests.

    With `sleeps_pass` a sleep moves the clock on and returns at once; without, it waits for `advance`. `slept` lists
    the seconds that each sleep asked for.
    """

    def __init__(self, *, epoch_ms: int = 1_700_000_000_000, sleeps_pass: bool = True) -> None:
        self.slept: list[float] = []
        self._started_epoch_ms = epoch_ms
        self._sleeps_pass = sleeps_pass
        self._seconds = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._someone_sleeps = asyncio.Event()

    def epoch_ms(self) -> int:
        """Return the time of day in epoch milliseconds."""
        return self._started_epoch_ms + round(self._seconds * 1000)

    def monotonic(self) -> float:
        """Return the seconds since the clock was made."""
        return self._seconds

    @property
    def sleeping(self) -> int:
        """How many sleepers wait."""
        return sum(1 for _, _, woken in self._sleepers if not woken.done())

    async def sleep(self, seconds: float) -> None:
        """Let the clock run on by `seconds`, or wait until `advance` has done so."""
        self.slept.append(seconds)
        if self._sleeps_pass:
            self.advance(seconds)
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._seconds + seconds, next(self._order), woken))
        self._someone_sleeps.set()
        await woken

    async def until_sleeping(self, count: int = 1) -> None:
        """Wait until at least `count` sleepers wait."""
        while self.sleeping < count:
            self._someone_sleeps.clear()
            await self._someone_sleeps.wait()

    def advance(self, seconds: float) -> None:
        """Move the clock on and wake whoever has slept enough."""
        self._seconds += max(0.0, seconds)
        while self._sleepers and self._sleepers[0][0] <= self._seconds:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
