"""Systems under measurement: processes that take jobs from one topic and answer on another.

Every system is measured from outside in the same way: its jobs are written, its answers are read off its topics. While
the clock runs, answers are only received; they are parsed when it has stopped, so that the measuring process takes
little of the cores that the system is measured on.
Invariant: a `RunningSystem` that was started is stopped when its `with` block ends, and each submitted job counts as
answered, refused or lost, never twice.
"""

import http
import http.client
import mimetypes
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.offline.standalone import MAX_MESSAGE_BYTES
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.adapters.kafka.offline.topic_writer import TopicWriter
from worker.adapters.kafka.topics import topic_specs
from worker.domain.records import CONTENT_TYPE_HEADER, JOB_ID_HEADER, OutgoingRecord, Record
from worker.lab.evaluation.answers import Answer, Refusal, of_dead_letter
from worker.lab.evaluation.dataset import Sample
from worker.lab.evaluation.errors import MeasurementError
from worker.settings import TopicSettings

PARTITIONS = 8
STALL_SECONDS = 180.0
READY_SECONDS = 60.0
_READY_INTERVAL_SECONDS = 0.2
_POLL_SECONDS = 0.05
_LOG_LINES = 3


class Process(Protocol):
    """A process that ends with its owner."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""

    def stop(self) -> int:
        """End it, politely first, and return its exit status."""


class Launch(Protocol):
    """How processes are started."""

    def __call__(self, argv: Sequence[str], environment: Mapping[str, str], log_path: Path) -> Process:
        """Start a process whose output goes to a file."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Where a system's jobs, answers and (if it has any) dead letters are."""

    jobs: str
    results: str
    dead_letters: str | None = None

    @classmethod
    def named(cls, prefix: str) -> "Topics":
        """Return a set of topics of their own."""
        return cls(f"{prefix}-images", f"{prefix}-text", f"{prefix}-images.dlq")

    def specs(self) -> list[TopicSpec]:
        """Return the topics as they shall be: all that a worker needs, if this has dead letters."""
        if self.dead_letters is not None:
            topics = TopicSettings(jobs=self.jobs, results=self.results, dead_letters=self.dead_letters)
            return topic_specs(topics, PARTITIONS, MAX_MESSAGE_BYTES)
        limit = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
        return [TopicSpec(name, PARTITIONS, limit) for name in (self.jobs, self.results)]


@dataclass(frozen=True, slots=True)
class System:
    """A system: how it is called in reports and to people, how it is started, and how its answers are read.

    `server_pids` are processes that work for it besides its own, as its Triton server. `ready_port` is the local port
    on which it answers `/readyz`, None if it does not say when it is ready. `process_name` is how reports call its own
    process.
    """

    name: str
    title: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    topics: Topics
    read_answer: Callable[[Record], Answer]
    server_pids: Sequence[int] = ()
    ready_port: int | None = None
    process_name: str = "worker"


@dataclass(frozen=True, slots=True)
class Job:
    """A picture to read, under an id."""

    job_id: str
    picture: bytes
    content_type: str

    @classmethod
    def of(cls, sample: Sample, prefix: str = "") -> "Job":
        """Return the job of a picture."""
        kind = mimetypes.guess_type(sample.path.name)[0] or "image/jpeg"
        return cls(f"{prefix}{sample.name}", sample.read_bytes(), kind)

    def record(self, topic: str) -> OutgoingRecord:
        """Return the record to write."""
        headers = ((CONTENT_TYPE_HEADER, self.content_type.encode()), (JOB_ID_HEADER, self.job_id.encode()))
        return OutgoingRecord(topic, self.job_id.encode(), self.picture, headers)


@dataclass(slots=True)
class SystemRun:
    """What came back for the jobs that were submitted.

    `seconds` go from the first job that the broker acknowledged to the last answer; `harness_cpu_seconds` are what the
    measuring process itself took of the cores in that time.
    """

    submitted: tuple[str, ...]
    answers: dict[str, Answer] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    result_records: int = 0
    duplicates: int = 0
    seconds: float = 0.0
    harness_cpu_seconds: float = 0.0

    @property
    def lost(self) -> list[str]:
        """The jobs of which nothing was heard."""
        return [job for job in self.submitted if job not in self.answers and job not in self.refusals]

    def take_answer(self, answer: Answer) -> bool:
        """Count an answer; return whether it was the first one on its job."""
        if answer.job_id not in self.submitted:
            return False
        self.result_records += 1
        if answer.job_id in self.answers:
            self.duplicates += 1
            return False
        self.answers[answer.job_id] = answer
        return answer.job_id not in self.refusals

    def take_refusal(self, refusal: Refusal) -> bool:
        """Count a dead letter; return whether the job was heard of for the first time."""
        if refusal.job_id not in self.submitted or refusal.job_id in self.refusals:
            return False
        self.refusals[refusal.job_id] = refusal
        return refusal.job_id not in self.answers


