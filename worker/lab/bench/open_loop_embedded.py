"""The open loop on the embedded stack."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from worker.lab import stack
from worker.lab.bench.open_loop import OpenLoop, PicturesByKind, arrivals, only_small
from worker.lab.bench.open_loop_report import OpenLoopRun
from worker.lab.evaluation.configuration import WorkerConfiguration, labelwire_system
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.machine import describe_machine
from worker.lab.evaluation.systems import Job, RunningSystem, complete
from worker.reporting.progress import counted

LARGE_PIXELS = 20_000_000
_SMALL_PIXELS = 3_000_000
_JPEG_QUALITY = 90
_LARGE_PICTURES = 4
_CAPACITY_JOBS = 120
_SHARE_OF_CAPACITY = 0.5
_SEED = 7


@dataclass(frozen=True, slots=True)
class OpenLoopPlan:
    """What to run: `rounds` pairs of runs, each of `seconds`."""

    configuration: WorkerConfiguration
    rounds: int = 3
    seconds: float = 60.0


def measure(plan: OpenLoopPlan, folder: Path) -> OpenLoopRun:
    """Measure the capacity, then run pairs of open loops at half of it. Raises LabelwireError."""
    configuration = plan.configuration
    shown = _pictures(stack.pictures(None, 48, folder))
    with stack.broker(folder / "run") as kafka, stack.triton(configuration, folder / "run") as server:
        endpoints = stack.endpoints(kafka, server)
        system = labelwire_system("labelwire", "Labelwire", configuration, endpoints)
        with RunningSystem(system, kafka.bootstrap_servers, stack.launch, folder / "labelwire.log") as running:
            running.wait_until_ready()
            capacity = _capacity(running, shown)
            rate = capacity * _SHARE_OF_CAPACITY
            loop = OpenLoop(kafka.bootstrap_servers, system.topics, shown)
            turns = []
            for number in range(plan.rounds):
                mixed = arrivals(_SEED + number, rate, plan.seconds)
                for name, jobs in ((f"alone-{number}", only_small(mixed)), (f"mixed-{number}", mixed)):
                    with counted(f"Open loop {name}", len(jobs)) as advance:
                        turns.append(loop.run(name, jobs, advance))
        description = configuration.describe() | {
            "broker": stack.describe_broker(kafka),
            "triton": stack.describe_triton(server, configuration),
            "large_pixels": LARGE_PIXELS,
            "seconds": plan.seconds,
            "machine": describe_machine(),
        }
    return OpenLoopRun(capacity, rate, turns, description)


def _capacity(running: RunningSystem, shown: PicturesByKind) -> float:
    """Return small labels a second, after as many that only warm up."""
    rate = 0.0
    for name in ("warm-up", "capacity"):
        jobs = [
            Job(f"{name}-{number}", shown.small[number % len(shown.small)], "image/jpeg")
            for number in range(_CAPACITY_JOBS)
        ]
        with counted(f"Measuring the capacity, {name}", len(jobs)) as advance:
            delivery = complete(running.answer_all(jobs, advance), running.system.title)
        rate = len(jobs) / delivery.seconds
    return rate


def _pictures(dataset: Dataset) -> PicturesByKind:
    encoded = [sample.read_bytes() for sample in dataset.samples]
    decoded = [cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) for picture in encoded]
    small = [
        picture
        for picture, pixels in zip(encoded, decoded, strict=True)
        if pixels is not None and pixels.shape[0] * pixels.shape[1] <= _SMALL_PIXELS
    ]
    large = [_enlarged(pixels, LARGE_PIXELS) for pixels in decoded[:_LARGE_PICTURES] if pixels is not None]
    return PicturesByKind(small, large, [picture[: len(picture) // 3] for picture in small])


def _enlarged(picture: "cv2.typing.MatLike", pixels: int) -> bytes:
    """Return a picture enlarged to so many pixels, as JPEG."""
    scale = (pixels / (picture.shape[0] * picture.shape[1])) ** 0.5
    large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return bytes(cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
