"""From a record to its text: all that happens to a job between receiving and publishing, in whichever process.

Invariant: nothing but JobError and MemoryError leaves a reading; the first says what the job's fate is, the second
that this process, not the job, is at its end.
"""

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageHeader
from worker.domain.job import LabelJob, check_deadline, parse_job
from worker.domain.records import Record
from worker.domain.result import LabelText, ModelUsed
from worker.ports import Clock
from worker.runtime.budget import AttemptBudget
from worker.runtime.reader import ModelReader
from worker.runtime.results import label_text


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """A job that is worth reading, and what its picture claims to be."""

    record: Record
    job: LabelJob
    header: ImageHeader

    @property
    def pixels(self) -> int:
        """What decoding the picture will take."""
        return self.header.pixels


class JobReading:
    """Reads jobs, each attempt within its budget and before the job's deadline."""

    def __init__(self, reader: ModelReader, executor: Executor, clock: Clock, budget: AttemptBudget) -> None:
        self._reader = reader
        self._executor = executor
        self._clock = clock
        self._budget = budget

    @property
    def models_used(self) -> Mapping[str, ModelUsed]:
        """The models that pictures are read with; empty before the first look."""
        return self._reader.models_used

    async def read(self, record: Record, attempt: int) -> LabelText:
        """Read the job of a record. Raises JobError."""
        return await self.process(await self.prepare(record), attempt)

    async def prepare(self, record: Record) -> PreparedJob:
        """Return the record's job, checked as far as can be told before decoding. Raises JobError."""
        with _foreseen():
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._prepare, record)

    async def process(self, prepared: PreparedJob, attempt: int) -> LabelText:
        """Read a prepared job. Raises JobError, DEADLINE_EXCEEDED or ATTEMPT_TIMED_OUT where it takes too long."""
        with _foreseen():
            return await self._process(prepared, attempt)

    def _prepare(self, record: Record) -> PreparedJob:
        job = parse_job(record)
        check_deadline(job, self._clock.epoch_ms())
        return PreparedJob(record, job, self._reader.header(job.picture))

    async def _process(self, prepared: PreparedJob, attempt: int) -> LabelText:
        record, job, header = prepared.record, prepared.job, prepared.header
        check_deadline(job, self._clock.epoch_ms())
        try:
            async with self._budget.attempt(), asyncio.timeout(self._seconds_to_deadline(job)):
                reading = await self._reader.process(
                    job.picture, header, timeout_seconds=self._budget.seconds, request_id=job.job_id
                )
        except TimeoutError as error:
            check_deadline(job, self._clock.epoch_ms())
            message = f"The attempt took longer than {self._budget.seconds:g} seconds; it is made again."
            raise JobError(ErrorCode.ATTEMPT_TIMED_OUT, message) from error
        return label_text(record, job, header, reading, self._reader.models_used, attempt)

    def _seconds_to_deadline(self, job: LabelJob) -> float | None:
        return None if job.deadline_ms is None else (job.deadline_ms - self._clock.epoch_ms()) / 1000


@contextmanager
def _foreseen() -> Iterator[None]:
    try:
        yield
    except (JobError, MemoryError):
        raise
    except Exception as error:  # a defect of ours must not stop the worker, and must not lose the record
        message = f"The worker failed with {type(error).__name__} where nobody foresaw it; please report it."
        raise JobError(ErrorCode.INTERNAL, message) from error
