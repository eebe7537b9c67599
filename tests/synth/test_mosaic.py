"""Mosaics: pasted pixel by pixel, with the truth where the pixels are."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from worker.cli.synth import synth
from worker.domain.errors import LabelwireError, SettingsError
from worker.lab.synth.mosaic import MosaicPiece, write_mosaic, write_pieces, write_sparse

LINE_HEIGHT = 20


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, each of one tone with black bars for lines."""
    directory = tmp_path_factory.mktemp("pictures")
    rows = []
    for number, (width, height) in enumerate([(300, 400), (200, 500), (250, 350)]):
        pixels = np.full((height, width, 3), 60 + 60 * number, np.uint8)
        lines = []
        for line, top in enumerate(range(30, height - 40, 40)):
            pixels[top : top + LINE_HEIGHT, 20 : width - 20] = 0
            corners = [[20, top], [width - 20, top], [width - 20, top + LINE_HEIGHT], [20, top + LINE_HEIGHT]]
            lines.append({"polygon": corners, "text": f"{number}-{line}"})
        cv2.imwrite(str(directory / f"{number}.png"), pixels)
        rows.append({"image": f"{number}.png", "width": width, "height": height, "lines": lines})
    (directory / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def loaded(truth: Path) -> tuple[dict[str, Any], np.ndarray[Any, np.dtype[np.uint8]]]:
    row = json.loads(truth.read_text())
    pixels = cv2.imread(str(truth.parent / row["image"]))
    assert pixels is not None
    assert pixels.shape == (row["height"], row["width"], 3)
    return row, np.asarray(pixels, dtype=np.uint8)


def assert_lines_are_bars(row: dict[str, Any], pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    for line in row["lines"]:
        (left, top), _, (right, bottom), _ = line["polygon"]
        assert pixels[top:bottom, left:right].mean() < 8
        assert pixels[top - 6 : top - 2, left:right].mean() > 40
        assert bottom - top == LINE_HEIGHT


def pieces_of(row: dict[str, Any]) -> list[MosaicPiece]:
    return [MosaicPiece(row, tuple(one["source"]), one["left"], one["top"]) for one in row["pieces"]]


def test_a_mosaic_holds_each_picture_before_one_comes_again(pictures: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    truth = write_mosaic(pictures, tmp_path, 1300, 1200, 5, progress=lambda *step: steps.append(step))
    row, pixels = loaded(truth)

    assert {piece["image"] for piece in row["pieces"][:3]} == {"0.png", "1.png", "2.png"}
    assert len(row["pieces"]) >= 6
    assert steps[-1] == (len(row["pieces"]), len(row["pieces"]))
    assert_lines_are_bars(row, pixels)
    # Every line of every pasted picture is there: what is read can be compared with the pictures one by one.
    counts = {"0.png": 9, "1.png": 11, "2.png": 7}
    assert len(row["lines"]) == sum(counts[piece["image"]] for piece in row["pieces"])
    assert not any(one.overlaps(other, 0) for one, other in combinations(pieces_of(row), 2))


def test_a_seed_gives_the_same_mosaic(pictures: Path, tmp_path: Path) -> None:
    first, again, other = (
        write_mosaic(pictures, tmp_path / name, 700, 600, seed).read_text()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    assert first == again
    assert first != other


def test_a_sparse_picture_has_whole_lines_on_an_empty_ground(pictures: Path, tmp_path: Path) -> None:
    row, pixels = loaded(write_sparse(pictures, tmp_path, 1600, 1500, 4, 3))

    assert len(row["pieces"]) == 4
    assert_lines_are_bars(row, pixels)
    assert not any(one.overlaps(other, 0) for one, other in combinations(pieces_of(row), 2))
    for piece in pieces_of(row):
        pixels[piece.top - 8 : piece.top + piece.size[1] + 8, piece.left - 8 : piece.left + piece.size[0] + 8] = 214
    assert abs(pixels.astype(int) - 214).max() < 24


def test_the_pieces_of_a_mosaic_hold_its_lines(pictures: Path, tmp_path: Path) -> None:
    row, pixels = loaded(write_sparse(pictures, tmp_path, 1600, 1500, 4, 3))
    rows = write_pieces(pictures, tmp_path, tmp_path / "pieces").read_text().splitlines()

    pieces = list(map(json.loads, rows))
    assert [line["text"] for piece in pieces for line in piece["lines"]] == [line["text"] for line in row["lines"]]
    for placed, piece in zip(pieces_of(row), pieces, strict=True):
        cut = cv2.imread(str(tmp_path / "pieces" / piece["image"]))
        assert cut is not None
        assert (piece["width"], piece["height"]) == placed.size == cut.shape[1::-1]
        assert_lines_are_bars(piece, np.asarray(cut, dtype=np.uint8))
        pasted = pixels[placed.top : placed.top + cut.shape[0], placed.left : placed.left + cut.shape[1]]
        assert np.abs(pasted.astype(int) - cut).mean() < 2


def test_a_mosaic_of_some_pictures_alone(pictures: Path, tmp_path: Path) -> None:
    row, _ = loaded(write_mosaic(pictures, tmp_path, 700, 600, 1, names={"1.png"}))

    assert {piece["image"] for piece in row["pieces"]} == {"1.png"}


def test_the_command_makes_mosaics(pictures: Path, tmp_path: Path) -> None:
    app = Typer()
    app.command()(synth)
    asked = ["--mosaic", "700x600", "--from", str(pictures), "--output", str(tmp_path), "--json"]

    ran = CliRunner().invoke(app, asked)

    assert ran.exit_code == 0, ran.output
    row, _ = loaded(Path(json.loads(ran.stdout)["truth"]))
    assert (row["width"], row["height"]) == (700, 600)
    sparse = CliRunner().invoke(app, [*asked, "--pieces", "1"])
    assert len(loaded(Path(json.loads(sparse.stdout)["truth"]))[0]["pieces"]) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--mosaic", "700x600"], "give --from a folder"),
        (["--mosaic", "large", "--from", "."], "'large' is no size; give WIDTHxHEIGHT"),
        (["--degrade", "fog"], "'fog' is no degradation; choose one of all, none, mild"),
    ],
)
def test_the_command_says_what_it_lacks(tmp_path: Path, options: list[str], sentence: str) -> None:
    app = Typer()
    app.command()(synth)

    ran = CliRunner().invoke(app, ["--output", str(tmp_path), *options])

    assert isinstance(ran.exception, SettingsError)
    assert sentence in str(ran.exception)


def test_what_cannot_be_made_is_said(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelwireError, match="No picture of the dataset fits into 100 by 100"):
        write_mosaic(pictures, tmp_path, 100, 100, 1)
    with pytest.raises(LabelwireError, match="90 pieces do not fit"):
        write_sparse(pictures, tmp_path, 700, 700, 90, 1)
    with pytest.raises(LabelwireError, match=r"truth\.jsonl is not there"):
        write_mosaic(tmp_path / "nowhere", tmp_path, 700, 700, 1)
