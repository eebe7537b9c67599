"""Latency in an open loop: jobs come at their times, whether or not the ones before them are done.

What is shown is whether large and broken pictures delay small ones, so the same arrivals are run twice: with small
labels alone, and with some of them replaced. A job's latency runs from the time at which it was due to be written, so
that a writer who falls behind hides nothing (coordinated omission: Tene, "How NOT to Measure Latency", 2013), to the
time that its answer's record says.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from worker.adapters.kafka.offline.submit import submit
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.domain.records import OutgoingRecord
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.systems import Job, Topics

LARGE_SHARE = 0.05
UNDECODABLE_SHARE = 0.02
_POLL_SECONDS = 0.2
_STALL_SECONDS = 180.0


class PictureKind(StrEnum):
    """What a job's picture is."""

    SMALL = "small"
    LARGE = "large"
    UNDECODABLE = "undecodable"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job to write `at_seconds` after the begin."""

    at_seconds: float
    kind: PictureKind
    picture: int


@dataclass(frozen=True, slots=True)
class PicturesByKind:
    """The pictures of each kind, encoded."""

    small: Sequence[bytes]
    large: Sequence[bytes]
    undecodable: Sequence[bytes]

    def of(self, arrival: Arrival) -> bytes:
        """Return an arrival's picture."""
        kinds = {
            PictureKind.SMALL: self.small,
            PictureKind.LARGE: self.large,
            PictureKind.UNDECODABLE: self.undecodable,
        }
        choice = kinds[arrival.kind]
        return choice[arrival.picture % len(choice)]


@dataclass(slots=True)
class OpenLoopTurn:
    """One run: seconds of latency by kind."""

    mixed: bool
    latency_seconds: dict[PictureKind, list[float]] = field(default_factory=lambda: {kind: [] for kind in PictureKind})


def arrivals(seed: int, rate_per_second: float, seconds: float) -> list[Arrival]:
    """Return a Poisson process of mixed arrivals; the same seed gives the same one.

    Exactly the shares of large and undecodable pictures are drawn, rounded up, at random places.
    """
    chance = random.Random(seed)  # noqa: S311 - arrivals are no secret
    times = poisson_times(chance, rate_per_second, seconds)
    large, undecodable = (math.ceil(len(times) * share) for share in (LARGE_SHARE, UNDECODABLE_SHARE))
    replaced = chance.sample(range(len(times)), large + undecodable)
    kinds = dict.fromkeys(replaced[:large], PictureKind.LARGE) | dict.fromkeys(
        replaced[large:], PictureKind.UNDECODABLE
    )
    return [
        Arrival(at_seconds, kinds.get(number, PictureKind.SMALL), chance.randrange(1 << 30))
        for number, at_seconds in enumerate(times)
    ]


def poisson_times(chance: random.Random, rate_per_second: float, seconds: float) -> list[float]:
    """Return the times of a Poisson process in seconds from its begin, ascending, all before `seconds`."""
    times, now = [], 0.0
    while (now := now + chance.expovariate(rate_per_second)) < seconds:
        times.append(now)
    return times


def only_small(mixed: Sequence[Arrival]) -> list[Arrival]:
    """Return the same arrivals with small labels alone."""
    return [Arrival(arrival.at_seconds, PictureKind.SMALL, arrival.picture) for arrival in mixed]


class OpenLoop:
    """Writes arrivals and reads what became of them."""

    def __init__(self, bootstrap_servers: str, topics: Topics, pictures: PicturesByKind) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._pictures = pictures

    def run(self, name: str, jobs: Sequence[Arrival], on_written: Callable[[], None]) -> OpenLoopTurn:
        """Write each job at its time, and wait until all are answered. Raises MeasurementError if some are not."""
        due_ms: dict[str, float] = {}
        watched = [topic for topic in (self._topics.results, self._topics.dead_letters) if topic]
        with TopicReader(self._bootstrap_servers, watched) as reader:
            submit(self._bootstrap_servers, self._in_time(name, jobs, due_ms), on_delivered=on_written)
            return self._answers(reader, name, jobs, due_ms)

    def _in_time(self, name: str, jobs: Sequence[Arrival], due_ms: dict[str, float]) -> Iterator[OutgoingRecord]:
        begun, begun_ms = time.monotonic(), time.time() * 1000
        for number, arrival in enumerate(jobs):
            time.sleep(max(0.0, begun + arrival.at_seconds - time.monotonic()))
            job_id = f"{name}-{number}"
            due_ms[job_id] = begun_ms + arrival.at_seconds * 1000
            yield Job(job_id, self._pictures.of(arrival), "image/jpeg").record(self._topics.jobs)

    def _answers(
        self, reader: TopicReader, name: str, jobs: Sequence[Arrival], due_ms: dict[str, float]
    ) -> OpenLoopTurn:
        turn = OpenLoopTurn(mixed=any(job.kind is not PictureKind.SMALL for job in jobs))
        kinds = {f"{name}-{number}": arrival.kind for number, arrival in enumerate(jobs)}
        heard = time.monotonic()
        while kinds:
            record = reader.poll(_POLL_SECONDS)
            kind = kinds.pop(record.header("labelwire.job-id") or "", None) if record else None
            if record is not None and kind is not None:
                seconds = (record.timestamp_ms - due_ms[record.header("labelwire.job-id") or ""]) / 1000
                turn.latency_seconds[kind].append(seconds)
                self._check(kind, record.coordinate.topic)
                heard = time.monotonic()
            elif time.monotonic() - heard > _STALL_SECONDS:
                raise MeasurementError(f"{len(kinds)} of {len(jobs)} jobs were not answered; see the worker's log.")
        return turn

    def _check(self, kind: PictureKind, topic: str) -> None:
        if (topic == self._topics.dead_letters) != (kind is PictureKind.UNDECODABLE):
            raise MeasurementError(f"A {kind} picture ended on {topic}; see the worker's log.")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
