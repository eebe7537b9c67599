"""An export read back: by the house's own evaluation, and by docTR's own readers."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.training.drawn import NOW_MS, Topics, drawn, page_of, read_line
from worker.domain.result import LabelText, Line, Page, Quad
from worker.lab.evaluation.dataset import Dataset, Sample, load
from worker.lab.evaluation.run import score
from worker.lab.evaluation.scores import Scores, total
from worker.lab.evaluation.transcript import of_result
from worker.pipeline.options import ImageLimits
from worker.reporting.progress import counted
from worker.training.consent import Consent
from worker.training.export import ExportOrder, TrainingExport
from worker.training.lists import write_lists
from worker.training.manifest import TrainingKind, TrainingManifest, TrainingRecord
from worker.training.split import Split, SplitBy, Splitter

RECEIPTS = Path(__file__).parents[2].parent / "shared" / "eval" / "sroie-dev"
READING = Path(__file__).with_name("doctr_reading.py")
INTERPRETER = "LABELWIRE_DOCTR_PYTHON"


@pytest.fixture(scope="module")
def receipts() -> Dataset:
    if not RECEIPTS.is_dir():
        pytest.skip("the folder shared/eval/sroie-dev of receipts is not beside this checkout")
    return load(RECEIPTS)


def exported(topics: Topics, folder: Path, split: str = "60/20/20") -> list[TrainingRecord]:
    consent, splitter = Consent.parse(None, granted=False), Splitter.parse(split, 0, SplitBy.CONTENT)
    order = ExportOrder((TrainingKind.RESULTS,), consent, splitter, 0.9, 1000, ImageLimits())
    with TrainingManifest.opened(folder, order.saved, resume=False) as manifest:
        TrainingExport(order, topics.records, manifest).run(counted)
        write_lists(manifest)
        return manifest.records


def read_back(folder: Path) -> Dataset:
    """Return all splits of an export as one set."""
    splits = [folder / "detection" / split for split in Split if (folder / "detection" / split / "images").is_dir()]
    return Dataset("export", tuple(sample for split in splits for sample in load(split).samples))


def scores_of(dataset: Dataset, results: Sequence[LabelText]) -> Scores:
    by_picture = {result.image.sha256: of_result(result) for result in results}
    return Scores.of(total(score(dataset, [by_picture[sample.sha256] for sample in dataset.samples])))


def results_on(topics: Topics) -> list[LabelText]:
    return [LabelText.model_validate_json(record.value or b"") for record in topics.results]


def test_results_scored_against_their_own_export_are_all_right(tmp_path: Path) -> None:
    topics = Topics()
    for number in range(15):
        texts = [f"LABEL {number}", "00 340123", f"X{number * 37}"]
        lines = [read_line(place, text, 0.95 - 0.2 * (place == 2)) for place, text in enumerate(texts)]
        topics.add(drawn(*texts), page_of(lines), at_ms=NOW_MS + number)

    exported(topics, tmp_path)

    found = scores_of(read_back(tmp_path), results_on(topics))
    assert (found.word_f1, found.line_hmean, found.detection_hmean, found.cer) == (1.0, 1.0, 1.0, 0.0)


def test_receipts_score_as_before_when_they_were_exported_and_read_back(receipts: Dataset, tmp_path: Path) -> None:
    topics = Topics()
    for number, sample in enumerate(receipts.samples):
        topics.add(sample.read_bytes(), misread(sample, number))
    records = exported(topics, tmp_path)
    truths = {sample.sha256: sample.truth for sample in receipts.samples}

    back = read_back(tmp_path)
    judged = Dataset("truth", tuple(replace(sample, truth=truths[sample.sha256]) for sample in back.samples))

    assert len(back.samples) == len(receipts.samples) == len(records) == 24
    before, after = scores_of(receipts, results_on(topics)), scores_of(judged, results_on(topics))
    assert after == before
    assert before.word_f1 is not None
    assert 0.7 < before.word_f1 < 0.99
    assert scores_of(back, results_on(topics)).word_f1 == 1.0


def misread(sample: Sample, number: int) -> Page:
    """Return what a bad reader reads: some lines are missing, others wrong."""
    assert sample.truth is not None
    lines = [
        Line(
            id=place,
            text=line.text.replace("0", "O") if place % 5 == number % 5 else line.text,
            confidence=0.8 if place % 5 == number % 5 else 0.95,
            polygon=corners(line.polygon.tolist()),
            rotation=0,
        )
        for place, line in enumerate(sample.truth.lines)
        if place % 11
    ]
    return Page(width=sample.width, height=sample.height, lines=tuple(lines))


def corners(polygon: list[list[float]]) -> Quad:
    first, second, third, fourth = ((x, y) for x, y in polygon)
    return first, second, third, fourth


@pytest.mark.doctr
def test_doctrs_own_readers_take_every_picture_and_line(tmp_path: Path) -> None:
    if INTERPRETER not in os.environ:
        pytest.skip(f"{INTERPRETER} names no interpreter that has docTR: make doctr-test DOCTR=PYTHON does that")
    topics = Topics()
    for number in range(20):
        texts = [f"LABEL {number}", f"X{number}"]
        topics.add(drawn(*texts), page_of([read_line(place, text) for place, text in enumerate(texts)]))
    exported(topics, tmp_path)

    ended = subprocess.run(
        [os.environ[INTERPRETER], READING, tmp_path], check=True, capture_output=True, text=True, timeout=250
    )

    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert sum(each["pictures"] for each in told.values()) == 20
    assert all(each["polygons"] == 2 * each["pictures"] for each in told.values())
    assert all(0 <= each["low"] < each["high"] <= 1 for each in told.values())
    words = sorted(text for each in told.values() for text in each["texts"])
    assert words == sorted(f"X{number}" for number in range(20))
