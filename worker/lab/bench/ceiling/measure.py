"""The worker alone with its broker and a recorded Triton: what it costs, and whether that stays the same.

A turn writes a backlog and lasts to its last result. CPU is that of the worker's process; the recorded Triton, the
broker and this process are not in it. Memory is looked at all along the turn, so that a leak shows within the longest
one.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from worker.lab.bench.job_stream import JobStream, TimedJob
from worker.lab.bench.resources import cpu_seconds, resident_bytes
from worker.lab.evaluation.systems import Job

_MEMORY_INTERVAL_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class PictureSet:
    """Pictures of one kind, encoded; `decode_seconds` is the CPU time to decode one of them with OpenCV."""

    name: str
    title: str
    pictures: Sequence[bytes]
    decode_seconds: float


@dataclass(frozen=True, slots=True)
class CeilingTurn:
    """One backlog: CPU seconds of the worker and of the recorded Triton, and the worker's memory along the way."""

    pictures: str
    round: int
    jobs: int
    seconds: float
    cpu_seconds: float
    stub_cpu_seconds: float
    resident_bytes: Sequence[int]

    @property
    def cpu_ms_per_picture(self) -> float:
        """The worker's own cost."""
        return 1000 * self.cpu_seconds / self.jobs


class Ceiling:
    """Runs turns on a worker that runs."""

    def __init__(self, stream: JobStream, worker_pid: int, stub_pid: int) -> None:
        self._stream = stream
        self._worker_pid = worker_pid
        self._stub_pid = stub_pid

    def turn(self, shown: PictureSet, number: int, jobs: int, on_answer: Callable[[], None]) -> CeilingTurn:
        """Have the worker read a backlog of so many pictures. Raises MeasurementError if one is refused."""
        backlog = [
            TimedJob(
                Job(f"{shown.name}-{number}-{jobs}-{one}", shown.pictures[one % len(shown.pictures)], "image/jpeg")
            )
            for one in range(jobs)
        ]
        own, stub = cpu_seconds([self._worker_pid]), cpu_seconds([self._stub_pid])
        begun = time.monotonic()
        with MemoryCourse([self._worker_pid]) as memory:
            self._stream.run(backlog, on_answer)
        return CeilingTurn(
            pictures=shown.name,
            round=number,
            jobs=jobs,
            seconds=time.monotonic() - begun,
            cpu_seconds=cpu_seconds([self._worker_pid]) - own,
            stub_cpu_seconds=cpu_seconds([self._stub_pid]) - stub,
            resident_bytes=memory.resident_bytes,
        )


class MemoryCourse:
    """Looks at the memory of process trees at even intervals; a context manager."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = tuple(pids)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-course", daemon=True)
        self.resident_bytes: list[int] = []

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
            self.resident_bytes.append(resident_bytes(self._pids))
            if self._ended.wait(_MEMORY_INTERVAL_SECONDS):
                return
