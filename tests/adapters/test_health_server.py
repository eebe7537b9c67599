"""The health server and clients that take without giving."""

import http.client
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from worker.adapters.telemetry.http import HealthServer
from worker.runtime.health import Health
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents

SECONDS = 0.3


@contextmanager
def serving(host: str = "127.0.0.1", seconds: float = 60, registry: CollectorRegistry | None = None) -> Iterator[int]:
    health = Health((), ManualClock(), RecordedEvents(), pulse_seconds=60)
    server = HealthServer(
        host, 0, health, registry or CollectorRegistry(), max_connections=4, connection_seconds=seconds
    )
    port = server.start()
    try:
        yield port
    finally:
        server.close()


def status_of(port: int, host: str = "127.0.0.1", method: str = "GET", path: str = "/livez") -> int:
    with closing(http.client.HTTPConnection(host, port, timeout=5)) as connection:
        connection.request(method, path)
        return connection.getresponse().status


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def closed(client: socket.socket) -> bool:
    client.settimeout(5)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_idle_clients_take_few_descriptors_and_hold_up_no_probe() -> None:
    with serving() as port, ExitStack() as held:
        before = descriptors()
        clients = [held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)) for _ in range(40)]
        assert status_of(port) == 200
        deadline = time.monotonic() + 5
        while descriptors() > before + len(clients) + 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert descriptors() <= before + len(clients) + 4
        assert all(closed(client) for client in clients[:30])


def test_what_the_metrics_library_cannot_answer_is_an_error_and_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as port, socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=abc.def\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 500 ")
        assert status_of(port) == 200
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("said", [b"", b"GET /livez HTTP/1.1\r\nHost: me\r\n", b"GET /livez HTTP/1.1\r\n\r\n"])
def test_a_client_is_left_after_its_time_whatever_it_has_said(said: bytes) -> None:
    with serving(seconds=SECONDS) as port, socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(said)
        begun, answer = time.monotonic(), b""
        while chunk := client.recv(1000):
            answer += chunk
        assert time.monotonic() - begun < 5
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n" if said.endswith(b"\r\n\r\n") else b"")


def test_a_client_that_drips_is_left_as_well() -> None:
    with serving(seconds=SECONDS) as port, socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        begun, left = time.monotonic(), False
        while not left and time.monotonic() - begun < 5:
            time.sleep(0.01)
            try:
                client.sendall(b"G")
            except ConnectionError:
                left = True
        assert left


def test_a_client_that_does_not_read_is_left_as_well() -> None:
    registry = CollectorRegistry()
    counter = Counter("large", "Large.", ["label"], registry=registry)
    for number in range(4000):
        counter.labels(f"{number:01000}")
    with serving(seconds=SECONDS, registry=registry) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.settimeout(5)
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        time.sleep(2 * SECONDS)
        size = 0
        while chunk := client.recv(1 << 20):
            size += len(chunk)
        assert 0 < size < len(generate_latest(registry)), "what the kernel held, and no more"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"HEAD /livez HTTP/1.0\r\n\r\n", b"200"),
        (b"POST /livez HTTP/1.1\r\n\r\n", b"405"),
        (b"\xff\x00\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_odd_requests_get_an_answer(request_bytes: bytes, status: bytes) -> None:
    with serving() as port, socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(request_bytes)
        assert client.recv(1000).split()[1] == status


def test_metrics_come_as_openmetrics_to_whoever_asks() -> None:
    with serving() as port, closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
        answer = connection.getresponse()
        assert (answer.getheader("Content-Type") or "").startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("host", "reached"),
    [("::", ("127.0.0.1", "::1")), ("[::]", ("127.0.0.1", "::1")), ("::1", ("::1",)), ("0.0.0.0", ("127.0.0.1",))],  # noqa: S104
)
def test_it_listens_on_both_stacks(host: str, reached: tuple[str, ...]) -> None:
    addresses = Path("/proc/net/if_inet6")
    if "::1" in reached and not (addresses.exists() and addresses.read_text()):
        pytest.skip("this machine has no IPv6")
    with serving(host) as port:
        assert [status_of(port, address) for address in reached] == [200] * len(reached)


def test_it_says_once_that_it_has_no_descriptor_and_goes_on_when_it_has(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as port, socket.socket() as client:
        client.settimeout(5)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
            time.sleep(0.2)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert [record.getMessage() for record in caplog.records] == [
        "The health port takes no connection for now: Too many open files"
    ]
