"""The worker's endpoints: /livez, /readyz and /metrics, on a thread of their own: they answer while work is done.

/livez and /readyz say 200 or 503, with the reason as text.
"""

import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from worker.domain.errors import SettingsError
from worker.runtime.health import Health
from worker.settings import PREFIX

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Probes come every few seconds; nobody wants a line for each."""


class HealthServer:
    """Serves until it is closed. Raises SettingsError where it cannot listen."""

    def __init__(self, host: str, port: int, health: Health, registry: CollectorRegistry) -> None:
        self._health = health
        self._metrics: Any = make_wsgi_app(registry)
        try:
            self._server = make_server(host, port, self._answer, _Server, _QuietHandler)
        except OSError as error:
            raise SettingsError(f"{PREFIX}HTTP__HOST={host!r}, {PREFIX}HTTP__PORT={port}: {error.strerror}.") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    def start(self) -> int:
        """Begin to serve, and return the port."""
        self._thread.start()
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start_response)
            return answer
        status, text = self._probe(path)
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        return [text.encode() + b"\n"]

    def _probe(self, path: str) -> tuple[HTTPStatus, str]:
        if path == "/livez":
            alive = self._health.alive
            return (HTTPStatus.OK, "alive") if alive else (HTTPStatus.SERVICE_UNAVAILABLE, "the loops stand still")
        if path == "/readyz":
            reason, notice = self._health.reason, self._health.notice
            if reason:
                return HTTPStatus.SERVICE_UNAVAILABLE, reason
            return HTTPStatus.OK, f"ready; {notice}" if notice else "ready"
        return HTTPStatus.NOT_FOUND, "there are /livez, /readyz and /metrics"
