"""The figures on large pictures are medians over rounds, each beside what its pieces took."""

import json
from pathlib import Path

import pytest

from worker.lab.bench.large import LargePicture, LargeTurn
from worker.lab.bench.large_report import LargeRun, write_report
from worker.lab.evaluation.dataset import Sample
from worker.lab.evaluation.scores import Counts


def turn(seconds: float, pieces_seconds: float, hits: int, peak_rss_bytes: int) -> LargeTurn:
    return LargeTurn(
        name="mosaic",
        seconds=seconds,
        pieces_seconds=pieces_seconds,
        counts=Counts(words_true=10, words_read=10, words_right=hits),
        pieces_counts=Counts(words_true=10, words_read=10, words_right=8),
        stage_seconds={"decode": 1.0, "survey": 0.5, "read": 30.0},
        peak_rss_bytes=peak_rss_bytes,
    )


def test_ratios_are_of_medians_and_memory_is_the_highest(tmp_path: Path) -> None:
    sample = Sample("mosaic", tmp_path / "mosaic.jpg", "0" * 64, width=400, height=300)
    picture = LargePicture("mosaic", "A mosaic", sample, [sample] * 3)
    turns = [turn(2.0, 4.0, 9, 500_000_000), turn(9.0, 3.0, 9, 600_000_000), turn(3.0, 5.0, 9, 400_000_000)]

    page = write_report(LargeRun([picture], turns, {}), tmp_path)

    measured = json.loads((tmp_path / "large.json").read_text())
    figures = measured["pictures"]["mosaic"]
    assert figures["time_ratio"] == 0.75
    assert figures["bound_ratio"] == pytest.approx(3 / 7.5)
    assert (figures["word_recall"], figures["pieces_word_recall"]) == (0.9, 0.8)
    assert figures["peak_rss_mb"] == measured["worker_peak_rss_mb"] == 600.0
    assert [one["bound_seconds"] for one in figures["rounds"]] == [7.5, 6.0, 9.0]
    assert [one["peak_rss_mb"] for one in figures["rounds"]] == [500.0, 600.0, 400.0]
    text = page.read_text()
    assert "<h2>A mosaic, 400 " in text
    assert "0.9000" in text