class RunningSystem:
    """A system that has been started; a context manager."""

    def __init__(self, system: System, bootstrap_servers: str, launch: Launch, log_path: Path) -> None:
        self.system = system
        self._bootstrap_servers = bootstrap_servers
        self._launch = launch
        self._log_path = log_path
        self._process: Process | None = None
        self._reader: TopicReader | None = None
        self._writer: TopicWriter | None = None

    def __enter__(self) -> Self:
        topics = self.system.topics
        create_topics(self._bootstrap_servers, topics.specs())
        read = [name for name in (topics.results, topics.dead_letters) if name]
        self._reader = TopicReader(self._bootstrap_servers, read)
        self._writer = TopicWriter(self._bootstrap_servers)
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log_path.unlink(missing_ok=True)
        self._process = self._launch(self.system.argv, self.system.environment, self._log_path)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._reader is not None:
            self._reader.close()
        if self._writer is not None:
            self._writer.close()

    @property
    def pid(self) -> int:
        """The process id of the system's own process."""
        return self._process.pid if self._process else 0

    def stop(self) -> None:
        """End the system's process; its topics can still be read."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def wait_until_ready(self, timeout_seconds: float = READY_SECONDS) -> None:
        """Wait until the system says that it is ready; one that never says so counts as ready at once.

        Raises MeasurementError if it ends or takes too long.
        """
        port, deadline = self.system.ready_port, time.monotonic() + timeout_seconds
        while port is not None and not _says_ready(port):
            self._check_alive()
            if time.monotonic() > deadline:
                raise MeasurementError(
                    f"{self.system.title} was not ready within {timeout_seconds:.0f} s; see {self._log_path}."
                )
            time.sleep(_READY_INTERVAL_SECONDS)

    def answer_all(
        self,
        jobs: Sequence[Job],
        on_answer: Callable[[], None] | None = None,
        *,
        stall_seconds: float = STALL_SECONDS,
    ) -> SystemRun:
        """Write all jobs at once and wait until each is answered or refused.

        The clock starts with the first job that the broker acknowledges, when the system can begin. Returns with lost
        jobs if nothing comes for `stall_seconds`. Raises MeasurementError if the system ends.
        """
        reader, writer = self._connections()
        delivery, stopwatch = SystemRun(tuple(job.job_id for job in jobs)), _Stopwatch()
        received = []
        writer.write([job.record(self.system.topics.jobs) for job in jobs], on_delivered=stopwatch.start)
        # Answers and dead letters have the key of their job.
        open_keys = {job.job_id.encode() for job in jobs}
        heard = time.monotonic()
        while open_keys:
            record = reader.poll(_POLL_SECONDS)
            if record is not None:
                received.append(record)
            if record is not None and record.key in open_keys:
                open_keys.remove(record.key)
                heard = time.monotonic()
                delivery.seconds, delivery.harness_cpu_seconds = stopwatch.read()
                if on_answer:
                    on_answer()
            elif time.monotonic() - heard > stall_seconds:
                break
            elif record is None:
                self._check_alive()
        for record in received:
            self._take(delivery, record)
        return delivery

    def drain(self, delivery: SystemRun, quiet_seconds: float = 1.0) -> None:
        """Read on until the topics have been quiet for a while, so that late duplicates are counted."""
        reader, _ = self._connections()
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < quiet_seconds:
            record = reader.poll(_POLL_SECONDS)
            before = delivery.result_records
            if record is not None:
                self._take(delivery, record)
            if delivery.result_records != before:
                quiet_since = time.monotonic()

    def _take(self, delivery: SystemRun, record: Record) -> None:
        if record.coordinate.topic == self.system.topics.dead_letters:
            delivery.take_refusal(of_dead_letter(record))
        else:
            delivery.take_answer(self.system.read_answer(record))

    def _connections(self) -> tuple[TopicReader, TopicWriter]:
        if self._reader is None or self._writer is None:
            raise MeasurementError(f"{self.system.title} has not been started.")
        return self._reader, self._writer

    def _check_alive(self) -> None:
        status = self._process.exit_status if self._process else None
        if status is not None:
            lines = self._log_path.read_text(errors="replace").rstrip().splitlines()[-_LOG_LINES:]
            said = " | ".join(lines) or "it said nothing"
            raise MeasurementError(
                f"{self.system.title} ended with status {status} before all jobs were answered; "
                f"the end of {self._log_path}: {said}"
            )


class _Stopwatch:
    """Wall time and the CPU time of this process since the first start."""

    def __init__(self) -> None:
        self._started: tuple[float, float] | None = None

    def start(self) -> None:
        """Start, unless it runs."""
        if self._started is None:
            self._started = time.monotonic(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return both, in seconds; zeros before the start."""
        if self._started is None:
            return 0.0, 0.0
        return time.monotonic() - self._started[0], time.process_time() - self._started[1]


def _says_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_READY_INTERVAL_SECONDS * 5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def complete(delivery: SystemRun, title: str, excused: AbstractSet[str] = frozenset()) -> SystemRun:
    """Return the delivery if every job has an answer or was refused with one of the `excused` codes.

    Raises MeasurementError for jobs that were refused otherwise, or lost.
    """
    for refusal in delivery.refusals.values():
        if refusal.code in excused:
            continue
        raise MeasurementError(f"{title} refused {refusal.job_id} as {refusal.code}: {refusal.message}")
    if delivery.lost:
        raise MeasurementError(
            f"{title} left {len(delivery.lost)} of {len(delivery.submitted)} jobs without an answer, "
            f"the first of them {delivery.lost[0]}."
        )
    return delivery
