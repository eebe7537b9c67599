"""Large pictures beside the pieces that they are made of: what they cost, and how they are read.

A turn has the worker read a large picture, and then its pieces, each written when the one before is answered. A time
runs from when the broker has a job (a new producer takes half a second to get there) to the timestamp of its answer's
record. Invariant: a large picture and its pieces hold the same words.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from worker.adapters.kafka.offline.submit import submit
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.domain.headers import JOB_ID
from worker.domain.records import Record
from worker.lab.bench.resources import PeakMemory
from worker.lab.evaluation.answers import of_dead_letter, of_worker
from worker.lab.evaluation.dataset import Sample
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.scores import Counts, count, total
from worker.lab.evaluation.systems import Job, Topics
from worker.lab.evaluation.transcript import Transcript

_POLL_SECONDS = 0.2
_STALL_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class LargePicture:
    """A picture and its pieces, all with truth; `title` says to people what it is."""

    name: str
    title: str
    picture: Sample
    pieces: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class LargeTurn:
    """One round of one picture: seconds and words, and the worker's memory while it read the large picture.

    `stage_seconds` are how long the large picture was in each stage.
    """

    name: str
    seconds: float
    pieces_seconds: float
    counts: Counts
    pieces_counts: Counts
    stage_seconds: Mapping[str, float]
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class _PageScore:
    seconds: float
    counts: Counts
    stage_seconds: Mapping[str, float]


class OneByOne:
    """Has the worker read pictures one after the other."""

    def __init__(self, bootstrap_servers: str, topics: Topics, worker_pid: int) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._worker_pid = worker_pid

    def turn(self, large: LargePicture, prefix: str, on_picture: Callable[[], None]) -> LargeTurn:
        """Read a large picture and its pieces. Raises MeasurementError if one is refused or not answered."""
        watched = [topic for topic in (self._topics.results, self._topics.dead_letters) if topic]
        with TopicReader(self._bootstrap_servers, watched) as reader:
            with PeakMemory([self._worker_pid]) as memory:
                whole = self._read(reader, large.picture, f"{prefix}/{large.name}", on_picture)
            pieces = [
                self._read(reader, piece, f"{prefix}/{large.name}/{number}", on_picture)
                for number, piece in enumerate(large.pieces)
            ]
        return LargeTurn(
            name=large.name,
            seconds=whole.seconds,
            pieces_seconds=sum(piece.seconds for piece in pieces),
            counts=whole.counts,
            pieces_counts=total(piece.counts for piece in pieces),
            stage_seconds=whole.stage_seconds,
            peak_rss_bytes=memory.peak_bytes,
        )

    def _read(self, reader: TopicReader, sample: Sample, job_id: str, on_picture: Callable[[], None]) -> _PageScore:
        written_ms: list[float] = []
        job = Job(job_id, sample.read_bytes(), "image/jpeg").record(self._topics.jobs)
        submit(self._bootstrap_servers, [job], on_delivered=lambda: written_ms.append(time.time() * 1000))
        record = self._answer(reader, job_id)
        answer = of_worker(record)
        on_picture()
        return _PageScore(
            seconds=(record.timestamp_ms - written_ms[0]) / 1000,
            counts=count(sample.truth or Transcript(), answer.transcript),
            stage_seconds={stage: milliseconds / 1000 for stage, milliseconds in answer.stages.items()},
        )

    def _answer(self, reader: TopicReader, job_id: str) -> Record:
        deadline = time.monotonic() + _STALL_SECONDS
        while time.monotonic() < deadline:
            record = reader.poll(_POLL_SECONDS)
            if record is None or record.header(JOB_ID) != job_id:
                continue
            if record.coordinate.topic == self._topics.dead_letters:
                refusal = of_dead_letter(record)
                raise MeasurementError(f"The worker refused {job_id} as {refusal.code}: {refusal.message}")
            return record
        raise MeasurementError(f"{job_id} was not answered within {_STALL_SECONDS:.0f} s; see the worker's log.")
