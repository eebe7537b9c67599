"""How many dead letters a worker may write in a minute.

Invariant: over the limit nothing is written and nothing is dropped: whoever has a dead letter waits, and the condition
`dead_letters` is unmet, so that no job is taken, until half of the limit is free again.
"""

from collections import deque

from worker.ports import Clock
from worker.runtime.health import Health

DEAD_LETTERS = "dead_letters"
_WINDOW_SECONDS = 60.0
_LOOK_SECONDS = 1.0


class DeadLetterLimit:
    """A sliding minute; `per_minute` 0 is no limit."""

    def __init__(self, per_minute: int, clock: Clock, health: Health) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._health = health
        self._written: deque[float] = deque()
        self._full = False
        health.met(DEAD_LETTERS)

    async def admit(self) -> None:
        """Wait until a dead letter may be written, and count it."""
        while self._per_minute and self.look():
            await self._clock.sleep(_LOOK_SECONDS)
        self._written.append(self._clock.monotonic())

    def look(self) -> bool:
        """Update the condition, and say whether the limit is reached."""
        begin = self._clock.monotonic() - _WINDOW_SECONDS
        while self._written and self._written[0] <= begin:
            self._written.popleft()
        bound = self._per_minute // 2 if self._full else self._per_minute - 1
        self._full = self._per_minute > 0 and len(self._written) > bound
        if self._full:
            self._health.unmet(
                DEAD_LETTERS,
                f"{self._per_minute} dead letters were written within a minute, which is the limit; see with"
                " `labelwire dlq stats` what is wrong, or raise LABELWIRE_LIMITS__DEAD_LETTERS_PER_MINUTE.",
            )
        else:
            self._health.met(DEAD_LETTERS)
        return self._full
