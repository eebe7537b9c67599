"""Times of stages over pictures."""

import pytest

from worker.lab.acceptance.stage_times import Slowdown, StageTime, slowdown, stage_times


def test_stages_come_in_the_order_of_the_pipeline_with_the_total_at_the_end() -> None:
    pictures = [{"read": 30.0, "detect": 10.0}, {"read": 50.0, "detect": 10.0, "survey": 2.0}]

    times = stage_times(pictures, pictures)

    assert list(times) == ["survey", "detect", "read", "total"]
    assert times["detect"] == StageTime(10.0, 10.0)
    assert times["survey"] == StageTime(2.0, 2.0)
    assert times["total"].median_ms == pytest.approx((40 + 62) / 2)
    assert times["read"].p95_ms == pytest.approx(49.0)


def test_a_picture_that_one_of_them_refused_counts_for_neither() -> None:
    a, b = [{"read": 10.0}, {"read": 1000.0}], [{"read": 20.0}, {}]

    assert stage_times(a, b)["read"].median_ms == 10.0
    assert slowdown(a, b) == Slowdown(0.5, 0.5, 0.5)
    assert stage_times(a, [{}, {}]) == {}
    assert slowdown(a, [{}, {}]) is None


def test_the_slowdown_is_a_ratio_of_medians_with_an_interval() -> None:
    a = [{"read": 10.0}, {"read": 20.0}, {"read": 90.0}]
    b = [{"read": 10.0}, {"read": 10.0}, {"read": 10.0}]

    found = slowdown(a, b)

    assert found is not None
    assert (found.ratio, found.low, found.high) == (2.0, 1.0, 9.0)
