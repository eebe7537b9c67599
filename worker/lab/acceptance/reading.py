"""Model sets read the same pictures in turn, one picture at a time.

Invariant: each picture is read by all sets before the next one, and who begins alternates, so that what else the
machine does falls on all alike. Each set reads the first picture once before anything counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.domain.errors import Disposition, ErrorCode
from worker.domain.manifest import ModelManifest, ModelRole
from worker.lab.acceptance.candidate import AcceptanceCandidate
from worker.lab.evaluation.answers import Refusal
from worker.lab.evaluation.dataset import Dataset, Sample
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.offline import read_offline
from worker.lab.evaluation.run import SystemReading, reading
from worker.lab.evaluation.scores import Counts
from worker.lab.evaluation.systems import SystemRun
from worker.runtime.model_client import ModelClient

_PICTURES_FAULT: Final = frozenset(code.value for code in ErrorCode if code.disposition is not Disposition.SYSTEMIC)


@dataclass(frozen=True, slots=True)
class SetReader:
    """A model set that is served now, what its models say of themselves, and the client that reads with them."""

    candidate: AcceptanceCandidate
    manifests: Mapping[ModelRole, ModelManifest]
    client: ModelClient


@dataclass(frozen=True, slots=True)
class SetReading:
    """What a model set read, picture by picture in the order of the dataset.

    `stages_ms` are the milliseconds of each stage, none for a picture that was refused; `refusals` holds None for one
    that was read.
    """

    candidate: AcceptanceCandidate
    manifests: Mapping[ModelRole, ModelManifest]
    read: SystemReading
    counts: tuple[Counts, ...]
    stages_ms: tuple[Mapping[str, float], ...]
    refusals: tuple[Refusal | None, ...]

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """The pictures that were refused, which count as ones of which nothing was read."""
        return tuple(refusal for refusal in self.refusals if refusal is not None)


async def read_in_turn(
    dataset: Dataset, readers: Sequence[SetReader], on_picture: Callable[[], None], timeout_seconds: float
) -> tuple[SetReading, ...]:
    """Have each reader read each picture, with so much time for each try, and score what it read.

    A picture that a reader refuses counts as one of which nothing was read. Raises MeasurementError if a picture cannot
    be opened, or if a server is away or overloaded for all tries; ValueError for a picture without truth.
    """
    runs = [SystemRun(tuple(sample.name for sample in dataset.samples)) for _ in readers]
    for reader in readers:
        await _read(dataset, dataset.samples[0], reader, timeout_seconds)
    for number, sample in enumerate(dataset.samples):
        turns = list(zip(readers, runs, strict=True))
        for reader, run in turns if number % 2 == 0 else reversed(turns):
            picture = await _read(dataset, sample, reader, timeout_seconds)
            for answer in picture.answers.values():
                run.take_answer(answer)
            for refusal in picture.refusals.values():
                run.take_refusal(refusal)
            on_picture()
    return tuple(_scored(dataset, reader, run) for reader, run in zip(readers, runs, strict=True))


async def _read(dataset: Dataset, sample: Sample, reader: SetReader, timeout_seconds: float) -> SystemRun:
    picture = await read_offline(Dataset(dataset.name, (sample,)), reader.client, _nothing, timeout_seconds)
    for refusal in picture.refusals.values():
        if refusal.code not in _PICTURES_FAULT:
            letter = reader.candidate.letter
            raise MeasurementError(f"{letter} did not read {sample.name} ({refusal.code}): {refusal.message}")
    return picture


def _nothing() -> None:
    """Take no note of a single picture: it is counted when its turn is over."""


def _scored(dataset: Dataset, reader: SetReader, run: SystemRun) -> SetReading:
    letter = reader.candidate.letter
    read = reading(letter.lower(), letter, dataset, run)
    if read.counts is None:
        raise ValueError(f"{dataset.name} has pictures without truth")
    names = [sample.name for sample in dataset.samples]
    stages_ms = tuple(run.answers[name].stages if name in run.answers else {} for name in names)
    refusals = tuple(run.refusals.get(name) for name in names)
    return SetReading(reader.candidate, reader.manifests, read, read.counts, stages_ms, refusals)
