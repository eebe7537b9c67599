"""How many dead letters a worker may write in a minute, and where bad jobs wait meanwhile.

Invariants: no more than the limit are written in any minute, in the order in which they came; whoever has a dead letter
waits, and nothing is dropped. Good jobs go on: a bad job that waits takes no place among the jobs in hand, and what
waits is bounded in records and bytes. Whoever finds that bound reached, or uses up the window of its partition, goes
round by the slowest retry topic. Only where that is not possible, or too many have gone round, the condition
`dead_letters` is unmet and no job is taken.

Where less waits in memory than the limit lets pass in a round (large records), whoever came back would have to go round
again, and the limit would be idle in between. So that topic is held back then, until there is place again.
"""

import asyncio
import itertools
import math
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from worker.domain.events import DeadLettersWaiting
from worker.domain.offsets import OffsetTracker
from worker.ports import Clock, EventSink
from worker.runtime.health import Health
from worker.runtime.job import JobInHand

DEAD_LETTERS = "dead_letters"
_WINDOW_SECONDS = 60.0
_TOLD_EVERY_SECONDS = 60.0
_MIN_SLEEP_SECONDS = 0.01  # so that rounding cannot make a sleep of nothing
# The jitter of a retry topic makes a round longer by a tenth at most; then they are read again, in a few seconds.
_LONGEST_ROUND = 1.1
_READ_AGAIN_SECONDS = 30.0
# A waiting job is a task and its record: some 6 KiB and the payload.
_MAX_IN_MEMORY = 10_000


