"""From turns to figures: pure arithmetic.

Every figure of a system is the median over its rounds of that round's figure, except the memory, which is the greatest
peak of all rounds. A ratio is a quotient of two medians; it is None where one of them is not there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import numpy as np

from worker.adapters.triton.statistics import ModelStatistics
from worker.lab.bench.contestants import ContestantTurn
from worker.lab.evaluation.configuration import RAPIDOCR, RAPIDOCR_OPENVINO

LABELWIRE: Final = "labelwire"
LATIN: Final = "labelwire_latin"
BARE: Final = "bare_models"
BARE_LATIN: Final = "bare_models_latin"
SYSTEMS: Final = (LABELWIRE, LATIN, RAPIDOCR, RAPIDOCR_OPENVINO, BARE, BARE_LATIN)

_RATIOS: Final = {
    "ratio_vs_rapidocr": (LABELWIRE, RAPIDOCR),
    "ratio_vs_rapidocr_openvino": (LABELWIRE, RAPIDOCR_OPENVINO),
    "latin_ratio_vs_rapidocr": (LATIN, RAPIDOCR),
    "latin_ratio_vs_rapidocr_openvino": (LATIN, RAPIDOCR_OPENVINO),
    "pipeline_efficiency": (LABELWIRE, BARE),
    "latin_pipeline_efficiency": (LATIN, BARE_LATIN),
}
_MEGABYTE: Final = 1e6


@dataclass(frozen=True, slots=True)
class SystemFigures:
    """One system's figures; None is not measured."""

    images_per_second: float | None = None
    word_f1: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    peak_rss_mb: float | None = None


def system_figures(turns: Sequence[ContestantTurn]) -> SystemFigures:
    """Return the figures of one system's turns."""
    if not turns:
        return SystemFigures()
    scores = [turn.word_f1 for turn in turns if turn.word_f1 is not None]
    return SystemFigures(
        images_per_second=median(turn.images_per_second for turn in turns),
        word_f1=median(scores) if scores else None,
        p50_ms=median(float(np.percentile(turn.milliseconds, 50)) for turn in turns),
        p95_ms=median(float(np.percentile(turn.milliseconds, 95)) for turn in turns),
        peak_rss_mb=max(turn.peak_rss_bytes for turn in turns) / _MEGABYTE,
    )


def by_contestant(turns: Sequence[ContestantTurn]) -> dict[str, list[ContestantTurn]]:
    """Return the turns of each system, in the order of rounds; every system of the report has an entry."""
    return {name: [turn for turn in turns if turn.contestant == name] for name in SYSTEMS}


def ratios(systems: Mapping[str, SystemFigures]) -> dict[str, float | None]:
    """Return the quotients of throughput."""
    return {
        name: _quotient(systems[above].images_per_second, systems[below].images_per_second)
        for name, (above, below) in _RATIOS.items()
    }


def cpu_over_decode(turns: Sequence[ContestantTurn], decode_seconds: float) -> float | None:
    """Return the worker's own CPU time for a picture in units of decoding it."""
    return _quotient(median(turn.cpu_seconds / turn.images for turn in turns) if turns else None, decode_seconds)


def batches(turns: Sequence[ContestantTurn]) -> dict[str, ModelStatistics]:
    """Return Triton's counts for each model over all turns."""
    total: dict[str, ModelStatistics] = {}
    for turn in turns:
        for model, counted in turn.batches.items():
            total[model] = total.get(model, ModelStatistics()).plus(counted)
    return total


def histogram(counts: Mapping[str, ModelStatistics]) -> dict[str, dict[str, int]]:
    """Return the executions by model and batch size, as JSON wants its keys."""
    return {model: {str(size): count for size, count in one.batches.items()} for model, one in sorted(counts.items())}


def merging(counts: Mapping[str, ModelStatistics]) -> dict[str, dict[str, float]]:
    """Return for each model how many requests and how many items an execution had on average.

    More than one request in an execution means that Triton put separate requests together; the detector's are of
    separate pictures always, unless pictures are tiled.
    """
    return {
        model: {
            "requests_per_execution": round(one.requests / one.executions, 3),
            "items_per_execution": round(sum(size * count for size, count in one.batches.items()) / one.executions, 3),
        }
        for model, one in sorted(counts.items())
        if one.executions
    }


def rounds(turns: Sequence[ContestantTurn]) -> list[dict[str, Any]]:
    """Return the raw figures, one entry a turn, in the order in which they ran."""
    return [
        {
            "round": turn.round + 1,
            "system": turn.contestant,
            "images": turn.images,
            "seconds": round(turn.seconds, 3),
            "images_per_second": round(turn.images_per_second, 4),
            "word_f1": turn.word_f1,
            "p50_ms": round(float(np.percentile(turn.milliseconds, 50)), 1),
            "p95_ms": round(float(np.percentile(turn.milliseconds, 95)), 1),
            "peak_rss_mb": round(turn.peak_rss_bytes / _MEGABYTE, 1),
            "cpu_seconds": round(turn.cpu_seconds, 2),
            "others_cpu_seconds": round(turn.others_cpu_seconds, 2),
        }
        for turn in turns
    ]


def _quotient(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None
