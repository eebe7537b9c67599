"""Fits the curves of the quality score to what was read, and says how well a score foretells it.

The curves are fitted together, by least squares on the share of words read right; a mild pull toward plausible values
keeps a curve in place of which the samples say little. Invariant: the fit sees the samples of its own series alone.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import spearmanr

from worker.lab.evaluation.quality.degradation import Factor
from worker.lab.evaluation.quality.readings import SampleReading
from worker.lab.synth.camera import Degradation
from worker.pipeline.quality.score import CURVES, Curve, Decay, Logistic
from worker.pipeline.quality.text import (
    BLUR_SHARE,
    CONTRAST,
    CONTRAST_TO_NOISE,
    COVERED,
    DETECTION,
    GLARE,
    PAPER,
    TEXT_HEIGHT,
)

Floats = NDArray[np.float64]

WELL_READ: Final = 0.8
BINS: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)
_WHITE_PAPER_LEVEL: Final = 250.0
_PULL: Final = 0.05
_EXPECTED: Final[Mapping[str, Curve]] = {
    TEXT_HEIGHT: Logistic(6.7, 8.0),
    BLUR_SHARE: Logistic(0.13, -8.0),
    CONTRAST: Logistic(10.0, 4.0),
    CONTRAST_TO_NOISE: Logistic(3.0, 4.0),
    GLARE: Decay(2.0),
    COVERED: Decay(2.0),
}
# Dense small print is found with less certainty and read as well; synthetic labels know too little of it.
_HELD: Final = (DETECTION,)


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """What was read of the samples whose scores lie between two: sums over all their words and fields."""

    low: float
    high: float
    samples: int
    score: float
    word_recall: float
    field_exact: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well scores foretell what is read.

    `area` is the share of pairs of a picture read to less than `WELL_READ` and one read better that the score ranks
    rightly; `spearman` the rank correlation with the word recall; `error` the root mean square of the difference.
    """

    samples: int
    area: float
    spearman: float
    error: float
    bins: tuple[ScoreBin, ...]


def seen(readings: Sequence[SampleReading]) -> list[SampleReading]:
    """Leave out what no pixel tells: text was not found at all, or glare on paper that is white already."""
    return [one for one in readings if DETECTION in one.measures and not _is_hidden_glare(one)]


def _is_hidden_glare(reading: SampleReading) -> bool:
    glare = reading.sample.factor is Factor.GLARE or reading.sample.degradation is Degradation.GLARE
    return glare and reading.measures[PAPER] >= _WHITE_PAPER_LEVEL


def fit(readings: Sequence[SampleReading]) -> dict[str, Curve]:
    """Return the curves that foretell the word recall of readings best."""
    usable = seen(readings)
    recalls = np.array([one.word_recall for one in usable])
    expected = _packed(_EXPECTED)

    def loss(packed: Floats) -> float:
        curves = _unpacked(packed)
        scores = np.array([score(one, curves) for one in usable])
        return float(np.sum((scores - recalls) ** 2) + _PULL * np.sum(((packed - expected) / 0.4) ** 2))

    return _unpacked(minimize(loss, expected, method="L-BFGS-B").x)


def score(reading: SampleReading, curves: Mapping[str, Curve] = CURVES) -> float:
    """Return a reading's score by other curves than those that measured it; that of a page without text stays."""
    if DETECTION not in reading.measures:
        return reading.score
    shares = [curve.share(reading.measures[name]) for name, curve in curves.items() if name in reading.measures]
    return float(np.prod(shares))


def agreement(readings: Sequence[SampleReading]) -> Agreement:
    """Compare scores with what was read."""
    scores = np.array([score(one) for one in readings])
    recalls = np.array([one.word_recall for one in readings])
    poor, good = scores[recalls < WELL_READ], scores[recalls >= WELL_READ]
    ranked = (poor[:, None] < good[None, :]).mean() + 0.5 * (poor[:, None] == good[None, :]).mean()
    return Agreement(
        len(readings),
        float(ranked),
        float(spearmanr(scores, recalls)[0]),
        float(np.sqrt(np.mean((scores - recalls) ** 2))),
        tuple(_bins(readings, scores)),
    )


def _bins(readings: Sequence[SampleReading], scores: Floats) -> list[ScoreBin]:
    bins = []
    for low, high in itertools.pairwise(BINS):
        inside = [number for number, value in enumerate(scores) if low <= value < high or (value == high == BINS[-1])]
        members = [readings[number] for number in inside]
        if not members:
            continue
        fields = sum(one.fields_true for one in members)
        bins.append(
            ScoreBin(
                low,
                high,
                len(members),
                float(scores[inside].mean()),
                sum(one.words_right for one in members) / sum(one.words_true for one in members),
                sum(one.fields_exact for one in members) / fields if fields else None,
            )
        )
    return bins


def _packed(curves: Mapping[str, Curve]) -> Floats:
    """Return the curves' figures, all positive, as logarithms."""
    figures: list[float] = []
    for curve in curves.values():
        figures += [curve.middle, abs(curve.steepness)] if isinstance(curve, Logistic) else [curve.rate]
    return np.log(np.array(figures, dtype=np.float64)).astype(np.float64)


def _unpacked(packed: Floats) -> dict[str, Curve]:
    figures = iter(np.exp(packed).tolist())
    curves: dict[str, Curve] = {}
    for name, expected in _EXPECTED.items():
        if isinstance(expected, Logistic):
            curves[name] = Logistic(next(figures), math.copysign(next(figures), expected.steepness))
        else:
            curves[name] = Decay(next(figures))
    return curves | {name: CURVES[name] for name in _HELD}
