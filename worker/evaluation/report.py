"""The eval report: `eval.json` with design's keys, and a page that shows where reading goes wrong."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from worker.evaluation.comparison import Difference, word_f1_difference
from worker.evaluation.dataset import Dataset, Sample
from worker.evaluation.run import Evaluation, SystemReading
from worker.evaluation.scores import Counts, Scores
from worker.evaluation.side_by_side import ComparedPage, compare_page
from worker.evaluation.transcript import corners
from worker.reporting import formats, plots
from worker.reporting.picture import Figure, figure
from worker.reporting.render import render, write

_WORST_SHOWN = 6

_METRICS: Sequence[tuple[str, str, bool]] = (
    ("word_f1", "Word F1", True),
    ("word_precision", "Word precision", True),
    ("word_recall", "Word recall", True),
    ("line_hmean", "Line hmean", True),
    ("detection_hmean", "Detection hmean", True),
    ("cer", "Character error rate", False),
)


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    own: float | None
    other: float | None
    more_is_better: bool

    @property
    def difference(self) -> float | None:
        return None if self.own is None or self.other is None else self.own - self.other

    @property
    def tone(self) -> str:
        """The stylesheet's class for the difference."""
        if not self.difference:
            return ""
        return "better" if (self.difference > 0) == self.more_is_better else "worse"


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    name: str
    lines: int | None
    own: Scores
    other: Scores
    milliseconds: float


