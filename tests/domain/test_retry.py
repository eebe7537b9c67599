"""What follows a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import Disposition, ErrorCode, JobError
from worker.domain.headers import DerivedHeaders
from worker.domain.records import Coordinate, Record
from worker.domain.retry import GiveUp, RetryInPlace, RetryOnTopic, RetryPolicy, retry_record

DELAYS = (5.0, 60.0, 600.0)
POLICY = RetryPolicy(0.5, 30, DELAYS)
MAYBE_AT_FAULT = JobError(ErrorCode.INFERENCE_FAILED, "so")
INNOCENT = JobError(ErrorCode.INFERENCE_UNAVAILABLE, "so")


@pytest.mark.parametrize("code", ErrorCode)
@pytest.mark.parametrize("attempt", [1, 10**6])
def test_only_permanent_errors_give_up_at_once_and_systemic_ones_never(code: ErrorCode, attempt: int) -> None:
    decision = POLICY.decide(JobError(code, "so"), attempt, 0.5)
    late = attempt > len(DELAYS) and code.disposition is Disposition.RETRY
    assert isinstance(decision, GiveUp) == (late or code.disposition is Disposition.PERMANENT)
    assert isinstance(decision, RetryInPlace) == (code.disposition is Disposition.SYSTEMIC)


def test_a_job_that_may_be_at_fault_goes_through_one_topic_for_each_delay() -> None:
    decisions = [POLICY.decide(MAYBE_AT_FAULT, attempt, 0.0) for attempt in range(1, 5)]
    assert decisions == [*(RetryOnTopic(level, seconds) for level, seconds in enumerate(DELAYS, 1)), GiveUp()]


def test_where_all_jobs_fail_one_is_not_given_up() -> None:
    decisions = {POLICY.decide(MAYBE_AT_FAULT, attempt, 0.0, others_fail=True) for attempt in range(3, 7)}
    assert decisions == {RetryOnTopic(3, 600.0)}
    assert POLICY.decide(MAYBE_AT_FAULT, 7, 0.0, others_fail=True) == GiveUp(), "not for ever"


def test_where_keys_are_in_order_the_delays_are_waited_in_place() -> None:
    policy = RetryPolicy(0.5, 30, DELAYS, in_place=True)
    decisions = [policy.decide(MAYBE_AT_FAULT, attempt, 0.0) for attempt in range(1, 5)]
    assert decisions == [*(RetryInPlace(seconds) for seconds in DELAYS), GiveUp()]


@given(st.integers(1, 6), st.floats(0, 1, exclude_max=True))
def test_a_topic_stays_nearly_in_due_order(attempt: int, draw: float) -> None:
    decision = POLICY.decide(MAYBE_AT_FAULT, attempt, draw, others_fail=True)
    assert isinstance(decision, RetryOnTopic)
    delay = DELAYS[decision.level - 1]
    assert delay <= decision.seconds <= 1.1 * delay


@given(st.integers(1, 10**18), st.floats(0, 1, exclude_max=True))
def test_delays_are_never_short_of_half_the_bound_nor_over_it(attempt: int, draw: float) -> None:
    decision = POLICY.decide(JobError(ErrorCode.INFERENCE_UNAVAILABLE, "so"), attempt, draw)
    assert isinstance(decision, RetryInPlace)
    bound = min(30, 0.5 * 2.0 ** min(attempt - 1, 30))
    assert bound / 2 <= decision.seconds < bound or decision.seconds == pytest.approx(bound)


def test_delays_double_until_the_longest() -> None:
    decisions = [POLICY.decide(INNOCENT, failures, 0.0) for failures in range(1, 10)]
    assert decisions == [RetryInPlace(seconds) for seconds in (0.25, 0.5, 1, 2, 4, 8, 15, 15, 15)]


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_a_stage_and_says_itself(code: ErrorCode) -> None:
    error = JobError(code, "so")
    assert (error.stage, error.disposition, str(code)) == (code.stage, code.disposition, code.name)


def test_a_retry_keeps_the_record_and_says_where_it_stands() -> None:
    received = Record(Coordinate("jobs", 2, 9), b"key", b"\xffpicture", (("trace", b"\xfe"), ("trace", b"2")), 5)
    written = retry_record(received, "jobs.retry.1", job_id="j", attempt=1, due_at_ms=77, first_failed_at_ms=70)
    assert (written.topic, written.key, written.value) == ("jobs.retry.1", received.key, received.value)
    assert written.headers[:2] == received.headers
    again = DerivedHeaders.of(Record(Coordinate("jobs.retry.1", 0, 0), written.key, written.value, written.headers, 6))
    assert (again.job_id, again.attempt, again.due_at_ms, again.first_failed_at_ms) == ("j", 1, 77, 70)
    assert again.origin == received.coordinate
    assert again.origin_timestamp_ms == 5
