"""Toxiproxy on the loopback interface: proxies that slow down, cut and swallow what passes through them.

It is built once by Go from a pinned version, kept in the cache, and steered over its HTTP API.
"""

import http.client
import itertools
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any, Self

from worker.domain.errors import LocalStackError
from worker.local.cache import content_key, entry_path, provide
from worker.local.folder import RunFolder
from worker.local.process import Command, SupervisedProcess, free_ports, last_lines, start
from worker.local.progress import progress
from worker.local.provision import run_tool

# Go checks the module's hash against the public checksum database, where it can be reached.
_MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"
_KEY = content_key(_MODULE)
_ANSWER_SECONDS = 5.0
_READY_SECONDS = 20.0
_POLL_SECONDS = 0.05


def provision_toxiproxy() -> Path:
    """Return Toxiproxy's server, built if it is not there.

    Raises LocalStackError without Go, or if the build fails.
    """
    if not entry_path("toxiproxy", _KEY).exists() and shutil.which("go") is None:
        raise LocalStackError("Go is not on the PATH; install Go 1.24 or newer, which builds Toxiproxy")
    return provide("toxiproxy", _KEY, _build) / "server"


def _build(folder: Path) -> None:
    with progress("Building Toxiproxy (once)") as report:
        run_tool(["go", "install", _MODULE], folder / "build.log", report, {**os.environ, "GOBIN": str(folder)})


class Toxiproxy:
    """One server; a context manager. `run_dir` takes its log; without one a temporary folder does."""

    def __init__(self, *, run_dir: Path | None = None) -> None:
        self._folder = RunFolder(run_dir, "toxiproxy")
        self._port = 0
        self._process: SupervisedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log_path(self) -> Path:
        """What the server says."""
        return self._folder.path / "toxiproxy.log"

    def start(self) -> None:
        """Start and wait until it answers; raises LocalStackError if it does not."""
        server = provision_toxiproxy()
        self._folder.open()
        self._port = self._port or free_ports(1)[0]
        argv = [str(server), "-host", "127.0.0.1", "-port", str(self._port)]
        environment = {**os.environ, "LOG_LEVEL": "warn"}
        self._process = start(Command(argv, self.log_path, environment, scratch=self._folder.temporary))
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            if self._process.exit_status is not None or time.monotonic() > deadline:
                said = last_lines(self.log_path, 5)
                self.stop()
                raise LocalStackError(f"Toxiproxy did not answer in {_READY_SECONDS:.0f} s; its last words:\n{said}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop; all connections through it end."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._folder.close()

    def proxy(self, name: str, listen: str, upstream: str) -> "Proxy":
        """Pass connections to `listen` (host:port) on to `upstream`. Raises LocalStackError."""
        self.request("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": True})
        return Proxy(self, name, listen)

    def request(self, method: str, path: str, content: object = None) -> Any:  # noqa: ANN401 - JSON
        """Ask the API and return its answer. Raises LocalStackError where it refuses or is away."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        body = None if content is None else json.dumps(content)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise LocalStackError(f"Toxiproxy at 127.0.0.1:{self._port} does not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise LocalStackError(f"Toxiproxy refused {method} {path}: {said.strip()}")
        return json.loads(said) if said.strip() else None

    def _answers(self) -> bool:
        try:
            self.request("GET", "/proxies")
        except LocalStackError:
            return False
        return True


class Proxy:
    """One proxy; `Toxiproxy.proxy` makes it."""

    def __init__(self, server: Toxiproxy, name: str, listen: str) -> None:
        self._server = server
        self._name = name
        self._numbers = itertools.count()
        self.listen = listen

    def disable(self) -> None:
        """Close all connections and refuse new ones."""
        self._server.request("POST", f"/proxies/{self._name}", {"enabled": False})

    def enable(self) -> None:
        """Take connections again."""
        self._server.request("POST", f"/proxies/{self._name}", {"enabled": True})

    def add_toxic(self, kind: str, *, stream: str = "downstream", **attributes: int) -> str:
        """Disturb what passes, and return the disturbance's name.

        `latency` (latency and jitter in ms), `bandwidth` (rate in KB/s), `slicer` (average_size and size_variation in
        bytes, delay in µs), `timeout` (timeout in ms; 0 swallows everything and closes when it is removed),
        `reset_peer` (timeout in ms until the reset). `stream` is `downstream`, towards the client, or `upstream`.
        """
        name = f"{kind}-{next(self._numbers)}"
        content = {"name": name, "type": kind, "stream": stream, "attributes": attributes}
        self._server.request("POST", f"/proxies/{self._name}/toxics", content)
        return name

    def remove_toxic(self, name: str) -> None:
        """End a disturbance."""
        self._server.request("DELETE", f"/proxies/{self._name}/toxics/{name}")
