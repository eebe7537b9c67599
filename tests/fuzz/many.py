"""Mutants by the thousand, in child processes that may die of them."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Final

from tests.fuzz.child import SECONDS

_ROOT: Final = Path(__file__).parents[2]
_SILENT_SECONDS: Final = 60.0  # of the clock: a child that neither works nor answers


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a file. `fault` says what is wrong with that, None where it is as it shall be."""

    name: str
    end: str
    fault: str | None
    seconds: float
    taken_bytes: int


def run_mutants(seeds: range, jobs: int) -> Iterator[Ending]:
    """Yield the ending of each seed's mutant, in any order."""
    endings: SimpleQueue[Ending] = SimpleQueue()
    with ThreadPoolExecutor(jobs) as pool:
        shares = [pool.submit(_share, seeds[start::jobs], endings) for start in range(min(jobs, len(seeds)))]
        for _ in seeds:
            yield endings.get()
        for share in as_completed(shares):
            share.result()


def run_files(paths: Sequence[Path]) -> Iterator[Ending]:
    """Yield the ending of each file."""
    left = [str(path) for path in paths]
    while left:
        for ending in _child(["files", *left]):
            yield ending
            left.remove(ending.name)


def run_defect(name: str) -> Ending:
    """Return the ending of a file that is read with a defect, to show that it is seen."""
    return next(_child(["defect", name]))


def _share(seeds: range, endings: "SimpleQueue[Ending]") -> None:
    while seeds:
        done = 0
        for ending in _child([str(seeds.start), str(seeds.stop), str(seeds.step)]):
            endings.put(ending)
            done += 1
        if not done:
            raise RuntimeError("the child that reads mutants does not start")
        seeds = seeds[done:]


def _child(arguments: list[str]) -> Iterator[Ending]:
    """Yield the endings of one child's files; its own end is the ending of the file that it was at."""
    command = [sys.executable, "-m", "tests.fuzz.child", *arguments]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        begun = None
        for line in _lines(process, process.stdout):
            said = json.loads(line)
            begun = said.get("begun")
            if begun is None:
                yield Ending(said["name"], said["end"], said["fault"], said["seconds"], said["taken_bytes"])
        if begun is not None:
            yield Ending(begun, "died", _death(process.wait()), SECONDS, 0)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _lines(process: "subprocess.Popen[str]", stdout: IO[str]) -> Iterator[str]:
    while True:
        watchdog = threading.Timer(_SILENT_SECONDS, process.kill)
        watchdog.start()
        line = stdout.readline()
        watchdog.cancel()
        if not line:
            return
        yield line


def _death(code: int) -> str:
    if code == -signal.SIGPROF:
        return f"took more than {SECONDS} seconds of the processor"
    if code == -signal.SIGKILL:
        return "gave no answer"
    return f"ended the process by {signal.Signals(-code).name}" if code < 0 else f"ended the process with {code}"
