"""Samples of a running process's Python stacks, by py-spy, from outside.

py-spy reads the process's memory. On Linux it may do so as root, or for a child of its own where ptrace is restricted
(Yama's ptrace_scope). It leaves out threads that sleep, but meets some of them just as they wake or fall asleep: so
samples say how a thread's time is spread, and Linux says how much time that is (threads.py).
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from worker.lab.evaluation.errors import MeasurementError

RATE_PER_SECOND: Final = 100
_MARGIN_SECONDS: Final = 60.0
# A thread's name stands before the first frame and may hold anything.
_STACK: Final = re.compile(r"thread \((?P<thread>\d+)\)(?:: (?P<frames>.+))? (?P<samples>\d+)")


@dataclass(frozen=True, slots=True)
class SampledStack:
    """A thread by Linux's id, its frames as `function (file:line)`, innermost last, and how often it was seen so."""

    thread: int
    frames: tuple[str, ...]
    samples: int


class Sampler:
    """Samples one process with the program `py-spy`."""

    def __init__(self, program: Path, pid: int) -> None:
        self._program = program
        self._pid = pid

    def stacks(self, seconds: int, path: Path) -> list[SampledStack]:
        """Sample for so long, keep py-spy's file, and return the stacks. Raises MeasurementError."""
        self._record("raw", seconds, path)
        return list(parse_stacks(path.read_text(encoding="utf-8")))

    def flame_graph(self, seconds: int, path: Path) -> str:
        """Sample for so long, and return a flame graph as SVG, which is kept as well. Raises MeasurementError."""
        self._record("flamegraph", seconds, path)
        return path.read_text(encoding="utf-8")

    def thread_names(self) -> Mapping[int, str]:
        """Return the names that Python has for threads, by Linux's id. Raises MeasurementError."""
        dumped = json.loads(self._run("dump", "--json", "--pid", str(self._pid)))
        return {one["os_thread_id"]: one["thread_name"] for one in dumped if one["os_thread_id"]}

    def _record(self, kind: Literal["raw", "flamegraph"], seconds: int, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        rate = ["--threads", "--rate", str(RATE_PER_SECOND), "--duration", str(seconds)]
        self._run("record", "--pid", str(self._pid), "--format", kind, "--output", str(path), *rate, seconds=seconds)

    def _run(self, *arguments: str, seconds: float = 0.0) -> str:
        argv = [str(self._program), *arguments]
        try:
            ended = subprocess.run(  # noqa: S603 - a program of a locked environment
                argv, capture_output=True, text=True, check=False, timeout=seconds + _MARGIN_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise MeasurementError(f"py-spy did not end in {error.timeout:.0f} s; the process may hang.") from error
        if ended.returncode:
            said = " ".join(ended.stderr.split())
            raise MeasurementError(f"py-spy could not sample process {self._pid}: {said}")
        return ended.stdout


def parse_stacks(collapsed: str) -> Iterator[SampledStack]:
    """Read collapsed stacks: a line a stack, a thread and its frames with semicolons between them, a space, a count.

    A thread that was seen as it began or ended has no frames.

    Raises MeasurementError for a line that names no thread.
    """
    for line in collapsed.splitlines():
        match = _STACK.fullmatch(line)
        if match is None:
            raise MeasurementError(f"py-spy wrote a stack that names no thread: {line[:80]!r}; use the locked version.")
        yield SampledStack(int(match["thread"]), tuple((match["frames"] or "").split(";")), int(match["samples"]))
