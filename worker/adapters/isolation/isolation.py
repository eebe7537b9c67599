"""The `Isolation` of production: one child process, which reads one record at a time.

Invariant: a record is convicted by ends of a child that was reading it and nothing else; a child that ends at start or
while it rests, a cancelled reading and a closed worker convict nobody.
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

# What ends a child from outside (memory that somebody else takes) passes; a defect of a codec does not.
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
        self._turn = asyncio.Lock()
        self._child: Child | None = None
        self._rest: asyncio.Task[None] | None = None
        self._closed = False

    async def read(self, record: Record, attempt: int) -> LabelText:
        """Read the job of a record in the child, once those before it are read.

        Raises JobError: what reading it here would raise, POISON where the child ended three times while it read it,
        INFERENCE_UNAVAILABLE where no child can be had.
        """
        async with self._turn:
            self._stop_rest()
            try:
                return await self._try(record, attempt)
            finally:
                if self._child is not None and self._child.idle and not self._closed:
                    self._rest = asyncio.create_task(self._end_after_rest(self._child))

    async def close(self) -> None:
        """End the child, if there is one; a reading under way ends as INFERENCE_UNAVAILABLE."""
        self._closed = True
        self._stop_rest()
        if self._child is not None:
            await self._child.end()

    async def _try(self, record: Record, attempt: int) -> LabelText:
        trial, losses = CrashHistory(), 0
        while True:
            child = await self._ready_child()
            try:
                return await child.ask(record, attempt, self._longest_seconds)
            except LostError as loss:  # it may have ended while it rested, a moment ago
                losses += 1
                if losses > 1 or self._closed:
                    raise unavailable(f"ended before it had the record ({loss})") from loss
            except CrashError as crash:
                await self._count(trial, record, crash)

    async def _count(self, trial: CrashHistory, record: Record, crash: CrashError) -> None:
        if self._closed:
            raise _closed_error() from crash
        how = str(crash)
        self._events.emit(ReaderCrashed(record.coordinate, how, len(trial.crashes) + 1))
        trial.crashed(how)
        if how in _FROM_OUTSIDE:
            await self._clock.sleep(self._pause_seconds * 2 ** len(trial.crashes))

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

    def _stop_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    async def _end_after_rest(self, child: Child) -> None:
        await self._clock.sleep(self._idle_seconds)
        async with self._turn:
            await child.end()


def _closed_error() -> JobError:
    return JobError(ErrorCode.INFERENCE_UNAVAILABLE, "The worker ends, and with it the child that reads records apart.")
