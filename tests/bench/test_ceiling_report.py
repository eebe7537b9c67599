"""The ceiling's figures are medians over rounds, and its flatness is that of backlogs and of memory."""

import json
from pathlib import Path

import pytest

from worker.lab.bench.ceiling.measure import CeilingTurn, PictureSet
from worker.lab.bench.ceiling.report import CeilingRun, write_report

MB = 1_000_000


def turn(pictures: str, number: int, jobs: int, cpu_seconds: float, resident: tuple[int, ...]) -> CeilingTurn:
    return CeilingTurn(
        pictures=pictures,
        round=number,
        jobs=jobs,
        seconds=2 * cpu_seconds,
        cpu_seconds=cpu_seconds,
        stub_cpu_seconds=0.1 * cpu_seconds,
        resident_bytes=resident,
    )


def test_costs_are_medians_and_flat_means_all_backlogs(tmp_path: Path) -> None:
    sets = [PictureSet("pictures", "<receipts>", [b"a"], 0.004), PictureSet("labels", "labels", [b"b"], 0.008)]
    steady = tuple([300 * MB] * 10)
    turns = [
        *(turn("pictures", number, 100, cost, steady) for number, cost in enumerate((3.0, 9.0, 4.0))),
        *(turn("labels", number, 100, cost, steady) for number, cost in enumerate((6.0, 5.0, 7.0))),
        turn("pictures", 0, 1000, 44.0, (100 * MB, 100 * MB, *(310 * MB,) * 6, 330 * MB, 330 * MB)),
    ]

    page = write_report(CeilingRun(sets, turns, {}), tmp_path)

    measured = json.loads((tmp_path / "ceiling.json").read_text())
    receipts, labels = measured["pictures"]["pictures"], measured["pictures"]["labels"]
    assert (receipts["cpu_ms"], receipts["cpu_ms_lowest"], receipts["cpu_ms_highest"]) == (40, 30, 90)
    assert (receipts["over_decode"], receipts["pictures_per_core_second"]) == (10, 25)
    assert (labels["over_decode"], labels["over_first_decode"]) == (7.5, 15)
    assert measured["cpu_ms_by_backlog"] == {"100": 40, "1000": 44}
    assert measured["spread_over_backlogs"] == pytest.approx(0.1)
    assert measured["memory_growth_mb"] == 20
    assert [one["recorded_triton_cpu_ms"] for one in measured["rounds"]][:2] == [3, 9]
    assert "&lt;receipts&gt;" in page.read_text()
