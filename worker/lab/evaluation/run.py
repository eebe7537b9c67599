"""One evaluation: systems read the same pictures, and the same scorer judges them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.domain.errors import ErrorCode
from worker.lab.evaluation.answers import Answer
from worker.lab.evaluation.dataset import Dataset, Sample
from worker.lab.evaluation.fields import UNTOLD, Findings
from worker.lab.evaluation.scores import Counts, Scores, count, total
from worker.lab.evaluation.systems import Job, Launch, RunningSystem, System, SystemRun, complete
from worker.lab.evaluation.transcript import Transcript
from worker.reporting.progress import counted

# A picture that the gate turns away is refused, not lost: it counts as one of which nothing was read.
GATE_REFUSALS = frozenset({ErrorCode.IMAGE_QUALITY_POOR.value})


@dataclass(frozen=True, slots=True)
class SystemReading:
    """What one system read, picture by picture in the order of the set; counts are None without truth.

    `models` is what a system says of the models that it read with. `problems` are those that the quality gate found
    with each picture, or the code with which it was refused: a picture without any passed the gate. Empty where a
    system has no gate.
    """

    name: str
    title: str
    transcripts: tuple[Transcript, ...]
    milliseconds: tuple[float, ...]
    counts: tuple[Counts, ...] | None
    models: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Findings, ...] = ()
    problems: tuple[tuple[str, ...], ...] = ()

    @property
    def scores(self) -> Scores:
        """The scores over the whole set."""
        return Scores.unmeasured() if self.counts is None else Scores.of(total(self.counts))

    def passed_gate(self, number: int) -> bool:
        """Return whether a picture was good enough to be read."""
        return not self.problems[number] if self.problems else True


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The worker and its anchor on one set; `configuration` says all that decides what they read.

    `rapidocr` is None where it did not take part, `mosaic` where there was none.
    """

    dataset: Dataset
    labelwire: SystemReading
    rapidocr: SystemReading | None
    configuration: Mapping[str, Any]
    mosaic: "MosaicReading | None" = None


@dataclass(frozen=True, slots=True)
class MosaicReading:
    """Pictures of the set in one huge picture: the same words, in one by one and all at once.

    `pieces` are the numbers of the pictures in the set, as often as they were pasted; milliseconds the worker's own.
    """

    width: int
    height: int
    pieces: tuple[int, ...]
    counts: Counts
    singles: Counts
    milliseconds: float
    singles_milliseconds: float

    @property
    def word_recall(self) -> float | None:
        """The share of the mosaic's words that were read off it."""
        return Scores.of(self.counts).word_recall

    @property
    def singles_word_recall(self) -> float | None:
        """The share of the same words that were read off the pictures one by one."""
        return Scores.of(self.singles).word_recall


def mosaic_reading(mosaic: Sample, dataset: Dataset, own: SystemReading, delivery: SystemRun) -> MosaicReading:
    """Compare a mosaic with the pictures of the set that it is made of; ValueError if it has no truth."""
    numbers = {sample.name: number for number, sample in enumerate(dataset.samples)}
    pieces = tuple(numbers[name] for name in mosaic.pieces)
    huge = reading(own.name, own.title, Dataset(mosaic.name, (mosaic,)), delivery)
    if huge.counts is None or own.counts is None:
        raise ValueError(f"{mosaic.name} has no truth")
    return MosaicReading(
        width=mosaic.width,
        height=mosaic.height,
        pieces=pieces,
        counts=huge.counts[0],
        singles=total(own.counts[number] for number in pieces),
        milliseconds=huge.milliseconds[0],
        singles_milliseconds=sum(own.milliseconds[number] for number in pieces),
    )


def read_set(system: System, dataset: Dataset, bootstrap_servers: str, launch: Launch, folder: Path) -> SystemReading:
    """Have a system read the set. Raises MeasurementError if a picture stays without an answer."""
    delivery = deliver(system, dataset, bootstrap_servers, launch, folder)
    return reading(system.name, system.title, dataset, delivery)


def deliver(system: System, dataset: Dataset, bootstrap_servers: str, launch: Launch, folder: Path) -> SystemRun:
    """Return what a system answers on the set. Raises MeasurementError if a picture stays without an answer."""
    jobs = [Job.of(sample) for sample in dataset.samples]
    with RunningSystem(system, bootstrap_servers, launch, folder / f"{system.name}.log") as running:
        running.wait_until_ready()
        with counted(f"{system.title} reads", len(jobs)) as advance:
            return complete(running.answer_all(jobs, advance), system.title, GATE_REFUSALS)


def reading(name: str, title: str, dataset: Dataset, delivery: SystemRun, prefix: str = "") -> SystemReading:
    """Score a complete delivery of the set's pictures, whose job ids are their names after `prefix`.

    A picture that was refused counts as one of which nothing was read.
    """
    answers = [delivery.answers.get(prefix + sample.name) for sample in dataset.samples]
    transcripts = tuple(answer.transcript if answer else Transcript() for answer in answers)
    findings = tuple(answer.findings if answer else Findings((), ()) for answer in answers)
    return SystemReading(
        name=name,
        title=title,
        transcripts=transcripts,
        milliseconds=tuple(answer.milliseconds if answer else 0.0 for answer in answers),
        counts=score(dataset, transcripts, findings) if dataset.has_truth else None,
        models=_models(answers),
        findings=findings,
        problems=tuple(_problems(prefix + sample.name, delivery) for sample in dataset.samples),
    )


def score(
    dataset: Dataset, transcripts: Sequence[Transcript], findings: Sequence[Findings] | None = None
) -> tuple[Counts, ...]:
    """Count each picture against its truth. Raises ValueError for a picture without one."""
    covered = dataset.covered_types
    told = findings or [UNTOLD] * len(transcripts)
    return tuple(
        count(_truth(sample), transcript, sample.stands, found, covered)
        for sample, transcript, found in zip(dataset.samples, transcripts, told, strict=True)
    )


def _truth(sample: Sample) -> Transcript:
    if sample.truth is None:
        raise ValueError(f"{sample.name} has no truth")
    return sample.truth


def _problems(job_id: str, delivery: SystemRun) -> tuple[str, ...]:
    answer = delivery.answers.get(job_id)
    if answer is None:
        return (delivery.refusals[job_id].code,)
    pages = answer.result.pages if answer.result else ()
    return tuple(problem for page in pages if page.quality for problem in page.quality.problems)


def _models(answers: Sequence[Answer | None]) -> dict[str, Any]:
    used = next((answer.result.models for answer in answers if answer and answer.result), {})
    return {name: model.model_dump() for name, model in used.items()}
