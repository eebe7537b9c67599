"""The worker's endpoints /livez, /readyz and /metrics, on a thread of their own, so that they answer during work.

/livez and /readyz answer 200 or 503, with the reason as text.

Invariant: clients take no more than a fixed number of descriptors, and each for a few seconds at most. A new client is
always accepted: if there are too many, the oldest connection is closed.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from prometheus_client import CollectorRegistry, make_wsgi_app

from worker.domain.errors import SettingsError
from worker.runtime.health import Health
from worker.settings import PREFIX

StartResponse = Callable[[str, list[tuple[str, str]]], object]

MAX_CONNECTIONS: Final = 32
# Of the clock, from a connection's beginning to its answer's last byte. The kubelet and Prometheus wait no longer.
CONNECTION_SECONDS: Final = 10.0
_MAX_REQUEST_BYTES: Final = 16 * 1024
_BACKLOG: Final = 32
_AGAIN_SECONDS: Final = 1.0
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_END_OF_HEAD: Final = b"\r\n\r\n"
_EVERYWHERE: Final = "::"
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_LOGGER = logging.getLogger(__name__)


class HealthServer:
    """Serves until it is closed. Raises SettingsError where it cannot listen.

    The host `::` is every address of this machine, of IPv4 and of IPv6, whichever it has. A connection carries one
    request.
    """

    def __init__(
        self,
        host: str,
        port: int,
        health: Health,
        registry: CollectorRegistry,
        *,
        max_connections: int = MAX_CONNECTIONS,
        connection_seconds: float = CONNECTION_SECONDS,
    ) -> None:
        self._health = health
        self._metrics: Any = make_wsgi_app(registry)
        self._max_connections = max_connections
        self._connection_seconds = connection_seconds
        # In the order of their beginnings.
        self._connections: dict[asyncio.Task[None], None] = {}
        try:
            self._socket = _listening(host.removeprefix("[").removesuffix("]"), port)
        except OSError as error:
            raise SettingsError(f"{PREFIX}HTTP__HOST={host!r}, {PREFIX}HTTP__PORT={port}: {error.strerror}.") from error
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> int:
        """Begin to serve, and return the port."""
        self._thread.start()
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Stop."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._socket.setblocking(False)
        accepting = asyncio.create_task(self._accept())
        await self._closing.wait()
        ending = (accepting, *self._connections)
        for task in ending:
            task.cancel()
        await asyncio.wait(ending)
        self._socket.close()

    async def _accept(self) -> None:
        # Not asyncio's own server: without descriptors it logs some thousand lines a second.
        warned = False
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._socket)
            except OSError as error:  # the client has left already, or this process has no descriptor for it
                if error.errno in _NO_DESCRIPTOR:
                    if not warned:
                        _LOGGER.warning("The health port takes no connection for now: %s", error.strerror)
                    warned = True
                    await asyncio.sleep(_AGAIN_SECONDS)
                continue
            warned = False
            if len(self._connections) >= self._max_connections:
                oldest = next(iter(self._connections))
                del self._connections[oldest]
                oldest.cancel()
            task = asyncio.create_task(self._serve_client(client))
            self._connections[task] = None
            task.add_done_callback(partial(self._ended, client))

    def _ended(self, client: socket.socket, task: asyncio.Task[None]) -> None:
        # Only now: the loop no longer looks at this descriptor, whose number the next client may get.
        client.close()
        self._connections.pop(task, None)

    async def _serve_client(self, client: socket.socket) -> None:
        try:
            async with asyncio.timeout(self._connection_seconds):
                await self._exchange(client)
        except OSError as error:
            _LOGGER.debug("A client of the health port was left without an answer: %r", error)

    async def _exchange(self, client: socket.socket) -> None:
        """Answer one request."""
        head = b""
        while _END_OF_HEAD not in head and len(head) < _MAX_REQUEST_BYTES:
            more = await self._loop.sock_recv(client, _MAX_REQUEST_BYTES - len(head))
            if not more:
                return
            head += more
        if _END_OF_HEAD in head:
            answer = self._safe_answer(head.partition(_END_OF_HEAD)[0].decode("latin-1"))
        else:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            answer = _response(f"{status.value} {status.phrase}", (), b"")
        await self._loop.sock_sendall(client, answer)
        client.shutdown(socket.SHUT_WR)
        # Until the client has taken it: to close at once could cost the answer's last bytes.
        while await self._loop.sock_recv(client, _MAX_REQUEST_BYTES):
            pass

    def _safe_answer(self, head: str) -> bytes:
        try:
            return self._answer(head)
        except Exception as error:  # noqa: BLE001 - of the metrics' library, which takes no odd Accept header
            _LOGGER.warning("The health port could not answer %r: %r", head.partition("\r\n")[0], error)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return _response(f"{status.value} {status.phrase}", (), b"")

    def _answer(self, head: str) -> bytes:
        line, *fields = head.split("\r\n")
        method, _, rest = line.partition(" ")
        target, _, version = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            status = HTTPStatus.BAD_REQUEST
            return _response(f"{status.value} {status.phrase}", (), b"")
        if method not in {"GET", "HEAD"}:
            status = HTTPStatus.METHOD_NOT_ALLOWED
            return _response(f"{status.value} {status.phrase}", (("Allow", "GET, HEAD"),), b"")
        path, _, query = target.partition("?")
        started: list[tuple[str, list[tuple[str, str]]]] = []
        body = b"".join(
            self._respond(_environ(path, query, fields), lambda status, headers: started.append((status, headers)))
        )
        ((status_line, headers),) = started
        return _response(status_line, headers, body, with_body=method == "GET")

    def _respond(self, environ: Mapping[str, str], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            metrics: Iterable[bytes] = self._metrics(environ, start_response)
            return metrics
        status, text = self._probe(environ["PATH_INFO"])
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        return [text.encode() + b"\n"]

    def _probe(self, path: str) -> tuple[HTTPStatus, str]:
        if path == "/livez":
            alive = self._health.alive
            return (
                (HTTPStatus.OK, "alive")
                if alive
                else (HTTPStatus.SERVICE_UNAVAILABLE, "the event loop or the source hangs")
            )
        if path == "/readyz":
            reason, notice = self._health.reason, self._health.notice
            if reason:
                return HTTPStatus.SERVICE_UNAVAILABLE, reason
            return HTTPStatus.OK, f"ready; {notice}" if notice else "ready"
        return HTTPStatus.NOT_FOUND, "there are /livez, /readyz and /metrics"


def _listening(host: str, port: int) -> socket.socket:
    if host == _EVERYWHERE:
        try:
            return socket.create_server((host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
            return socket.create_server(("", port), backlog=_BACKLOG)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Of a name with several addresses, as `localhost`, that of IPv4: probes and tools mean it.
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return socket.create_server(address, family=family, backlog=_BACKLOG)


def _environ(path: str, query: str, fields: Iterable[str]) -> dict[str, str]:
    """Return what the metrics' WSGI application looks at."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query}
    for field in fields:
        name, _, value = field.partition(":")
        environ[f"HTTP_{name.strip().upper().replace('-', '_')}"] = value.strip()
    return environ


def _response(status: str, headers: Iterable[tuple[str, str]], body: bytes, *, with_body: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body if with_body else b"")
