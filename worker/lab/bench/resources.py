"""CPU seconds and memory of process trees, from outside.

Memory is the sum of resident set sizes over a tree; pages that processes share count in each: the sum never flatters.
"""

import contextlib
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import psutil

_INTERVAL_SECONDS = 0.25


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds that the processes and their descendants have used; those that are gone count nothing."""
    seconds = 0.0
    for process in _trees(pids):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the memory of the processes and their descendants."""
    total = 0
    for process in _trees(pids):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


class PeakMemory:
    """Looks at the memory of process trees a few times a second; a context manager."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = tuple(pids)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, resident_bytes(self._pids))
            if self._ended.wait(_INTERVAL_SECONDS):
                return


def _trees(pids: Iterable[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(pid)
            found[pid] = root
            found.update({child.pid: child for child in root.children(recursive=True)})
    return list(found.values())
