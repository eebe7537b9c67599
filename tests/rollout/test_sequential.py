import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.rollout.sequential import log_wealth, threshold

COUNTS = st.dictionaries(st.floats(0, 1), st.integers(0, 500), max_size=6)


@given(COUNTS, COUNTS, st.floats(0.001, 0.9))
def test_what_two_workers_saw_counts_like_what_one_saw(
    one: dict[float, int], other: dict[float, int], limit: float
) -> None:
    both = {value: one.get(value, 0) + other.get(value, 0) for value in one.keys() | other.keys()}
    apart: dict[float, int] = {}
    for counts in (other, one):
        for value, count in counts.items():
            apart[value] = apart.get(value, 0) + count

    assert math.isclose(log_wealth(both, limit), log_wealth(apart, limit), rel_tol=1e-9, abs_tol=1e-9)


@given(st.floats(0.001, 0.5), st.integers(0, 200), st.integers(0, 200))
def test_one_more_bad_observation_never_speaks_for_the_candidate(limit: float, bad: int, good: int) -> None:
    assert log_wealth({1.0: bad + 1, 0.0: good}, limit) > log_wealth({1.0: bad, 0.0: good}, limit)


@pytest.mark.parametrize("limit", [0.005, 0.02, 0.1])
def test_at_its_limit_a_candidate_is_seldom_found_worse_however_often_one_looks(limit: float) -> None:
    chance, alarms, runs = np.random.default_rng(7), 0, 400
    for _ in range(runs):
        bad = 0
        for number in range(1, 601):
            bad += chance.random() < limit
            if log_wealth({1.0: bad, 0.0: number - bad}, limit) >= threshold(0.01):
                alarms += 1
                break

    assert alarms <= 0.03 * runs  # 1 % by the theorem, and what chance adds to that in 400 runs


@pytest.mark.parametrize(("rate", "limit", "least"), [(0.05, 0.005, 0.85), (0.1, 0.01, 0.97), (0.3, 0.02, 0.99)])
def test_a_bad_candidate_is_found_within_200_jobs(rate: float, limit: float, least: float) -> None:
    chance, found, runs = np.random.default_rng(8), 0, 300
    for _ in range(runs):
        bad = 0
        for number in range(1, 201):
            bad += chance.random() < rate
            if log_wealth({1.0: bad, 0.0: number - bad}, limit) >= threshold(0.01):
                found += 1
                break

    assert found >= least * runs


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.1, math.nan])
def test_a_limit_that_no_mean_can_pass_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        log_wealth({0.0: 1}, limit)


@pytest.mark.parametrize("counts", [{1.5: 1}, {-0.5: 1}, {0.5: -1}])
def test_what_cannot_be_observed_is_refused(counts: dict[float, int]) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        log_wealth(counts, 0.1)
