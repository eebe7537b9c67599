"""Taking a docTR checkpoint: exported as ONNX where docTR is installed, then imported as any ONNX file.

docTR and torch are no part of this package. They run in a process of their own, by the interpreter of the environment
that the model was trained in or another one that has them.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from worker.models.doctr_export import REFUSED
from worker.models.importing import ModelFacts, ModelImportError, import_model
from worker.models.model_card import ModelKind

_EXPORT: Final = Path(__file__).with_name("doctr_export.py")
_ARCHITECTURES: Final = {
    ModelKind.DOCTR_DETECTOR: ("db_",),
    ModelKind.DOCTR_RECOGNIZER: ("crnn_", "viptr_"),
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file of torch's, the docTR architecture whose weights it holds, and the interpreter that has docTR."""

    path: Path
    architecture: str
    python: Path = Path(sys.executable)


def import_checkpoint(kind: ModelKind, checkpoint: Checkpoint, output: Path, facts: ModelFacts) -> Path:
    """Export a docTR checkpoint on the CPU and import it, as `import_model` does.

    Raises ModelImportError also if the checkpoint cannot be exported.
    """
    _check(kind, checkpoint, facts)
    with tempfile.TemporaryDirectory(prefix="labelwire-export-") as folder:
        target = Path(folder, checkpoint.path.stem)
        _export(checkpoint, facts.characters, target)
        named = replace(facts, origin=facts.origin or checkpoint.path.name)
        return import_model(kind, target.with_name(f"{target.name}.onnx"), output, named)


def _check(kind: ModelKind, checkpoint: Checkpoint, facts: ModelFacts) -> None:
    families = _ARCHITECTURES.get(kind)
    if families is None:
        raise ModelImportError(
            f"a checkpoint of {kind} cannot be exported here: give --kind {' or '.join(_ARCHITECTURES)}, or an ONNX "
            "file with --onnx"
        )
    if not checkpoint.architecture.startswith(families):
        raise ModelImportError(
            f"{checkpoint.architecture!r} is no architecture that {kind} takes: give one whose name begins with "
            f"{' or '.join(families)}"
        )
    if kind is ModelKind.DOCTR_RECOGNIZER and facts.characters is None:
        raise ModelImportError(
            f"{checkpoint.path} does not name its characters, as no docTR checkpoint does: give the vocabulary that it "
            "was trained with by --characters"
        )
    if kind is ModelKind.DOCTR_DETECTOR and facts.characters is not None:
        raise ModelImportError("a detector has no characters: leave out --dictionary and --characters")
    if not checkpoint.path.is_file():
        raise ModelImportError(f"the checkpoint {checkpoint.path} does not exist: give the path of a file")


def _export(checkpoint: Checkpoint, characters: tuple[str, ...] | None, target: Path) -> None:
    request = {
        "checkpoint": str(checkpoint.path.absolute()),
        "architecture": checkpoint.architecture,
        "characters": None if characters is None else "".join(characters),
        "target": str(target),
    }
    # The program comes by standard input, so that no module beside it is found where torch looks for its own.
    try:
        ended = subprocess.run(  # noqa: S603  the interpreter that the caller names
            [checkpoint.python, "-", json.dumps(request)],
            input=_EXPORT.read_text(encoding="utf-8"),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise ModelImportError(
            f"the interpreter {checkpoint.python} cannot be started ({error.strerror}): give with --python one that "
            "has docTR"
        ) from error
    if ended.returncode != 0:
        *_, last = ["no word", *ended.stderr.strip().splitlines()]
        if ended.returncode == REFUSED:
            raise ModelImportError(last)
        raise ModelImportError(
            f"{checkpoint.path} cannot be exported by the docTR of {checkpoint.python} ({last}): export it with "
            "docTR's export_model_to_onnx, and give the file with --onnx"
        )
