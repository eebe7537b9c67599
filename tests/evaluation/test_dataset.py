"""Folders of pictures, with and without truth."""

import hashlib
import json
from pathlib import Path

import pytest

from worker.lab.evaluation import dataset
from worker.lab.evaluation.errors import DatasetError
from worker.lab.evaluation.fields import Findings, Value

PICTURE = b"not really a picture"


def write_truth(directory: Path, *rows: object) -> Path:
    (directory / "images").mkdir(exist_ok=True)
    (directory / "images" / "a.jpg").write_bytes(PICTURE)
    (directory / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def row(**changes: object) -> dict[str, object]:
    line = {"polygon": [[0, 0], [9, 0], [9, 5], [0, 5]], "text": "TOTAL 12.50"}
    digest = hashlib.sha256(PICTURE).hexdigest()
    return {"image": "images/a.jpg", "sha256": digest, "width": 10, "height": 10, "lines": [line], **changes}


def test_truth_is_read(tmp_path: Path) -> None:
    loaded = dataset.load(write_truth(tmp_path, row()))

    (sample,) = loaded.samples
    assert loaded.has_truth
    assert (loaded.name, sample.name, sample.read_bytes()) == (tmp_path.name, "images/a.jpg", PICTURE)
    assert sample.truth is not None
    assert [line.text for line in sample.truth.lines] == ["TOTAL 12.50"]
    assert sample.truth.lines[0].polygon.tolist() == [[0, 0], [9, 0], [9, 5], [0, 5]]


def test_fields_and_barcodes_are_read_where_somebody_wrote_them_down(tmp_path: Path) -> None:
    told = row(
        fields=[{"type": "gtin", "value": "4012345123456"}],
        barcodes=[{"format": "QRCode", "value": "A|B", "polygon": []}],
        layout="carton",
        degradation="blur",
    )

    (sample,) = dataset.load(write_truth(tmp_path, told)).samples

    assert sample.stands == Findings((Value("gtin", "4012345123456"),), ("A|B",))
    assert (sample.layout, sample.degradation) == ("carton", "blur")
    assert dataset.load(tmp_path).covered_types == {"gtin"}
    (bare,) = dataset.load(write_truth(tmp_path, row())).samples
    assert bare.stands == Findings(None, None)


def test_a_folder_without_truth_is_all_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")

    loaded = dataset.load(tmp_path)

    assert [sample.name for sample in loaded.samples] == ["a.jpeg", "b.PNG"]
    assert not loaded.has_truth
    assert [sample.name for sample in loaded.first(1).samples] == ["a.jpeg"]
    assert loaded.first(None) == loaded


def test_a_changed_picture_is_refused(tmp_path: Path) -> None:
    directory = write_truth(tmp_path, row(sha256="0" * 64))

    with pytest.raises(DatasetError, match=r"a\.jpg is not the picture that the truth was written for"):
        dataset.load(directory)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([row(image="images/b.jpg")], r"line 1: the picture images/b\.jpg is not in"),
        ([row(), row()], r"lists images/a\.jpg more than once"),
        ([row(), {"image": "images/a.jpg"}], "line 2: sha256: Field required"),
        ([row(lines=[{"polygon": [[0, 0]], "text": "A"}])], r"line 1: lines\.0\.polygon"),
        ([], "holds no pictures"),
    ],
)
def test_broken_truth_is_named_with_its_line(tmp_path: Path, rows: list[object], sentence: str) -> None:
    directory = write_truth(tmp_path, *rows)

    with pytest.raises(DatasetError, match=sentence):
        dataset.load(directory)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        dataset.load(tmp_path / "nowhere")