@dataclass(frozen=True, slots=True)
class _ShownPage:
    name: str
    anchor: str
    facts: str
    figure: Figure
    compared: ComparedPage


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """Return the content of `eval.json`; what was not measured is None."""
    difference = _difference(evaluation)
    return {
        "images": len(evaluation.dataset.samples),
        **asdict(evaluation.labelwire.scores),
        "configuration": dict(evaluation.configuration),
        "baseline": {"rapidocr": asdict(_anchor_scores(evaluation))},
        "word_f1_difference": asdict(difference) if difference else None,
        "dataset": {
            "name": evaluation.dataset.name,
            "images": [{"name": one.name, "sha256": one.sha256} for one in evaluation.dataset.samples],
        },
        "pictures": [
            {
                "name": row.name,
                "labelwire": asdict(row.own),
                "rapidocr": asdict(row.other),
                "labelwire_ms": round(row.milliseconds, 1),
            }
            for row in _rows(evaluation)
        ],
    }


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write `eval.json`, `eval.html` and what each system read (`eval/<system>.jsonl`), and return the page."""
    write(folder / "eval.json", json.dumps(figures(evaluation), indent=2) + "\n")
    for read in filter(None, (evaluation.labelwire, evaluation.rapidocr)):
        write(folder / "eval" / f"{read.name}.jsonl", "".join(_reading_rows(evaluation.dataset, read)))
    return write(folder / "eval.html", page(evaluation))


def page(evaluation: Evaluation) -> str:
    """Return the page."""
    own, other = evaluation.labelwire, _anchor_scores(evaluation)
    names = (own.title, evaluation.rapidocr.title if evaluation.rapidocr else "RapidOCR")
    rows = list(_rows(evaluation))
    return render(
        "eval",
        kind="evaluation",
        title=_headline(own.scores),
        lead=_lead(evaluation),
        metrics=[
            _Metric(title, getattr(own.scores, name), getattr(other, name), better) for name, title, better in _METRICS
        ],
        names=names,
        difference=_difference(evaluation),
        rows=rows,
        plots=_plots(rows, names),
        worst=list(_worst(evaluation.dataset, own)),
        configuration=json.dumps(evaluation.configuration, indent=2),
    )


def _reading_rows(dataset: Dataset, read: SystemReading) -> Iterator[str]:
    for sample, transcript in zip(dataset.samples, read.transcripts, strict=True):
        lines = [
            {"polygon": corners(line.polygon), "text": line.text, "confidence": line.confidence}
            for line in transcript.lines
        ]
        yield json.dumps({"image": sample.name, "lines": lines}, ensure_ascii=False) + "\n"


def _headline(scores: Scores) -> str:
    if scores.word_f1 is None:
        return "Read, but there is no truth to judge by"
    return f"Word F1 {formats.decimals(scores.word_f1)}"


def _lead(evaluation: Evaluation) -> str:
    count, name = len(evaluation.dataset.samples), evaluation.dataset.name
    way = evaluation.configuration.get("way", "through Kafka and Triton")
    anchor = f" and by {evaluation.rapidocr.title} in the same run" if evaluation.rapidocr else ""
    return (
        f"{count} pictures of {name}, read by the worker {way}{anchor}, judged by the same scorer. "
        f"Configuration {evaluation.configuration.get('name', '')}."
    )


def _anchor_scores(evaluation: Evaluation) -> Scores:
    return evaluation.rapidocr.scores if evaluation.rapidocr else Scores.unmeasured()


def _difference(evaluation: Evaluation) -> Difference | None:
    own, other = evaluation.labelwire.counts, evaluation.rapidocr.counts if evaluation.rapidocr else None
    return None if own is None or other is None else word_f1_difference(own, other)


def _rows(evaluation: Evaluation) -> Iterator[_Row]:
    own, other = evaluation.labelwire, evaluation.rapidocr
    for number, sample in enumerate(evaluation.dataset.samples):
        yield _Row(
            number=number,
            name=sample.name,
            lines=len(sample.truth.lines) if sample.truth else None,
            own=_scores_of(own.counts, number),
            other=_scores_of(other.counts if other else None, number),
            milliseconds=own.milliseconds[number],
        )


def _scores_of(counts: Sequence[Counts] | None, number: int) -> Scores:
    return Scores.unmeasured() if counts is None else Scores.of(counts[number])


def _plots(rows: Sequence[_Row], names: tuple[str, str]) -> Mapping[str, Markup]:
    judged = [row for row in rows if row.own.word_f1 is not None and row.other.word_f1 is not None]
    own = [row.own.word_f1 or 0.0 for row in judged]
    other = [row.other.word_f1 or 0.0 for row in judged]
    labels = [Path(row.name).stem for row in judged]
    return {
        "paired": plots.paired(own, other, names, labels, "word F1"),
        "f1": plots.distribution({names[0]: own, names[1]: other}, "word F1 of a picture"),
        "cer": plots.distribution(
            {
                names[0]: [row.own.cer for row in judged if row.own.cer is not None],
                names[1]: [row.other.cer for row in judged if row.other.cer is not None],
            },
            "character error rate of a picture, lower is better",
        ),
    }


def _worst(dataset: Dataset, own: SystemReading) -> Iterator[_ShownPage]:
    if own.counts is None:
        return
    ranked = sorted(range(len(dataset.samples)), key=lambda number: _badness(own.counts, number))
    for number in ranked[:_WORST_SHOWN]:
        yield _shown(dataset.samples[number], own, number)


def _badness(counts: Sequence[Counts] | None, number: int) -> tuple[float, int]:
    score = _scores_of(counts, number).word_f1
    return (1.0 if score is None else score, number)


def _shown(sample: Sample, own: SystemReading, number: int) -> _ShownPage:
    if sample.truth is None:
        raise ValueError(f"{sample.name} has no truth")
    scores = _scores_of(own.counts, number)
    compared = compare_page(sample.truth, own.transcripts[number])
    return _ShownPage(
        name=sample.name,
        anchor=f"worst-{number}",
        facts=f"word F1 {formats.decimals(scores.word_f1)} · line hmean {formats.decimals(scores.line_hmean)} "
        f"· CER {formats.decimals(scores.cer)}",
        figure=figure(sample.read_bytes(), compared.outlines),
        compared=compared,
    )