@dataclass(frozen=True, slots=True)
class WaitingBounds:
    """How much may wait: records and payload bytes in memory, and jobs in all, with those that went round.

    `round_seconds` is how long it takes to go round by the slowest retry topic, which is `round_topic`.
    """

    in_memory: int = _MAX_IN_MEMORY
    in_memory_bytes: int = 128 * 1024 * 1024
    in_all: int = 50_000
    round_seconds: float = 600.0
    round_topic: str = ""

    @classmethod
    def of(
        cls, per_minute: int, *, held_bytes: int, in_all: int, round_seconds: float, round_topic: str = ""
    ) -> "WaitingBounds":
        """Return the bounds for a limit: in memory waits what the limit lets pass in a round, so that none is idle."""
        in_one_round = max(1, round(per_minute * round_seconds / _WINDOW_SECONDS))
        return cls(min(_MAX_IN_MEMORY, in_one_round), held_bytes // 2, in_all, round_seconds, round_topic)


@dataclass(eq=False, slots=True)
class _Waiting:
    """A job in the queue; `sent_on` where it shall wait no longer, but go round."""

    job: JobInHand
    may_go_round: bool
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    sent_on: bool = False


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
        self._queue: dict[_Waiting, None] = {}  # first come, first served
        self._of_tracker: dict[OffsetTracker, dict[_Waiting, None]] = {}
        self._waiting_bytes = 0
        self._gone_round: deque[float] = deque()
        self._holds_back = False
        self._held_back_until = -math.inf
        self._observed = 0
        self._told_at: float | None = None
        self._on_change: Callable[[], None] | None = None
        health.met(DEAD_LETTERS)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this when the condition may have changed."""
        self._on_change = listener

    async def admit(self, job: JobInHand, *, may_go_round: bool = False) -> bool:
        """Wait until the job's dead letter may be written, and count it.

        False where it `may_go_round` and should, because it finds no place to wait, or holds up others behind it.
        """
        if not self._per_minute:
            return True
        if self._gone_round and job.record.coordinate.topic == self._bounds.round_topic:
            self._gone_round.popleft()  # it is back
        if not self._queue and self._is_free():
            self._written.append(self._clock.monotonic())
            return True
        if may_go_round and not self._has_place(job):
            self._hold_back()
            return False
        return await self._wait_for_turn(_Waiting(job, may_go_round))

    def gone_round(self) -> None:
        """Note that a job went round by the slowest retry topic, instead of waiting here."""
        self._gone_round.append(self._clock.monotonic())
        self.update()

    @property
    def waiting(self) -> int:
        """The jobs that wait for their dead letter, here or on a retry topic."""
        return len(self._queue) + len(self._gone_round)

    @property
    def wait_seconds(self) -> float:
        """How long it takes at the limit until all that wait now have their dead letters.

        Those that went round wait for their return, too, be there others to write meanwhile or not.
        """
        if not self._per_minute:
            return 0.0
        idle_seconds = 0.0
        if self._gone_round:
            back_in_seconds = self._gone_round[0] + self._bounds.round_seconds - self._clock.monotonic()
            idle_seconds = max(0.0, back_in_seconds - len(self._queue) * _WINDOW_SECONDS / self._per_minute)
        return idle_seconds + self.waiting * _WINDOW_SECONDS / self._per_minute

    @property
    def held_back(self) -> Collection[str]:
        """The topics of which no record is to be taken now."""
        return (self._bounds.round_topic,) if self._holds_back else ()

    def update(self) -> None:
        """Update the condition, and tell how many wait."""
        self._forget_returned()
        bounds = self._bounds
        too_many = (
            len(self._queue) > bounds.in_memory
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
        if self.waiting or self._observed:  # while they only wait for their return the time goes on
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

    def _has_place(self, job: JobInHand) -> bool:
        """Say whether one more may wait; those that use up their partition's window are sent on first."""
        begins_at = job.tracker.crowded_below
        if begins_at is not None:
            for waiting in self._of_tracker.get(job.tracker, ()):
                if waiting.may_go_round and waiting.job.record.coordinate.offset < begins_at:
                    waiting.sent_on = True
                    waiting.woken.set()
        bounds = self._bounds
        return len(self._queue) < bounds.in_memory and self._waiting_bytes + job.size_bytes <= bounds.in_memory_bytes

    def _is_filled_to(self, parts: int, whole: int) -> bool:
        bounds = self._bounds
        return (
            whole * len(self._queue) >= parts * bounds.in_memory
            or whole * self._waiting_bytes >= parts * bounds.in_memory_bytes
        )

    def _hold_back(self) -> None:
        in_one_round = self._per_minute * self._bounds.round_seconds / _WINDOW_SECONDS
        if self._bounds.round_topic and 0 < len(self._queue) < in_one_round:
            self._holds_back = True

    def _release(self) -> None:
        if self._holds_back and not self._is_filled_to(1, 2):
            self._holds_back = False
            self._held_back_until = self._clock.monotonic()

    def _forget_returned(self) -> None:
        """Forget those that must have come back: to another worker, or to succeed."""
        now = self._clock.monotonic()
        longest_seconds = _LONGEST_ROUND * self._bounds.round_seconds + _READ_AGAIN_SECONDS
        if self._holds_back or now - self._held_back_until < _READ_AGAIN_SECONDS:
            return
        while self._gone_round and now - self._gone_round[0] >= longest_seconds:
            self._gone_round.popleft()

    async def _wait_for_turn(self, waiting: _Waiting) -> bool:
        job, beside = waiting.job, self._of_tracker.setdefault(waiting.job.tracker, {})
        job.wait_aside()
        self._queue[waiting] = beside[waiting] = None
        self._waiting_bytes += job.size_bytes
        if self._is_filled_to(3, 4):  # the rest is for those that are on their way
            self._hold_back()
        self.update()
        try:
            while not waiting.sent_on:
                if next(iter(self._queue)) is not waiting:
                    await waiting.woken.wait()
                elif self._is_free():
                    self._written.append(self._clock.monotonic())
                    return True
                else:
                    await self._sleep_until_free(waiting)
                waiting.woken.clear()
            return False
        finally:
            self._waiting_bytes -= job.size_bytes
            del self._queue[waiting], beside[waiting]
            if not beside:
                self._of_tracker.pop(job.tracker, None)
            for first in itertools.islice(self._queue, 1):
                first.woken.set()
            self._release()
            self.update()

    async def _sleep_until_free(self, waiting: _Waiting) -> None:
        seconds = self._written[-self._per_minute] + _WINDOW_SECONDS - self._clock.monotonic()
        sleeping = asyncio.ensure_future(self._clock.sleep(max(_MIN_SLEEP_SECONDS, seconds)))
        woken = asyncio.ensure_future(waiting.woken.wait())
        try:
            await asyncio.wait({sleeping, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            woken.cancel()

    def _is_free(self) -> bool:
        begin = self._clock.monotonic() - _WINDOW_SECONDS
        while self._written and self._written[0] <= begin:
            self._written.popleft()
        return len(self._written) < self._per_minute


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 2 * _WINDOW_SECONDS else f"{seconds / _WINDOW_SECONDS:.0f} min"
