"""Writes outcomes to Kafka, in one of two ways.

Invariant: a job's offset counts as done only when the broker has acknowledged its outcome; in transactions the outcome
and the position are written together or not at all.
"""

import asyncio
import contextvars
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from worker.domain.errors import ErrorCode, JobError
from worker.domain.offsets import OffsetTracker
from worker.domain.records import OutgoingRecord
from worker.ports import Clock, FencedError, RecordSink, TransactionalSink
from worker.runtime.job import InflightJob
from worker.runtime.partitions import Partitions

_MAX_RECORDS = 500
_MAX_BYTES = 32 * 1024 * 1024
_FENCED_PAUSE_SECONDS = 0.2


class Outbox(Protocol):
    """Writes outcomes."""

    @property
    def commits_positions(self) -> bool:
        """Whether the outbox commits positions as well, so that the loop must not."""

    async def put(self, job: InflightJob, record: OutgoingRecord) -> None:
        """Write the outcome of a job and count its offset as done; on an error neither has happened.

        Raises JobError RESULT_TOO_LARGE where the record is over a size limit, and BROKER_UNAVAILABLE else.
        """

    async def wait_until_idle(self) -> None:
        """Return once no write is under way whose end is not known."""


class DirectOutbox:
    """At-least-once delivery: first the outcome, later the position."""

    commits_positions = False

    def __init__(self, sink: RecordSink) -> None:
        self._sink = sink

    async def put(self, job: InflightJob, record: OutgoingRecord) -> None:
        """Write the outcome, then count the offset as done."""
        await self._sink.send(record)
        job.complete()

    async def wait_until_idle(self) -> None:
        """Return at once: the loop waits for the jobs, and they for their writes."""


@dataclass(eq=False, slots=True)
class _QueuedOutcome:
    job: InflightJob
    record: OutgoingRecord
    written: asyncio.Future[None]


class TransactionalOutbox:
    """Exactly-once delivery: outcomes and positions in one transaction, with all that is ready when it begins."""

    commits_positions = True

    def __init__(self, sink: TransactionalSink, partitions: Partitions, clock: Clock) -> None:
        self._sink = sink
        self._partitions = partitions
        self._clock = clock
        self._waiting: list[_QueuedOutcome] = []
        self._writing: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def put(self, job: InflightJob, record: OutgoingRecord) -> None:
        """Have the outcome written in the next transaction, and return once that is committed."""
        queued = _QueuedOutcome(job, record, asyncio.get_running_loop().create_future())
        self._waiting.append(queued)
        if self._writing is None or self._writing.done():
            # It writes for all jobs: without this job's context, no line of its log names this one's trace.
            self._writing = asyncio.create_task(self._write_all(), context=contextvars.Context())
        try:
            await queued.written
        finally:
            if queued in self._waiting:
                self._waiting.remove(queued)

    async def wait_until_idle(self) -> None:
        """Wait for the transaction under way."""
        await self._idle.wait()

    async def _write_all(self) -> None:
        while self._waiting:
            await self._write(self._next_batch())

    def _next_batch(self) -> list[_QueuedOutcome]:
        taken: list[_QueuedOutcome] = []
        size_bytes = 0
        for queued in self._waiting:
            size_bytes += queued.record.size_bytes
            if taken and (len(taken) == _MAX_RECORDS or size_bytes > _MAX_BYTES):
                break
            taken.append(queued)
        del self._waiting[: len(taken)]
        return taken

    async def _write(self, batch: list[_QueuedOutcome]) -> None:
        """Write a batch, without outcomes that were canceled or whose partition another worker has by now."""
        current = [
            queued for queued in batch if self._partitions.holds(queued.job.tracker) and not queued.written.done()
        ]
        for queued in batch:
            if queued not in current:
                queued.written.cancel()
        if not current:
            return
        try:
            await self._commit(current)
        except FencedError:
            # Another worker has these partitions by now, or the group has only a new generation: try again and see.
            await self._clock.sleep(_FENCED_PAUSE_SECONDS)
            self._waiting[:0] = current
        except JobError as error:
            if error.code is ErrorCode.RESULT_TOO_LARGE and len(current) > 1:
                middle = len(current) // 2
                await self._write(current[:middle])
                await self._write(current[middle:])
            else:
                _resolve(current, error)
        except Exception as error:  # the jobs that wait must get it
            _resolve(current, error)
            raise

    async def _commit(self, batch: list[_QueuedOutcome]) -> None:
        done: dict[OffsetTracker, list[int]] = {}
        for queued in batch:
            done.setdefault(queued.job.tracker, []).append(queued.job.record.coordinate.offset)
        self._idle.clear()
        try:
            await self._sink.commit([queued.record for queued in batch], self._partitions.points_with(done))
            for queued in batch:
                queued.job.complete()
        finally:
            self._idle.set()
        _resolve(batch, None)


def _resolve(batch: Collection[_QueuedOutcome], error: Exception | None) -> None:
    for queued in batch:
        if queued.written.done():  # the job that waited was canceled
            continue
        if error is None:
            queued.written.set_result(None)
        else:
            queued.written.set_exception(error)
