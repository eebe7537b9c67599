"""The CPU time of each thread of a process, from /proc, Linux's own account (proc(5))."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/task/TID/stat after the name, which stands in parentheses and may hold anything.
_USER, _SYSTEM = 11, 12


@dataclass(frozen=True, slots=True)
class ThreadTimes:
    """A thread's name as Linux has it, 15 bytes at most, and the CPU seconds that it has used."""

    name: str
    cpu_seconds: float


def thread_times(pid: int) -> dict[int, ThreadTimes]:
    """Return the times of each thread that lives, by its id. Raises FileNotFoundError if the process is gone."""
    return dict(_read(Path(f"/proc/{pid}/task")))


def since(now: Mapping[int, ThreadTimes], before: Mapping[int, ThreadTimes]) -> dict[int, ThreadTimes]:
    """Return what each thread used after `before`; one that is new used all of its time since."""
    nothing = ThreadTimes("", 0.0)
    return {
        number: ThreadTimes(times.name, times.cpu_seconds - before.get(number, nothing).cpu_seconds)
        for number, times in now.items()
    }


def _read(folder: Path) -> Iterator[tuple[int, ThreadTimes]]:
    for task in folder.iterdir():
        try:
            stat = (task / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        name, _, rest = stat[stat.index("(") + 1 :].rpartition(")")
        fields = rest.split()
        ticks = int(fields[_USER]) + int(fields[_SYSTEM])
        yield int(task.name), ThreadTimes(name, ticks / _TICKS_PER_SECOND)
