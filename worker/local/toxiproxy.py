"""Toxiproxy on the loopback interface: proxies that slow down, cut and swallow what passes through them.

It is built once by Go from a pinned version, kept in the cache, and steered over its HTTP API.
"""

import http.client
import itertools
import json
import os
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import LocalStackError
from worker.local.go_tool import GoTool
from worker.local.process import Command
from worker.local.server import LocalServer

TOXIPROXY: Final = GoTool("github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0", "toxiproxy", "Toxiproxy")
_ANSWER_SECONDS = 5.0
_READY_SECONDS = 20.0


class Toxiproxy(LocalServer):
    """One server; all connections through it end with it."""

    title = "Toxiproxy"
    name = "toxiproxy"

    def __init__(self, *, run_dir: Path | None = None) -> None:
        super().__init__(run_dir, _READY_SECONDS)

    def is_ready(self) -> bool:
        """Whether its API answers now."""
        try:
            self.request("GET", "/proxies")
        except LocalStackError:
            return False
        return True

    def proxy(self, name: str, listen: str, upstream: str) -> "Proxy":
        """Pass connections to `listen` (host:port) on to `upstream`. Raises LocalStackError."""
        self.request("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": True})
        return Proxy(self, name, listen)

    def request(self, method: str, path: str, content: object = None) -> Any:  # noqa: ANN401 - JSON
        """Ask the API and return its answer. Raises LocalStackError where it refuses or is away."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port(), timeout=_ANSWER_SECONDS)
        body = None if content is None else json.dumps(content)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            output = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise LocalStackError(f"Toxiproxy at 127.0.0.1:{self._port()} does not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise LocalStackError(f"Toxiproxy refused {method} {path}: {output.strip()}")
        return json.loads(output) if output.strip() else None

    def _provision(self) -> None:
        TOXIPROXY.provide()

    def _command(self) -> Command:
        argv = [str(TOXIPROXY.provide()), "-host", "127.0.0.1", "-port", str(self._port())]
        return Command(argv, self.log_path, {**os.environ, "LOG_LEVEL": "warn"}, scratch=self._folder.temporary)


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
        `reset_peer` (timeout in ms until the reset). `stream` is `downstream`, toward the client, or `upstream`.
        """
        name = f"{kind}-{next(self._numbers)}"
        content = {"name": name, "type": kind, "stream": stream, "attributes": attributes}
        self._server.request("POST", f"/proxies/{self._name}/toxics", content)
        return name

    def remove_toxic(self, name: str) -> None:
        """End a disturbance."""
        self._server.request("DELETE", f"/proxies/{self._name}/toxics/{name}")
