"""From the figures of a page to its score: the expected share of text that reads right.

Invariant: the score is a product of one share for each measure, each between 0 and 1 and never falling where the
measure gets better, so that the measure that costs most can be named.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from worker.domain.quality import PageQuality
from worker.pipeline.quality.text import (
    BLUR_SHARE,
    CONTRAST,
    CONTRAST_TO_NOISE,
    COVERED,
    DETECTION,
    GLARE,
    INK,
    PAPER,
    TEXT_HEIGHT,
)

FLAGGED_SHARE: Final = 0.9  # a measure that costs more than a tenth of the text alone is a problem
_DARK_PAPER_LEVEL: Final = 80.0
_PALE_INK_LEVEL: Final = 175.0
_WHITE_PAPER_LEVEL: Final = 250.0
_TINY: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Logistic:
    """The share of text that reads as a logistic curve over the measure's logarithm.

    At `middle` half of it reads; `steepness` is negative where less of the measure is better.
    """

    middle: float
    steepness: float

    def share(self, value: float) -> float:
        """Return the share, 0 to 1."""
        odds = (max(value, _TINY) / self.middle) ** self.steepness
        return odds / (1 + odds) if math.isfinite(odds) else 1.0

    def limit(self, share: float) -> float:
        """Return the value at which that share reads."""
        return float(self.middle * (share / (1 - share)) ** (1 / self.steepness))


@dataclass(frozen=True, slots=True)
class Decay:
    """The share of text that reads where a share of its area is lost: exp(-rate * lost)."""

    rate: float

    def share(self, value: float) -> float:
        """Return the share, 0 to 1."""
        return math.exp(-self.rate * value)

    def limit(self, share: float) -> float:
        """Return the value at which that share reads."""
        return -math.log(share) / self.rate


Curve = Logistic | Decay

# Fitted by `labelwire eval --quality` to the word recall of synthetic labels;
# docs/quality.md tells on which, and how well they hold on others.
CURVES: Final[Mapping[str, Curve]] = {
    TEXT_HEIGHT: Logistic(6.1, 10.4),
    BLUR_SHARE: Logistic(0.128, -6.3),
    CONTRAST: Logistic(7.06, 6.9),
    CONTRAST_TO_NOISE: Logistic(1.97, 1.81),
    DETECTION: Logistic(0.56, 18.0),
    GLARE: Decay(2.74),
    COVERED: Decay(3.17),
}


def scored(figures: Mapping[str, float], floor: float) -> PageQuality:
    """Return the quality that figures mean; under the floor the measure that costs most is a problem in any case."""
    shares = {name: curve.share(figures[name]) for name, curve in CURVES.items() if name in figures}
    score = math.prod(shares.values())
    ranked = sorted(shares, key=lambda name: shares[name])
    problems = [name for name in ranked if shares[name] < FLAGGED_SHARE]
    if score < floor and not problems:
        problems = ranked[:1]
    return PageQuality(score, dict(figures), tuple(_with_exposure(problems, figures)))


def _with_exposure(problems: list[str], figures: Mapping[str, float]) -> list[str]:
    """Name the exposure ahead of the contrast that it cost."""
    faint = [name for name in problems if name in {CONTRAST, CONTRAST_TO_NOISE}]
    cause = _exposure(figures) if faint else None
    if cause is None:
        return problems
    place = problems.index(faint[0])
    return [*problems[:place], cause, *problems[place:]]


def _exposure(figures: Mapping[str, float]) -> str | None:
    if figures[PAPER] < _DARK_PAPER_LEVEL:
        return PAPER
    washed_out = figures[PAPER] >= _WHITE_PAPER_LEVEL and figures[INK] > _PALE_INK_LEVEL
    return INK if washed_out else None


def limit(measure: str) -> float:
    """Return the value of a measure beyond which it is a problem."""
    if measure == PAPER:
        return _DARK_PAPER_LEVEL
    return _PALE_INK_LEVEL if measure == INK else CURVES[measure].limit(FLAGGED_SHARE)
