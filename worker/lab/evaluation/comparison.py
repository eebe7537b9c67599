"""Is one system better than another, or were these pictures lucky? Paired bootstrap over pictures.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", percentile interval; paired as in Koehn,
"Statistical Significance Tests for Machine Translation Evaluation" (2004). The generator is seeded: the same counts
give the same interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.lab.evaluation.scores import Counts

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two systems' word F1 on the same pictures.

    `low` and `high` bound the middle 95 % of the resampled differences; `share_better` is the share of resamples in
    which the first system is strictly better.
    """

    word_f1: float
    low: float
    high: float
    share_better: float


def word_f1_difference(
    first: Sequence[Counts], second: Sequence[Counts], *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference | None:
    """Return how much better the first system is, None if there is not a word to compare.

    Both sequences hold the counts of the same pictures in the same order; ValueError if their lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} pictures cannot be paired with {len(second)}")
    left, right = _columns(first), _columns(second)
    if not left[:, 1].sum() or not right[:, 1].sum():
        return None
    drawn = np.random.default_rng(seed).integers(0, len(first), size=(resamples, len(first)))
    differences = _f1(left[drawn].sum(axis=1)) - _f1(right[drawn].sum(axis=1))
    low, high = np.percentile(differences, [2.5, 97.5])
    return Difference(
        word_f1=float(_f1(left.sum(axis=0)) - _f1(right.sum(axis=0))),
        low=float(low),
        high=float(high),
        share_better=float(np.mean(differences > 0)),
    )


def _columns(counts: Sequence[Counts]) -> NDArray[np.float64]:
    """Return [pictures, 2]: twice the right words, and the words of truth and reading together."""
    rows = [(2 * one.words_right, one.words_true + one.words_read) for one in counts]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    # A resample of wordless pictures only has nothing wrong either way: 0 on both sides, so no difference.
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] > 0)
