"""The eval report: `eval.json` with design's keys, and a page that shows where reading goes wrong."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from worker.lab.evaluation.breakdown import admitted_share
from worker.lab.evaluation.comparison import Difference, differences
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.run import Evaluation, SystemReading
from worker.lab.evaluation.scores import Score, Scores
from worker.lab.evaluation.tables import field_rows, group_tables, mosaic_table, part_tables
from worker.lab.evaluation.transcript import corners
from worker.lab.evaluation.worst import scores_of, worst_pages
from worker.reporting import formats, plots
from worker.reporting.render import render, write

_METRICS: Sequence[tuple[str, str, bool]] = (
    ("word_f1", "Word F1", True),
    ("word_precision", "Word precision", True),
    ("word_recall", "Word recall", True),
    ("line_hmean", "Line hmean", True),
    ("detection_hmean", "Detection hmean", True),
    ("cer", "Character error rate", False),
    ("field_exact", "Fields exact", True),
    ("field_false_accept", "Fields falsely accepted", False),
    ("address_cer", "Character error rate of addresses", False),
    ("barcode_recall", "Barcodes found", True),
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
class _PictureRow:
    number: int
    name: str
    lines: int | None
    own: Scores
    other: Scores
    milliseconds: float


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """Return the content of `eval.json`; what was not measured is None."""
    difference = _difference(evaluation)
    return {
        "images": len(evaluation.dataset.samples),
        **asdict(evaluation.labelwire.scores),
        "configuration": dict(evaluation.configuration),
        "baseline": {"rapidocr": asdict(_anchor_scores(evaluation))},
        "word_f1_difference": _told(difference) if difference else None,
        "admitted": admitted_share(evaluation.labelwire),
        **group_tables(evaluation.dataset, evaluation.labelwire),
        "mosaic": mosaic_table(evaluation.mosaic),
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
    """Write `eval.json` and `eval.html`, and return the latter.

    Beside them go what each system read (`eval/<system>.jsonl`) and the fields that are not as they should be
    (`eval/fields.jsonl`).
    """
    write(folder / "eval.json", json.dumps(figures(evaluation), indent=2) + "\n")
    for read in filter(None, (evaluation.labelwire, evaluation.rapidocr)):
        write(folder / "eval" / f"{read.name}.jsonl", "".join(_reading_rows(evaluation.dataset, read)))
    misses = (json.dumps(row, ensure_ascii=False) for row in field_rows(evaluation.dataset, evaluation.labelwire))
    write(folder / "eval" / "fields.jsonl", "".join(f"{row}\n" for row in misses))
    return write(folder / "eval.html", page(evaluation))


def page(evaluation: Evaluation) -> str:
    """Return the page."""
    dataset, own, other = evaluation.dataset, evaluation.labelwire, _anchor_scores(evaluation)
    names = (own.title, evaluation.rapidocr.title if evaluation.rapidocr else None)
    rows = list(_rows(evaluation))
    return render(
        "eval",
        kind="evaluation",
        title=_headline(own.scores),
        lead=_lead(evaluation),
        scores=own.scores,
        admitted=admitted_share(own),
        gated=not all(own.passed_gate(number) for number in range(len(rows))),
        metrics=[
            _Metric(title, getattr(own.scores, name), getattr(other, name), better) for name, title, better in _METRICS
        ],
        names=names,
        difference=_difference(evaluation),
        rows=rows,
        plots=_plots(rows, names),
        parts=part_tables(dataset, own),
        mosaic=evaluation.mosaic,
        worst=list(worst_pages(dataset, own)),
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
    return None if own is None or other is None else differences(own, other).get(Score.WORD_F1)


def _told(difference: Difference) -> dict[str, float]:
    told = asdict(difference)
    return {"word_f1": told.pop("value"), **told}


def _rows(evaluation: Evaluation) -> Iterator[_PictureRow]:
    own, other = evaluation.labelwire, evaluation.rapidocr
    for number, sample in enumerate(evaluation.dataset.samples):
        yield _PictureRow(
            number=number,
            name=sample.name,
            lines=len(sample.truth.lines) if sample.truth else None,
            own=scores_of(own.counts, number),
            other=scores_of(other.counts if other else None, number),
            milliseconds=own.milliseconds[number],
        )


def _plots(rows: Sequence[_PictureRow], names: tuple[str, str | None]) -> Mapping[str, Markup]:
    if names[1] is None:
        return {}
    both = names[0], names[1]
    judged = [row for row in rows if row.own.word_f1 is not None and row.other.word_f1 is not None]
    own = [row.own.word_f1 or 0.0 for row in judged]
    other = [row.other.word_f1 or 0.0 for row in judged]
    labels = [Path(row.name).stem for row in judged]
    return {
        "paired": plots.paired(own, other, both, labels, "word F1"),
        "f1": plots.distribution({both[0]: own, both[1]: other}, "word F1 of a picture"),
        "cer": plots.distribution(
            {
                both[0]: [row.own.cer for row in judged if row.own.cer is not None],
                both[1]: [row.other.cer for row in judged if row.other.cer is not None],
            },
            "character error rate of a picture, lower is better",
        ),
    }
