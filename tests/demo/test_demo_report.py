"""The demo's report: its keys are a contract, and its page shows each picture with what became of it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.domain.result import LabelText, Line, Page, SourceCoordinate, SourceImage
from worker.lab.demo.report import figures, page, write_report
from worker.lab.demo.run import DemoRun
from worker.lab.evaluation.answers import Answer, Refusal, of_label_text
from worker.lab.evaluation.dataset import Dataset, Sample
from worker.lab.evaluation.systems import SystemRun
from worker.lab.evaluation.transcript import Transcript, line

KEYS = {"jobs", "results", "dead_letters", "lost", "duplicates", "seconds", "broker", "triton"}


@pytest.fixture
def run(tmp_path: Path) -> DemoRun:
    samples = []
    for name in ("read.png", "blank.png", "refused.png", "lost.png"):
        path = tmp_path / name
        cv2.imwrite(str(path), np.full((30, 60, 3), 200, np.uint8))
        samples.append(Sample(name, path, "0" * 64))
    delivery = SystemRun(tuple(sample.name for sample in samples), seconds=2.0, duplicates=1)
    lines = (line("SHIP TO <script>", [(1, 1), (50, 1), (50, 9), (1, 9)], 0.62),)
    delivery.answers["read.png"] = Answer("read.png", "r", Transcript(lines), 9.0, {"read": 6.0, "detect": 3.0})
    delivery.answers["blank.png"] = Answer("blank.png", "b", Transcript(), 3.0, {"detect": 1.0})
    delivery.refusals["refused.png"] = Refusal("refused.png", "IMAGE_CORRUPT", "It ends <early>.")
    return DemoRun(Dataset("set", tuple(samples)), delivery, "Apache Kafka 4.1.0", "Triton 2.51.0")


def test_the_keys_are_those_of_the_contract(run: DemoRun) -> None:
    report = figures(run)

    assert set(report) >= KEYS
    assert [report[key] for key in ("jobs", "results", "dead_letters", "lost", "duplicates")] == [4, 2, 1, 1, 1]
    assert (report["seconds"], report["images_per_second"]) == (2.0, 1.0)
    assert report["stage_ms"] == {"detect": 2.0, "read": 3.0}
    assert not run.succeeded


def test_a_page_shows_every_picture_with_what_became_of_it(run: DemoRun) -> None:
    shown = page(run)

    assert "2 of 4 labels were read" in shown
    assert "SHIP TO &lt;script&gt;" in shown
    assert "SHIP TO <script>" not in shown
    assert 'class="unsure"' in shown
    assert "No text was found on this picture." in shown
    assert "Dead letter IMAGE_CORRUPT: It ends &lt;early&gt;." in shown
    assert "Lost: neither a result nor a dead letter came back." in shown


def test_a_figure_has_the_boxes_of_its_own_page_alone(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    cv2.imwritemulti(str(path), [np.full((30, 60, 3), 200, np.uint8)] * 2)
    corners = ((1, 1), (50, 1), (50, 9), (1, 9))
    pages = tuple(
        Page(width=60, height=30, lines=(Line(id=0, text=text, confidence=0.99, polygon=corners, rotation=0),))
        for text in ("FIRST", "SECOND")
    )
    result = LabelText(
        job_id="scan.tif",
        result_id="r",
        image=SourceImage(sha256="0" * 64, size_bytes=1, format="tiff"),
        pages=pages,
        models={},
        timing_ms={},
        source=SourceCoordinate(topic="t", partition=0, offset=0),
        attempt=1,
    )
    delivery = SystemRun(("scan.tif",), {"scan.tif": of_label_text(result)}, seconds=1.0)

    shown = page(DemoRun(Dataset("set", (Sample("scan.tif", path, "0" * 64),)), delivery, "b", "t"))

    assert shown.count("<polygon") == 1
    assert "FIRST (0.99)" in shown
    assert "SECOND" in shown


def test_a_demo_in_which_all_went_well_says_so(run: DemoRun, tmp_path: Path) -> None:
    sample = run.dataset.samples[0]
    answers = {"read.png": run.delivery.answers["read.png"]}
    good = DemoRun(Dataset("set", (sample,)), SystemRun(("read.png",), answers, seconds=1.0), "b", "t")

    shown = write_report(good, tmp_path / "demo")

    assert good.succeeded
    assert "1 labels in, 1 texts out" in shown.read_text()
    assert json.loads((tmp_path / "demo" / "report.json").read_text())["lost"] == 0


def test_a_demo_of_nothing_has_a_page_and_no_success() -> None:
    nothing = DemoRun(Dataset("set", ()), SystemRun(()), "b", "t")

    assert "There were no pictures." in page(nothing)
    assert figures(nothing)["images_per_second"] is None
    assert not nothing.succeeded
