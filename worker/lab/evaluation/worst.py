"""The pictures that were read worst, with truth and reading side by side.

Pictures that did not pass the quality gate are not among them: nobody claims that they can be read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.fields import UNTOLD, ComparedField, compare_fields
from worker.lab.evaluation.run import SystemReading
from worker.lab.evaluation.scores import Counts, Scores
from worker.lab.evaluation.side_by_side import ComparedPage, compare_page
from worker.reporting import formats
from worker.reporting.picture import Figure, figure

_SHOWN = 8
_LONG_SIDE_PIXELS = 900


@dataclass(frozen=True, slots=True)
class ShownPage:
    """A picture as the page shows it."""

    name: str
    anchor: str
    facts: str
    figure: Figure
    compared: ComparedPage
    fields: tuple[ComparedField, ...]


def worst_pages(dataset: Dataset, own: SystemReading) -> Iterator[ShownPage]:
    """Yield the worst pictures, by the mean of word F1 and exact fields, the worst first; none without truth."""
    if own.counts is None:
        return
    passed = [number for number in range(len(dataset.samples)) if own.passed_gate(number)]
    covered = dataset.covered_types
    for number in sorted(passed, key=lambda number: (_goodness(own.counts, number), number))[:_SHOWN]:
        yield shown_page(dataset, own, number, covered)


def scores_of(counts: Sequence[Counts] | None, number: int) -> Scores:
    """Return the scores of one picture, unmeasured without counts."""
    return Scores.unmeasured() if counts is None else Scores.of(counts[number])


def _goodness(counts: Sequence[Counts] | None, number: int) -> float:
    scores = scores_of(counts, number)
    told = [score for score in (scores.word_f1, scores.field_exact) if score is not None]
    return sum(told) / len(told) if told else 1.0


def shown_page(dataset: Dataset, own: SystemReading, number: int, covered: frozenset[str]) -> ShownPage:
    """Return a picture with what a system read of it; `covered` are the types of field that the set's truth knows of.

    Raises ValueError for a picture without truth.
    """
    sample, scores = dataset.samples[number], scores_of(own.counts, number)
    if sample.truth is None:
        raise ValueError(f"{sample.name} has no truth")
    compared = compare_page(sample.truth, own.transcripts[number])
    words = [word for word in (sample.layout, sample.degradation) if word]
    facts = (
        ("word F1", scores.word_f1),
        ("line hmean", scores.line_hmean),
        ("CER", scores.cer),
        ("fields exact", scores.field_exact),
    )
    told = [f"{name} {formats.decimals(score)}" for name, score in facts if score is not None]
    found = own.findings[number] if own.findings else UNTOLD
    return ShownPage(
        name=sample.name,
        anchor=f"worst-{number}",
        facts=" · ".join([*words, *told]),
        figure=figure(sample.read_bytes(), compared.outlines, _LONG_SIDE_PIXELS),
        compared=compared,
        fields=compare_fields(sample.stands, found, covered),
    )
