"""The fleet with small processes in the workers' place: they answer probes, and end at SIGTERM."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.adapters.clock import SystemClock
from worker.lab.chaos.fleet import Fleet
from worker.lab.stack import launch
from worker.local.process import free_ports

_WORKER = """\
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Probe(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ready")
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["LABELWIRE_HTTP__PORT"])), Probe).serve_forever()
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    workers = Fleet(
        launch=launch,
        argv=[sys.executable, "-c", _WORKER],
        environment={},
        free_port=lambda: free_ports(1)[0],
        folder=tmp_path,
        size=2,
        clock=SystemClock(),
    )
    workers.start()
    yield workers
    workers.stop()


def _eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("end", "status"), [("kill", 137), ("terminate", 0)])
def test_a_worker_that_ended_is_started_again(fleet: Fleet, end: str, status: int) -> None:
    getattr(fleet, end)(1)
    _eventually(lambda: bool(fleet.exits))
    assert [(one.worker, one.status) for one in fleet.exits] == [(1, status)]
    fleet.wait_until_ready(20)


def test_a_stalled_worker_answers_again_afterwards(fleet: Fleet) -> None:
    unready: list[bool] = []

    def sleep() -> None:
        with pytest.raises(Exception, match="Worker 0 was not ready"):
            fleet.wait_until_ready(1.5)
        unready.append(True)

    fleet.stall(0, sleep)
    fleet.wait_until_ready(20)
    assert unready
    assert fleet.exits == []


def test_a_worker_that_joined_leaves_for_good(fleet: Fleet) -> None:
    fleet.join(lambda: fleet.wait_until_ready(20))
    _eventually(lambda: bool(fleet.exits))
    assert (fleet.exits[0].worker, fleet.exits[0].asked) == (2, "terminated")
    fleet.stop()
    assert sorted(one.worker for one in fleet.exits) == [0, 1, 2]
    assert {one.status for one in fleet.exits} == {0}
