"""From turns to figures: pure arithmetic.

Every figure of a system is the median over its rounds of that round's figure, except memory, which is the greatest peak
of all rounds. A ratio is computed in each round, where both systems had the same minute of the machine, and then
summarized over the rounds; it is None where no round has both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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

RATIOS: Final = {
    "ratio_vs_rapidocr": (LABELWIRE, RAPIDOCR),
    "ratio_vs_rapidocr_openvino": (LABELWIRE, RAPIDOCR_OPENVINO),
    "latin_ratio_vs_rapidocr": (LATIN, RAPIDOCR),
    "latin_ratio_vs_rapidocr_openvino": (LATIN, RAPIDOCR_OPENVINO),
    "pipeline_efficiency": (LABELWIRE, BARE),
    "latin_pipeline_efficiency": (LATIN, BARE_LATIN),
}
_MEGABYTE: Final = 1e6
_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class RoundSpread:
    """The median of a figure over the rounds, with the least and the greatest round."""

    median: float
    min: float
    max: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "RoundSpread | None":
        """Return the spread of a figure's rounds, None without any."""
        known = sorted(values)
        return cls(median(known), known[0], known[-1], len(known)) if known else None


@dataclass(frozen=True, slots=True)
class SystemFigures:
    """One system's figures; None is not measured.

    `cpu_ms_per_image` and `peak_rss_mb_by_process` are by name of process; `harness_cpu_ms_per_image` is what the bench
    itself took of the cores meanwhile.
    """

    images_per_second: float | None = None
    images_per_second_spread: RoundSpread | None = None
    word_f1: float | None = None
    barcode_recall: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    peak_rss_mb: float | None = None
    harness_cpu_ms_per_image: float | None = None
    cpu_ms_per_image: Mapping[str, float] = field(default_factory=dict)
    peak_rss_mb_by_process: Mapping[str, float] = field(default_factory=dict)


def system_figures(turns: Sequence[ContestantTurn]) -> SystemFigures:
    """Return the figures of one system's turns."""
    if not turns:
        return SystemFigures()
    throughput = RoundSpread.of(turn.images_per_second for turn in turns)
    names = list(dict.fromkeys(name for turn in turns for name in turn.processes))
    uses = {name: [(turn.processes[name], turn.images) for turn in turns if name in turn.processes] for name in names}
    return SystemFigures(
        images_per_second=throughput.median if throughput else None,
        images_per_second_spread=throughput,
        word_f1=_median_known(turn.word_f1 for turn in turns),
        barcode_recall=_median_known(turn.barcode_recall for turn in turns),
        p50_ms=median(float(np.percentile(turn.milliseconds, 50)) for turn in turns),
        p95_ms=median(float(np.percentile(turn.milliseconds, 95)) for turn in turns),
        peak_rss_mb=max(turn.peak_rss_bytes for turn in turns) / _MEGABYTE,
        harness_cpu_ms_per_image=median(turn.harness_cpu_seconds / turn.images for turn in turns) * _MILLISECONDS,
        cpu_ms_per_image={
            name: median(use.cpu_seconds / images for use, images in own) * _MILLISECONDS for name, own in uses.items()
        },
        peak_rss_mb_by_process={
            name: max(use.peak_rss_bytes for use, _ in own) / _MEGABYTE for name, own in uses.items()
        },
    )


def by_contestant(turns: Sequence[ContestantTurn]) -> dict[str, list[ContestantTurn]]:
    """Return the turns of each system, in the order of rounds; every system of the report has an entry."""
    return {name: [turn for turn in turns if turn.contestant == name] for name in SYSTEMS}


def ratios(turns: Mapping[str, Sequence[ContestantTurn]]) -> dict[str, RoundSpread | None]:
    """Return the quotients of throughput; `turns` are those of each system."""
    return {name: _round_by_round(turns[above], turns[below]) for name, (above, below) in RATIOS.items()}


def worker_cpu_ms(turns: Sequence[ContestantTurn]) -> RoundSpread | None:
    """Return the CPU milliseconds of the system's own process for a picture."""
    return RoundSpread.of(turn.cpu_seconds / turn.images * _MILLISECONDS for turn in turns)


def cpu_over_decode(turns: Sequence[ContestantTurn], decode_seconds: float) -> float | None:
    """Return the worker's own CPU time for a picture in units of decoding it."""
    own = worker_cpu_ms(turns)
    return own.median / (decode_seconds * _MILLISECONDS) if own and decode_seconds else None


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
            "barcode_recall": turn.barcode_recall,
            "cpu_seconds": round(turn.cpu_seconds, 2),
            "others_cpu_seconds": round(turn.others_cpu_seconds, 2),
            "harness_cpu_seconds": round(turn.harness_cpu_seconds, 2),
            "processes": {
                name: {
                    "cpu_seconds": round(use.cpu_seconds, 2),
                    "peak_rss_mb": round(use.peak_rss_bytes / _MEGABYTE, 1),
                }
                for name, use in turn.processes.items()
            },
        }
        for turn in turns
    ]


def _round_by_round(above: Sequence[ContestantTurn], below: Sequence[ContestantTurn]) -> RoundSpread | None:
    slower = {turn.round: turn.images_per_second for turn in below}
    return RoundSpread.of(turn.images_per_second / slower[turn.round] for turn in above if turn.round in slower)


def _median_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
