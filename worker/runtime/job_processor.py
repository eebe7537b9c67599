"""From a record to its text: all that happens to a job between receiving and publishing, in the worker or its child.

Invariant: only JobError and MemoryError are raised. A JobError says what becomes of the job, a MemoryError that this
process has no memory left.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
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
from worker.ports import UNTRACED, BlobStore, Clock, Tracer
from worker.runtime.budget import AttemptBudget
from worker.runtime.fetch_memory import FetchMemory
from worker.runtime.model_client import PictureReader, PictureRequest, RoutedReading
from worker.runtime.reading_cache import ReadingCache
from worker.runtime.resource_shortage import with_shortage_named
from worker.runtime.results import label_text


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """A job that passed the first checks, and its picture's header.

    A context manager: at its end the memory of a fetched picture is given back. `fetch_seconds` is None where
    the picture came with the job.
    """

    record: Record
    job: LabelJob
    header: ImageHeader
    fetch_seconds: float | None = None
    resources: ExitStack = field(default_factory=ExitStack, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.resources.close()

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
        reader: PictureReader,
        executor: Executor,
        clock: Clock,
        budget: AttemptBudget,
        blobs: BlobStore,
        memory: FetchMemory,
        readings: ReadingCache | None = None,
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._reader = reader
        self._executor = executor
        self._clock = clock
        self._budget = budget
        self._blobs = blobs
        self._memory = memory
        self._readings = readings
        self._tracer = tracer

    @property
    def models_used(self) -> Mapping[str, ModelUsed]:
        """The models that pictures are read with; empty before Triton was asked for them."""
        return self._reader.models_used

    @property
    def model_set(self) -> str:
        """The set of those models."""
        return self._reader.model_set

    async def read(self, record: Record, attempt: int) -> LabelText:
        """Read the job of a record. Raises JobError."""
        with await self.prepare(record) as prepared:
            return await self.process(prepared, attempt)

    async def prepare(self, record: Record, on_fetch: Callable[[], None] | None = None) -> PreparedJob:
        """Return the record's job with its picture, with the checks that need no decoding done. Raises JobError.

        `on_fetch` is called before the picture is fetched, unless it comes with the job.
        """
        with _only_job_errors(), self._tracer.stage(Stage.CONSUME):
            loop = asyncio.get_running_loop()
            prepared = await loop.run_in_executor(self._executor, self._prepare, record)
            if isinstance(prepared, PreparedJob):
                return prepared
            job, uri = prepared
            if on_fetch is not None:
                on_fetch()
            with ExitStack() as resources:
                begun = self._clock.monotonic()
                picture = await self._fetch(job, uri, resources)
                fetch_seconds = self._clock.monotonic() - begun
                job, header = await loop.run_in_executor(self._executor, self._with_header, job, picture)
                return PreparedJob(record, job, header, fetch_seconds, resources.pop_all())

    async def find(self, prepared: PreparedJob, attempt: int) -> LabelText | None:
        """Return the result of a prepared job whose picture was read before in the same way, None if it has to be read.

        Raises JobError.
        """
        with _only_job_errors():
            routing_key = _routing_key(prepared)
            source = self._reader.source(routing_key)
            if self._readings is None or source.identity is None:
                return None
            reading = await self._readings.find(_cache_key(source.identity, prepared.job))
            if reading is None or self._reader.source(routing_key) != source:  # other models are served meanwhile
                return None
            return self._result(prepared, RoutedReading(reading, source), attempt)

    async def process(self, prepared: PreparedJob, attempt: int) -> LabelText:
        """Read a prepared job. Raises JobError, DEADLINE_EXCEEDED or ATTEMPT_TIMED_OUT where it takes too long."""
        with _only_job_errors():
            return await self._process(prepared, attempt)

    def _prepare(self, record: Record) -> PreparedJob | tuple[LabelJob, PictureUri]:
        job = parse_job(record)
        check_deadline(job, self._clock.epoch_ms())
        if job.uri is not None:
            return job, job.uri
        return PreparedJob(record, job, self._reader.header(job.picture))

    def _with_header(self, job: LabelJob, picture: bytes) -> tuple[LabelJob, ImageHeader]:
        return job.with_picture(picture), self._reader.header(picture)

    async def _fetch(self, job: LabelJob, uri: PictureUri, resources: ExitStack) -> bytes:
        """Return the picture at a URI; `resources` gives its memory back."""
        lease = resources.enter_context(self._memory.lease())
        try:
            async with asyncio.timeout(self._seconds_to_deadline(job)), self._memory.fetch_slots:
                with self._tracer.stage(Stage.FETCH):
                    picture = await self._blobs.fetch(uri, lease.grow)
        except TimeoutError:  # a timeout of the store itself is a JobError
            check_deadline(job, max(self._clock.epoch_ms(), job.deadline_ms or 0))
            raise
        lease.shrink(len(picture))
        if not picture:
            message = f"The picture at {uri} is empty; send the job after the picture is written."
            raise JobError(ErrorCode.IMAGE_CORRUPT, message, stage=Stage.FETCH)
        return picture

    async def _process(self, prepared: PreparedJob, attempt: int) -> LabelText:
        job, header = prepared.job, prepared.header
        check_deadline(job, self._clock.epoch_ms())
        seconds, left_seconds = self._budget.seconds_for(header.total_pixels), self._seconds_to_deadline(job)
        request = PictureRequest(_routing_key(prepared), job.picture, header, seconds, job.job_id, left_seconds)
        try:
            async with self._budget.attempt(seconds), asyncio.timeout(left_seconds):
                read = await self._reader.read(request)
        except TimeoutError as error:
            check_deadline(job, self._clock.epoch_ms())
            message = f"The attempt took longer than {seconds:g} seconds; it is made again."
            raise JobError(ErrorCode.ATTEMPT_TIMED_OUT, message) from error
        # Before anything is waited for: the models are those that the picture was read with.
        result = self._result(prepared, read, attempt)
        if self._readings is not None and read.source.identity is not None:
            await self._readings.keep(_cache_key(read.source.identity, job), read.reading)
        return result

    def _result(self, prepared: PreparedJob, read: RoutedReading, attempt: int) -> LabelText:
        if prepared.fetch_seconds is not None:
            timing = {Stage.FETCH: prepared.fetch_seconds, **read.reading.timing_seconds}
            read = replace(read, reading=replace(read.reading, timing_seconds=timing))
        return label_text(prepared.record, prepared.job, prepared.header, read, attempt)

    def _seconds_to_deadline(self, job: LabelJob) -> float | None:
        return None if job.deadline_ms is None else (job.deadline_ms - self._clock.epoch_ms()) / 1000


def _routing_key(prepared: PreparedJob) -> bytes:
    """Return what decides which models read a job: its record's key, else its id."""
    key = prepared.record.key
    return prepared.job.job_id.encode("utf-8", "surrogatepass") if key is None else key


def _cache_key(identity: str, job: LabelJob) -> str:
    """Return the name of the job's picture, read in the way that `identity` names."""
    return f"{identity}:{job.picture_sha256}"


@contextmanager
def _only_job_errors() -> Iterator[None]:
    """Let every error leave as a JobError, but MemoryError as it is."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a defect must neither stop the worker nor lose the record
        failure = with_shortage_named(error)
        if failure is not error:
            raise failure from error
        if isinstance(error, JobError):
            raise
        message = f"The worker failed with an unexpected {type(error).__name__}; please report it."
        raise JobError(ErrorCode.INTERNAL, message) from error
