"""How many dead letters a worker may write in a minute, and where bad jobs wait meanwhile.

Invariants: no more than the limit are written in any minute, in the order in which they came; whoever has a dead letter
waits, and nothing is dropped. Good jobs go on: a bad job that waits takes no place among the jobs in hand, and what
waits is bounded in records and bytes. Whoever finds that bound reached goes round by the slowest retry topic. Only
where that is not possible, or too many have gone round, the condition `dead_letters` is unmet and no job is taken.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from worker.domain.events import DeadLettersWaiting
from worker.ports import Clock, EventSink
from worker.runtime.health import Health
from worker.runtime.job import JobInHand

DEAD_LETTERS = "dead_letters"
_WINDOW_SECONDS = 60.0
_TOLD_EVERY_SECONDS = 60.0
_LEAST_SLEEP_SECONDS = 0.01  # so that rounding cannot make a sleep of nothing
# A waiting job is a task and its record: some 6 KiB and the payload.
_MOST_IN_MEMORY = 10_000


@dataclass(frozen=True, slots=True)
class WaitingBounds:
    """How much may wait: records and payload bytes in memory, and jobs in all, with those that went round.

    `round_seconds` is how long it takes to go round by the slowest retry topic.
    """

    in_memory: int = _MOST_IN_MEMORY
    in_memory_bytes: int = 128 * 1024 * 1024
    in_all: int = 50_000
    round_seconds: float = 600.0

    @classmethod
    def of(cls, per_minute: int, *, held_bytes: int, in_all: int, round_seconds: float) -> "WaitingBounds":
        """Return the bounds for a limit: in memory waits what the limit lets pass in a round, so that none is idle."""
        in_one_round = max(1, round(per_minute * round_seconds / _WINDOW_SECONDS))
        return cls(min(_MOST_IN_MEMORY, in_one_round), held_bytes // 2, in_all, round_seconds)


class DeadLetterLimit:
    """A sliding minute, and a queue before it; `per_minute` 0 is no limit."""

    def __init__(
        self, per_minute: int, clock: Clock, health: Health, events: EventSink, bounds: WaitingBounds | None = None
    ) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._health = health
        self._events = events
        self._bounds = bounds or WaitingBounds()
        self._written: deque[float] = deque()
        self._turn = asyncio.Lock()  # first come, first served
        self._waiting = 0
        self._waiting_bytes = 0
        self._gone_round: deque[float] = deque()
        self._observed = 0
        self._told_at: float | None = None
        self._on_change: Callable[[], None] | None = None
        health.met(DEAD_LETTERS)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this when the condition may have changed."""
        self._on_change = listener

    def may_wait(self, job: JobInHand) -> bool:
        """Say whether a bad job may wait here; else it should go round.

        Half of its partition's window stays free for the good jobs behind it.
        """
        if not self._per_minute or (self._is_free() and not self._turn.locked()):
            return True
        bounds = self._bounds
        fits = self._waiting < bounds.in_memory and self._waiting_bytes + job.size_bytes <= bounds.in_memory_bytes
        return fits and not job.tracker.is_half_full

    async def admit(self, job: JobInHand) -> None:
        """Wait until the job's dead letter may be written, and count it."""
        if not self._per_minute:
            return
        if self._turn.locked() or not self._is_free():
            await self._wait_for_turn(job)
        self._written.append(self._clock.monotonic())

    def gone_round(self) -> None:
        """Note that a job went round by the slowest retry topic, instead of waiting here."""
        self._gone_round.append(self._clock.monotonic())
        self.look()

    @property
    def waiting(self) -> int:
        """The jobs that wait for their dead letter, here or on a retry topic."""
        return self._waiting + len(self._gone_round)

    @property
    def wait_seconds(self) -> float:
        """How long it takes at the limit until all that wait now have their dead letters."""
        return self.waiting * _WINDOW_SECONDS / self._per_minute if self._per_minute else 0.0

    def look(self) -> None:
        """Update the condition, and tell how many wait."""
        begin = self._clock.monotonic() - self._bounds.round_seconds
        while self._gone_round and self._gone_round[0] <= begin:
            self._gone_round.popleft()
        bounds = self._bounds
        too_many = (
            self._waiting > bounds.in_memory
            or self._waiting_bytes > bounds.in_memory_bytes
            or self.waiting > bounds.in_all
        )
        if too_many:
            self._health.unmet(DEAD_LETTERS, f"{self._sentence()} No job is taken until fewer wait.")
        else:
            self._health.met(DEAD_LETTERS, self._sentence() if self.waiting else "")
        self._tell()
        if self._on_change is not None:
            self._on_change()

    def _tell(self) -> None:
        """Tell at once that some wait, or none any more, and how many from time to time."""
        now = self._clock.monotonic()
        if self.waiting != self._observed:
            is_due = self._told_at is None or now - self._told_at >= _TOLD_EVERY_SECONDS or not self.waiting
            self._events.emit(DeadLettersWaiting(self.waiting, self.wait_seconds, self._per_minute, loud=is_due))
            self._told_at = now if is_due else self._told_at
            self._observed = self.waiting
        if not self.waiting:
            self._told_at = None

    def _sentence(self) -> str:
        return (
            f"{self.waiting} bad jobs wait for the limit of {self._per_minute} dead letters a minute, which takes about"
            f" {_duration(self.wait_seconds)}; see with `labelwire dlq stats` what is wrong, or raise"
            " LABELWIRE_LIMITS__DEAD_LETTERS_PER_MINUTE."
        )

    async def _wait_for_turn(self, job: JobInHand) -> None:
        size_bytes = job.size_bytes
        job.wait_aside()
        self._waiting, self._waiting_bytes = self._waiting + 1, self._waiting_bytes + size_bytes
        self.look()
        try:
            async with self._turn:
                while not self._is_free():
                    free_at = self._written[-self._per_minute] + _WINDOW_SECONDS
                    await self._clock.sleep(max(_LEAST_SLEEP_SECONDS, free_at - self._clock.monotonic()))
        finally:
            self._waiting, self._waiting_bytes = self._waiting - 1, self._waiting_bytes - size_bytes
            self.look()

    def _is_free(self) -> bool:
        begin = self._clock.monotonic() - _WINDOW_SECONDS
        while self._written and self._written[0] <= begin:
            self._written.popleft()
        return len(self._written) < self._per_minute


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 2 * _WINDOW_SECONDS else f"{seconds / _WINDOW_SECONDS:.0f} min"
