"""What follows a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import Disposition, ErrorCode, JobError
from worker.domain.retry import Delay, GiveUp, RetryPolicy

POLICY = RetryPolicy(initial_seconds=0.5, max_seconds=30)


@pytest.mark.parametrize("code", ErrorCode)
def test_only_permanent_errors_give_up(code: ErrorCode) -> None:
    decision = POLICY.decide(JobError(code, "so"), 10**6, 0.5)
    assert isinstance(decision, GiveUp) == (code.disposition is Disposition.PERMANENT)


@given(st.integers(1, 10**18), st.floats(0, 1, exclude_max=True))
def test_delays_are_never_short_of_half_the_bound_nor_over_it(attempt: int, draw: float) -> None:
    decision = POLICY.decide(JobError(ErrorCode.INFERENCE_UNAVAILABLE, "so"), attempt, draw)
    assert isinstance(decision, Delay)
    bound = min(30, 0.5 * 2.0 ** min(attempt - 1, 30))
    assert bound / 2 <= decision.seconds < bound or decision.seconds == pytest.approx(bound)


def test_delays_double_until_the_longest() -> None:
    error = JobError(ErrorCode.INFERENCE_FAILED, "so")
    decisions = [POLICY.decide(error, attempt, 0.0) for attempt in range(1, 10)]
    assert decisions == [Delay(seconds) for seconds in (0.25, 0.5, 1, 2, 4, 8, 15, 15, 15)]


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_a_stage_and_says_itself(code: ErrorCode) -> None:
    error = JobError(code, "so")
    assert (error.stage, error.disposition, str(code)) == (code.stage, code.disposition, code.name)
