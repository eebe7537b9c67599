"""The eval report: its keys are a contract, and its page holds what it should, escaped."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.lab.evaluation.dataset import Dataset, Sample
from worker.lab.evaluation.fields import ComparedField, Findings, Value, compare_fields
from worker.lab.evaluation.report import figures, page, write_report
from worker.lab.evaluation.run import Evaluation, MosaicReading, SystemReading, score
from worker.lab.evaluation.side_by_side import compare_page
from worker.lab.evaluation.transcript import Transcript, line

KEYS = {
    "images",
    "word_precision",
    "word_recall",
    "word_f1",
    "line_hmean",
    "detection_hmean",
    "cer",
    "field_exact",
    "field_false_accept",
    "address_cer",
    "barcode_recall",
    "configuration",
    "baseline",
}
SCORES = KEYS - {"images", "configuration", "baseline"}

BOX = [(2, 2), (60, 2), (60, 12), (2, 12)]
BELOW = [(2, 20), (60, 20), (60, 30), (2, 30)]


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((40, 80, 3), 255, np.uint8))
    return Sample("a<b>.png", path, "0" * 64, Transcript((line("TOTAL <i>", BOX), line("CASH", BELOW))))


def reading(name: str, sample: Sample, *texts: str) -> SystemReading:
    transcript = Transcript(tuple(line(text, at, 0.9) for text, at in zip(texts, (BOX, BELOW), strict=False)))
    counts = score(Dataset("set", (sample,)), [transcript]) if sample.truth else None
    return SystemReading(name, name.title(), (transcript,), (12.0,), counts)


@pytest.fixture
def evaluation(sample: Sample) -> Evaluation:
    own, other = reading("labelwire", sample, "Total <i>", "CASH"), reading("rapidocr", sample, "TOTAL X")
    return Evaluation(Dataset("set", (sample,)), own, other, {"name": "embedded-full-default"})


def test_the_keys_are_those_of_the_contract(evaluation: Evaluation) -> None:
    report = figures(evaluation)

    assert set(report) >= KEYS
    assert set(report["baseline"]["rapidocr"]) == SCORES
    assert (report["images"], report["word_f1"], report["field_exact"]) == (1, 1.0, None)
    # TOTAL is right of TOTAL, I, CASH; X is not: 2 * 1 / (3 + 2).
    assert report["baseline"]["rapidocr"]["word_f1"] == pytest.approx(0.4)
    assert report["word_f1_difference"]["word_f1"] == pytest.approx(0.6)


def test_the_report_is_written_as_json_and_page(evaluation: Evaluation, tmp_path: Path) -> None:
    shown = write_report(evaluation, tmp_path / "build")

    assert shown == tmp_path / "build" / "eval.html"
    assert json.loads((tmp_path / "build" / "eval.json").read_text())["word_f1"] == 1.0
    (row,) = (tmp_path / "build" / "eval" / "labelwire.jsonl").read_text().splitlines()
    assert json.loads(row)["lines"][1] == {
        "polygon": [list(map(float, corner)) for corner in BELOW],
        "text": "CASH",
        "confidence": 0.9,
    }


def test_the_page_escapes_what_was_read(evaluation: Evaluation) -> None:
    shown = page(evaluation)

    assert "TOTAL &lt;i&gt;" in shown
    assert "a&lt;b&gt;.png" in shown
    assert "TOTAL <i>" not in shown
    assert "data:image/jpeg;base64," in shown


def test_without_truth_the_scores_are_null(sample: Sample) -> None:
    bare = Sample(sample.name, sample.path, sample.sha256)
    evaluation = Evaluation(Dataset("set", (bare,)), reading("labelwire", bare), reading("rapidocr", bare), {})

    report = figures(evaluation)

    assert {report[name] for name in SCORES} == {None}
    assert report["word_f1_difference"] is None
    assert "there is no truth to judge by" in page(evaluation)


def test_parts_of_the_set_are_told_apart(tmp_path: Path) -> None:
    samples, told = [], []
    for number, (kind, passed) in enumerate([("blur", True), ("blur", False), ("noise", True)]):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((40, 80, 3), 255, np.uint8))
        truth = Transcript((line("TOTAL 12", BOX),))
        stands = Findings((Value("gtin", f"{number}"), Value("address_to", "A B")))
        samples.append(Sample(f"{number}.png", path, "0" * 64, truth, stands, layout="carton", degradation=kind))
        told.append(Findings((Value("gtin", "0", passed=True),), ()) if passed else Findings((), ()))
    dataset = Dataset("set", tuple(samples))
    transcripts = (Transcript((line("TOTAL I2", BOX, 0.8),)), Transcript(), Transcript((line("TOTAL 12", BOX, 0.96),)))
    counts = score(dataset, transcripts, told)
    own = SystemReading("lw", "Lw", transcripts, (9.0, 0.0, 9.0), counts, {}, tuple(told), ((), ("blur_pixels",), ()))
    mosaic = MosaicReading(900, 800, (0, 2), counts[2], counts[0], 4000.0, 9000.0)
    evaluation = Evaluation(dataset, own, None, {"name": "x"}, mosaic)

    report = figures(evaluation)

    assert report["admitted"] == pytest.approx(2 / 3)
    assert report["by_degradation"]["blur"]["admitted"] == 0.5
    assert report["by_degradation"]["blur"]["problems"] == {"blur_pixels": 1}
    # The picture that was refused counts over the whole set, and not in its group.
    assert (report["word_f1"], report["by_degradation"]["blur"]["word_f1"]) == (pytest.approx(0.6), 0.5)
    assert report["by_degradation"]["noise"]["field_exact"] == 0.0
    assert report["by_field"]["gtin"]["wrong"] == 1
    assert list(report["by_layout"]) == ["carton"]
    assert report["calibration"]["error"] == pytest.approx((0.8 + 0.04) / 2)
    assert (report["mosaic"]["word_recall"], report["mosaic"]["singles_word_recall"]) == (1.0, 0.5)
    assert set(report["baseline"]["rapidocr"].values()) == {None}

    write_report(evaluation, tmp_path / "build")
    misses = [json.loads(row) for row in (tmp_path / "build" / "eval" / "fields.jsonl").read_text().splitlines()]
    assert [(row["image"], row["kind"], row["type"], row["truth"], row["read"]) for row in misses] == [
        ("0.png", "missed", "address_to", "A B", ""),
        ("2.png", "found", "gtin", "2", "0"),
        ("2.png", "missed", "address_to", "A B", ""),
    ]
    shown = (tmp_path / "build" / "eval.html").read_text()
    assert "RapidOCR" not in shown
    assert "By what is wrong with the picture" in shown
    assert "TOTAL <b>12</b>" in shown


def test_lines_are_shown_side_by_side() -> None:
    truth = Transcript((line("TOTAL", BOX), line("CASH", BELOW), line("GONE", [(70, 0), (79, 0), (79, 9), (70, 9)])))
    read = Transcript((line("total", BOX), line("GASH", BELOW), line("SMUDGE", [(0, 32), (9, 32), (9, 39), (0, 39)])))

    compared = compare_page(truth, read)

    assert [(row.kind, row.truth, row.read) for row in compared.rows] == [
        ("right", "TOTAL", "total"),
        ("found", "CASH", "GASH"),
        ("missed", "GONE", ""),
        ("spare", "", "SMUDGE"),
    ]
    assert [outline.kind for outline in compared.outlines] == ["right", "found", "missed", "spare"]


def test_fields_are_shown_side_by_side() -> None:
    truth = Findings((Value("gtin", "41"), Value("gtin", "40"), Value("sscc", "7")), ("(02)99",))
    found = (Value("gtin", "40"), Value("gtin", "99"), Value("gtin", "3", passed=True), Value("imei", "1"))

    rows = compare_fields(truth, Findings(found), {"gtin", "sscc"})

    assert rows == (
        ComparedField("right", "gtin", "40", "40"),
        ComparedField("found", "gtin", "41", "99"),
        ComparedField("missed", "sscc", "7", ""),
        ComparedField("spare", "gtin", "", "3", accepted=True),
    )
