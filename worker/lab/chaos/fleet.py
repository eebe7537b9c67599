"""Worker processes that are started again when they end, as Kubernetes would.

Invariant: at any time there are as many workers as asked for, but for the moments between an end and a new start; all
of them end with `stop`.
"""

import contextlib
import http.client
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from worker.lab.chaos.errors import ChaosError
from worker.lab.evaluation.systems import Launch, Process
from worker.ports import Clock

_LOOK_SECONDS: Final = 0.2
_READY_SECONDS: Final = 90.0
_ANSWER_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 40.0


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """The end of a worker: which one, when, its status (128 + n for signal n), and which fault had asked for it."""

    worker: int
    at_ms: int
    status: int
    asked: str


@dataclass(slots=True)
class _Slot:
    number: int
    port: int
    log_path: Path
    process: Process | None = None
    asked: str = ""
    ended: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Fleet:
    """`size` workers, each with a port for its probes and a log of its own."""

    def __init__(
        self,
        *,
        launch: Launch,
        argv: Sequence[str],
        environment: Mapping[str, str],
        free_port: Callable[[], int],
        folder: Path,
        size: int,
        clock: Clock,
    ) -> None:
        self._launch = launch
        self._argv = argv
        self._environment = environment
        self._free_port = free_port
        self._folder = folder
        self._size = size
        self._clock = clock
        self._slots: list[_Slot] = []
        self._ending = threading.Event()
        self._supervision = threading.Thread(target=self._supervise, name="fleet", daemon=True)
        self.exits: list[WorkerExit] = []

    def start(self) -> None:
        """Start the workers and their supervision, and wait until all are ready. Raises ChaosError."""
        for _ in range(self._size):
            self._add()
        self._supervision.start()
        self.wait_until_ready()

    def stop(self) -> None:
        """Ask all workers to end, and wait for it."""
        if not self._ending.is_set():
            self._ending.set()
            if self._supervision.is_alive():
                self._supervision.join()
        running = [slot for slot in self._slots if slot.process is not None]
        for slot in running:
            self._signal(slot, signal.SIGCONT, signal.SIGTERM, asked="stop")
        deadline = self._clock.monotonic() + _STOP_SECONDS
        for slot in running:
            if slot.process is not None:
                self._note_exit(slot, self._ended(slot.process, deadline))

    def wait_until_ready(self, timeout_seconds: float = _READY_SECONDS) -> None:
        """Wait until every worker says so. Raises ChaosError."""
        deadline = self._clock.monotonic() + timeout_seconds
        while unready := [slot for slot in self._slots if not slot.ended and not _says_ready(slot.port)]:
            if self._clock.monotonic() > deadline:
                raise ChaosError(
                    f"Worker {unready[0].number} was not ready within {timeout_seconds:.0f} s; "
                    f"see {unready[0].log_path}."
                )
            time.sleep(_LOOK_SECONDS)

    def unready_for(self, reason: str) -> list[int]:
        """Return the workers that say they are not ready for a reason with these words."""
        running = [slot for slot in self._slots if slot.process is not None]
        return [slot.number for slot in running if reason in _probe(slot.port)[1]]

    # Faults: each picks one of the workers and says which.

    def kill(self, pick: int) -> str:
        """End a worker by SIGKILL."""
        slot = self._pick_worker(pick)
        self._signal(slot, signal.SIGKILL, asked="killed")
        return f"worker {slot.number}"

    def terminate(self, pick: int) -> str:
        """Ask a worker to end, as a rolling restart does."""
        slot = self._pick_worker(pick)
        self._signal(slot, signal.SIGTERM, asked="terminated")
        return f"worker {slot.number}"

    def stall(self, pick: int, sleep: Callable[[], None]) -> str:
        """Stop a worker's clock by SIGSTOP while `sleep` lasts."""
        slot = self._pick_worker(pick)
        self._signal(slot, signal.SIGSTOP)
        try:
            sleep()
        finally:
            self._signal(slot, signal.SIGCONT)
        return f"worker {slot.number}"

    def join(self, stay: Callable[[], None]) -> str:
        """Have one more worker join, and leave after `stay`."""
        slot = self._add()
        try:
            stay()
        finally:
            slot.ended = True
            self._signal(slot, signal.SIGTERM, asked="terminated")
        return f"worker {slot.number} came and left"

    def _pick_worker(self, pick: int) -> _Slot:
        """Return a worker that runs; waits where all are just being started again."""
        deadline = self._clock.monotonic() + _READY_SECONDS
        while not (running := [slot for slot in self._slots[: self._size] if slot.process is not None]):
            if self._clock.monotonic() > deadline:
                raise ChaosError(f"No worker has run for {_READY_SECONDS:.0f} s; see {self._folder}.")
            time.sleep(_LOOK_SECONDS)
        return running[pick % len(running)]

    def _add(self) -> _Slot:
        number = len(self._slots)
        slot = _Slot(number, self._free_port(), self._folder / f"worker-{number}.log")
        self._launch_into(slot)
        self._slots.append(slot)
        return slot

    def _launch_into(self, slot: _Slot) -> None:
        environment = {**self._environment, "LABELWIRE_HTTP__PORT": str(slot.port)}
        with slot.lock:
            slot.asked = ""
            slot.process = self._launch(self._argv, environment, slot.log_path)

    def _supervise(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            for slot in tuple(self._slots):
                status = slot.process.exit_status if slot.process is not None else None
                if status is None:
                    continue
                self._note_exit(slot, status)
                if not slot.ended:
                    self._launch_into(slot)

    def _note_exit(self, slot: _Slot, status: int) -> None:
        with slot.lock:
            if slot.process is not None:
                slot.process.stop()  # it has ended: this only lets go of it
                slot.process = None
                self.exits.append(WorkerExit(slot.number, self._clock.epoch_ms(), status, slot.asked))

    def _ended(self, process: Process, deadline: float) -> int:
        """Wait for the end of a worker that was asked to end, and return its status.

        A second signal would end it at once, so its supervisor is told only when the time is over.
        """
        while (status := process.exit_status) is None:
            if self._clock.monotonic() > deadline:
                return process.stop()
            time.sleep(_LOOK_SECONDS)
        return status

    def _signal(self, slot: _Slot, *numbers: signal.Signals, asked: str = "") -> None:
        with slot.lock:
            if slot.process is None:
                return
            slot.asked = asked or slot.asked
            for number in numbers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(slot.process.pid, number)


def _says_ready(port: int) -> bool:
    return _probe(port)[0] == http.HTTPStatus.OK


def _probe(port: int) -> tuple[int, str]:
    """Return the status and the words of a worker's readiness; 0 where nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
