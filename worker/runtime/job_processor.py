"""From a record to its text: all that happens to a job between receiving and publishing, in whichever process.

Invariant: nothing but JobError and MemoryError leaves a reading; the first says what the job's fate is, the second
that this process, not the job, is at its end.
"""

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.image import ImageHeader
from worker.domain.job import LabelJob, check_deadline, parse_job
from worker.domain.records import Record
from worker.domain.result import LabelText, ModelUsed
from worker.domain.uri import PictureUri
from worker.ports import BlobStore, Clock
from worker.runtime.budget import AttemptBudget
from worker.runtime.fetch_memory import FetchMemory
from worker.runtime.model_client import ModelClient
from worker.runtime.results import label_text
from worker.runtime.shortage import judged


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """A job that is worth reading, and what its picture claims to be.

    A context manager: at its end the memory of a fetched picture is given back. `fetch_seconds` is None where
    the picture came with the job.
    """

    record: Record
    job: LabelJob
    header: ImageHeader
    fetch_seconds: float | None = None
    held: ExitStack = field(default_factory=ExitStack, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.held.close()

    @property
    def fetched_bytes(self) -> int:
        """The memory that the picture takes beside its record."""
        return 0 if self.fetch_seconds is None else len(self.job.picture)

    @property
    def pixels(self) -> int:
        """What decoding the picture will take."""
        return self.header.pixels


class JobProcessor:
    """Reads jobs, each attempt within its budget and before the job's deadline."""

    def __init__(
        self,
        reader: ModelClient,
        executor: Executor,
        clock: Clock,
        budget: AttemptBudget,
        blobs: BlobStore,
        memory: FetchMemory,
    ) -> None:
        self._reader = reader
        self._executor = executor
        self._clock = clock
        self._budget = budget
        self._blobs = blobs
        self._memory = memory

    @property
    def models_used(self) -> Mapping[str, ModelUsed]:
        """The models that pictures are read with; empty before the first look."""
        return self._reader.models_used

    async def read(self, record: Record, attempt: int) -> LabelText:
        """Read the job of a record. Raises JobError."""
        with await self.prepare(record) as prepared:
            return await self.process(prepared, attempt)

    async def prepare(self, record: Record) -> PreparedJob:
        """Return the record's job with its picture, checked as far as can be told before decoding. Raises JobError."""
        with _foreseen():
            loop = asyncio.get_running_loop()
            prepared = await loop.run_in_executor(self._executor, self._prepare, record)
            if isinstance(prepared, PreparedJob):
                return prepared
            job, uri = prepared
            with ExitStack() as held:
                begun = self._clock.monotonic()
                picture = await self._fetch(job, uri, held)
                fetch_seconds = self._clock.monotonic() - begun
                job, header = await loop.run_in_executor(self._executor, self._look, job, picture)
                return PreparedJob(record, job, header, fetch_seconds, held.pop_all())

    async def process(self, prepared: PreparedJob, attempt: int) -> LabelText:
        """Read a prepared job. Raises JobError, DEADLINE_EXCEEDED or ATTEMPT_TIMED_OUT where it takes too long."""
        with _foreseen():
            return await self._process(prepared, attempt)

    def _prepare(self, record: Record) -> PreparedJob | tuple[LabelJob, PictureUri]:
        job = parse_job(record)
        check_deadline(job, self._clock.epoch_ms())
        if job.uri is not None:
            return job, job.uri
        return PreparedJob(record, job, self._reader.header(job.picture))

    def _look(self, job: LabelJob, picture: bytes) -> tuple[LabelJob, ImageHeader]:
        return job.with_picture(picture), self._reader.header(picture)

    async def _fetch(self, job: LabelJob, uri: PictureUri, held: ExitStack) -> bytes:
        """Return the picture that lies there; `held` takes the memory that it needs."""
        lease = held.enter_context(self._memory.lease())
        try:
            async with asyncio.timeout(self._seconds_to_deadline(job)), self._memory.turns:
                picture = await self._blobs.fetch(uri, lease.grow)
        except TimeoutError:  # the store's own never leave it
            check_deadline(job, max(self._clock.epoch_ms(), job.deadline_ms or 0))
            raise
        lease.shrink(len(picture))
        if not picture:
            message = f"The picture at {uri} is empty; send the job once it has been written."
            raise JobError(ErrorCode.IMAGE_CORRUPT, message, stage=Stage.FETCH)
        return picture

    async def _process(self, prepared: PreparedJob, attempt: int) -> LabelText:
        record, job, header = prepared.record, prepared.job, prepared.header
        check_deadline(job, self._clock.epoch_ms())
        seconds = self._budget.seconds_for(header.total_pixels)
        try:
            async with self._budget.attempt(seconds), asyncio.timeout(self._seconds_to_deadline(job)):
                reading = await self._reader.process(
                    job.picture, header, timeout_seconds=seconds, request_id=job.job_id
                )
        except TimeoutError as error:
            check_deadline(job, self._clock.epoch_ms())
            message = f"The attempt took longer than {seconds:g} seconds; it is made again."
            raise JobError(ErrorCode.ATTEMPT_TIMED_OUT, message) from error
        if prepared.fetch_seconds is not None:
            reading = replace(reading, timing_seconds={Stage.FETCH: prepared.fetch_seconds, **reading.timing_seconds})
        return label_text(record, job, header, reading, self._reader.models_used, attempt)

    def _seconds_to_deadline(self, job: LabelJob) -> float | None:
        return None if job.deadline_ms is None else (job.deadline_ms - self._clock.epoch_ms()) / 1000


@contextmanager
def _foreseen() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a defect of ours must not stop the worker, and must not lose the record
        failure = judged(error)
        if failure is not error:
            raise failure from error
        if isinstance(error, JobError):
            raise
        message = f"The worker failed with {type(error).__name__} where nobody foresaw it; please report it."
        raise JobError(ErrorCode.INTERNAL, message) from error
