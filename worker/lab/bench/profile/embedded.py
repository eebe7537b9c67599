"""A profile of a worker under full load, against a recorded Triton: what it costs by itself, and where."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, Self

from worker.lab.bench.ceiling.embedded import recorded_worker
from worker.lab.bench.job_stream import JobStream, TimedJob
from worker.lab.bench.profile.report import ProfileRun
from worker.lab.bench.profile.sampler import Sampler
from worker.lab.bench.profile.threads import since, thread_times
from worker.lab.evaluation.configuration import WorkerConfiguration
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.machine import describe_machine
from worker.lab.evaluation.systems import Job
from worker.local.progress import progress
from worker.local.provision import python_environment

_BATCH_JOBS: Final = 200
_WARM_UP_JOBS: Final = 48


@dataclass(frozen=True, slots=True)
class ProfilePlan:
    """What to run: two samplings of so many seconds, one for the tables and one for the flame graph."""

    dataset: Dataset
    configuration: WorkerConfiguration
    seconds: int = 20


def measure(plan: ProfilePlan, folder: Path) -> ProfileRun:
    """Sample a worker that reads the pictures over and over. Raises LabelwireError."""
    program = python_environment("profile").folder / "bin" / "py-spy"
    pictures = [sample.read_bytes() for sample in plan.dataset.samples]
    with recorded_worker(plan.configuration, pictures, folder) as worker:
        sampler = Sampler(program, worker.worker_pid)
        with FullLoad(worker.stream, pictures) as load, progress("Profiling") as report:
            report("by thread and stage")
            names = sampler.thread_names()
            before, read_before = thread_times(worker.worker_pid), load.answered
            stacks = sampler.stacks(plan.seconds, folder / "stacks.txt")
            threads, read = since(thread_times(worker.worker_pid), before), load.answered - read_before
            report("a flame graph")
            flame_graph = sampler.flame_graph(plan.seconds, folder / "flame.svg")
        description = plan.configuration.describe() | worker.parts
    description |= {"dataset": plan.dataset.name, "seconds": plan.seconds, "machine": describe_machine()}
    return ProfileRun(read, threads, names, stacks, flame_graph, description)


class FullLoad:
    """Has a worker read pictures over and over while the block lasts; a context manager."""

    def __init__(self, stream: JobStream, pictures: Sequence[bytes]) -> None:
        self._stream = stream
        self._pictures = pictures
        self._stopping = threading.Event()
        self._warm = threading.Event()
        self._executor = ThreadPoolExecutor(1)
        self.answered = 0

    def __enter__(self) -> Self:
        self._running = self._executor.submit(self._run)
        self._running.add_done_callback(lambda _: self._warm.set())
        self._warm.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._executor.shutdown()
        self._running.result()

    def _run(self) -> None:
        for batch in count():
            jobs = [
                TimedJob(Job(f"profile-{batch}-{number}", self._pictures[number % len(self._pictures)], "image/jpeg"))
                for number in range(_BATCH_JOBS)
            ]
            self._stream.run(jobs, self._count)
            if self._stopping.is_set():
                return

    def _count(self) -> None:
        self.answered += 1
        if self.answered >= _WARM_UP_JOBS:
            self._warm.set()
