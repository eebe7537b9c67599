import hashlib
import io
import json
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp
from PIL import Image
from typer import Typer
from typer.testing import CliRunner

from worker.cli.synth import synth
from worker.domain.errors import LabelwireError
from worker.lab.synth.camera import Degradation
from worker.lab.synth.dataset import generate, write_dataset
from worker.lab.synth.layouts import LAYOUTS
from worker.lab.synth.truth import FieldType, SyntheticLabel

SEED = 20
SMALLEST_INK_PIXELS = 14


@pytest.fixture(scope="module")
def clean() -> list[SyntheticLabel]:
    """Three of each layout."""
    return [generate(SEED, index, degradation=Degradation.NONE) for index in range(3 * len(LAYOUTS))]


def _pixels(label: SyntheticLabel) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(label.image)))


SCENES = (Degradation.NONE, Degradation.MILD, Degradation.STRONG)


@pytest.mark.parametrize("degradation", SCENES)
def test_the_same_seed_gives_the_same_bytes(degradation: Degradation) -> None:
    first, second = (generate(5, 3, degradation=degradation) for _ in range(2))
    assert first == second
    assert generate(6, 3, degradation=degradation).image != first.image
    assert generate(5, 4, degradation=degradation).image != first.image


def test_degradation_changes_neither_words_nor_values() -> None:
    clean, mild, strong = (generate(5, 1, degradation=degradation) for degradation in SCENES)
    assert (
        [line.text for line in clean.lines]
        == [line.text for line in mild.lines]
        == [line.text for line in strong.lines]
    )
    assert clean.fields == mild.fields == strong.fields
    assert len({clean.image, mild.image, strong.image}) == 3


def test_layouts_take_turns(clean: list[SyntheticLabel]) -> None:
    assert [label.layout for label in clean[: len(LAYOUTS)]] == [layout.name for layout in LAYOUTS]


def test_sizes_are_those_of_photographs(clean: list[SyntheticLabel]) -> None:
    for label in clean:
        assert _pixels(label).shape == (label.height, label.width, 3)
        assert 800 <= max(label.width, label.height) <= 2600


def test_print_is_large_enough_to_read(clean: list[SyntheticLabel]) -> None:
    for label in clean:
        for line in label.lines:
            (left, top), _, (right, bottom), _ = line.polygon
            assert min(abs(bottom - top), abs(right - left)) >= SMALLEST_INK_PIXELS or len(line.text) == 1, line


def test_lines_stand_apart(clean: list[SyntheticLabel]) -> None:
    for label in clean:
        polygons = [line.polygon for line in label.lines] + [barcode.polygon for barcode in label.barcodes]
        for one, other in combinations([np.array(polygon, np.float32) for polygon in polygons], 2):
            overlap, _ = cv2.intersectConvexConvex(one, other)
            assert overlap <= 0


def test_each_line_holds_ink_to_its_edges_and_none_around_it(clean: list[SyntheticLabel]) -> None:
    for label in clean:
        gray = _pixels(label).min(axis=2).astype(int)
        for line in label.lines:
            corners = np.array(line.polygon, int)
            (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
            ground = int(np.median(np.concatenate([gray[top - 3, left:right], gray[bottom + 2, left:right]])))
            ink = abs(gray - ground) > 60
            assert ink[top:bottom, left:right].mean() > 0.08, line
            ring = ink[top - 3 : bottom + 3, left - 3 : right + 3].copy()
            ring[2:-2, 2:-2] = False
            assert ring.mean() < 0.002, line


def test_barcodes_read_back(clean: list[SyntheticLabel]) -> None:
    for label in clean:
        pixels = _pixels(label)
        read = {barcode.text for barcode in zxingcpp.read_barcodes(pixels)}
        for barcode in label.barcodes:
            if barcode.format == "MaxiCode":  # zxing-cpp finds these only where nothing else is
                (left, top), _, (right, bottom), _ = (tuple(map(int, corner)) for corner in barcode.polygon)
                read |= {
                    found.text for found in zxingcpp.read_barcodes(pixels[top - 8 : bottom + 8, left - 8 : right + 8])
                }
            assert barcode.value in read, barcode


def _squeezed(text: str) -> str:
    return "".join(mark for mark in text.upper() if mark.isalnum() or mark == "+")


def test_identifiers_stand_on_the_label(clean: list[SyntheticLabel]) -> None:
    identifiers = set(FieldType) - {FieldType.DATE, FieldType.WEIGHT}
    for label in clean:
        printed = "".join(line.text for line in label.lines)
        squeezed = _squeezed(printed)
        for field in label.fields:
            if field.type in identifiers:
                assert all(_squeezed(line) in squeezed for line in field.value.splitlines()), field
        assert {field.type for field in label.fields} & identifiers


def test_the_folder_has_the_format_of_the_receipts(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    truth = write_dataset(tmp_path, 3, 9, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    rows = [json.loads(row) for row in truth.read_text(encoding="utf-8").splitlines()]
    assert [row["image"] for row in rows] == ["images/000.jpg", "images/001.jpg", "images/002.jpg"]
    for row in rows:
        image = tmp_path / row["image"]
        assert hashlib.sha256(image.read_bytes()).hexdigest() == row["sha256"]
        with Image.open(image) as picture:
            assert picture.size == (row["width"], row["height"])
        for line in row["lines"]:
            assert set(line) == {"polygon", "text"}
            corners = np.array(line["polygon"])
            assert corners.shape == (4, 2)
            # Clockwise, with y down, is a positive area.
            assert cv2.contourArea(corners.astype(np.float32), oriented=True) > 0
            assert corners.min() >= 0
            assert (corners <= (row["width"], row["height"])).all()
        assert all(set(field) == {"type", "value"} for field in row["fields"])
        assert all(set(code) == {"format", "value", "polygon"} for code in row["barcodes"])


def test_degradations_take_turns_and_each_gets_every_layout(tmp_path: Path) -> None:
    kinds = (Degradation.JPEG, Degradation.TURNED)
    truth = write_dataset(tmp_path, 4, 9, degradation=kinds, layouts=LAYOUTS[2:4])
    rows = [json.loads(row) for row in truth.read_text(encoding="utf-8").splitlines()]
    assert [(row["degradation"], row["layout"]) for row in rows] == [
        ("jpeg", "air_waybill"),
        ("turned", "air_waybill"),
        ("jpeg", "postal"),
        ("turned", "postal"),
    ]


def test_no_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelwireError, match="at least 1"):
        write_dataset(tmp_path, 0, 1)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(LabelwireError, match="taken"):
        write_dataset(tmp_path / "taken", 1, 1)


def test_the_command_writes_and_says_so(tmp_path: Path) -> None:
    app = Typer()
    app.command()(synth)
    folder = str(tmp_path / "labels")
    ran = CliRunner().invoke(app, ["--count", "2", "--seed", "4", "--output", folder, "--degrade", "none", "--json"])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert said["labels"] == 2
    assert len(Path(said["truth"]).read_text(encoding="utf-8").splitlines()) == 2
    assert (tmp_path / "labels" / "images" / "001.jpg").read_bytes() == generate(
        4, 1, degradation=Degradation.NONE
    ).image
