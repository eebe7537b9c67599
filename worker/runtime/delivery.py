"""Brings one record to its one outcome.

Invariants: `deliver` returns only once the record's result, retry or dead letter is acknowledged by the broker, unless
it is canceled. No systemic error becomes a dead letter or counts as an attempt. Before a record is called too large,
its topic's limit is read again.
"""

import itertools
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final, Protocol

from worker.domain import events
from worker.domain.dead_letter import Failure, dead_letter, raised_at, release_memory
from worker.domain.errors import Disposition, ErrorCode, JobError, Stage
from worker.domain.headers import (
    ATTEMPT_TRACE_PARENT,
    DEAD_LETTER_TRACE_PARENT,
    TRACE_PARENT,
    DerivedHeaders,
    with_trace_parent,
)
from worker.domain.job import job_id_in_headers, job_id_in_value
from worker.domain.outcome import Completed, DeadLettered, Outcome, Retried
from worker.domain.records import Coordinate, OutgoingRecord, Record
from worker.domain.redaction import Redaction
from worker.domain.result import LabelText
from worker.domain.retry import Decision, GiveUp, RetryInPlace, RetryOnTopic, RetryPolicy, retry_record
from worker.ports import UNTRACED, Clock, EventSink, Isolation, Tracer
from worker.runtime.admission import CURRENT_LANE, Admission, Lane
from worker.runtime.dead_letter_limit import DeadLetterLimit
from worker.runtime.failure_correlation import FailureCorrelation
from worker.runtime.job import InflightJob
from worker.runtime.job_processor import JobProcessor
from worker.runtime.outbox import Outbox
from worker.runtime.outcome_health import OutcomeHealth, PendingOutcome
from worker.runtime.results import result_record

_NOTHING_REDACTED = Redaction()


@dataclass(slots=True)
class Destination:
    """The topics that records are written to, and what is left out of these records.

    A size limit is None until the broker has named it.
    """

    results: str
    dead_letters: str
    retries: tuple[str, ...] = ()
    cluster_id: str = ""
    max_result_bytes: int | None = None
    max_dead_letter_bytes: int | None = None
    redaction: Redaction = _NOTHING_REDACTED
    copies_payload: bool = True

    def limit_of(self, topic: str) -> int | None:
        """Return the bytes that a record for a topic may take, as last seen; None where that is not known."""
        return {self.results: self.max_result_bytes, self.dead_letters: self.max_dead_letter_bytes}.get(topic)


class TopicCheck(Protocol):
    """Checks the topics again: they may have changed since the last check."""

    async def recheck(self) -> str:
        """Check the topics now, and update the destination's limits.

        Return in a sentence why the topics do not fit; empty if they do.
        """


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """What a dead letter says of the worker that wrote it."""

    group_id: str
    worker_version: str


@dataclass(frozen=True, slots=True)
class IntakeControls:
    """What stops the intake when outcomes cannot be written."""

    dead_letter_limit: DeadLetterLimit
    outcome_health: OutcomeHealth
    topics: TopicCheck


@dataclass(frozen=True, slots=True)
class Observers:
    """Who learns what happens to jobs."""

    events: EventSink
    tracer: Tracer = UNTRACED


# How often a record within its topic's limit may be refused for its size: another record of its batch was too large, or
# the broker that named the limit does not know of a change yet. If that lasts, something else has a lower limit.
_MAX_SIZE_REFUSALS: Final = 6

_OUTCOME_NAMES: Final[Mapping[type[Outcome], events.JobOutcome]] = {
    Completed: events.JobOutcome.COMPLETED,
    Retried: events.JobOutcome.RETRIED,
    DeadLettered: events.JobOutcome.DEAD_LETTERED,
}


