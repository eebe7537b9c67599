"""Is one system better than another, or were these pictures lucky? Paired bootstrap over pictures.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", percentile interval; paired as in Koehn,
"Statistical Significance Tests for Machine Translation Evaluation" (2004). The generator is seeded: the same counts
give the same interval. All scores are compared on the same resamples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.lab.evaluation.scores import Counts, Score

RESAMPLES: Final = 10_000
MIDDLE_PERCENT: Final = (2.5, 97.5)
_MAX_DRAWN_AT_ONCE: Final = 1 << 20  # pictures, so that a large set takes no more memory than a small one


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two systems' score on the same pictures, the first one's minus the second one's.

    `low` and `high` bound the middle 95 % of the resampled differences; `share_better` is the share of resamples in
    which the first system is strictly better.
    """

    value: float
    low: float
    high: float
    share_better: float

    @property
    def may_be_zero(self) -> bool:
        """Whether the interval contains 0, so that other pictures might show no difference."""
        return self.low <= 0 <= self.high


def differences(
    first: Sequence[Counts], second: Sequence[Counts], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[Score, Difference]:
    """Return how much the first system's scores differ, without those for which one of them has nothing to count.

    Both sequences hold the counts of the same pictures in the same order; ValueError if their lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} pictures cannot be paired with {len(second)}")
    if not first:
        return {}
    left, right = _terms(first), _terms(second)
    drawn = resampled(len(first), resamples=resamples, seed=seed)
    resampled_differences = np.concatenate([_ratios(_sums(left, part)) - _ratios(_sums(right, part)) for part in drawn])
    found = {}
    for column, score in enumerate(Score):
        if not left[:, column, 1].sum() or not right[:, column, 1].sum():
            continue
        own = resampled_differences[:, column]
        low, high = np.percentile(own, MIDDLE_PERCENT)
        found[score] = Difference(
            value=float((_ratios(left.sum(axis=0)) - _ratios(right.sum(axis=0)))[column]),
            low=float(low),
            high=float(high),
            share_better=float(np.mean(own < 0 if score.less_is_better else own > 0)),
        )
    return found


def resampled(
    pictures: int, *, resamples: int = RESAMPLES, seed: int = 0, drawn_at_once: int = _MAX_DRAWN_AT_ONCE
) -> Iterator[NDArray[np.int64]]:
    """Yield numbers of pictures drawn with replacement, int64 [some of the resamples, pictures].

    The resamples do not depend on how many pictures are drawn at once.
    """
    chance = np.random.default_rng(seed)
    rows_at_once = max(1, drawn_at_once // pictures)
    for start in range(0, resamples, rows_at_once):
        yield chance.integers(0, pictures, size=(min(rows_at_once, resamples - start), pictures))


def _terms(counts: Sequence[Counts]) -> NDArray[np.float64]:
    """Return [pictures, scores, 2]: numerator and denominator of each score."""
    return np.array([[score.terms(one) for score in Score] for one in counts], dtype=np.float64)


def _sums(terms: NDArray[np.float64], drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums over each row of drawn pictures, float64 [rows, scores, 2]."""
    # How often each picture was drawn, times its counts: no copy of the counts for each draw.
    rows, pictures = drawn.shape
    flat = drawn + np.arange(rows)[:, None] * pictures
    times = np.bincount(flat.ravel(), minlength=rows * pictures).reshape(rows, pictures)
    sums: NDArray[np.float64] = np.tensordot(times.astype(np.float64), terms, axes=1)
    return sums


def _ratios(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    # A resample without a word has nothing wrong either way: 0 on both sides, so no difference.
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] > 0)
