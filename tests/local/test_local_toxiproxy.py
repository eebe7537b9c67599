import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.go_tools import demand_go_tool
from worker.adapters.kafka.admin import TopicSpec, create_topics, is_reachable
from worker.adapters.kafka.offline.submit import submit
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.domain.errors import LocalStackError
from worker.domain.records import OutgoingRecord
from worker.local.kafka import KafkaServer
from worker.local.process import free_ports
from worker.local.stack import provision_kafka
from worker.local.toxiproxy import TOXIPROXY, Proxy, Toxiproxy


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while said := self.request.recv(1024):
            self.request.sendall(said)


@pytest.fixture(scope="module")
def toxiproxy() -> Iterator[Toxiproxy]:
    demand_go_tool(TOXIPROXY)
    with Toxiproxy() as server:
        yield server


@pytest.fixture
def echo(toxiproxy: Toxiproxy, topic: str) -> Iterator[Proxy]:
    """A proxy before a server that answers what it is told."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        yield toxiproxy.proxy(topic, f"127.0.0.1:{free_ports(1)[0]}", f"{host!s}:{port}")
        server.shutdown()


def _ask(proxy: Proxy, timeout_seconds: float = 5.0) -> float:
    """Return how many seconds an answer takes; raises OSError where none comes."""
    host, _, port = proxy.listen.partition(":")
    begun = time.monotonic()
    with socket.create_connection((host, int(port)), timeout_seconds) as connection:
        connection.sendall(b"ping")
        if connection.recv(16) != b"ping":
            raise ConnectionResetError("closed without an answer")
    return time.monotonic() - begun


def test_a_proxy_passes_on_and_refuses_when_disabled(echo: Proxy) -> None:
    assert _ask(echo) < 2
    echo.disable()
    with pytest.raises(OSError, match="refused"):
        _ask(echo)
    echo.enable()
    assert _ask(echo) < 2


def test_latency_delays_until_it_is_removed(echo: Proxy) -> None:
    name = echo.add_toxic("latency", latency=700)
    assert _ask(echo) >= 0.7
    echo.remove_toxic(name)
    assert _ask(echo) < 0.7


@pytest.mark.parametrize("kind", ["timeout", "reset_peer"])
def test_a_connection_is_broken_off(echo: Proxy, kind: str) -> None:
    echo.add_toxic(kind, timeout=100)
    with pytest.raises(OSError, match=r"closed without an answer|reset"):
        _ask(echo)


def test_what_toxiproxy_refuses_is_said(echo: Proxy) -> None:
    with pytest.raises(LocalStackError, match=r"no_such_kind|invalid toxic type"):
        echo.add_toxic("no_such_kind")


@pytest.mark.real
def test_clients_of_the_proxied_listener_stay_behind_the_proxy(toxiproxy: Toxiproxy, topic: str) -> None:
    try:
        provision_kafka()
    except LocalStackError as error:
        pytest.skip(f"no real Kafka here: {error}")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with KafkaServer(proxied_at=address) as broker:
        proxy = toxiproxy.proxy(topic, address, broker.proxied_listener)
        create_topics(broker.bootstrap_servers, [TopicSpec(topic, 1)])
        submit(broker.bootstrap_servers, [OutgoingRecord(topic, None, b"one", ())])
        with TopicReader(address, [topic]) as reader:
            first = reader.poll(20)
            proxy.disable()
            submit(broker.bootstrap_servers, [OutgoingRecord(topic, None, b"two", ())])
            assert reader.poll(1.5) is None
            assert not is_reachable(address)
            proxy.enable()
            deadline = time.monotonic() + 20
            second = None
            while second is None and time.monotonic() < deadline:
                second = reader.poll(0.5)
    assert first is not None
    assert first.value == b"one"
    assert second is not None
    assert second.value == b"two"