class Delivery:
    """Brings records to their outcomes."""

    def __init__(
        self,
        *,
        processor: JobProcessor,
        isolation: Isolation,
        outbox: Outbox,
        admission: Admission,
        policy: RetryPolicy,
        intake_controls: IntakeControls,
        destination: Destination,
        identity: WorkerIdentity,
        clock: Clock,
        observers: Observers,
    ) -> None:
        self._processor = processor
        self._isolation = isolation
        self._outbox = outbox
        self._admission = admission
        self._policy = policy
        self._dead_letter_limit = intake_controls.dead_letter_limit
        self._outcome_health = intake_controls.outcome_health
        self._topics = intake_controls.topics
        self._destination = destination
        self._identity = identity
        self._clock = clock
        self._events = observers.events
        self._tracer = observers.tracer
        self._correlation = FailureCorrelation()

    async def deliver(self, job: InflightJob) -> Outcome:
        """Bring a record to its outcome, in as many attempts as that takes."""
        with self._tracer.process(job.record):
            return await self._deliver(job)

    async def _deliver(self, job: InflightJob) -> Outcome:
        begun, history = self._clock.monotonic(), _History.of(job.record)
        outcome: Outcome | None = None
        while outcome is None:
            try:
                outcome = await self._attempt(job, history.attempt)
            except JobError as error:
                history.note(error, self._clock.epoch_ms())
                outcome = await self._handle_failure(job, error, history)
        self._emit_finished(job, outcome, history.attempt, self._clock.monotonic() - begun)
        return outcome

    async def _attempt(self, job: InflightJob, attempt: int) -> Completed:
        try:
            result = (
                await self._read_isolated(job, attempt) if job.suspect else await self._read_in_process(job, attempt)
            )
            begun = self._clock.monotonic()
            published = self._destination.redaction.of(result)
            await self._send(job, result_record(job.record, published, self._destination.results), TRACE_PARENT)
            self._events.emit(events.StageFinished(Stage.PUBLISH, self._clock.monotonic() - begun))
        except MemoryError as error:
            # The picture is too large, or the other jobs are. In a child process it harms none of them.
            job.suspect = True
            message = "The worker has no memory left for the picture; it is read again in a child process."
            raise JobError(ErrorCode.MEMORY_EXHAUSTED, message) from error
        finally:
            job.mark_begun()  # where it failed before
            self._inflight_changed()
        self._correlation.succeeded(self._clock.epoch_ms())
        return Completed(result)

    async def _read_isolated(self, job: InflightJob, attempt: int) -> LabelText:
        """Read a record that may crash its process in a child process; not even the picture's header is read here."""
        job.working = True
        job.mark_begun()
        return await self._isolation.read(job.record, attempt, self._processor.model_set)

    async def _read_in_process(self, job: InflightJob, attempt: int) -> LabelText:
        preparing = self._processor.prepare(job.record, on_fetch=job.mark_begun)
        with await preparing as prepared, job.with_fetched(prepared.fetched_bytes):
            lane = self._admission.lane_of(prepared.pixels)
            CURRENT_LANE.set(lane)
            job.set_lane(lane)
            result = await self._processor.find(prepared, attempt)
            if result is not None:  # nothing is decoded, so it takes no pixels
                job.working = True
                job.mark_begun()
            else:
                waited = None if job.large else not self._admission.would_admit(prepared.pixels)
                async with AsyncExitStack() as admitted:
                    with self._tracer.stage(Stage.ADMIT):
                        await admitted.enter_async_context(self._admission.admitted(prepared.pixels))
                    job.working = True
                    job.mark_begun(waited=waited)
                    self._inflight_changed()
                    result = await self._processor.process(prepared, attempt)
        for stage, milliseconds in result.timing_ms.items():
            self._events.emit(events.StageFinished(Stage(stage), milliseconds / 1000))
        return result

    # After a failure.

    async def _handle_failure(self, job: InflightJob, error: JobError, history: "_History") -> Outcome | None:
        """Retry the job later or write its dead letter; None if the job is to be tried again at once."""
        decision = self._decide(error, history)
        if isinstance(decision, GiveUp):
            return await self._give_up(job, error, history)
        if isinstance(decision, RetryOnTopic):
            try:
                return await self._retry_later(job, error, history, decision)
            except JobError:  # the retry topic does not take a record of this size: it waits here
                decision = RetryInPlace(decision.seconds)
        attempt = history.attempt
        history.begin_again(error, self._clock.epoch_ms())
        await self._wait(job, error, attempt, decision.seconds)
        return None

    def _decide(self, error: JobError, history: "_History") -> Decision:
        others_fail = self._correlation.others_fail(history.origin, history.failed_before_at_ms)
        if error.disposition is Disposition.RETRY:
            self._correlation.failed(history.origin, self._clock.epoch_ms())
        return self._policy.decide(error, history.count(error), _draw(), others_fail=others_fail)

    async def _retry_later(
        self, job: InflightJob, error: JobError, history: "_History", decision: RetryOnTopic
    ) -> Outcome:
        job.working = True
        topic, job_id = self._destination.retries[decision.level - 1], job_id_in_value(job.record)
        again = retry_record(
            job.record,
            topic,
            job_id=job_id,
            attempt=history.attempt,
            due_at_ms=self._clock.epoch_ms() + round(decision.seconds * 1000),
            first_failed_at_ms=history.first_failed_at_ms,
        )
        await self._send(job, again, ATTEMPT_TRACE_PARENT)
        self._events.emit(
            events.JobRetried(
                job_id, job.record.coordinate, error.code, error.message, history.attempt, decision.seconds, topic
            )
        )
        return Retried(error)

    async def _give_up(self, job: InflightJob, error: JobError, history: "_History") -> Outcome:
        """Write the dead letter, however long that takes: until it is written the offset does not move.

        Where too many jobs wait for theirs, the job is postponed to the slowest retry topic.
        """
        job.working = False
        release_memory(error)
        retry = self._policy.slowest_retry(_draw())
        # Records of a retry topic are read beside other jobs, so one that crashes its process never goes there.
        may_postpone = retry is not None and error.code is not ErrorCode.POISON
        if not await self._dead_letter_limit.admit(job, may_postpone=may_postpone) and retry is not None:
            try:
                outcome = await self._retry_later(job, error, history, retry)
            except JobError:  # the retry topic does not take a record of this size
                job.working = False
                await self._dead_letter_limit.admit(job)
            else:
                self._dead_letter_limit.postponed()
                return outcome
        job.working = True
        failure = Failure(
            error=error,
            job_id=job_id_in_value(job.record),
            attempt=history.attempt,
            first_failed_at_ms=history.first_failed_at_ms,
            failed_at_ms=self._clock.epoch_ms(),
            cluster_id=self._destination.cluster_id,
            group_id=self._identity.group_id,
            worker_version=self._identity.worker_version,
            model_version=",".join(f"{name}:{model.version}" for name, model in self._processor.models_used.items()),
        )
        await self._write_dead_letter(job, failure)
        self._events.emit(
            events.JobDeadLettered(
                failure.job_id, job.record.coordinate, error.code, error.stage, error.message, raised_at(error)
            )
        )
        return DeadLettered(error)

    async def _write_dead_letter(self, job: InflightJob, failure: Failure) -> None:
        limit: int | None = None
        for attempt in itertools.count(1):
            letter = dead_letter(
                *(job.record, failure, self._destination.dead_letters, limit),
                copies_payload=self._destination.copies_payload,
            )
            try:
                await self._send(job, letter, DEAD_LETTER_TRACE_PARENT)
            except JobError as refusal:
                if limit is not None and letter.size_bytes > limit:  # there is no smaller one
                    await self._wait(job, refusal, attempt, self._policy.max_seconds)
                # Leave more of the record out, also where the topic's limit is not known.
                known = self._destination.max_dead_letter_bytes
                limit = letter.size_bytes - 1 if known is None else min(known, letter.size_bytes - 1)
            else:
                return

    async def _send(self, job: InflightJob, outgoing: OutgoingRecord, trace_header: str) -> None:
        """Return once the record is acknowledged; in a traced job its header `trace_header` names what sent it.

        Raises JobError RESULT_TOO_LARGE by the topic's present limit.
        """
        topic = outgoing.topic
        with self._tracer.send(topic) as trace_parent, self._outcome_health.writing(topic) as writing:
            if trace_parent:
                headers = with_trace_parent(outgoing.headers, trace_header, trace_parent)
                outgoing = replace(outgoing, headers=headers)
            for failures in itertools.count(1):
                try:
                    await self._put(job, outgoing, writing)
                except JobError as error:
                    if error.disposition is Disposition.PERMANENT:
                        raise
                    self._outcome_health.refused(writing, error)
                    await self._wait(job, error, failures, self._policy.back_off(failures, _draw()).seconds)
                    job.working = True
                else:
                    return

    async def _put(self, job: InflightJob, outgoing: OutgoingRecord, writing: PendingOutcome) -> None:
        """Write a record. Raises JobError RESULT_TOO_LARGE as `_send` does, and BROKER_UNAVAILABLE else."""
        limit = self._destination.limit_of(outgoing.topic)
        if limit is not None and outgoing.size_bytes > limit:
            await self._check_size(outgoing)
        try:
            await self._outbox.put(job, outgoing)
        except JobError as refusal:
            if refusal.code is not ErrorCode.RESULT_TOO_LARGE:
                raise
            limit = await self._check_size(outgoing)
            writing.size_refusals += 1
            if limit is None or writing.size_refusals >= _MAX_SIZE_REFUSALS:
                raise
            message = (
                f"Topic {outgoing.topic} refused a record of {outgoing.size_bytes} bytes as too large, though it takes"
                f" {limit} bytes now; the record is sent again."
            )
            raise JobError(ErrorCode.BROKER_UNAVAILABLE, message) from refusal

    async def _check_size(self, outgoing: OutgoingRecord) -> int | None:
        """Return the size limit that a topic has now, None where it is not known.

        Raises JobError BROKER_UNAVAILABLE where the topics do not fit, and RESULT_TOO_LARGE for a record that is over.
        """
        obstacle = await self._topics.recheck()
        # A job that its retry topic does not take is retried in place, which is no worse than waiting for the topic.
        if obstacle and outgoing.topic not in self._destination.retries:
            raise JobError(ErrorCode.BROKER_UNAVAILABLE, obstacle)
        limit = self._destination.limit_of(outgoing.topic)
        if limit is not None and outgoing.size_bytes > limit:
            message = (
                f"The record has {outgoing.size_bytes} bytes, over the limit of {limit} of topic {outgoing.topic};"
                " raise its max.message.bytes."
            )
            raise JobError(ErrorCode.RESULT_TOO_LARGE, message)
        return limit

    async def _wait(self, job: InflightJob, error: JobError, attempt: int, seconds: float) -> None:
        job.working = False
        self._events.emit(
            events.JobRetried(
                job_id_in_headers(job.record), job.record.coordinate, error.code, error.message, attempt, seconds
            )
        )
        await self._clock.sleep(seconds)

    def _emit_finished(self, job: InflightJob, outcome: Outcome, attempt: int, duration_seconds: float) -> None:
        record = job.record
        result = outcome.result if isinstance(outcome, Completed) else None
        models = result.models if result else self._processor.models_used
        recognizer = models.get("text_recognizer")
        age_ms = self._clock.epoch_ms() - record.timestamp_ms if record.timestamp_ms else None
        self._events.emit(
            events.JobFinished(
                job_id=result.job_id if result else job_id_in_headers(record),
                coordinate=record.coordinate,
                outcome=_OUTCOME_NAMES[type(outcome)],
                error_code=None if isinstance(outcome, Completed) else outcome.error.code,
                lane=Lane.LARGE if job.large else Lane.SMALL,
                duration_seconds=duration_seconds,
                age_seconds=None if age_ms is None else age_ms / 1000,
                confidences=tuple(line.confidence for page in result.pages for line in page.lines) if result else (),
                recognizer_version=recognizer.version if recognizer else "",
                attempt=attempt,
            )
        )

    def _inflight_changed(self) -> None:
        admission = self._admission
        self._events.emit(events.InflightChanged(admission.jobs, admission.pixels, admission.wanted_jobs))


