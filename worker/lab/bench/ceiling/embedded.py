"""The worker's ceiling on the embedded stack: a real Triton is recorded first, and then stopped."""

import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.lab import stack
from worker.lab.bench.ceiling.measure import Ceiling, CeilingTurn, PictureSet
from worker.lab.bench.ceiling.recorder import record_from
from worker.lab.bench.ceiling.report import CeilingRun
from worker.lab.bench.decode_cost import decode_cpu_seconds
from worker.lab.bench.job_stream import JobStream
from worker.lab.evaluation.configuration import Endpoints, WorkerConfiguration, labelwire_system
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.machine import describe_machine
from worker.lab.evaluation.systems import RunningSystem
from worker.local.process import free_ports
from worker.local.recorded_triton import RecordedTritonServer
from worker.reporting.progress import counted

BACKLOGS: Final = (100, 1_000, 10_000)
_PHOTOS: Final = "photos"
_PHOTO_COUNT: Final = 6
_LABELS: Final = 24
_WARM_UP_SHARE: Final = 0.5
# One photo costs as much as several labels, and they are read one at a time.
_PHOTO_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class CeilingPlan:
    """What to run: `rounds` turns of the shortest backlog for each kind of picture, then the longer ones once.

    A turn of photos has a fifth of the jobs.
    The longer backlogs are of the pictures of `dataset`; without one there are only labels and photos of them.
    """

    configuration: WorkerConfiguration
    dataset: Dataset | None = None
    rounds: int = 3
    backlogs: Sequence[int] = BACKLOGS


@dataclass(frozen=True, slots=True)
class RecordedWorker:
    """A worker that runs against a recorded Triton; `parts` says in words what ran."""

    stream: JobStream
    worker_pid: int
    stub_pid: int
    parts: dict[str, str]


@contextmanager
def recorded_worker(
    configuration: WorkerConfiguration, pictures: Sequence[bytes], folder: Path
) -> Iterator[RecordedWorker]:
    """Record the models' answers for some pictures, and run a worker against the recording. Raises LabelwireError."""
    recording = folder / "recording"
    shutil.rmtree(recording, ignore_errors=True)
    with stack.triton(configuration, folder / "run") as server:
        models = stack.describe_triton(server, configuration)
        with counted("Recording the models", len(pictures)) as advance:
            rows = record_from(server.grpc_url, pictures, configuration.pipeline_options(), recording, advance)
    with stack.broker(folder / "run") as kafka, RecordedTritonServer(recording, run_dir=folder / "run") as stub:
        endpoints = Endpoints(kafka.bootstrap_servers, stub.grpc_url, stub.pid, free_ports(1)[0])
        system = labelwire_system("labelwire", "Labelwire", configuration, endpoints)
        running = RunningSystem(system, kafka.bootstrap_servers, stack.launch, folder / "labelwire.log")
        parts = {"broker": stack.describe_broker(kafka), "triton": f"a recording of {rows} rows of {models}"}
        with JobStream(kafka.bootstrap_servers, system.topics) as stream, running:
            running.wait_until_ready()
            yield RecordedWorker(stream, running.pid, stub.pid, parts)


def measure(plan: CeilingPlan, folder: Path) -> CeilingRun:
    """Measure the worker against a recording of the models. Raises LabelwireError."""
    sets = picture_sets(plan.dataset, folder)
    everything = [picture for shown in sets for picture in shown.pictures]
    with recorded_worker(plan.configuration, everything, folder) as worker:
        turns = _turns(Ceiling(worker.stream, worker.worker_pid, worker.stub_pid), sets, plan)
        description = plan.configuration.describe() | worker.parts
    more = {"rounds": plan.rounds, "backlogs": list(plan.backlogs), "machine": describe_machine()}
    return CeilingRun(sets, turns, description | more)


def _turns(ceiling: Ceiling, sets: Sequence[PictureSet], plan: CeilingPlan) -> list[CeilingTurn]:
    shortest, *longer = sorted(plan.backlogs)
    jobs = {shown.name: math.ceil(shortest * (_PHOTO_SHARE if shown.name == _PHOTOS else 1)) for shown in sets}
    turns = []
    for number in range(-1, plan.rounds):
        name = f"Round {number + 1} of {plan.rounds}" if number >= 0 else "Warming up"
        for shown in sets:
            count = jobs[shown.name] if number >= 0 else math.ceil(jobs[shown.name] * _WARM_UP_SHARE)
            with counted(f"{name}, {shown.title}", count) as advance:
                turn = ceiling.turn(shown, number, count, advance)
            turns += [turn] if number >= 0 else []
    for backlog in longer:
        with counted(f"A backlog of {backlog} {sets[0].title}", backlog) as advance:
            turns.append(ceiling.turn(sets[0], 0, backlog, advance))
    return turns


def picture_sets(dataset: Dataset | None, folder: Path) -> list[PictureSet]:
    """Return the given pictures, if there are any, then synthetic labels, and photos of some of them."""
    labels = [sample.read_bytes() for sample in stack.pictures(None, _LABELS, folder).samples]
    given = [] if dataset is None else [sample.read_bytes() for sample in dataset.samples]
    kinds = [("pictures", dataset.name if dataset else "", given), ("labels", "synthetic labels", labels)]
    photos = [sample.read_bytes() for sample in stack.photos(_PHOTO_COUNT, folder).samples]
    kinds.append((_PHOTOS, "photos of labels", photos))
    return [
        PictureSet(name, title, pictures, decode_cpu_seconds(pictures)) for name, title, pictures in kinds if pictures
    ]
