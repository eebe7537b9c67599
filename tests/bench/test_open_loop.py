"""Arrivals are seeded and mixed as said; the report compares the same arrivals with and without others."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lab.bench.open_loop import OpenLoopTurn, PictureKind, arrivals, only_small, percentile
from worker.lab.bench.open_loop_report import OpenLoopRun, write_report


@given(st.integers(0, 2**32), st.floats(1, 20), st.floats(30, 120))
def test_arrivals_are_of_the_asked_shares_and_the_same_for_a_seed(seed: int, rate: float, seconds: float) -> None:
    jobs = arrivals(seed, rate, seconds)
    assert jobs == arrivals(seed, rate, seconds)
    times = [job.at_seconds for job in jobs]
    assert times == sorted(times)
    assert all(0 < at < seconds for at in times)
    kinds = [job.kind for job in jobs]
    assert len(jobs) * 0.05 <= kinds.count(PictureKind.LARGE) < len(jobs) * 0.05 + 1
    assert len(jobs) * 0.02 <= kinds.count(PictureKind.UNDECODABLE) < len(jobs) * 0.02 + 1
    alone = only_small(jobs)
    assert [job.at_seconds for job in alone] == times
    assert {job.kind for job in alone} <= {PictureKind.SMALL}


def test_arrivals_come_at_the_rate_on_average() -> None:
    counts = [len(arrivals(seed, 5, 100)) for seed in range(50)]
    assert sum(counts) / len(counts) == pytest.approx(500, rel=0.05)


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(number) for number in range(1, 21)]
    assert [percentile(values, share) for share in (0.05, 0.5, 0.95, 1.0)] == [1, 10, 19, 20]
    assert percentile([7.0], 0.95) == 7


def test_the_ratio_is_of_medians_over_the_rounds(tmp_path: Path) -> None:
    turns = []
    for alone, mixed in ((0.1, 0.12), (0.2, 0.9), (0.3, 0.3)):
        turns.append(
            OpenLoopTurn(False, {PictureKind.SMALL: [alone], PictureKind.LARGE: [], PictureKind.UNDECODABLE: []})
        )
        turns.append(
            OpenLoopTurn(True, {PictureKind.SMALL: [mixed], PictureKind.LARGE: [4.0], PictureKind.UNDECODABLE: [0.01]})
        )
    page = write_report(OpenLoopRun(5.0, 2.5, turns, {}), tmp_path)
    measured = json.loads((tmp_path / "open_loop.json").read_text())
    assert measured["p95_ratio"] == 1.5
    assert measured["small_alone_p95_ms"] == 200
    assert [turn["mixed"] for turn in measured["rounds"]] == [False, True] * 3
    assert measured["rounds"][0]["large"] is None
    assert "1.5" in page.read_text()