@dataclass(slots=True)
class _History:
    """How a record has failed so far.

    `attempts_made` counts those before this one; systemic failures are none. `failed_before_at_ms` is when the
    attempt before this one failed; a retry was written then.
    """

    origin: Coordinate
    attempts_made: int
    failed_before_at_ms: int
    systemic_failures: int = 0
    first_failed_at_ms: int = 0

    @classmethod
    def of(cls, record: Record) -> "_History":
        """Return what a record says."""
        derived = DerivedHeaders.of(record)
        return cls(
            derived.origin,
            derived.attempt,
            record.timestamp_ms,
            first_failed_at_ms=derived.first_failed_at_ms or 0,
        )

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self.attempts_made + 1

    def note(self, error: JobError, now_ms: int) -> None:
        """Note a failure."""
        self.first_failed_at_ms = self.first_failed_at_ms or now_ms
        self.systemic_failures += error.disposition is Disposition.SYSTEMIC

    def count(self, error: JobError) -> int:
        """Return how often such an error has been met."""
        return self.systemic_failures if error.disposition is Disposition.SYSTEMIC else self.attempt

    def begin_again(self, error: JobError, now_ms: int) -> None:
        """Count the attempt that ended with this error, if it is one."""
        if error.disposition is not Disposition.SYSTEMIC:
            self.attempts_made += 1
            self.failed_before_at_ms = now_ms


def _draw() -> float:
    return random.random()  # noqa: S311 - jitter is no secret
