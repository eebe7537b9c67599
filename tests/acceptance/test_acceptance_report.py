"""The report of an evaluation: its document, its page and what a terminal shows."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from tests.acceptance.sets import BOX, FAIR, dataset, reading
from worker.lab.acceptance.reading import SetReading
from worker.lab.acceptance.report import figures, page, score_rows, stage_rows, word_errors, write_report
from worker.lab.acceptance.terminal import report_evaluation
from worker.lab.acceptance.verdict import AcceptanceLimits, ModelEvaluation, judge
from worker.lab.evaluation.dataset import Dataset, Sample
from worker.lab.evaluation.fields import FieldCounts
from worker.lab.evaluation.run import score
from worker.lab.evaluation.scores import Counts
from worker.lab.evaluation.transcript import Transcript, line
from worker.reporting.paired_plots import Gain, forest, medians

LIMITS = AcceptanceLimits()
WORSE = replace(FAIR, words_right=800, character_edits=80)


def printed(evaluation: ModelEvaluation) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(report_evaluation(evaluation), soft_wrap=True)
    return capture.get()


@pytest.fixture
def pictures(tmp_path: Path) -> Dataset:
    """Two white pictures whose truth is one line each."""
    samples = []
    for name in ("a<b>.png", "c.png"):
        path = tmp_path / name
        cv2.imwrite(str(path), np.full((40, 80, 3), 255, np.uint8))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        samples.append(Sample(name, path, digest, Transcript((line("TOTAL 12 <i>", BOX),))))
    return Dataset("receipts", tuple(samples))


def read_as(pictures: Dataset, letter: str, *texts: str) -> SetReading:
    """What a set read: one text a picture."""
    transcripts = tuple(Transcript((line(text, BOX, 0.9),)) for text in texts)
    counts = score(pictures, transcripts)
    one = reading(letter, counts)
    return replace(one, read=replace(one.read, transcripts=transcripts))


def test_the_document_holds_both_sides_and_what_lies_between_them() -> None:
    stages = [{"detect": 20.0, "read": 30.0}, {}]
    a = reading("A", [WORSE, Counts(words_true=10, lines_true=1, characters_true=50, character_edits=50)], stages, [1])
    b = reading("B", [FAIR, FAIR], [{"detect": 10.0, "read": 15.0}] * 2)

    document = figures(judge(dataset(2), LIMITS, a, b))

    assert not document["verdict"]["passed"]
    assert document["a"]["refused"] == {"1.png": "IMAGE_QUALITY_POOR"}
    assert document["b"]["refused"] == {}
    assert document["a"]["stage_ms"]["total"] == {"median": 50.0, "p95": 50.0}
    assert document["b"]["stage_ms"]["detect"] == {"median": 10.0, "p95": 10.0}
    assert document["slowdown"]["ratio"] == 2.0
    assert document["differences"]["word_f1"]["value"] == pytest.approx(
        document["a"]["scores"]["word_f1"] - document["b"]["scores"]["word_f1"]
    )
    assert document["pictures"][1]["a"]["refused"] == "IMAGE_QUALITY_POOR"
    assert document["pictures"][0]["b"]["word_errors"] == 200
    assert document["dataset"]["images"][0] == {"name": "0.png", "sha256": "0" * 64}


def test_a_set_alone_has_no_other_side() -> None:
    evaluation = judge(dataset(1), LIMITS, reading("A", [FAIR]), None)

    document = figures(evaluation)

    assert document["b"] is None
    assert document["slowdown"] is None
    assert document["differences"] == {}
    assert document["a"]["scores"]["word_f1"] == pytest.approx(0.9)
    assert "A was scored alone" in printed(evaluation)
    assert "Scored alone" in page(evaluation)


def test_rows_say_what_is_better_and_what_is_lost() -> None:
    with_fields = replace(WORSE, fields={"sscc": FieldCounts(10, 9)}, lines_right=910, lines_found=945)
    evaluation = judge(
        dataset(1),
        LIMITS,
        reading("A", [with_fields]),
        reading("B", [replace(FAIR, fields={"sscc": FieldCounts(10, 2)})]),
    )

    rows = {row.title: row for row in score_rows(evaluation)}

    assert {title: row.tone for title, row in rows.items()} == {
        "word F1": "worse",
        "line hmean": "better",
        "detection hmean": "worse",
        "CER": "worse",
        "fields exact": "better",
    }
    assert [title for title, row in rows.items() if row.is_lost] == ["word F1", "CER"]
    assert rows["fields exact"].limit is None


def test_a_rise_of_errors_is_a_loss_with_its_interval() -> None:
    one, other = replace(FAIR, character_edits=60), replace(FAIR, character_edits=90)
    evaluation = judge(dataset(2), LIMITS, reading("A", [one, other]), reading("B", [FAIR, FAIR]))

    (row,) = (row for row in score_rows(evaluation) if row.title == "CER")

    assert (row.difference, row.low, row.high) == pytest.approx((0.025, 0.01, 0.04))
    assert row.gain == pytest.approx(-0.025)
    assert row.gain_interval == pytest.approx((-0.04, -0.01))


def test_a_stage_that_only_one_set_went_through_has_no_ratio() -> None:
    a, b = reading("A", [FAIR], [{"read": 30.0}]), reading("B", [FAIR], [{"survey": 5.0, "read": 10.0}])

    rows = {row.stage: row for row in stage_rows(judge(dataset(1), LIMITS, a, b))}

    assert list(rows) == ["survey", "read", "total"]
    assert rows["survey"].a is None
    assert rows["survey"].ratio is None
    assert rows["read"].ratio == 3.0


def test_a_terminal_shows_scores_times_refusals_and_reasons() -> None:
    a = reading("A", [WORSE, FAIR], refused=[1])
    text = printed(judge(dataset(2), LIMITS, a, reading("B", [FAIR, FAIR])))

    assert "A: build/A, read by ONNX Runtime in this process" in text
    assert "A refused 1.png (IMAGE_QUALITY_POOR): counted as pictures with nothing read." in text
    assert "word F1           0.8500  0.9000" in text
    assert "A failed:\n- word F1 fell by 0.0500 to 0.8500, over the limit of 0.005;" in text
    assert "- CER rose by 0.0150 to 0.0650, over the limit of 0.005;" in text


def test_the_page_shows_first_the_pictures_that_differ_most_with_both_readings(pictures: Dataset) -> None:
    a = read_as(pictures, "A", "TOTAL 12 <i>", "NOTHING AT ALL")
    b = read_as(pictures, "B", "TOTAL 13 <i>", "TOTAL 12 <i>")
    evaluation = judge(pictures, AcceptanceLimits(max_slowdown=1.5), a, b)

    shown = page(evaluation)

    assert [word_errors(counts) for counts in a.counts] == [0, 6]
    assert [word_errors(counts) for counts in b.counts] == [2, 0]
    assert "wrong words: A 6, B 0" in shown
    assert shown.index("wrong words: A 6, B 0") < shown.index("wrong words: A 0, B 2")
    assert shown.count('<article class="card label-card">') == 4
    assert "a&lt;b&gt;.png" in shown
    assert "<i>" not in shown
    assert "A reads worse than it may" in shown
    assert "data:image/jpeg;base64," in shown


def test_pictures_with_as_many_wrong_words_are_not_shown(pictures: Dataset) -> None:
    same = ["TOTAL 12 <i>", "TOTAL 11 <i>"]
    evaluation = judge(pictures, LIMITS, read_as(pictures, "A", *same), read_as(pictures, "B", *same))

    shown = page(evaluation)

    assert "Where A and B differ most" not in shown
    assert "A may take the place of B" in shown


def test_the_report_is_written_as_json_and_page(pictures: Dataset, tmp_path: Path) -> None:
    a, b = (
        read_as(pictures, letter, *texts) for letter, texts in (("A", ["TOTAL", "12"]), ("B", ["TOTAL 12 <i>"] * 2))
    )
    evaluation = judge(pictures, LIMITS, a, b)

    shown = write_report(evaluation, figures(evaluation), tmp_path / "build")

    assert shown == tmp_path / "build" / "evaluate.html"
    written = json.loads((tmp_path / "build" / "evaluate.json").read_text())
    assert written["verdict"]["passed"] is False
    assert len(written["verdict"]["reasons"]) == len(evaluation.verdict.reasons) > 0


def test_a_forest_marks_what_is_lost_in_another_color() -> None:
    fine, lost = Gain("word F1", -0.004, -0.01, 0.01, 0.005), Gain("word F1", -0.006, -0.01, 0.01, 0.005)

    assert "var(--series-1)" not in forest([fine], "gain")
    assert "var(--series-1)" in forest([lost], "gain")
    assert forest([], "gain") == medians({"A": {}}, "ms") == '<p class="note">Nothing to plot.</p>'


def test_medians_have_a_row_for_each_stage_and_a_color_for_each_system() -> None:
    drawn = medians({"A": {"read": (1.0, 2.0)}, "B": {"read": (2.0, 3.0), "survey": (1.0, 1.0)}}, "ms a picture")

    assert all(word in drawn for word in ("read", "survey", "ms a picture", "var(--series-1)", "var(--series-2)"))
