"""Three loads on a worker: one job at a time, jobs that come at random, and a backlog.

Jobs of the open loop are due at the times of a Poisson process, and their latency runs from when they were due
(coordinated omission: Tene, "How NOT to Measure Latency", 2013).
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.adapters.triton.statistics import ModelTimes, read_times
from worker.lab.bench.job_stream import AnsweredJob, JobStream, TimedJob
from worker.lab.bench.latency.processing_times import ProcessingLog
from worker.lab.bench.open_loop import poisson_times
from worker.lab.evaluation.systems import Job
from worker.settings import TritonSettings

# Between two jobs that are alone; drawn at random, so that no poll of the worker or of the broker is met in step.
_IDLE_SECONDS: Final = (0.05, 0.25)


@dataclass(frozen=True, slots=True)
class AloneJob:
    """One job in an idle system, and its picture's number in the set."""

    picture: int
    answered: AnsweredJob


@dataclass(frozen=True, slots=True)
class OpenLoopLoad:
    """Jobs that came at random at a share of the capacity."""

    share: float
    rate_per_second: float
    answered: Sequence[AnsweredJob]


@dataclass(frozen=True, slots=True)
class BacklogLoad:
    """A backlog that was there at once: its seconds, and for each job from when the worker took it to its result.

    `model_seconds` are the seconds in which Triton computed, over all instances.
    """

    jobs: int
    seconds: float
    processing_ms: Sequence[float]
    model_seconds: float

    @property
    def jobs_per_second(self) -> float:
        """The throughput."""
        return self.jobs / self.seconds


class LatencyLoads:
    """Runs loads on a worker that runs, with the pictures of a set in turn."""

    def __init__(self, stream: JobStream, pictures: Sequence[bytes], triton_url: str, log: ProcessingLog) -> None:
        self._stream = stream
        self._pictures = pictures
        self._triton = TritonSettings(url=triton_url)
        self._log = log

    def alone(self, count: int, seed: int, on_answer: Callable[[], None]) -> list[AloneJob]:
        """Have `count` jobs read one by one, each after the one before is answered and the system has been idle."""
        chance = random.Random(seed)  # noqa: S311 - pauses are no secret
        found = []
        for number in range(count):
            time.sleep(chance.uniform(*_IDLE_SECONDS))
            picture = number % len(self._pictures)
            [answered] = self._stream.run([self._job("alone", number)], on_answer, with_stages=True)
            found.append(AloneJob(picture, answered))
        return found

    def open_loop(
        self, share: float, capacity_per_second: float, seconds: float, seed: int, on_answer: Callable[[], None]
    ) -> OpenLoopLoad:
        """Have jobs come at random at a share of the capacity."""
        rate = share * capacity_per_second
        times = poisson_times(random.Random(seed), rate, seconds)  # noqa: S311 - arrivals are no secret
        name = f"open-{share}"
        jobs = [TimedJob(self._job(name, number).job, due) for number, due in enumerate(times)]
        return OpenLoopLoad(share, rate, self._stream.run(jobs, on_answer))

    def backlog(self, name: str, count: int, on_answer: Callable[[], None]) -> BacklogLoad:
        """Have `count` jobs read that are in the topic at once."""
        before = read_times(self._triton)
        answered = self._stream.run([self._job(name, number) for number in range(count)], on_answer)
        done = [times.since(before.get(model, ModelTimes())) for model, times in read_times(self._triton).items()]
        begun_ms = min(one.queued_ms for one in answered)
        return BacklogLoad(
            jobs=count,
            seconds=(max(one.answered_ms for one in answered) - begun_ms) / 1000,
            processing_ms=self._log.milliseconds_of({one.job_id for one in answered}),
            model_seconds=sum(times.computed + times.copied for times in done),
        )

    def _job(self, name: str, number: int) -> TimedJob:
        return TimedJob(Job(f"{name}-{number}", self._pictures[number % len(self._pictures)], "image/jpeg"))
