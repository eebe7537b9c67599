"""How long the stages of a picture took: medians and 95th percentiles over pictures.

Invariant: model sets are compared on the pictures that all of them read to the end, stage by stage on those that went
through it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import Stage
from worker.lab.evaluation.comparison import MIDDLE_PERCENT, resampled

TOTAL: Final = "total"
_ORDER: Final = [stage.value for stage in Stage]


@dataclass(frozen=True, slots=True)
class StageTime:
    """The time of a stage over pictures, in milliseconds."""

    median_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Slowdown:
    """How many times as long the median picture takes; `low` and `high` bound the middle 95 % of the resamples."""

    ratio: float
    low: float
    high: float


def stage_times(
    stages_ms: Sequence[Mapping[str, float]], others: Sequence[Mapping[str, float]]
) -> dict[str, StageTime]:
    """Return the time of each stage in the order of the pipeline, and `total` at the end.

    `others` are the stages of the same pictures by the other set; those of the set itself if it is alone. Empty if no
    picture was read by both. The total of a picture is the sum of its stages, some of which run side by side.
    """
    by_stage: dict[str, list[float]] = {}
    for stages, other in zip(stages_ms, others, strict=True):
        if not stages or not other:
            continue
        for stage, milliseconds in stages.items():
            by_stage.setdefault(stage, []).append(milliseconds)
        by_stage.setdefault(TOTAL, []).append(sum(stages.values()))
    return {stage: _time(by_stage[stage]) for stage in in_order(by_stage)}


def in_order(stages: Collection[str]) -> list[str]:
    """Return stages in the order of the pipeline, `total` at the end."""
    return [stage for stage in (*_ORDER, TOTAL) if stage in stages]


def slowdown(stages_ms: Sequence[Mapping[str, float]], others: Sequence[Mapping[str, float]]) -> Slowdown | None:
    """Return how many times as long the median picture took in all as with the other set, None if both read none.

    The interval is that of the paired bootstrap of `evaluation.comparison`.
    """
    both = [
        (sum(stages.values()), sum(other.values()))
        for stages, other in zip(stages_ms, others, strict=True)
        if stages and other
    ]
    if not both:
        return None
    totals = np.array(both)
    ratios = np.concatenate([_median_ratios(totals[drawn]) for drawn in resampled(len(both))])
    low, high = np.percentile(ratios, MIDDLE_PERCENT)
    return Slowdown(float(_median_ratios(totals)), float(low), float(high))


def _median_ratios(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ratio of the medians of [..., pictures, 2] totals."""
    medians = np.median(totals, axis=-2)
    ratios: NDArray[np.float64] = medians[..., 0] / medians[..., 1]
    return ratios


def _time(milliseconds: Sequence[float]) -> StageTime:
    median, p95 = np.percentile(milliseconds, [50, 95])
    return StageTime(float(median), float(p95))
