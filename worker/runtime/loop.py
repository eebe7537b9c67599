"""The worker's loop: takes records from the source, runs one task a job, commits what is done.

Invariants: a record counts as done only when `Delivery.deliver` has returned. What the source may deliver is bounded by
records and by bytes; a job that only waits for its dead letter counts by its bytes alone. A partition whose window is
full delivers nothing. While the intake is closed no record is taken.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from worker.domain.events import PartitionChange, PartitionsChanged
from worker.domain.records import CommitPoint, Record, TopicPartition
from worker.ports import Clock, EventSink, RecordSource
from worker.runtime.delivery import Delivery
from worker.runtime.health import Health
from worker.runtime.job import InflightJob
from worker.runtime.ordering import KeyOrder
from worker.runtime.outbox import Outbox
from worker.runtime.partitions import Partitions
from worker.runtime.read_ahead import ReadAhead

PARTITIONS = "partitions"
_TYPICAL_RECORD_BYTES = 1024 * 1024
_DRAIN_STEP_SECONDS = 0.1
_IDLE_OUTBOX_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """How much may be in flight: records that are not known to be large, and encoded bytes of all."""

    records: int
    held_bytes: int


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """How often positions are committed, and how long jobs may run on after their partition is revoked."""

    commit_interval_seconds: float
    drain_seconds: float


class Loop:
    """The listener of the source, and the owner of the tasks."""

    def __init__(
        self,
        *,
        source: RecordSource,
        delivery: Delivery,
        outbox: Outbox,
        partitions: Partitions,
        limits: IntakeLimits,
        health: Health,
        clock: Clock,
        event_sink: EventSink,
        times: LoopTimes,
        key_order: KeyOrder | None = None,
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._outbox = outbox
        self._partitions = partitions
        self._limits = limits
        self._health = health
        self._clock = clock
        self._events = event_sink
        self._times = times
        self._key_order = key_order
        self._jobs: dict[asyncio.Task[None], InflightJob] = {}
        self._active: dict[asyncio.Task[None], InflightJob] = {}  # all but those that wait for their dead letter
        self._queued_bytes = 0
        self._read_ahead = ReadAhead(limits.records)
        self._tasks = asyncio.TaskGroup()
        self._stopping = asyncio.Event()
        self._received = 0
        self._intake_is_open = False
        self._paused_topics: Collection[str] = ()

    async def run(self, stopping: asyncio.Event) -> None:
        """Take jobs until `stopping` is set, then drain and hand the partitions back."""
        self._stopping = stopping
        async with asyncio.TaskGroup() as self._tasks:
            committing = self._tasks.create_task(self._commit_regularly())
            try:
                await self._source.start(self)
                await stopping.wait()
            finally:
                committing.cancel()
                self.set_intake(is_open=False)
                await self._source.close()

    def set_intake(self, *, is_open: bool, paused_topics: Collection[str] = ()) -> None:
        """Take records from all topics but the paused ones, or, with the intake closed, none at all."""
        self._intake_is_open = is_open
        self._paused_topics = paused_topics
        self._allow()

    # The source's listener.

    def received(self, records: Sequence[Record]) -> None:
        """Begin a task for each record that is not done already."""
        self._received += len(records)
        for record in records:
            tracker = self._partitions.deliver(record)
            if tracker is not None:
                suspect = tracker.is_suspect(record.coordinate.offset)
                job = InflightJob(
                    *(record, tracker),
                    suspect=suspect,
                    on_large=self._allow,
                    on_queued=self._count_as_queued,
                    on_begun=self._job_begun,
                )
                self._begin(job)
        self._allow()

    async def assigned(self, partitions: Mapping[TopicPartition, CommitPoint]) -> Mapping[TopicPartition, CommitPoint]:
        """Begin to track these partitions, and return what to commit first: that this worker has begun."""
        points = self._partitions.assign(partitions)
        self._events.emit(PartitionsChanged(PartitionChange.ASSIGNED, tuple(partitions)))
        self._note_partitions()
        self._allow()
        return points

    async def revoked(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, CommitPoint]:
        """Cancel jobs that only wait, give the others the drain time, and return what to commit."""
        ended = set(partitions)
        deadline = self._clock.monotonic() + self._times.drain_seconds
        # A job that fails meanwhile only waits for its next attempt, which the next owner makes.
        while (running := self._cancel_waiting(ended)) and self._clock.monotonic() < deadline:
            await asyncio.wait(running, timeout=_DRAIN_STEP_SECONDS)
        await self._cancel(running)
        # While it is not known what a transaction has committed, nothing may be committed beside it.
        points = self._partitions.commit_points(ended, clean_end=True) if await self._outbox_is_idle() else {}
        self._forget(PartitionChange.REVOKED, ended)
        return points

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Cancel the jobs of these partitions: another member reads them again."""
        for task in self._tasks_of(partitions):
            task.cancel()
        self._forget(PartitionChange.LOST, partitions)

    def failed(self, _error: BaseException) -> None:
        """End: the source's `close` raises the error."""
        self._stopping.set()

    # Tasks.

    def _begin(self, job: InflightJob) -> None:
        task = self._tasks.create_task(self._deliver(job))
        self._jobs[task] = self._active[task] = job
        task.add_done_callback(self._job_ended)

    async def _deliver(self, job: InflightJob) -> None:
        if self._key_order is None:
            await self._delivery.deliver(job)
            return
        async with self._key_order.in_order(job.record):
            await self._delivery.deliver(job)

    def _job_ended(self, task: asyncio.Task[None]) -> None:
        job = self._jobs.pop(task)
        if self._active.pop(task, None) is None:
            self._queued_bytes -= job.size_bytes
        self._allow()

    def _job_begun(self, waited: bool | None) -> None:  # noqa: FBT001 - a listener's only argument
        if waited is not None:
            small = [job for job in self._active.values() if not job.large]
            ahead = 1 + sum(job.ahead for job in small)  # this one was until now
            self._read_ahead.began(
                waited=waited,
                is_used_up=ahead >= self._read_ahead.records,
                in_progress=sum(job.working and not job.ahead for job in small),
            )
        self._allow()

    def _count_as_queued(self) -> None:
        """Count the memory of the current task's job, but not the job any more."""
        task = asyncio.current_task()
        job = self._active.pop(task) if task else None
        self._queued_bytes += job.size_bytes if job else 0
        self._allow()

    def _tasks_of(self, partitions: Collection[TopicPartition]) -> list[asyncio.Task[None]]:
        return [task for task, job in self._jobs.items() if job.record.topic_partition in partitions]

    def _cancel_waiting(self, partitions: Collection[TopicPartition]) -> list[asyncio.Task[None]]:
        running = []
        for task in self._tasks_of(partitions):
            if self._jobs[task].working:
                running.append(task)
            else:
                task.cancel()
        return running

    async def _cancel(self, tasks: Collection[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _outbox_is_idle(self) -> bool:
        """Wait a bounded time until the outbox is idle, and say whether it is."""
        waiting = asyncio.ensure_future(self._outbox.wait_until_idle())
        idle, _ = await asyncio.wait({waiting}, timeout=_IDLE_OUTBOX_SECONDS)
        waiting.cancel()
        return bool(idle)

    def _forget(self, change: PartitionChange, partitions: Collection[TopicPartition]) -> None:
        self._partitions.drop(partitions)
        self._events.emit(PartitionsChanged(change, tuple(partitions)))
        self._note_partitions()
        self._allow()

    def _note_partitions(self) -> None:
        if self._partitions.held:
            self._health.met(PARTITIONS)
        else:
            self._health.unmet(PARTITIONS, "the group has given this worker none yet.")

    # Intake and commits.

    def _allow(self) -> None:
        paused = {partition for partition in self._partitions.held if partition.topic in self._paused_topics}
        self._source.allow(self._received + self._free_records(), self._partitions.full() | paused)

    def _free_records(self) -> int:
        if not self._intake_is_open:
            return 0
        sizes = [job.size_bytes for job in self._active.values()]
        free_bytes = self._limits.held_bytes - self._queued_bytes - sum(sizes)
        largest_bytes = max(1, *sizes) if sizes else _TYPICAL_RECORD_BYTES
        by_bytes = max(0, free_bytes) // largest_bytes
        small = [job for job in self._active.values() if not job.large]
        by_records = self._limits.records - len(small)
        if self._key_order is None:  # in key order a record may also wait for those before it, however many are ahead
            by_records = min(by_records, self._read_ahead.records - sum(job.ahead for job in small))
        # With nothing in flight one record is always taken; otherwise one over the whole budget never would be.
        return max(0 if sizes else 1, min(by_records, by_bytes))

    async def _commit_regularly(self) -> None:
        while True:
            await self._clock.sleep(self._times.commit_interval_seconds)
            # A position that is committed beside a transaction could undo that of the transaction.
            points = {} if self._outbox.commits_positions else self._partitions.commit_points()
            if points:
                self._source.commit(points)
