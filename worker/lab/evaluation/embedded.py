"""The evaluation on the embedded stack, and the pictures that it is made on."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import SettingsError
from worker.lab import stack
from worker.lab.evaluation.configuration import RAPIDOCR, WorkerConfiguration, labelwire_system, rapidocr_system
from worker.lab.evaluation.dataset import Dataset, Sample, load
from worker.lab.evaluation.machine import describe_machine
from worker.lab.evaluation.run import Evaluation, SystemReading, deliver, mosaic_reading, read_set, reading
from worker.lab.evaluation.systems import SystemRun
from worker.lab.synth.camera import Degradation
from worker.lab.synth.dataset import write_dataset
from worker.lab.synth.held_out import HELD_OUT
from worker.lab.synth.layouts import LAYOUTS
from worker.lab.synth.mosaic import write_mosaic
from worker.reporting.progress import counted

LABELS: Final = 300

ReadOffline = Callable[[Dataset, Callable[[], None]], Awaitable[SystemRun]]


@dataclass(frozen=True, slots=True)
class Labels:
    """Which labels are drawn: `degradations` take turns, `held_out` takes the layouts that nothing is tuned on."""

    count: int = LABELS
    seed: int = 20
    degradations: tuple[Degradation, ...] = tuple(Degradation)
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """What is read: a set and, perhaps, a mosaic of its pictures."""

    dataset: Dataset
    mosaic: Sample | None = None

    @property
    def all(self) -> Dataset:
        """The set with the mosaic."""
        return self.dataset if self.mosaic is None else self.dataset.with_picture(self.mosaic)


def drawn(labels: Labels, folder: Path) -> Dataset:
    """Draw labels into `folder`."""
    with counted("Drawing labels", labels.count) as advance:
        write_dataset(
            folder,
            labels.count,
            labels.seed,
            degradation=labels.degradations,
            layouts=HELD_OUT if labels.held_out else LAYOUTS,
            progress=lambda _done, _all: advance(),
        )
    return load(folder)


def with_mosaic(dataset: Dataset, source: Path, folder: Path, size: tuple[int, int]) -> EvaluationSet:
    """Make a mosaic of the set's pictures that nothing was done to; `source` is the folder of the set.

    Raises SettingsError if the set has no truth, for then a mosaic would tell nothing.
    """
    if not dataset.has_truth:
        raise SettingsError(f"{source} has no truth.jsonl; a mosaic is judged by the truth of its pictures.")
    sound = {sample.name for sample in dataset.samples if sample.degradation in {"", Degradation.NONE.value}}
    with counted("Making the mosaic", 1) as advance:
        write_mosaic(source, folder, *size, seed=len(sound), names=sound)
        advance()
    return EvaluationSet(dataset, load(folder).samples[0])


def evaluate(
    pictures: EvaluationSet, configuration: WorkerConfiguration, folder: Path, *, baseline: bool
) -> Evaluation:
    """Have the worker and, with `baseline`, RapidOCR read the pictures, one after the other. Raises LabelwireError."""
    description = configuration.describe()
    python = stack.rapidocr_python() if baseline else None
    with stack.broker(folder / "run") as kafka, stack.triton(configuration, folder / "run") as server:
        worker = labelwire_system("labelwire", "Labelwire", configuration, stack.endpoints(kafka, server))
        delivery = deliver(worker, pictures.all, kafka.bootstrap_servers, stack.launch, folder)
        other = None
        if python:
            anchor = rapidocr_system(RAPIDOCR, python, kafka.bootstrap_servers)
            other = read_set(anchor, pictures.dataset, kafka.bootstrap_servers, stack.launch, folder)
        description |= stack.describe_parts(kafka, server, configuration)
    return _evaluation(pictures, delivery, other, description)


async def evaluate_offline(pictures: EvaluationSet, description: Mapping[str, Any], read: ReadOffline) -> Evaluation:
    """Have `read`, which needs no Kafka, read the pictures; `description` says with what. Raises LabelwireError."""
    with counted("Labelwire reads", len(pictures.all.samples)) as advance:
        delivery = await read(pictures.all, advance)
    return _evaluation(pictures, delivery, None, description)


def _evaluation(
    pictures: EvaluationSet, delivery: SystemRun, other: SystemReading | None, description: Mapping[str, Any]
) -> Evaluation:
    own = reading("labelwire", "Labelwire", pictures.dataset, delivery)
    mosaic = mosaic_reading(pictures.mosaic, pictures.dataset, own, delivery) if pictures.mosaic else None
    whole = {**description, "models": dict(own.models), "machine": describe_machine()}
    return Evaluation(pictures.dataset, own, other, whole, mosaic)
