"""The bench report: its keys are a contract, and its page renders whatever was measured."""

import json
from pathlib import Path

import pytest

from worker.adapters.triton.statistics import ModelStatistics
from worker.lab.bench import summary
from worker.lab.bench.contestants import ContestantTurn
from worker.lab.bench.report import BenchRun, figures, page, write_report
from worker.lab.bench.resources import ProcessUse

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
    "worker_cpu_ms_per_image",
    "decode_ms",
    "ratio_spread",
    "batch_histogram",
}
SYSTEMS = {"labelwire", "labelwire_latin", "rapidocr", "rapidocr_openvino", "bare_models"}
SYSTEM_KEYS = {
    *("images_per_second", "images_per_second_spread", "word_f1", "barcode_recall", "p50_ms", "p95_ms"),
    *("peak_rss_mb", "peak_rss_mb_by_process", "cpu_ms_per_image", "harness_cpu_ms_per_image"),
}


@pytest.fixture
def run() -> BenchRun:
    batches = {"text_detector": ModelStatistics(8, 4, {2: 4})}
    turns = [
        ContestantTurn(
            contestant=name,
            round=number,
            images=8,
            seconds=4.0 + place + number * (name == summary.LABELWIRE),
            milliseconds=(100.0, 200.0),
            peak_rss_bytes=5_000_000,
            cpu_seconds=0.8,
            others_cpu_seconds=0.0,
            harness_cpu_seconds=0.04,
            word_f1=0.9,
            barcode_recall=0.75,
            processes={"worker": ProcessUse(0.8, 5_000_000)},
            batches=batches,
        )
        for number in range(2)
        for place, name in enumerate(summary.SYSTEMS)
    ]
    titles = {"rapidocr": "RapidOCR and zxing-cpp"}
    return BenchRun(turns, 0.01, {"name": "embedded-full-default", "broker": "a <broker>", "titles": titles})


def test_the_keys_are_those_of_the_contract(run: BenchRun) -> None:
    report = figures(run)

    assert set(report) >= KEYS
    assert set(report["systems"]) >= SYSTEMS
    assert all(set(one) == SYSTEM_KEYS for one in report["systems"].values())
    assert report["batch_histogram"] == {"text_detector": {"2": 8}}
    assert report["worker_cpu_per_image_over_jpeg_decode"] == pytest.approx(10)
    assert len(report["rounds"]) == 12
    assert report["rounds"][0]["processes"] == {"worker": {"cpu_seconds": 0.8, "peak_rss_mb": 5.0}}
    assert report["worker_cpu_ms_per_image"] == {"median": 100, "min": 100, "max": 100, "rounds": 2}
    assert report["decode_ms"] == 10


def test_a_bench_of_nothing_has_all_keys_and_a_page() -> None:
    nothing = BenchRun([], 0.0, {})

    report = figures(nothing)

    assert set(report) >= KEYS
    assert not any(report["systems"]["labelwire"].values())
    assert report["ratio_spread"]["ratio_vs_rapidocr"] is report["worker_cpu_ms_per_image"] is None
    assert "Nobody took part." in page(nothing)


def test_the_report_is_written_as_json_and_page(run: BenchRun, tmp_path: Path) -> None:
    shown = write_report(run, tmp_path)

    written = json.loads((tmp_path / "bench.json").read_text())
    # RapidOCR takes 6 seconds, Labelwire 4 and 5.
    assert written["ratio_vs_rapidocr"] == pytest.approx(1.35)
    assert written["ratio_spread"]["ratio_vs_rapidocr"] == pytest.approx(
        {"median": 1.35, "min": 1.2, "max": 1.5, "rounds": 2}
    )
    text = shown.read_text()
    assert "1.35 × as fast as RapidOCR and zxing-cpp" in text  # noqa: RUF001 - the sign of multiplication
    assert "1.20 to 1.50" in text
    assert "100.0 ms<br>5 MB" in text
    assert "a &lt;broker&gt;" in text
    assert "<svg" in text
