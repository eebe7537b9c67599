"""The way of one record to its one outcome.

Invariants: `deliver` returns only once the record's result or dead letter is acknowledged by the broker; only permanent
errors become dead letters; nothing but cancellation leaves `deliver` early.
"""

import asyncio
import itertools
import random
from concurrent.futures import Executor
from dataclasses import dataclass

from worker.domain import events
from worker.domain.dead_letter import Failure, dead_letter, raised_at
from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.headers import DerivedHeaders
from worker.domain.image import ImageHeader
from worker.domain.job import LabelJob, check_deadline, job_id_of, parse_job
from worker.domain.outcome import Completed, DeadLettered, Outcome
from worker.domain.records import OutgoingRecord, Record
from worker.domain.result import LabelText
from worker.domain.retry import Delay, RetryPolicy
from worker.ports import Clock, EventSink, RecordSink
from worker.runtime.admission import Admission, Lane
from worker.runtime.reader import ModelReader
from worker.runtime.results import label_text, result_record


@dataclass(slots=True)
class Destination:
    """Where records go, and what those topics take; limits are None until the broker has told."""

    results: str
    dead_letters: str
    cluster_id: str = ""
    max_result_bytes: int | None = None
    max_dead_letter_bytes: int | None = None


@dataclass(slots=True)
class JobInHand:
    """A record on its way.

    `working` is true while stopping it would throw work away; `large` says that its picture is of the large lane, once
    that is known.
    """

    record: Record
    working: bool = False
    large: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who works here, for dead letters."""

    group_id: str
    worker_version: str


@dataclass(frozen=True, slots=True)
class _Prepared:
    job: LabelJob
    header: ImageHeader


class Delivery:
    """Brings records to their outcomes."""

    def __init__(
        self,
        *,
        reader: ModelReader,
        sink: RecordSink,
        admission: Admission,
        executor: Executor,
        policy: RetryPolicy,
        destination: Destination,
        identity: Identity,
        attempt_seconds: float,
        clock: Clock,
        event_sink: EventSink,
    ) -> None:
        self._reader = reader
        self._sink = sink
        self._admission = admission
        self._executor = executor
        self._policy = policy
        self._destination = destination
        self._identity = identity
        self._attempt_seconds = attempt_seconds
        self._clock = clock
        self._events = event_sink

    async def deliver(self, job: JobInHand) -> Outcome:
        """Bring a record to its outcome, however often that takes."""
        record = job.record
        begun, first_failed_at_ms, attempt = self._clock.monotonic(), 0, DerivedHeaders.of(record).attempt
        outcome: Outcome | None = None
        while outcome is None:
            attempt += 1
            try:
                outcome = await self._attempt(job, attempt)
            except JobError as error:
                first_failed_at_ms = first_failed_at_ms or self._clock.epoch_ms()
                decision = self._policy.decide(error, attempt, random.random())  # noqa: S311 - jitter
                if isinstance(decision, Delay):
                    await self._wait(job, error, attempt, decision.seconds)
                else:
                    await self._give_up(job, error, attempt, first_failed_at_ms)
                    outcome = DeadLettered(error)
        self._finished(job, outcome, attempt, self._clock.monotonic() - begun)
        return outcome

    async def _attempt(self, job: JobInHand, attempt: int) -> Completed:
        try:
            prepared = await asyncio.get_running_loop().run_in_executor(self._executor, self._prepare, job.record)
            pixels = prepared.header.pixels
            job.large = self._admission.lane_of(pixels) is Lane.LARGE
            async with self._admission.place(pixels):
                job.working = True
                self._inflight_changed()
                result = await self._read(job.record, prepared, attempt)
            await self._publish(job, result)
        except JobError:
            raise
        except Exception as error:  # a defect of ours must not stop the worker, and must not lose the record
            message = f"The worker failed with {type(error).__name__} where nobody foresaw it; please report it."
            raise JobError(ErrorCode.INTERNAL, message) from error
        finally:
            self._inflight_changed()
        return Completed(result)

    def _prepare(self, record: Record) -> _Prepared:
        job = parse_job(record)
        check_deadline(job, self._clock.epoch_ms())
        return _Prepared(job, self._reader.header(job.picture))

    async def _read(self, record: Record, prepared: _Prepared, attempt: int) -> LabelText:
        job = prepared.job
        try:
            async with asyncio.timeout(self._attempt_seconds):
                reading = await self._reader.process(
                    job.picture,
                    prepared.header,
                    timeout_seconds=self._attempt_seconds,
                    request_id=job.job_id,
                )
        except TimeoutError as error:
            message = f"The attempt took longer than {self._attempt_seconds:g} seconds; it is made again."
            raise JobError(ErrorCode.ATTEMPT_TIMED_OUT, message) from error
        for stage, seconds in reading.timing_seconds.items():
            self._events.emit(events.StageFinished(stage, seconds))
        return label_text(record, job, prepared.header, reading, self._reader.models_used, attempt)

    async def _publish(self, job: JobInHand, result: LabelText) -> None:
        begun = self._clock.monotonic()
        outgoing = result_record(job.record, result, self._destination.results)
        limit = self._destination.max_result_bytes
        if limit is not None and outgoing.size_bytes > limit:
            raise JobError(
                ErrorCode.RESULT_TOO_LARGE,
                f"The result takes {outgoing.size_bytes} bytes, over the {limit} that topic"
                f" {self._destination.results} takes; raise its max.message.bytes.",
            )
        await self._send(job, outgoing)
        self._events.emit(events.StageFinished(Stage.PUBLISH, self._clock.monotonic() - begun))

    async def _give_up(self, job: JobInHand, error: JobError, attempt: int, first_failed_at_ms: int) -> None:
        """Write the dead letter, however long that takes: until it is written the offset does not move."""
        job.working = True
        failure = Failure(
            error=error,
            job_id=job_id_of(job.record),
            attempt=attempt,
            first_failed_at_ms=first_failed_at_ms,
            failed_at_ms=self._clock.epoch_ms(),
            cluster_id=self._destination.cluster_id,
            group_id=self._identity.group_id,
            worker_version=self._identity.worker_version,
            model_version=",".join(f"{name}:{model.version}" for name, model in self._reader.models_used.items()),
        )
        await self._write_dead_letter(job, failure)
        self._events.emit(
            events.JobDeadLettered(
                failure.job_id, job.record.coordinate, error.code, error.stage, error.message, raised_at(error)
            )
        )

    async def _write_dead_letter(self, job: JobInHand, failure: Failure) -> None:
        limit = self._destination.max_dead_letter_bytes
        for attempt in itertools.count(1):
            letter = dead_letter(job.record, failure, self._destination.dead_letters, limit)
            try:
                await self._send(job, letter)
            except JobError as refusal:
                if limit is not None and letter.size_bytes > limit:  # there is no smaller one
                    await self._wait(job, refusal, attempt, self._policy.max_seconds)
                # Over a limit that the topic did not tell: more of it is left where it stands.
                limit = letter.size_bytes - 1
            else:
                return

    async def _send(self, job: JobInHand, outgoing: OutgoingRecord) -> None:
        """Return once the record is acknowledged. Raises JobError only where the record itself is refused."""
        for attempt in itertools.count(1):
            try:
                await self._sink.send(outgoing)
            except JobError as error:
                decision = self._policy.decide(error, attempt, random.random())  # noqa: S311 - jitter
                if not isinstance(decision, Delay):
                    raise
                await self._wait(job, error, attempt, decision.seconds)
                job.working = True
            else:
                return

    async def _wait(self, job: JobInHand, error: JobError, attempt: int, seconds: float) -> None:
        job.working = False
        self._events.emit(
            events.JobRetried(job_id_of(job.record), job.record.coordinate, error.code, error.message, attempt, seconds)
        )
        await self._clock.sleep(seconds)

    def _finished(self, job: JobInHand, outcome: Outcome, attempt: int, duration_seconds: float) -> None:
        record = job.record
        result = outcome.result if isinstance(outcome, Completed) else None
        recognizer = self._reader.models_used.get("text_recognizer")
        age_ms = self._clock.epoch_ms() - record.timestamp_ms if record.timestamp_ms else None
        self._events.emit(
            events.JobFinished(
                job_id=result.job_id if result else job_id_of(record),
                coordinate=record.coordinate,
                outcome="completed" if result else "dead_lettered",
                error_code=outcome.error.code if isinstance(outcome, DeadLettered) else None,
                lane=Lane.LARGE if job.large else Lane.SMALL,
                duration_seconds=duration_seconds,
                age_seconds=None if age_ms is None else age_ms / 1000,
                confidences=tuple(line.confidence for page in result.pages for line in page.lines) if result else (),
                recognizer_version=recognizer.version if recognizer else "",
                attempt=attempt,
            )
        )

    def _inflight_changed(self) -> None:
        self._events.emit(events.InflightChanged(self._admission.jobs, self._admission.pixels))
