"""One evaluation: systems read the same pictures, and the same scorer judges them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.evaluation.answers import Answer
from worker.evaluation.dataset import Dataset, Sample
from worker.evaluation.scores import Counts, Scores, count, total
from worker.evaluation.systems import Delivery, Job, Launch, RunningSystem, System, complete
from worker.evaluation.transcript import Transcript
from worker.reporting.progress import counted


@dataclass(frozen=True, slots=True)
class SystemReading:
    """What one system read, picture by picture in the order of the set; counts are None without truth.

    `models` is what a system says of the models that it read with.
    """

    name: str
    title: str
    transcripts: tuple[Transcript, ...]
    milliseconds: tuple[float, ...]
    counts: tuple[Counts, ...] | None
    models: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> Scores:
        """The scores over the whole set."""
        return Scores.unmeasured() if self.counts is None else Scores.of(total(self.counts))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The worker and its anchor on one set; `configuration` says all that decides what they read."""

    dataset: Dataset
    labelwire: SystemReading
    rapidocr: SystemReading
    configuration: Mapping[str, Any]


def read_set(system: System, dataset: Dataset, bootstrap_servers: str, launch: Launch, folder: Path) -> SystemReading:
    """Have a system read the set. Raises MeasurementError if a picture stays without an answer."""
    jobs = [Job.of(sample) for sample in dataset.samples]
    with RunningSystem(system, bootstrap_servers, launch, folder / f"{system.name}.log") as running:
        running.wait_until_ready()
        with counted(f"{system.title} reads", len(jobs)) as advance:
            delivery = complete(running.answer_all(jobs, advance), system.title)
    return reading(system.name, system.title, dataset, delivery)


def reading(name: str, title: str, dataset: Dataset, delivery: Delivery, prefix: str = "") -> SystemReading:
    """Score a complete delivery of the set's pictures, whose job ids are their names after `prefix`."""
    answers = [delivery.answers[prefix + sample.name] for sample in dataset.samples]
    transcripts = tuple(answer.transcript for answer in answers)
    return SystemReading(
        name=name,
        title=title,
        transcripts=transcripts,
        milliseconds=tuple(answer.milliseconds for answer in answers),
        counts=score(dataset.samples, transcripts) if dataset.has_truth else None,
        models=_models(answers),
    )


def score(samples: Sequence[Sample], transcripts: Sequence[Transcript]) -> tuple[Counts, ...]:
    """Count each picture against its truth. Raises ValueError for a picture without one."""
    counts = []
    for sample, transcript in zip(samples, transcripts, strict=True):
        if sample.truth is None:
            raise ValueError(f"{sample.name} has no truth")
        counts.append(count(sample.truth, transcript))
    return tuple(counts)


def _models(answers: Sequence[Answer]) -> dict[str, Any]:
    used = next((answer.result.models for answer in answers if answer.result), {})
    return {name: model.model_dump() for name, model in used.items()}
