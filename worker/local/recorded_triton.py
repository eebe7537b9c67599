"""A recorded Triton on the loopback interface: it answers what a real one answered before, at next to no cost."""

import socket
import sys
from pathlib import Path
from typing import Final

from worker.domain.errors import LocalStackError
from worker.local.process import Command
from worker.local.server import LocalServer

_READY_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 0.2


class RecordedTritonServer(LocalServer):
    """Serves the recording in a folder."""

    title = "The recorded Triton"
    name = "recorded-triton"

    def __init__(self, recording: Path, *, run_dir: Path | None = None) -> None:
        super().__init__(run_dir, _READY_SECONDS)
        self._recording = recording

    @property
    def grpc_url(self) -> str:
        """As a gRPC client wants it: host and port. Raises LocalStackError before the start."""
        return f"127.0.0.1:{self._port()}"

    def is_ready(self) -> bool:
        """Whether it listens now: it does when it has read its recording."""
        try:
            with socket.create_connection(("127.0.0.1", self._port()), _ANSWER_SECONDS):
                return True
        except OSError:
            return False

    def _provision(self) -> None:
        if not self._recording.is_dir():
            raise LocalStackError(f"the recording {self._recording} does not exist; record the models first")

    def _command(self) -> Command:
        module = "worker.adapters.triton.recorded_server"
        argv = [sys.executable, "-m", module, str(self._recording.absolute()), str(self._port())]
        return Command(argv, self.log_path, scratch=self._folder.temporary)
