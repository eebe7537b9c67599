import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.local.surroundings import Marked, write_echo_model
from worker.local.supervisor import SHARED_MEMORY


@pytest.fixture
def echo_repository(tmp_path: Path) -> Path:
    return write_echo_model(tmp_path / "models")


@pytest.fixture
def marked() -> Iterator[Marked]:
    found = Marked()
    yield found
    for pid in found.pids():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def shared_memory() -> Callable[[], set[str]]:
    before = _regions()
    return lambda: _regions() - before


def _regions() -> set[str]:
    return {path.name for path in SHARED_MEMORY.glob(f"labelwire-triton-*-{os.getpid()}-*")}
