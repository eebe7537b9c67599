"""Export a docTR checkpoint as ONNX, in the Python environment that docTR is installed in.

Invariant: this file imports nothing of this package and of no package but torch and docTR, and it unpickles nothing but
tensors. `worker.models.checkpoint` runs it as a program, with one argument, a request as JSON: `checkpoint` (path),
`architecture`, `characters` (None for a detector) and `target`, the path of the ONNX file without its suffix. If it
ends with status 3, the last line on standard error says why.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn

REFUSED: Final = 3
# Training scripts wrap a model's weights in one of these, beside the state of the optimizer and of the schedule.
_WRAPPERS: Final = ("model", "state_dict", "model_state_dict")
# What DistributedDataParallel and torch.compile put before the names of weights.
_PREFIXES: Final = ("module.", "_orig_mod.")


def main(request: Mapping[str, Any]) -> None:
    """Write the ONNX file of a request, or end with status 3."""
    os.environ.setdefault("USE_TORCH", "1")  # docTR before 1.0 took TensorFlow if it was there
    try:
        import torch  # noqa: PLC0415  absent from the other environments
        from doctr.models import detection, recognition  # noqa: PLC0415
        from doctr.models.utils import export_model_to_onnx  # noqa: PLC0415
    except ImportError as error:
        _fail(
            f"docTR cannot be imported by {sys.executable} ({error}): give with --python the interpreter of an "
            "environment in which python-doctr is installed"
        )
    architecture, characters = request["architecture"], request["characters"]
    build = getattr(detection if characters is None else recognition, architecture, None)
    if build is None:
        _fail(f"the docTR that {sys.executable} has knows no {architecture}: give the architecture that was trained")
    settings = {} if characters is None else {"vocab": characters}
    model = build(pretrained=False, pretrained_backbone=False, exportable=True, **settings)
    try:
        content = torch.load(request["checkpoint"], map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  what a file of another kind raises is anybody's guess
        _fail(
            f"{request['checkpoint']} cannot be loaded as tensors alone ({type(error).__name__}): save the model's "
            "state_dict() with torch.save"
        )
    weights = _weights(content, torch.Tensor)
    _check(weights, model.state_dict(), request)
    model.load_state_dict(weights)
    export_model_to_onnx(model.eval(), request["target"], torch.zeros(1, *model.cfg["input_shape"]))


def _weights(content: object, tensor: type) -> dict[str, Any]:
    """Return the tensors of a checkpoint by their names in the model, without what only training needs."""
    while isinstance(content, Mapping):
        wrapped = [content[name] for name in _WRAPPERS if isinstance(content.get(name), Mapping)]
        if not wrapped:
            return {_plain(str(name)): value for name, value in content.items() if isinstance(value, tensor)}
        content = wrapped[0]
    return {}


def _plain(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _check(weights: Mapping[str, Any], expected: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Refuse weights that are not those of the architecture, and name the first that is not."""
    characters = request["characters"]
    model = request["architecture"] + ("" if characters is None else f" with {len(characters)} characters")
    for name, tensor in expected.items():
        if name not in weights:
            _fail(
                f"{request['checkpoint']} has {len(weights)} tensors, but not {name}, which {model} has: give the "
                "architecture that was trained"
            )
        if weights[name].shape != tensor.shape:
            _fail(
                f"{request['checkpoint']} has {name} of shape {list(weights[name].shape)}, but {model} has "
                f"{list(tensor.shape)}: give the architecture and the characters that it was trained with"
            )
    foreign = [name for name in weights if name not in expected]
    if foreign:
        _fail(
            f"{request['checkpoint']} has {foreign[0]}, which {model} has not: give the architecture that was trained"
        )


def _fail(words: str) -> NoReturn:
    sys.stderr.write(f"\n{words}\n")
    sys.exit(REFUSED)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
