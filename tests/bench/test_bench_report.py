"""The bench report: its keys are a contract, and its page renders whatever was measured."""

import json
from pathlib import Path

import pytest

from worker.adapters.triton.statistics import ModelStatistics
from worker.lab.bench import summary
from worker.lab.bench.contestants import ContestantTurn
from worker.lab.bench.report import BenchRun, figures, page, write_report

KEYS = {
    "systems",
    "configuration",
    "rounds",
    "ratio_vs_rapidocr",
    "ratio_vs_rapidocr_openvino",
    "latin_ratio_vs_rapidocr",
    "latin_ratio_vs_rapidocr_openvino",
    "pipeline_efficiency",
    "latin_pipeline_efficiency",
    "worker_cpu_per_image_over_jpeg_decode",
    "batch_histogram",
}
SYSTEMS = {"labelwire", "labelwire_latin", "rapidocr", "rapidocr_openvino", "bare_models"}
SYSTEM_KEYS = {"images_per_second", "word_f1", "p50_ms", "p95_ms", "peak_rss_mb"}


@pytest.fixture
def run() -> BenchRun:
    batches = {"text_detector": ModelStatistics(8, 4, {2: 4})}
    turns = [
        ContestantTurn(name, number, 8, 4.0 + place, (100.0, 200.0), 5_000_000, 0.8, 0.0, 0.9, batches)
        for number in range(2)
        for place, name in enumerate(summary.SYSTEMS)
    ]
    return BenchRun(turns, 0.01, {"name": "embedded-full-default", "broker": "a <broker>"})


def test_the_keys_are_those_of_the_contract(run: BenchRun) -> None:
    report = figures(run)

    assert set(report) >= KEYS
    assert set(report["systems"]) >= SYSTEMS
    assert all(set(one) == SYSTEM_KEYS for one in report["systems"].values())
    assert report["batch_histogram"] == {"text_detector": {"2": 8}}
    assert report["worker_cpu_per_image_over_jpeg_decode"] == pytest.approx(10)
    assert len(report["rounds"]) == 12


def test_a_bench_of_nothing_has_all_keys_and_a_page() -> None:
    nothing = BenchRun([], 0.0, {})

    report = figures(nothing)

    assert set(report) >= KEYS
    assert report["systems"]["labelwire"] == dict.fromkeys(SYSTEM_KEYS)
    assert "Nobody took part." in page(nothing)


def test_the_report_is_written_as_json_and_page(run: BenchRun, tmp_path: Path) -> None:
    shown = write_report(run, tmp_path)

    assert json.loads((tmp_path / "bench.json").read_text())["ratio_vs_rapidocr"] == pytest.approx(1.5)
    text = shown.read_text()
    assert "1.50 ×" in text  # noqa: RUF001 - the sign of multiplication
    assert "a &lt;broker&gt;" in text
    assert "<svg" in text
