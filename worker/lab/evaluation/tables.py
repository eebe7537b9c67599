"""The parts of a set as `eval.json` and the page show them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from markupsafe import Markup

from worker.lab.evaluation.breakdown import Calibration, PictureGroup, by_degradation, by_layout, by_type, calibration
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.fields import FieldCounts, compare_fields
from worker.lab.evaluation.run import MosaicReading, SystemReading
from worker.reporting import plots

_GROUP_SCORES = ("word_f1", "line_hmean", "cer", "field_exact", "field_false_accept", "address_cer", "barcode_recall")


def group_tables(dataset: Dataset, read: SystemReading) -> dict[str, Any]:
    """Return the scores by degradation, layout and type of field, and the calibration."""
    if read.counts is None:
        return {"by_degradation": {}, "by_layout": {}, "by_field": {}, "calibration": None}
    return {
        "by_degradation": {group.name: _group(group) for group in by_degradation(dataset, read)},
        "by_layout": {group.name: _group(group) for group in by_layout(dataset, read)},
        "by_field": {name: _type(counts) for name, counts in by_type(read).items()},
        "calibration": _calibration(calibration(dataset, read)),
    }


def mosaic_table(mosaic: MosaicReading | None) -> dict[str, Any] | None:
    """Return what a mosaic showed."""
    if mosaic is None:
        return None
    return {
        "width": mosaic.width,
        "height": mosaic.height,
        "pieces": len(mosaic.pieces),
        "words": mosaic.counts.words_true,
        "word_recall": mosaic.word_recall,
        "singles_word_recall": mosaic.singles_word_recall,
        "seconds": round(mosaic.milliseconds / 1000, 2),
        "singles_seconds": round(mosaic.singles_milliseconds / 1000, 2),
    }


def field_rows(dataset: Dataset, read: SystemReading) -> Iterator[dict[str, Any]]:
    """Yield each field that is not as it should be: of the truth and not found, or found and not of the truth."""
    if not read.findings:
        return
    covered = dataset.covered_types
    for number, (sample, found) in enumerate(zip(dataset.samples, read.findings, strict=True)):
        if sample.stands.fields is None or not read.passed_gate(number):
            continue
        for row in compare_fields(sample.stands, found, covered):
            if row.kind != "right":
                yield {"image": sample.name, "degradation": sample.degradation, "layout": sample.layout, **asdict(row)}


def _group(group: PictureGroup) -> dict[str, Any]:
    scores = asdict(group.scores)
    told = {name: scores[name] for name in _GROUP_SCORES}
    return {"images": group.images, "admitted": group.admitted, **told, "problems": dict(group.problems)}


def _type(counts: FieldCounts) -> dict[str, Any]:
    return {
        "true": counts.fields_true,
        "accepted": counts.fields_accepted,
        "wrong": counts.fields_wrong,
        "field_exact": counts.exact,
        "field_false_accept": counts.false_accept,
        "address_cer": counts.address_cer,
    }


def _calibration(told: Calibration) -> dict[str, Any]:
    bins: Sequence[tuple[float, float, int]] = list(zip(told.confidence, told.right, told.lines, strict=True))
    return {
        "error": told.error,
        "bins": [{"confidence": sure, "right": right, "lines": count} for sure, right, count in bins],
    }


@dataclass(frozen=True, slots=True)
class PartTables:
    """The same for the page: groups with their plots."""

    degradations: Sequence[PictureGroup]
    layouts: Sequence[PictureGroup]
    types: Mapping[str, FieldCounts]
    calibration_error: float | None
    plots: Mapping[str, Markup]


def part_tables(dataset: Dataset, read: SystemReading) -> PartTables:
    """Return the groups of a set and their plots; empty ones without truth."""
    kinds, layouts = by_degradation(dataset, read), by_layout(dataset, read)
    told = calibration(dataset, read)
    series: dict[str, list[float | None]] = {
        "word F1": [group.scores.word_f1 for group in kinds],
        "fields exact": [group.scores.field_exact for group in kinds],
        "admitted": [group.admitted for group in kinds],
    }
    return PartTables(
        degradations=kinds,
        layouts=layouts,
        types=by_type(read),
        calibration_error=told.error,
        plots={
            "degradations": plots.by_kind([group.name for group in kinds], series, "share of what passed the gate"),
            "calibration": plots.reliability(told.confidence, told.right, told.lines, "a line"),
        },
    )
