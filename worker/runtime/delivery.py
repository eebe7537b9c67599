"""The way of one record to its one outcome.

Invariants: `deliver` returns only once the record's result, retry or dead letter is acknowledged by the broker; no
systemic error becomes a dead letter or counts as an attempt; nothing but cancellation leaves `deliver` early; no record
is called too large for its topic by a limit that was read before the refusal.
"""

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from worker.domain import events
from worker.domain.dead_letter import Failure, dead_letter, raised_at, release_memory
from worker.domain.errors import Disposition, ErrorCode, JobError, Stage
from worker.domain.headers import DerivedHeaders
from worker.domain.job import job_id_of, job_id_within
from worker.domain.outcome import Completed, DeadLettered, Outcome, Retried
from worker.domain.records import Coordinate, OutgoingRecord, Record
from worker.domain.result import LabelText
from worker.domain.retry import Decision, Delay, GiveUp, RetryLater, RetryPolicy, retry_record
from worker.ports import Clock, EventSink, Isolation
from worker.runtime.admission import CURRENT_LANE, Admission, Lane
from worker.runtime.dead_letter_limit import DeadLetterLimit
from worker.runtime.failure_correlation import FailureCorrelation
from worker.runtime.job import JobInHand
from worker.runtime.job_processor import JobProcessor
from worker.runtime.outbox import Outbox
from worker.runtime.outcome_watch import OutcomeWatch, OutcomeWrite
from worker.runtime.results import result_record


@dataclass(slots=True)
class Destination:
    """Where records go, and what those topics take; limits are None until the broker has told."""

    results: str
    dead_letters: str
    retries: tuple[str, ...] = ()
    cluster_id: str = ""
    max_result_bytes: int | None = None
    max_dead_letter_bytes: int | None = None

    def limit_of(self, topic: str) -> int | None:
        """Return the bytes that a record for a topic may take, as last seen; None where that is not known."""
        return {self.results: self.max_result_bytes, self.dead_letters: self.max_dead_letter_bytes}.get(topic)


class TopicLook(Protocol):
    """A look at the topics, which may have changed since the last one."""

    async def look_anew(self) -> str:
        """Look at the topics from now on, and bring the destination's limits up to date.

        Return in a sentence why the topics do not fit; empty if they do.
        """


@dataclass(frozen=True, slots=True)
class Identity:
    """Who works here, for dead letters."""

    group_id: str
    worker_version: str


@dataclass(frozen=True, slots=True)
class Brakes:
    """What stops the intake where outcomes do not leave as they should."""

    dead_letter_limit: DeadLetterLimit
    outcome_watch: OutcomeWatch
    topics: TopicLook


# A record that is refused for its size though it fits its topic's limit: another of its batch was too large, or the
# broker that told the limit has not heard of a change. Where that lasts, something else has a limit of its own.
_MAX_SIZE_REFUSALS: Final = 6

_OUTCOME_NAMES: Final[Mapping[type[Outcome], str]] = {
    Completed: "completed",
    Retried: "retried",
    DeadLettered: "dead_lettered",
}


