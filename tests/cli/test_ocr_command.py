"""`labelwire ocr` against the real Triton."""

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

from worker.cli.ocr import app
from worker.domain.result import LabelText
from worker.local.triton import TritonServer

pytestmark = pytest.mark.real


@pytest.fixture
def label(tmp_path: Path) -> Path:
    picture = Image.new("RGB", (640, 200), "white")
    ImageDraw.Draw(picture).text((40, 60), "PARCEL 4711", font=ImageFont.load_default(60), fill="black")
    path = tmp_path / "label.png"
    picture.save(path)
    return path


def test_text_in_a_pipe_is_plain_lines(label: Path, triton: TritonServer) -> None:
    ended = CliRunner().invoke(app, [str(label), "--url", triton.grpc_url])
    assert (ended.exit_code, ended.stdout) == (0, "PARCEL 4711\n")


def test_several_files_are_named_and_one_that_fails_is_a_sentence(label: Path, triton: TritonServer) -> None:
    broken = label.with_name("broken.png")
    broken.write_bytes(label.read_bytes()[:200])
    ended = CliRunner().invoke(app, [str(broken), str(label), "--url", triton.grpc_url])
    assert ended.exit_code == 1
    assert ended.stdout == f"==> {label} <==\nPARCEL 4711\n"
    assert ended.stderr.startswith(f"{broken}: ")


def test_json_is_the_result_record_and_a_drawing_is_made(label: Path, triton: TritonServer) -> None:
    folder = label.parent / "drawn"
    ended = CliRunner().invoke(app, [str(label), "--json", "--draw", str(folder), "--url", triton.grpc_url])
    assert ended.exit_code == 0
    result = LabelText.model_validate_json(ended.stdout)
    assert [line.text for line in result.pages[0].lines] == ["PARCEL 4711"]
    assert json.loads(ended.stdout)["schema"] == "labelwire.result/1"
    assert ended.stderr == f"The drawing is in {folder / 'label.png.png'}.\n"
    with Image.open(folder / "label.png.png") as drawing:
        assert drawing.width > 900
