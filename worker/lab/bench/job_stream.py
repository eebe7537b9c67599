"""Jobs written at their times, and when each of them was answered by the broker's own clock.

One producer lasts for all runs: a new one takes half a second to its first record. The topics stamp records when the
broker appends them, so a job's time in the queue begins when it can be read, and ends when its result can.
Invariant: every job of a run is answered once, or `run` raises.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final, Self

from worker.adapters.kafka.admin import create_topics
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.adapters.kafka.offline.topic_writer import TopicWriter
from worker.domain.headers import JOB_ID, DerivedHeaders
from worker.domain.records import OutgoingRecord, Record
from worker.lab.evaluation.answers import of_dead_letter
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.systems import Job, Topics

_POLL_SECONDS: Final = 0.1
_STALL_SECONDS: Final = 180.0
# Due times are the writer's business, so nothing else may hold a record back.
_PRODUCER_OPTIONS: Final = {"linger.ms": "0"}
_BROKER_TIME: Final = {"message.timestamp.type": "LogAppendTime"}


@dataclass(frozen=True, slots=True)
class TimedJob:
    """A job, and when it is to be written, in seconds from the begin of its run."""

    job: Job
    due_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AnsweredJob:
    """One job's way, all times in epoch milliseconds.

    It was to be written at `due_ms`; the broker had it at `queued_ms` and its result at `answered_ms`. `stage_ms` is
    how long it was in each stage, where that was asked for.
    """

    job_id: str
    due_ms: float
    queued_ms: int
    answered_ms: int
    stage_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def queue_to_result_ms(self) -> int:
        """From when the job could be read to when its result could."""
        return self.answered_ms - self.queued_ms

    @property
    def due_to_result_ms(self) -> float:
        """From when the job was to be written, so that a writer who falls behind hides nothing."""
        return self.answered_ms - self.due_ms


class JobStream:
    """Writes jobs to a worker's topics and reads its results; a context manager.

    The topics are created with it, so it has to be made before the worker starts.
    """

    def __init__(self, bootstrap_servers: str, topics: Topics) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._leaving = threading.Event()
        self._held = ExitStack()

    def __enter__(self) -> Self:
        stamped = {self._topics.jobs, self._topics.results}
        specs = [
            replace(spec, configs={**spec.configs, **_BROKER_TIME}) if spec.name in stamped else spec
            for spec in self._topics.specs()
        ]
        create_topics(self._bootstrap_servers, specs)
        watched = [topic for topic in (self._topics.results, self._topics.dead_letters) if topic]
        with ExitStack() as opened:
            self._reader = opened.enter_context(TopicReader(self._bootstrap_servers, watched))
            self._writer = opened.enter_context(TopicWriter(self._bootstrap_servers, _PRODUCER_OPTIONS))
            self._thread = opened.enter_context(ThreadPoolExecutor(1, "job-stream"))
            self._held = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()  # what is not due yet is not written any more
        self._held.close()

    def run(
        self, jobs: Sequence[TimedJob], on_answer: Callable[[], None], *, with_stages: bool = False
    ) -> list[AnsweredJob]:
        """Write each job at its time, and return all in the order in which they were answered.

        Raises MeasurementError if a job is refused, or if nothing is answered for three minutes.
        """
        batch = _WrittenJobs(jobs, self._topics.jobs, self._leaving)
        writing = self._thread.submit(self._writer.write, batch.in_time())
        missing, answered = {one.job.job_id for one in jobs}, []
        heard = time.monotonic()
        while missing:
            record = self._reader.poll(_POLL_SECONDS)
            job_id = record.header(JOB_ID) if record else None
            if record is not None and job_id in missing:
                missing.remove(job_id)
                answered.append(self._answered(record, job_id, batch, with_stages=with_stages))
                heard = time.monotonic()
                on_answer()
            elif writing.done() and writing.exception():
                writing.result()
            elif time.monotonic() - heard > _STALL_SECONDS:
                raise MeasurementError(
                    f"{len(missing)} of {len(jobs)} jobs were not answered in {_STALL_SECONDS:.0f} s; see the worker's"
                    " log."
                )
        return answered

    def _answered(self, record: Record, job_id: str, batch: "_WrittenJobs", *, with_stages: bool) -> AnsweredJob:
        if record.coordinate.topic == self._topics.dead_letters:
            refusal = of_dead_letter(record)
            raise MeasurementError(f"The worker refused {job_id} as {refusal.code}: {refusal.message}")
        return AnsweredJob(
            job_id=job_id,
            due_ms=batch.due_ms[job_id],
            queued_ms=DerivedHeaders.of(record).origin_timestamp_ms,
            answered_ms=record.timestamp_ms,
            stage_ms=json.loads(record.value or b"")["timing_ms"] if with_stages else {},
        )


class _WrittenJobs:
    """The jobs of one run; `due_ms` holds those that were written so far."""

    def __init__(self, jobs: Iterable[TimedJob], topic: str, leaving: threading.Event) -> None:
        self._jobs = jobs
        self._topic = topic
        self._leaving = leaving
        self.due_ms: dict[str, float] = {}

    def in_time(self) -> Iterator[OutgoingRecord]:
        """Yield each job's record when it is due, until nobody waits for them any more."""
        begun, begun_ms = time.monotonic(), time.time() * 1000
        for one in self._jobs:
            if self._leaving.wait(max(0.0, begun + one.due_seconds - time.monotonic())):
                return
            self.due_ms[one.job.job_id] = begun_ms + one.due_seconds * 1000
            yield one.job.record(self._topic)
