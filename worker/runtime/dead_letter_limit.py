"""How many dead letters a worker may write in a minute, and where bad jobs wait meanwhile.

Invariants: no more dead letters than the limit are written in any minute, in the order in which they came; bad jobs
wait for theirs, and none is dropped. Good jobs go on: a bad job that waits does not count among the jobs in flight.
The queue is bounded in records and bytes. A bad job that does not fit into the queue, or fills the window of its
partition, is postponed: it is written to the slowest retry topic and comes back from there. Only where that is not
possible, or too many are postponed, the condition `dead_letters` is unmet and no job is taken.

With large records, fewer jobs may fit into the queue than the limit lets pass while others are postponed. Jobs that
come back would then be postponed again, and the limit would be idle in between. So that retry topic is paused until
half of the queue is free.
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
from worker.runtime.job import InflightJob

DEAD_LETTERS = "dead_letters"
_WINDOW_SECONDS = 60.0
_REPORT_INTERVAL_SECONDS = 60.0
_MIN_SLEEP_SECONDS = 0.01  # so that rounding cannot make a sleep of nothing
# The jitter of a retry topic adds a tenth at most; then the records are read again, in a few seconds.
_MAX_POSTPONEMENT_FACTOR = 1.1
_READ_AGAIN_SECONDS = 30.0
# A waiting job is a task and its record: some 6 KiB and the payload.
_MAX_IN_MEMORY = 10_000


@dataclass(frozen=True, slots=True)
class WaitingBounds:
    """How much may wait: records and payload bytes in memory, and jobs in all, the postponed ones included.

    `postponement_topic` is the slowest retry topic, and `postponement_seconds` its delay.
    """

    max_records_in_memory: int = _MAX_IN_MEMORY
    max_bytes_in_memory: int = 128 * 1024 * 1024
    max_waiting: int = 50_000
    postponement_seconds: float = 600.0
    postponement_topic: str = ""

    @classmethod
    def of(
        cls,
        per_minute: int,
        *,
        held_bytes: int,
        max_waiting: int,
        postponement_seconds: float,
        postponement_topic: str = "",
    ) -> "WaitingBounds":
        """Return the bounds: the queue holds what the limit lets pass during one postponement, so it is never empty."""
        per_postponement = max(1, round(per_minute * postponement_seconds / _WINDOW_SECONDS))
        return cls(
            min(_MAX_IN_MEMORY, per_postponement),
            held_bytes // 2,
            max_waiting,
            postponement_seconds,
            postponement_topic,
        )


@dataclass(eq=False, slots=True)
class _Waiting:
    """A job in the queue; `evicted` says that it is to be postponed."""

    job: InflightJob
    may_postpone: bool
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    evicted: bool = False


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
        self._queued_by_tracker: dict[OffsetTracker, dict[_Waiting, None]] = {}
        self._waiting_bytes = 0
        self._postponed_at: deque[float] = deque()
        self._topic_is_paused = False
        self._topic_resumed_at = -math.inf
        self._reported_waiting = 0
        self._reported_at: float | None = None
        self._on_change: Callable[[], None] | None = None
        health.met(DEAD_LETTERS)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this when the condition may have changed."""
        self._on_change = listener

    async def admit(self, job: InflightJob, *, may_postpone: bool = False) -> bool:
        """Wait until the job's dead letter may be written, and count it.

        False where the job is to be postponed, which `may_postpone` allows: the queue is full, or the job fills the
        window of its partition.
        """
        if not self._per_minute:
            return True
        if self._postponed_at and job.record.coordinate.topic == self._bounds.postponement_topic:
            self._postponed_at.popleft()  # it is back
        if not self._queue and self._is_free():
            self._written.append(self._clock.monotonic())
            return True
        if may_postpone and not self._can_queue(job):
            self._pause_topic()
            return False
        return await self._wait_for_turn(_Waiting(job, may_postpone))

    def postponed(self) -> None:
        """Note that a job was written to the slowest retry topic, instead of waiting here."""
        self._postponed_at.append(self._clock.monotonic())
        self.update()

    @property
    def waiting(self) -> int:
        """The jobs that wait for their dead letter, here or on a retry topic."""
        return len(self._queue) + len(self._postponed_at)

    @property
    def wait_seconds(self) -> float:
        """How long it takes at the limit until all that wait now have their dead letters.

        For postponed jobs that includes the time until they come back.
        """
        if not self._per_minute:
            return 0.0
        idle_seconds = 0.0
        if self._postponed_at:
            back_in_seconds = self._postponed_at[0] + self._bounds.postponement_seconds - self._clock.monotonic()
            idle_seconds = max(0.0, back_in_seconds - len(self._queue) * _WINDOW_SECONDS / self._per_minute)
        return idle_seconds + self.waiting * _WINDOW_SECONDS / self._per_minute

    @property
    def paused_topics(self) -> Collection[str]:
        """The topics from which no record is taken now."""
        return (self._bounds.postponement_topic,) if self._topic_is_paused else ()

    def update(self) -> None:
        """Update the condition, and report how many wait."""
        self._forget_postponed()
        bounds = self._bounds
        too_many = (
            len(self._queue) > bounds.max_records_in_memory
            or self._waiting_bytes > bounds.max_bytes_in_memory
            or self.waiting > bounds.max_waiting
        )
        if too_many:
            self._health.unmet(DEAD_LETTERS, f"{self._sentence()} No job is taken until fewer wait.")
        else:
            self._health.met(DEAD_LETTERS, self._sentence() if self.waiting else "")
        self._report()
        if self._on_change is not None:
            self._on_change()

    def _report(self) -> None:
        """Report at once that jobs wait or none waits any more; report how many once a minute."""
        now = self._clock.monotonic()
        if self.waiting or self._reported_waiting:
            is_due = (
                self._reported_at is None or now - self._reported_at >= _REPORT_INTERVAL_SECONDS or not self.waiting
            )
            self._events.emit(DeadLettersWaiting(self.waiting, self.wait_seconds, self._per_minute, loud=is_due))
            self._reported_at = now if is_due else self._reported_at
            self._reported_waiting = self.waiting
        if not self.waiting:
            self._reported_at = None

    def _sentence(self) -> str:
        return (
            f"{self.waiting} bad jobs wait for the limit of {self._per_minute} dead letters a minute, which takes about"
            f" {_duration(self.wait_seconds)}; see with `labelwire dlq stats` what is wrong, or raise"
            " LABELWIRE_LIMITS__DEAD_LETTERS_PER_MINUTE."
        )

    def _can_queue(self, job: InflightJob) -> bool:
        """Say whether the queue takes one more job; evict first the jobs that fill their partition's window."""
        begins_at = job.tracker.crowded_below
        if begins_at is not None:
            for waiting in self._queued_by_tracker.get(job.tracker, ()):
                if waiting.may_postpone and waiting.job.record.coordinate.offset < begins_at:
                    waiting.evicted = True
                    waiting.woken.set()
        bounds = self._bounds
        return (
            len(self._queue) < bounds.max_records_in_memory
            and self._waiting_bytes + job.size_bytes <= bounds.max_bytes_in_memory
        )

    def _is_filled_to(self, parts: int, whole: int) -> bool:
        bounds = self._bounds
        return (
            whole * len(self._queue) >= parts * bounds.max_records_in_memory
            or whole * self._waiting_bytes >= parts * bounds.max_bytes_in_memory
        )

    def _pause_topic(self) -> None:
        per_postponement = self._per_minute * self._bounds.postponement_seconds / _WINDOW_SECONDS
        if self._bounds.postponement_topic and 0 < len(self._queue) < per_postponement:
            self._topic_is_paused = True

    def _resume_topic(self) -> None:
        if self._topic_is_paused and not self._is_filled_to(1, 2):
            self._topic_is_paused = False
            self._topic_resumed_at = self._clock.monotonic()

    def _forget_postponed(self) -> None:
        """Forget postponed jobs that must have come back by now, to this worker or to another."""
        now = self._clock.monotonic()
        longest_seconds = _MAX_POSTPONEMENT_FACTOR * self._bounds.postponement_seconds + _READ_AGAIN_SECONDS
        if self._topic_is_paused or now - self._topic_resumed_at < _READ_AGAIN_SECONDS:
            return
        while self._postponed_at and now - self._postponed_at[0] >= longest_seconds:
            self._postponed_at.popleft()

    async def _wait_for_turn(self, waiting: _Waiting) -> bool:
        job, beside = waiting.job, self._queued_by_tracker.setdefault(waiting.job.tracker, {})
        job.mark_queued()
        self._queue[waiting] = beside[waiting] = None
        self._waiting_bytes += job.size_bytes
        if self._is_filled_to(3, 4):  # leave room for jobs that are being read
            self._pause_topic()
        self.update()
        try:
            while not waiting.evicted:
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
                self._queued_by_tracker.pop(job.tracker, None)
            for first in itertools.islice(self._queue, 1):
                first.woken.set()
            self._resume_topic()
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
