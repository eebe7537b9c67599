"""What the tests of the local stack share: a tiny model, a way to find processes, a way to wait."""

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from worker.local.process import start_time_ticks

_MARK = "LOCAL_TEST_MARK"

_CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: 8
input [{{ name: "x" data_type: TYPE_UINT8 dims: [-1] }}]
output [{{ name: "y" data_type: TYPE_UINT8 dims: [-1] }}]
instance_group [{{ kind: KIND_CPU count: 1 }}]
dynamic_batching {{ }}
"""
_MODEL = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]) for x in inputs]
"""


def write_echo_model(repository: Path, name: str = "echo", code: str = _MODEL) -> Path:
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(code)
    (repository / name / "config.pbtxt").write_text(_CONFIG.format(name=name))
    return repository


class Marked:
    """Finds every process that descends from ones started with `environment`, whoever its parent is now."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, _MARK: self._mark}

    def pids(self) -> set[int]:
        needle = f"{_MARK}={self._mark}".encode()
        return {int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if _holds(path, needle)}


def _holds(environ: Path, needle: bytes) -> bool:
    try:
        return needle in environ.read_bytes() and start_time_ticks(int(environ.parent.name)) is not None
    except OSError:
        return False


def eventually(condition: Callable[[], bool], timeout_seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
