"""Finds the committed half of the model repository: configurations and the python backend's code.

Invariant: the folder is the same in a checkout (`model_repository/` beside `worker/`) and in an installed wheel
(`worker/models/repository/`).
"""

from pathlib import Path

from worker.domain.errors import LabelwireError

_PACKAGED = Path(__file__).parent / "repository"
_CHECKED_OUT = Path(__file__).parents[2] / "model_repository"


class TemplatesError(LabelwireError):
    """The committed half of the model repository is not there."""


def templates_directory() -> Path:
    """Return the folder of committed configurations. Raises TemplatesError if there is none."""
    for folder in (_PACKAGED, _CHECKED_OUT):
        if folder.is_dir():
            return folder
    raise TemplatesError(f"neither {_PACKAGED} nor {_CHECKED_OUT} exists: install labelwire again, or use a checkout")


def config_path(model: str, name: str) -> Path:
    """Return the path of a model's committed configuration of a name, such as `embedded` or `onnx-cpu`."""
    return templates_directory() / model / "configs" / f"{name}.pbtxt"


def backend_code_path() -> Path:
    """Return the path of the python backend's `model.py`, one for all models of the embedded profile."""
    return templates_directory() / "embedded" / "model.py"
