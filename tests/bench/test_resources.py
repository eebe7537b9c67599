"""What processes take: real ones, which burn time and hold memory."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from worker.lab.bench.resources import PeakMemory, ProcessMeter, ProcessUse, cpu_seconds, model_of_stub, resident_bytes

_GONE = 2**22 + 1
_BALLAST_BYTES = 60_000_000
# Holds memory for a moment, then lets go of it, then burns time until its input ends.
_CHILD = f"""
import sys
ballast = bytearray(b"x") * {_BALLAST_BYTES}
del ballast
print(flush=True)
sys.stdin.readline()
ballast = bytearray(b"x") * {2 * _BALLAST_BYTES}
del ballast
for _ in range(10_000_000):
    pass
print(flush=True)
sys.stdin.readline()
"""


class Child:
    """A process that does one step of `_CHILD` when it is told to."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid

    def step(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "\n"


@pytest.fixture
def child() -> Iterator[Child]:
    argv = [sys.executable, "-c", _CHILD]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Child(process)
        process.kill()


def test_a_process_that_is_gone_costs_nothing() -> None:
    with ProcessMeter({"gone": _GONE}) as meter:
        pass

    assert (cpu_seconds([_GONE]), resident_bytes([_GONE])) == (0, 0)
    assert meter.uses == {"gone": ProcessUse()}


def test_a_peak_before_the_block_does_not_count(child: Child) -> None:
    with ProcessMeter({"child": child.pid}) as quiet:
        time.sleep(0.05)
    with ProcessMeter({"child": child.pid}) as busy:
        child.step()

    assert 0 < quiet.uses["child"].peak_rss_bytes < _BALLAST_BYTES
    assert quiet.uses["child"].cpu_seconds == 0
    # It has let go of the memory when the block ends.
    assert resident_bytes([child.pid]) < _BALLAST_BYTES
    assert 2 * _BALLAST_BYTES < busy.uses["child"].peak_rss_bytes < 3 * _BALLAST_BYTES
    assert busy.uses["child"].cpu_seconds > 0.05


def test_children_count_with_their_root(child: Child) -> None:
    with ProcessMeter({"bench": os.getpid(), "child": child.pid}) as meter:
        child.step()

    assert meter.uses["bench"].cpu_seconds >= meter.uses["child"].cpu_seconds > 0
    assert meter.uses["bench"].peak_rss_bytes > meter.uses["child"].peak_rss_bytes


def test_memory_and_cpu_of_this_process_are_seen() -> None:
    with PeakMemory([os.getpid()]) as memory:
        before = cpu_seconds([os.getpid()])
        ballast = np.ones(30_000_000, np.uint8)
        ended = time.monotonic() + 0.2
        while time.monotonic() < ended:
            ballast += 1
        used = cpu_seconds([os.getpid()]) - before

    assert memory.peak_bytes > ballast.nbytes
    assert used > 0


@pytest.mark.parametrize(
    ("argv", "model"),
    [
        (["/b/python/triton_python_backend_stub", "/r/text_detector/309094440/model.py", "shm"], "text_detector"),
        (["/b/python/triton_python_backend_stub"], None),
        (["/b/tritonserver", "/r/text_detector/1/model.py"], None),
        ([], None),
    ],
)
def test_a_process_of_the_python_backend_is_named_by_its_model(argv: list[str], model: str | None) -> None:
    assert model_of_stub(argv) == model
