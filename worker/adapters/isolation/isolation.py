"""The `Isolation` of production: one child process, which reads one record at a time.

Invariant: only the end of a child that was reading the record, and nothing else, counts against it. A child that ends
at its start or while it is idle, a canceled reading and a worker that closes count against no record.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from worker.adapters.isolation.process import Child, CrashError, LostError, unavailable
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import ReaderCrashed
from worker.domain.poison import CrashHistory
from worker.domain.records import Record
from worker.domain.result import LabelText
from worker.ports import Clock, EventSink

# What kills a child from outside (another process takes the memory) passes; a defect of a codec does not.
_FROM_OUTSIDE: Final = frozenset({"signal SIGKILL", "out of memory"})


class ChildIsolation:
    """Reads records in a child process that is started for the first, kept for more, and ended when none come."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        attempt_seconds: float,
        silence_seconds: float = 5.0,
        idle_seconds: float = 60.0,
        pause_seconds: float = 2.0,
        clock: Clock,
        event_sink: EventSink,
    ) -> None:
        self._command = command
        self._environment = environment
        # The child keeps the attempt's time itself; a longer silence is a hang in native code.
        self._longest_seconds = attempt_seconds + silence_seconds
        self._idle_seconds = idle_seconds
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._events = event_sink
        self._lock = asyncio.Lock()
        self._child: Child | None = None
        self._idle_timer: asyncio.Task[None] | None = None
        self._closed = False

    async def read(self, record: Record, attempt: int, model_set: str) -> LabelText:
        """Read the job of a record with the models of a set in the child, once those before it are read.

        Raises JobError: what reading it here would raise, POISON where the child ended three times while it read it,
        INFERENCE_UNAVAILABLE where no child can be had.
        """
        async with self._lock:
            self._stop_idle_timer()
            try:
                return await self._try(record, attempt, model_set)
            finally:
                if self._child is not None and self._child.idle and not self._closed:
                    self._idle_timer = asyncio.create_task(self._end_when_idle(self._child))

    async def close(self) -> None:
        """End the child, if there is one; a reading under way ends as INFERENCE_UNAVAILABLE."""
        self._closed = True
        self._stop_idle_timer()
        if self._child is not None:
            await self._child.end()

    async def _try(self, record: Record, attempt: int, model_set: str) -> LabelText:
        history, losses = CrashHistory(), 0
        while True:
            child = await self._ready_child()
            try:
                return await child.ask(record, attempt, model_set, self._longest_seconds)
            except LostError as loss:  # it may have ended a moment ago, while it was idle
                losses += 1
                if losses > 1 or self._closed:
                    raise unavailable(f"ended before it had the record ({loss})") from loss
            except CrashError as crash:
                await self._count(history, record, crash)

    async def _count(self, history: CrashHistory, record: Record, crash: CrashError) -> None:
        if self._closed:
            raise _closed_error() from crash
        how = str(crash)
        self._events.emit(ReaderCrashed(record.coordinate, how, len(history.crashes) + 1))
        history.crashed(how)
        if how in _FROM_OUTSIDE:
            await self._clock.sleep(self._pause_seconds * 2 ** len(history.crashes))

    async def _ready_child(self) -> Child:
        if self._child is None or not self._child.idle:
            if self._child is not None:
                await self._child.end()
            self._child = None
            if not self._closed:
                self._child = await Child.start(self._command, self._environment)
        if self._closed or self._child is None:
            await self.close()
            raise _closed_error()
        return self._child

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    async def _end_when_idle(self, child: Child) -> None:
        await self._clock.sleep(self._idle_seconds)
        async with self._lock:
            await child.end()


def _closed_error() -> JobError:
    return JobError(ErrorCode.INFERENCE_UNAVAILABLE, "The worker ends, and its child process with it.")
