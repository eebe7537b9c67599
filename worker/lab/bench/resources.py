"""CPU seconds and memory of process trees, from outside.

Nothing looks at the processes while they are measured: CPU times are read before and after, and the kernel itself keeps
each process's peak of resident memory (`VmHWM`, see proc(5)). Finding all children means reading every process of the
machine, which would take time from those that are measured.
Memory of several processes is the sum of their peaks; pages that they share count in each, and the peaks need not
coincide: the sum never flatters.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

_RESET_PEAK: Final = "5"
_KIBIBYTE: Final = 1024
_STUB: Final = "triton_python_backend_stub"


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What a process, or some under one name, took: CPU seconds, and the peak of resident memory in bytes."""

    cpu_seconds: float = 0.0
    peak_rss_bytes: int = 0

    def plus(self, other: "ProcessUse") -> "ProcessUse":
        """Return both together."""
        return ProcessUse(self.cpu_seconds + other.cpu_seconds, self.peak_rss_bytes + other.peak_rss_bytes)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds that the processes and their descendants have used; those that are gone count nothing."""
    return sum(_cpu_times(_trees(pids)).values())


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the memory of the processes and their descendants now; those that are gone count nothing."""
    total = 0
    for process in _trees(pids):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def peak_bytes(pids: Iterable[int]) -> int:
    """Return the sum of the peaks that the kernel has kept for the processes and their descendants until now."""
    return sum(_peak_bytes(process.pid) for process in _trees(pids))


class ProcessMeter:
    """Measures what named process trees take while a block lasts; a context manager.

    `roots` are process ids by name. Afterwards `uses` holds the use by name. Each model of Triton's Python backend has
    a process of its own, which counts under the name of the server and of the model, as `triton text_detector`. A
    process that ended within the block counts nothing.
    """

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = dict(roots)
        self._cpu_before: dict[psutil.Process, float] = {}
        self.uses: dict[str, ProcessUse] = {}

    def __enter__(self) -> Self:
        processes = _trees(self._roots.values())
        for process in processes:
            _reset_peak(process.pid)
        self._cpu_before = _cpu_times(processes)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for name, pid in self._roots.items():
            self.uses[name] = ProcessUse()
            for process, after in _cpu_times(_trees([pid])).items():
                part = _part(name, process)
                use = ProcessUse(after - self._cpu_before.get(process, 0.0), _peak_bytes(process.pid))
                self.uses[part] = self.uses.get(part, ProcessUse()).plus(use)


class PeakMemory:
    """The peak of resident memory of process trees while a block lasts; a context manager."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._meter = ProcessMeter({str(pid): pid for pid in pids})
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._meter.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._meter.__exit__(kind, error, trace)
        self.peak_bytes = sum(use.peak_rss_bytes for use in self._meter.uses.values())


def model_of_stub(argv: Sequence[str]) -> str | None:
    """Return the model that a process of Triton's Python backend runs, None for any other process.

    The stub's first argument is the path of the model's file: `…/MODEL/VERSION/model.py`.
    """
    if len(argv) < 2 or Path(argv[0]).name != _STUB:  # noqa: PLR2004 - the program and its first argument
        return None
    return Path(argv[1]).parent.parent.name


def _part(name: str, process: psutil.Process) -> str:
    model = None
    with contextlib.suppress(psutil.Error):
        model = model_of_stub(process.cmdline())
    return f"{name} {model}" if model else name


def _cpu_times(processes: Iterable[psutil.Process]) -> dict[psutil.Process, float]:
    found = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            found[process] = times.user + times.system
    return found


def _reset_peak(pid: int) -> None:
    # A kernel without this file, or a process that has just ended: the peak is then that of its whole life.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)


def _peak_bytes(pid: int) -> int:
    rows: Iterator[str] = iter(())
    with contextlib.suppress(OSError):
        rows = iter(Path(f"/proc/{pid}/status").read_text().splitlines())
    return next((int(row.split()[1]) * _KIBIBYTE for row in rows if row.startswith("VmHWM:")), 0)


def _trees(pids: Iterable[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(pid)
            found[pid] = root
            found.update({child.pid: child for child in root.children(recursive=True)})
    return list(found.values())