class Delivery:
    """Brings records to their outcomes."""

    def __init__(
        self,
        *,
        reading: JobProcessor,
        isolation: Isolation,
        outbox: Outbox,
        admission: Admission,
        policy: RetryPolicy,
        brakes: Brakes,
        destination: Destination,
        identity: Identity,
        clock: Clock,
        event_sink: EventSink,
    ) -> None:
        self._reading = reading
        self._isolation = isolation
        self._outbox = outbox
        self._admission = admission
        self._policy = policy
        self._dead_letter_limit = brakes.dead_letter_limit
        self._outcome_watch = brakes.outcome_watch
        self._topics = brakes.topics
        self._destination = destination
        self._identity = identity
        self._clock = clock
        self._events = event_sink
        self._evidence = FailureCorrelation()

    async def deliver(self, job: JobInHand) -> Outcome:
        """Bring a record to its outcome, however often that takes."""
        begun, history = self._clock.monotonic(), _History.of(job.record)
        outcome: Outcome | None = None
        while outcome is None:
            try:
                outcome = await self._attempt(job, history.attempt)
            except JobError as error:
                history.note(error, self._clock.epoch_ms())
                outcome = await self._after(job, error, history)
        self._finished(job, outcome, history.attempt, self._clock.monotonic() - begun)
        return outcome

    async def _attempt(self, job: JobInHand, attempt: int) -> Completed:
        try:
            result = await self._read_apart(job, attempt) if job.suspect else await self._read_here(job, attempt)
            await self._publish(job, result)
        except MemoryError as error:
            # Either the picture is to blame or what else is in hand; apart it harms nobody.
            job.suspect = True
            message = "This process has no memory left for the picture; it is read in a process of its own."
            raise JobError(ErrorCode.MEMORY_EXHAUSTED, message) from error
        finally:
            self._inflight_changed()
        self._evidence.succeeded(self._clock.epoch_ms())
        return Completed(result)

    async def _read_apart(self, job: JobInHand, attempt: int) -> LabelText:
        """Read a record that may end the process that reads it; not even its header is looked at here."""
        job.working = True
        return await self._isolation.read(job.record, attempt)

    async def _read_here(self, job: JobInHand, attempt: int) -> LabelText:
        with await self._reading.prepare(job.record) as prepared, job.holding(prepared.fetched_bytes):
            lane = self._admission.lane_of(prepared.pixels)
            CURRENT_LANE.set(lane)
            job.of_lane(lane)
            async with self._admission.admitted(prepared.pixels):
                job.working = True
                self._inflight_changed()
                result = await self._reading.process(prepared, attempt)
        for stage, milliseconds in result.timing_ms.items():
            self._events.emit(events.StageFinished(Stage(stage), milliseconds / 1000))
        return result

    async def _publish(self, job: JobInHand, result: LabelText) -> None:
        begun = self._clock.monotonic()
        await self._send(job, result_record(job.record, result, self._destination.results))
        self._events.emit(events.StageFinished(Stage.PUBLISH, self._clock.monotonic() - begun))

    # What follows a failure.

    async def _after(self, job: JobInHand, error: JobError, history: "_History") -> Outcome | None:
        """Do what a failure asks for; None where the job is to be tried again here."""
        decision = self._decide(error, history)
        if isinstance(decision, GiveUp):
            return await self._give_up(job, error, history)
        if isinstance(decision, RetryLater):
            try:
                return await self._retry_later(job, error, history, decision)
            except JobError:  # the retry topic does not take a record of this size: it waits here
                decision = Delay(decision.seconds)
        attempt = history.attempt
        history.begin_again(error, self._clock.epoch_ms())
        await self._wait(job, error, attempt, decision.seconds)
        return None

    def _decide(self, error: JobError, history: "_History") -> Decision:
        others_fail = self._evidence.others_fail(history.origin, history.failed_before_at_ms)
        if error.disposition is Disposition.RETRY:
            self._evidence.failed(history.origin, self._clock.epoch_ms())
        return self._policy.decide(error, history.count(error), _draw(), others_fail=others_fail)

    async def _retry_later(self, job: JobInHand, error: JobError, history: "_History", decision: RetryLater) -> Outcome:
        job.working = True
        topic, job_id = self._destination.retries[decision.level - 1], job_id_within(job.record)
        again = retry_record(
            job.record,
            topic,
            job_id=job_id,
            attempt=history.attempt,
            due_at_ms=self._clock.epoch_ms() + round(decision.seconds * 1000),
            first_failed_at_ms=history.first_failed_at_ms,
        )
        await self._send(job, again)
        self._events.emit(
            events.JobRetried(
                job_id, job.record.coordinate, error.code, error.message, history.attempt, decision.seconds, topic
            )
        )
        return Retried(error)

    async def _give_up(self, job: JobInHand, error: JobError, history: "_History") -> Outcome:
        """Write the dead letter, however long that takes: until it is written the offset does not move.

        Where too many wait for theirs the job goes round by the slowest retry topic.
        """
        job.working = False
        release_memory(error)
        way = self._policy.round_trip(_draw())
        # Whoever met a record of a retry topic would read it among other jobs: no poison goes there.
        may_go_round = way is not None and error.code is not ErrorCode.POISON
        if not await self._dead_letter_limit.admit(job, may_go_round=may_go_round) and way is not None:
            try:
                outcome = await self._retry_later(job, error, history, way)
            except JobError:  # the retry topic does not take a record of this size
                job.working = False
                await self._dead_letter_limit.admit(job)
            else:
                self._dead_letter_limit.gone_round()
                return outcome
        job.working = True
        failure = Failure(
            error=error,
            job_id=job_id_within(job.record),
            attempt=history.attempt,
            first_failed_at_ms=history.first_failed_at_ms,
            failed_at_ms=self._clock.epoch_ms(),
            cluster_id=self._destination.cluster_id,
            group_id=self._identity.group_id,
            worker_version=self._identity.worker_version,
            model_version=",".join(f"{name}:{model.version}" for name, model in self._reading.models_used.items()),
        )
        await self._write_dead_letter(job, failure)
        self._events.emit(
            events.JobDeadLettered(
                failure.job_id, job.record.coordinate, error.code, error.stage, error.message, raised_at(error)
            )
        )
        return DeadLettered(error)

    async def _write_dead_letter(self, job: JobInHand, failure: Failure) -> None:
        limit: int | None = None
        for attempt in itertools.count(1):
            letter = dead_letter(job.record, failure, self._destination.dead_letters, limit)
            try:
                await self._send(job, letter)
            except JobError as refusal:
                if limit is not None and letter.size_bytes > limit:  # there is no smaller one
                    await self._wait(job, refusal, attempt, self._policy.max_seconds)
                # More of it is left where it stands, also where the topic did not tell its limit.
                known = self._destination.max_dead_letter_bytes
                limit = letter.size_bytes - 1 if known is None else min(known, letter.size_bytes - 1)
            else:
                return

    async def _send(self, job: JobInHand, outgoing: OutgoingRecord) -> None:
        """Return once the record is acknowledged. Raises JobError RESULT_TOO_LARGE, by the limits of now."""
        with self._outcome_watch.writing(outgoing.topic) as writing:
            for failures in itertools.count(1):
                try:
                    await self._put(job, outgoing, writing)
                except JobError as error:
                    if error.disposition is Disposition.PERMANENT:
                        raise
                    self._outcome_watch.refused(writing, error)
                    await self._wait(job, error, failures, self._policy.back_off(failures, _draw()).seconds)
                    job.working = True
                else:
                    return

    async def _put(self, job: JobInHand, outgoing: OutgoingRecord, writing: OutcomeWrite) -> None:
        """Write a record. Raises JobError RESULT_TOO_LARGE as `_send` does, and BROKER_UNAVAILABLE else."""
        limit = self._destination.limit_of(outgoing.topic)
        if limit is not None and outgoing.size_bytes > limit:
            await self._judge_size(outgoing)
        try:
            await self._outbox.put(job, outgoing)
        except JobError as refusal:
            if refusal.code is not ErrorCode.RESULT_TOO_LARGE:
                raise
            limit = await self._judge_size(outgoing)
            writing.size_refusals += 1
            if limit is None or writing.size_refusals >= _MAX_SIZE_REFUSALS:
                raise
            message = (
                f"Topic {outgoing.topic} refused a record of {outgoing.size_bytes} bytes for its size and takes {limit}"
                " now; the record is sent again."
            )
            raise JobError(ErrorCode.BROKER_UNAVAILABLE, message) from refusal

    async def _judge_size(self, outgoing: OutgoingRecord) -> int | None:
        """Return the limit that a topic has now, None where it does not tell.

        Raises JobError BROKER_UNAVAILABLE where the topics do not fit, and RESULT_TOO_LARGE for a record that is over.
        """
        obstacle = await self._topics.look_anew()
        # A job that its retry topic does not take waits in place, which is no worse than waiting for the topic.
        if obstacle and outgoing.topic not in self._destination.retries:
            raise JobError(ErrorCode.BROKER_UNAVAILABLE, obstacle)
        limit = self._destination.limit_of(outgoing.topic)
        if limit is not None and outgoing.size_bytes > limit:
            message = (
                f"The record takes {outgoing.size_bytes} bytes, over the {limit} that topic {outgoing.topic} takes;"
                " raise its max.message.bytes."
            )
            raise JobError(ErrorCode.RESULT_TOO_LARGE, message)
        return limit

    async def _wait(self, job: JobInHand, error: JobError, attempt: int, seconds: float) -> None:
        job.working = False
        self._events.emit(
            events.JobRetried(job_id_of(job.record), job.record.coordinate, error.code, error.message, attempt, seconds)
        )
        await self._clock.sleep(seconds)

    def _finished(self, job: JobInHand, outcome: Outcome, attempt: int, duration_seconds: float) -> None:
        record = job.record
        result = outcome.result if isinstance(outcome, Completed) else None
        recognizer = self._reading.models_used.get("text_recognizer")
        age_ms = self._clock.epoch_ms() - record.timestamp_ms if record.timestamp_ms else None
        self._events.emit(
            events.JobFinished(
                job_id=result.job_id if result else job_id_of(record),
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
        self._events.emit(events.InflightChanged(self._admission.jobs, self._admission.pixels))


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
