import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.dlq.replay.rate_limit import RateLimit


@given(st.floats(0.5, 5000), st.lists(st.floats(0.001, 1.5), min_size=5, max_size=60))
def test_the_rate_holds_over_any_uneven_steps(rate: float, steps: list[float]) -> None:
    pace, now, sent = RateLimit(rate), 100.0, 0
    assert pace.due(now) == 0

    for step in steps:
        now += step
        due = pace.due(now)
        assert due is not None
        pace.spend(due)
        sent += due
        assert sent == pytest.approx((now - 100) * rate, abs=1 + 1e-6 * sent)


def test_a_long_stall_is_not_made_up_for() -> None:
    pace = RateLimit(100)
    pace.due(0)

    due = pace.due(60) or 0
    assert due == pytest.approx(200, abs=1)
    pace.spend(due)
    assert pace.due(61) == pytest.approx(100, abs=1)


def test_the_next_record_is_told() -> None:
    pace = RateLimit(4)
    pace.due(0)
    pace.spend(1)

    assert pace.next_in(0.1) == pytest.approx(0.4)
    assert pace.next_in(3) == 0


def test_without_a_rate_all_may_go() -> None:
    assert RateLimit(None).due(0) is None
    assert RateLimit(None).next_in(0) == 0
