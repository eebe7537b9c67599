"""docTR's checkpoints: exported by the interpreter that has docTR, then imported as any ONNX file.

docTR and torch take six gigabytes, so they are in no lock. Without `-m doctr` a program stands in for that interpreter.
"""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.models import own_models
from tests.models.page import page_blocks
from worker.cli.models import app
from worker.models.checkpoint import Checkpoint, import_checkpoint
from worker.models.importing import ModelFacts, ModelImportError
from worker.models.model_card import ModelCard, ModelKind

TRAINING = Path(__file__).with_name("doctr_training.py")
INTERPRETER = "LABELWIRE_DOCTR_PYTHON"


def card_of(folder: Path) -> ModelCard:
    return ModelCard.model_validate_json((folder / "model.json").read_bytes())


def interpreter(folder: Path, program: str) -> Path:
    """Write a program that is started as the interpreter that has docTR."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport json, shutil, sys\nrequest = json.loads(sys.argv[2])\n{program}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def checkpoint_in(folder: Path) -> Path:
    path = folder / "ours.pt"
    path.write_bytes(b"weights")
    return path


def test_what_was_exported_is_imported_and_the_checkpoint_named(tmp_path: Path) -> None:
    exported = own_models.doctr_recognizer(tmp_path / "exported.onnx")
    note = f"json.dump(request, open({str(tmp_path / 'request.json')!r}, 'w'))"
    copy = f"shutil.copy({str(exported)!r}, request['target'] + '.onnx')"
    python = interpreter(tmp_path, f"{note}\n{copy}")

    folder = import_checkpoint(
        ModelKind.DOCTR_RECOGNIZER,
        Checkpoint(checkpoint_in(tmp_path), "crnn_mobilenet_v3_large", python),
        tmp_path / "out",
        ModelFacts(characters=tuple(own_models.WORDS)),
    )

    request = json.loads((tmp_path / "request.json").read_text())
    target = Path(request.pop("target"))
    assert request == {
        "checkpoint": str(tmp_path / "ours.pt"),
        "architecture": "crnn_mobilenet_v3_large",
        "characters": own_models.WORDS,
    }
    assert not target.parent.exists(), "the export is removed"
    assert card_of(folder).origin == "ours.pt"
    assert (folder / "model.onnx").read_bytes() == exported.read_bytes()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("sys.stderr.write('Warning\\n\\nthe reason\\n'); sys.exit(3)", r"^the reason$"),
        (
            "sys.exit('Traceback\\nKeyError: 5')",
            r"ours\.pt cannot be exported by the docTR of .*python \(KeyError: 5\)",
        ),
        ("sys.exit(9)", r"\(no word\): export it with docTR's export_model_to_onnx, and give the file with --onnx"),
    ],
)
def test_an_export_that_fails_says_why_and_nothing_is_written(tmp_path: Path, program: str, words: str) -> None:
    checkpoint = Checkpoint(checkpoint_in(tmp_path), "db_resnet50", interpreter(tmp_path, program))

    with pytest.raises(ModelImportError, match=words):
        import_checkpoint(ModelKind.DOCTR_DETECTOR, checkpoint, tmp_path / "out", ModelFacts())

    assert not (tmp_path / "out").exists()


CRNN = ["--architecture", "crnn_vgg16_bn", "--characters", "characters.txt"]
MISTAKEN = [
    (["--kind", "doctr-rec"], "--onnx and --checkpoint say what to import: give one of them"),
    (["--onnx", "a.onnx", "--checkpoint", "ours.pt"], "--onnx and --checkpoint say what to import: give one of them"),
    (["--checkpoint", "ours.pt"], "--checkpoint and --architecture belong together: give both or neither"),
    (["--onnx", "a.onnx", "--architecture", "db_resnet50"], "--checkpoint and --architecture belong together"),
    (["--kind", "paddle-det", "--checkpoint", "ours.pt", *CRNN], "a checkpoint of paddle-det cannot be exported here"),
    (
        ["--kind", "doctr-det", "--checkpoint", "ours.pt", *CRNN],
        "'crnn_vgg16_bn' is no architecture that doctr-det takes: give one whose name begins with db_",
    ),
    (
        ["--checkpoint", "ours.pt", "--architecture", "parseq", "--characters", "characters.txt"],
        "'parseq' is no architecture that doctr-rec takes: give one whose name begins with crnn_ or viptr_",
    ),
    (["--checkpoint", "ours.pt", *CRNN[:2]], "ours.pt does not name its characters, as no docTR checkpoint does"),
    (
        ["--kind", "doctr-det", "--checkpoint", "ours.pt", "--architecture", "db_resnet50", *CRNN[2:]],
        "a detector has no characters",
    ),
    (["--checkpoint", "absent.pt", *CRNN], "the checkpoint absent.pt does not exist"),
    (
        ["--checkpoint", "ours.pt", *CRNN, "--python", "absent/python"],
        "absent/python cannot be started (No such file or directory)",
    ),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKEN)
def test_what_cannot_be_exported_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    checkpoint_in(tmp_path)
    (tmp_path / "characters.txt").write_text("abc\n")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ModelImportError, match=re.escape(words)) as refused:
        CliRunner().invoke(app, ["import", "--kind", "doctr-rec", *arguments], catch_exceptions=False)

    assert "\n" not in str(refused.value)
    assert not (tmp_path / "build").exists()


def test_without_doctr_it_is_said_which_interpreter_lacks_it(tmp_path: Path) -> None:
    checkpoint_in(tmp_path)
    (tmp_path / "characters.txt").write_text("abc\n")

    ended = labelwire("models", "import", "--kind", "doctr-rec", "--checkpoint", "ours.pt", *CRNN, cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr == (
        f"docTR cannot be imported by {sys.executable} (No module named 'torch'): give with --python the interpreter "
        "of an environment in which python-doctr is installed\n"
    )


def labelwire(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments], cwd=cwd, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture(scope="module")
def python_with_doctr() -> Path:
    if INTERPRETER not in os.environ:
        pytest.skip(f"{INTERPRETER} names no interpreter that has docTR: make doctr-test DOCTR=PYTHON does that")
    return Path(os.environ[INTERPRETER])


@pytest.mark.doctr
@pytest.mark.timeout(1800)
def test_the_commands_of_the_page_import_what_doctr_trained(python_with_doctr: Path, tmp_path: Path) -> None:
    """What is imported has read, or found, the drawn words; the checkpoints are wrapped, with an optimizer's state."""
    for trained in ("recognizer", "detector"):
        subprocess.run([python_with_doctr, TRAINING, trained, tmp_path / f"my_{trained}.pt"], check=True)
    (commands,) = (block for block in page_blocks() if block.startswith("doctr/"))
    for name, program in (
        (".venv/bin/labelwire", f"{sys.executable} -m worker"),
        ("doctr/bin/python", python_with_doctr),
    ):
        command = tmp_path / name
        command.parent.mkdir(parents=True)
        command.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        command.chmod(0o755)

    ended = subprocess.run(["bash", "-e", "-c", commands], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    recognizer, detector = (tmp_path / "build/models" / role for role in ("text_recognizer", "text_detector"))
    card = card_of(recognizer)
    assert card.line is not None
    assert (card.line.height, card.line.width, card.line.stride) == (32, 128, 4)
    assert card.classes == (*(tmp_path / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n"), "")
    card = card_of(detector)
    assert (card.tile, card.returns_logits) == ((1024, 1024), True)
    for folder, checkpoint in ((recognizer, "my_recognizer.pt"), (detector, "my_detector.pt")):
        exported = (folder / "model.onnx").stat().st_size
        assert exported < 0.6 * (tmp_path / checkpoint).stat().st_size, "training state is dropped"
