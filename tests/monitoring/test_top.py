"""`labelwire top` on real pages: of a server in this process, of what is away, and of a real worker."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from tests.fleet.workers import Fleet, wait_until
from worker.adapters.clock import SystemClock
from worker.adapters.telemetry.http import HealthServer
from worker.adapters.telemetry.metrics import Metrics
from worker.cli.top import app
from worker.domain.errors import ExpositionError
from worker.domain.records import OutgoingRecord
from worker.local.kafka import KafkaServer
from worker.local.process import free_ports
from worker.local.triton import TritonServer
from worker.monitoring.targets import page_url, pages_of, read_pages, resolve
from worker.runtime.health import Health
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents


@pytest.fixture
def port() -> Iterator[int]:
    """A worker's own server of metrics, on a port."""
    registry = CollectorRegistry()
    Metrics(registry)
    server = HealthServer("127.0.0.1", 0, Health((), ManualClock(), RecordedEvents(), pulse_seconds=60), registry)
    yield server.start()
    server.close()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/metrics"),
        ("http://worker:8080", "http://worker:8080/metrics"),
        ("http://worker:8080/", "http://worker:8080/metrics"),
        ("https://proxy/workers/0/metrics", "https://proxy/workers/0/metrics"),
        ("[::1]:8080", "http://[::1]:8080/metrics"),
    ],
)
def test_an_address_is_completed(given: str, url: str) -> None:
    assert page_url(given) == url


@pytest.mark.parametrize("given", ["ftp://worker:8080", "http://", "http://worker:port", "worker:99999", ""])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ExpositionError, match="is no address of a page of metrics"):
        page_url(given)


def test_a_name_with_one_address_is_kept_and_so_is_one_without() -> None:
    assert pages_of("http://127.0.0.1:8080/metrics") == ["http://127.0.0.1:8080/metrics"]
    assert pages_of("http://nowhere.invalid:8080/metrics") == ["http://nowhere.invalid:8080/metrics"]
    assert len(pages_of("http://localhost:8080/metrics")) == 1


@pytest.mark.parametrize(
    ("addresses", "hosts"),
    [
        (["10.0.0.10", "10.0.0.9", "10.0.0.10"], ["10.0.0.9", "10.0.0.10"]),
        (["fd00::2", "10.0.0.10", "fd00::1", "10.0.0.9"], ["10.0.0.9", "10.0.0.10"]),
        (["fd00::2", "fd00::1"], ["[fd00::1]", "[fd00::2]"]),
        (["fd00::1", "10.0.0.9"], ["workers"]),
        ([], ["workers"]),
    ],
)
def test_a_name_with_several_addresses_is_all_of_them(addresses: list[str], hosts: list[str]) -> None:
    pages = pages_of("http://workers:8080/metrics", lambda _: addresses)

    assert pages == [f"http://{host}:8080/metrics" for host in hosts]
    assert pages_of("https://workers:8080/metrics", lambda _: addresses) == ["https://workers:8080/metrics"]


def test_names_are_resolved() -> None:
    assert "127.0.0.1" in resolve("localhost")
    assert resolve("nowhere.invalid") == set()


def test_pages_that_are_away_or_none_are_told_beside_those_that_answer(port: int) -> None:
    (closed,) = free_ports(1)
    urls = [f"http://127.0.0.1:{port}/metrics", f"http://127.0.0.1:{closed}/metrics", f"http://127.0.0.1:{port}/livez"]

    answers, away, other = read_pages(urls, SystemClock(), 2.0)

    assert answers.problem == ""
    assert any(sample.name == "labelwire_ready" for sample in answers.samples)
    assert away.problem == f"http://127.0.0.1:{closed}/metrics does not answer: Connection refused."
    assert "is not in Prometheus' text format" in other.problem


