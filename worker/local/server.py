"""A server of the local stack: one process on the loopback interface, with its folder and its ports.

Invariant: a server keeps its ports for life; one that does not get ready is stopped and leaves nothing behind.
"""

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from worker.domain.errors import LocalStackError
from worker.local.folder import RunFolder
from worker.local.process import Command, SupervisedProcess, free_ports, last_lines, start

_POLL_SECONDS = 0.1
_SHOWN_LINES = 15


class LocalServer(ABC):
    """A context manager, started inside it. Subclasses say what to run, and when it is ready.

    `run_dir` holds the log and whatever else the server keeps, and may be used again by a later start; without one a
    temporary folder is used and removed by `stop`. `kill` and `restart` leave the folder as it is.
    """

    title: ClassVar[str]  # in messages
    name: ClassVar[str]  # of its log and its temporary folder
    port_count: ClassVar[int] = 1

    def __init__(self, run_dir: Path | None, ready_timeout_seconds: float) -> None:
        self._folder = RunFolder(run_dir, self.name)
        self._ready_timeout_seconds = ready_timeout_seconds
        self._ports: list[int] = []
        self._process: SupervisedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log_path(self) -> Path:
        """What the server says."""
        return self._folder.path / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """The server's process. Raises LocalStackError if it does not run."""
        if self._process is None:
            raise LocalStackError(f"{self.title} is not running")
        return self._process.pid

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers now."""

    def start(self) -> None:
        """Start and wait until it is ready.

        Raises LocalStackError, with the log's last lines, if it is not in time.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start without waiting. Raises LocalStackError if something that it needs is missing."""
        self._provision()
        self._ports = self._ports or free_ports(self.port_count)
        self._folder.open()
        self._process = start(self._command())

    def wait_until_ready(self) -> None:
        """Wait until it is ready; if it does not become ready, stop it and raise LocalStackError."""
        deadline = time.monotonic() + self._ready_timeout_seconds
        while not self.is_ready():
            exited = self._process is None or self._process.exit_status is not None
            if exited or time.monotonic() > deadline:
                output = self._log_tail()
                self.stop()
                reason = "ended" if exited else f"was not ready in {self._ready_timeout_seconds:.0f} s"
                raise LocalStackError(f"{self.title} {reason}; its log ends with:\n{output}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop in an orderly way; a temporary folder goes with it."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._folder.close()

    def kill(self) -> None:
        """Kill the server as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Stop, if it runs, and start at the same address with the same folder."""
        if self._process is not None:
            self._process.stop()
        self.start()

    @abstractmethod
    def _provision(self) -> None:
        """Fetch what the server needs, before anything is written. Raises LocalStackError."""

    @abstractmethod
    def _command(self) -> Command:
        """Return what to run, its folder laid out and its ports known. Raises LocalStackError."""

    def _port(self, index: int = 0) -> int:
        if not self._ports:
            raise LocalStackError(f"{self.title} has no address, because it was not started")
        return self._ports[index]

    def _log_tail(self) -> str:
        """Return the end of the log, for an error message."""
        return last_lines(self.log_path, _SHOWN_LINES)
