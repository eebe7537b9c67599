"""The report of a calibration: `quality.json`, and a page with the score's curve against what was read."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from worker.domain.errors import LabelwireError
from worker.lab.evaluation.quality.fit import Agreement, agreement, fit, score
from worker.lab.evaluation.quality.readings import SampleReading
from worker.pipeline.quality.score import CURVES, Curve, Logistic, limit
from worker.reporting import quality_plots
from worker.reporting.render import render, write

_FLOORS: Final = tuple(number / 50 for number in range(51))


@dataclass(frozen=True, slots=True)
class DefectGroup:
    """What was read of labels with the same thing wrong, and of those over the floor."""

    kind: str
    samples: int
    score: float
    word_recall: float
    field_exact: float | None
    admitted: float
    admitted_field_exact: float | None


@dataclass(frozen=True, slots=True)
class CurveFit:
    """How well the curves in use agree with readings, on the samples that they were fitted on and on others."""

    fitted: Agreement
    check: Agreement
    curves: Mapping[str, Curve]
    kinds: tuple[DefectGroup, ...]
    floor: float


def calibrate(readings: Sequence[SampleReading], floor: float) -> CurveFit:
    """Compare readings with their scores, fit the curves anew, and say what a floor would do."""
    fitted_on = [one for one in readings if one.sample.fitted]
    others = [one for one in readings if not one.sample.fitted]
    kinds: dict[str, list[SampleReading]] = defaultdict(list)
    for one in readings:
        by = "by amount" if one.sample.factor else "photographed"
        kinds[f"{one.sample.kind.replace('_', '-')}, {by}"].append(one)
    return CurveFit(
        agreement(fitted_on),
        agreement(others),
        fit(fitted_on),
        tuple(_kind(name, members, floor) for name, members in sorted(kinds.items())),
        floor,
    )


def write_report(readings: Sequence[SampleReading], floor: float, folder: Path) -> Path:
    """Write `quality.json` and `quality.html`, and return the page.

    Raises LabelwireError if a series has no readings.
    """
    if {one.sample.fitted for one in readings} != {True, False}:
        raise LabelwireError("There are not enough readings to fit on and to check on; have labels read with --url.")
    calibration = calibrate(readings, floor)
    write(folder / "quality.json", json.dumps(asdict(calibration), indent=2) + "\n")
    return write(folder / "quality.html", _page(readings, calibration))


def _page(readings: Sequence[SampleReading], calibration: CurveFit) -> str:
    check = calibration.check
    return render(
        "quality",
        kind="quality",
        title=f"The score ranks {100 * check.area:.1f} % of the pairs right",
        lead=f"{len(readings)} synthetic labels from clean to hopeless, read once; the curves were fitted on "
        f"{calibration.fitted.samples} of them and are judged on the other {check.samples}.",
        check=check,
        fitted=calibration.fitted,
        kinds=calibration.kinds,
        floor=calibration.floor,
        curves=[_curve_row(name, calibration.curves[name]) for name in CURVES],
        plots=_plots([one for one in readings if not one.sample.fitted], calibration),
    )


def _plots(others: Sequence[SampleReading], calibration: CurveFit) -> Mapping[str, Markup]:
    check = calibration.check
    scores = [score(one) for one in others]
    told = [part for part in check.bins if part.field_exact is not None]
    curves = {
        "word recall": ([part.score for part in check.bins], [part.word_recall for part in check.bins]),
        "fields exact": ([part.score for part in told], [part.field_exact or 0.0 for part in told]),
    }
    admitted = [[one for one, value in zip(others, scores, strict=True) if value >= floor] for floor in _FLOORS]
    return {
        "reliability": quality_plots.reliability(
            (scores, [one.word_recall for one in others]), curves, "share read right"
        ),
        "admission": quality_plots.admission(
            _FLOORS,
            {
                "labels admitted": [len(members) / len(others) for members in admitted],
                "fields exact of these": [_field_exact(members) for members in admitted],
            },
            calibration.floor,
        ),
    }


def _kind(name: str, members: Sequence[SampleReading], floor: float) -> DefectGroup:
    scores = [score(one) for one in members]
    admitted = [one for one, value in zip(members, scores, strict=True) if value >= floor]
    return DefectGroup(
        name,
        len(members),
        sum(scores) / len(scores),
        sum(one.words_right for one in members) / sum(one.words_true for one in members),
        _field_exact(members),
        len(admitted) / len(members),
        _field_exact(admitted),
    )


def _field_exact(members: Sequence[SampleReading]) -> float | None:
    fields = sum(one.fields_true for one in members)
    return sum(one.fields_exact for one in members) / fields if fields else None


def _curve_row(name: str, fitted: Curve) -> dict[str, Any]:
    return {"measure": name, "used": _figures(CURVES[name]), "fitted": _figures(fitted), "limit": limit(name)}


def _figures(curve: Curve) -> str:
    if isinstance(curve, Logistic):
        return f"middle {curve.middle:.3g}, steepness {curve.steepness:.3g}"
    return f"rate {curve.rate:.3g}"