class _Half(BaseHTTPRequestHandler):
    """A worker that half works: what it answers is named by the path."""

    def do_GET(self) -> None:
        answer = getattr(self, f"_{self.path.strip('/')}")
        with contextlib.suppress(OSError):  # who asked has gone
            answer()

    def _drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(600):
            self.wfile.write(b"# a line now and then\n")
            time.sleep(0.05)

    def _garbage(self) -> None:
        self.wfile.write(bytes(range(256)) * 8)

    def _odd(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(
            b'labelwire_ready 1\nlabelwire_partition_lag{topic="t",partition="0"} NaN\nlabelwire_inflight_jobs +Inf\n'
            b'labelwire_circuit_state{model="m"} 7\nlabelwire_jobs_total 1\nlabelwire_ready_condition 0\n'
        )

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""


@pytest.fixture
def half() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Half)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_page_that_never_ends_is_not_waited_for(half: str) -> None:
    begun = time.monotonic()

    (page,) = read_pages([f"{half}/drip"], SystemClock(), 0.2)

    assert time.monotonic() - begun < 5
    assert page.problem == f"{half}/drip does not answer: timed out."


def test_what_a_stranger_answers_is_a_short_line(half: str) -> None:
    (page,) = read_pages([f"{half}/garbage"], SystemClock(), 2.0)

    assert page.problem.startswith(f"{half}/garbage does not answer: ")
    assert len(page.problem) < 300
    assert len(page.problem.splitlines()) == 1


def test_values_that_are_none_end_nothing(half: str) -> None:
    ended = CliRunner().invoke(app, ["--once", "--json", "--interval", "0.2", "--worker", f"{half}/odd"])

    assert ended.exception is None or isinstance(ended.exception, SystemExit)
    (worker,) = json.loads(ended.output)["workers"]
    assert (worker["state"], worker["lag"], worker["inflight_jobs"]) == ("ready", 0, 0)


def test_once_shows_a_worker_and_one_that_is_down(port: int) -> None:
    (closed,) = free_ports(1)
    arguments = ["--once", "--interval", "0.2", "--worker", f"127.0.0.1:{port}", "--worker", f"127.0.0.1:{closed}"]

    ended = CliRunner().invoke(app, arguments)

    assert ended.exit_code == 0, ended.output
    assert "0 of 2 ready" in ended.output
    assert f"http://127.0.0.1:{closed}/metrics does not answer" in ended.output


def test_once_fails_where_no_worker_answers() -> None:
    (closed,) = free_ports(1)

    ended = CliRunner().invoke(app, ["--once", "--json", "--interval", "0.2", "--worker", f"127.0.0.1:{closed}"])

    assert ended.exit_code == 1
    assert json.loads(ended.output)["workers"][0]["state"] == "down"


@pytest.fixture
def fleet(kafka: KafkaServer, triton: TritonServer, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(kafka.bootstrap_servers, triton.grpc_url, tmp_path)
    made.create_topics()
    yield made
    made.stop()


@pytest.mark.real
def test_top_tells_of_a_real_worker_and_triton(fleet: Fleet, triton: TritonServer) -> None:
    worker = fleet.add_worker()
    wait_until(lambda: worker.probe("/readyz")[0] == 200)
    address = f"127.0.0.1:{worker.environment['LABELWIRE_HTTP__PORT']}"
    command = [str(Path(sys.executable).with_name("labelwire")), "top", "--json", "--interval", "0.5"]
    command += ["--worker", address, "--triton", triton.metrics_url, "--worker", "127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shown:
        assert shown.stdout is not None
        json.loads(shown.stdout.readline())
        fleet.submit(*(job(fleet, number) for number in range(6)))
        frames = (json.loads(line) for line in shown.stdout)
        told = next(frame for frame in frames if frame["outcomes_per_second"].get("completed", 0) > 0)
        while told["outcomes_per_second"]["dead_lettered"] == 0:
            told = next(frames)
        shown.terminate()
    assert [row["state"] for row in told["workers"]] == ["ready", "down"]
    assert told["duration"]["p50"] > 0
    assert told["age"]["p99"] >= told["duration"]["p50"]
    assert [row["code"] for row in told["dead_letters"]] == ["IMAGE_UNSUPPORTED"]
    detector = next(row for row in told["models"] if row["name"] == "text_detector")
    assert (detector["circuit"], detector["batch_size"] >= 1, detector["pending"] >= 0) == ("closed", True, True)


def job(fleet: Fleet, number: int) -> OutgoingRecord:
    page = np.full((120, 320, 3), 255, np.uint8)
    cv2.putText(page, f"PARCEL {number:05d}", (15, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    picture = bytes(cv2.imencode(".png", page)[1].tobytes()) if number else b"this is no picture"
    name = f"job-{number}".encode()
    return OutgoingRecord(fleet.jobs_topic, name, picture, (("content-type", b"image/png"), ("job-id", name)))
