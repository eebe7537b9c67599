"""A bench's time by a clock that the test moves."""

import pytest

from worker.lab.bench.gpu.budget import BudgetError, TimeBudget


class HandClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_is_spent_until_none_is_left() -> None:
    clock = HandClock()
    budget = TimeBudget(480, clock)

    clock.now += 470
    assert (budget.spent, budget.left) == (470, 10)
    budget.require(10, "a turn")
    clock.now += 20
    assert (budget.spent, budget.left) == (490, 0)


def test_what_does_not_fit_is_refused_with_a_sentence() -> None:
    clock = HandClock()
    budget = TimeBudget(480, clock)
    clock.now += 468

    with pytest.raises(BudgetError, match=r"^a turn of int8 needs 20 s, and 12 s of 480 s are left: build the"):
        budget.require(20, "a turn of int8")
