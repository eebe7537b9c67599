"""What a frame tells, from pages that are made by the worker's own metrics and by Triton's."""

import io
import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console

from tests.alerts.simulated_pods import SimulatedTriton
from worker.adapters.telemetry.exposition import parse_page
from worker.adapters.telemetry.metrics import Metrics
from worker.domain import events
from worker.domain.circuit import CircuitState
from worker.domain.errors import ErrorCode, Stage
from worker.domain.records import Coordinate, TopicPartition
from worker.monitoring.frame import DeploymentFrame, PageWindow, make_frame, quantile, windows
from worker.monitoring.targets import ReadPage
from worker.monitoring.view import frame_view

AT = Coordinate("label-images", 0, 1)
JOBS = TopicPartition("label-images", 0)
MODEL = "text_detector"


class WorkerPages:
    """A worker's metrics, whose pages are taken at given times."""

    def __init__(self, name: str = "worker-0:8080") -> None:
        self.name = name
        self.restart()

    def restart(self) -> None:
        self._registry = CollectorRegistry()
        self._metrics = Metrics(self._registry)
        self.emit(events.ReadinessChanged(ready=True, reason=""))

    def emit(self, *happened: events.Event) -> None:
        for event in happened:
            self._metrics.emit(event)

    def end_jobs(self, count: int, seconds: float = 0.2, code: ErrorCode | None = None) -> None:
        outcome = events.JobOutcome.DEAD_LETTERED if code else events.JobOutcome.COMPLETED
        for _ in range(count):
            self.emit(events.JobFinished("job", AT, outcome, code, "small", seconds, 4 * seconds, (), "1", 1))
            if code is not None:
                self.emit(events.JobDeadLettered("job", AT, code, Stage.DECODE, "It is bad.", "decode.py:9 decode"))

    def page(self, at_seconds: float) -> ReadPage:
        return ReadPage(self.name, at_seconds, tuple(parse_page(generate_latest(self._registry).decode())))


def triton_page(triton: SimulatedTriton, at_seconds: float) -> ReadPage:
    return ReadPage("triton:8002", at_seconds, tuple(parse_page(triton.exposition() or "")))


def shown(frame: DeploymentFrame, width: int = 110) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(frame_view(frame))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_rates_times_and_codes_are_those_of_the_window() -> None:
    worker = WorkerPages()
    worker.end_jobs(50, seconds=3.0)
    worker.end_jobs(2, code=ErrorCode.IMAGE_CORRUPT)
    first = worker.page(100.0)
    worker.end_jobs(40, seconds=0.2)
    worker.end_jobs(10, seconds=0.2, code=ErrorCode.IMAGE_CORRUPT)
    retried = events.JobFinished(
        "job", AT, events.JobOutcome.RETRIED, ErrorCode.INFERENCE_FAILED, "small", 0.2, None, (), "1", 1
    )
    worker.emit(*[retried] * 20, events.LagObserved(JOBS, 7), events.InflightChanged(3, 1000, 4))

    frame = make_frame([PageWindow(first, worker.page(110.0))], [])

    assert frame.seconds == 10
    assert frame.outcomes_per_second == {"completed": 4.0, "dead_lettered": 1.0, "retried": 2.0}
    assert frame.lag == {"label-images": 7}
    (code,) = frame.dead_letters
    assert (code.code, code.total, code.per_second) == ("IMAGE_CORRUPT", 12, 1.0)
    # The former jobs of 3 s count no more: all are in the bucket from 0.1 to 0.25 s.
    assert frame.duration.p50 == pytest.approx(0.175)
    assert frame.age.p99 == pytest.approx(0.995)
    (row,) = frame.workers
    assert (row.state, row.reason, row.jobs_per_second, row.inflight_jobs, row.lag) == ("ready", "", 5.0, 3, 7)


def test_a_worker_that_was_restarted_counts_from_zero() -> None:
    worker = WorkerPages()
    worker.end_jobs(50)
    first = worker.page(100.0)
    worker.restart()
    worker.end_jobs(20)

    frame = make_frame([PageWindow(first, worker.page(110.0))], [])

    assert frame.outcomes_per_second["completed"] == 2.0


def test_a_page_that_is_seen_for_the_first_time_adds_no_rate() -> None:
    worker = WorkerPages()
    worker.end_jobs(50)

    frame = make_frame([PageWindow(None, worker.page(110.0))], [])

    assert frame.seconds == 0
    assert frame.outcomes_per_second["completed"] == 0
    assert frame.duration.p50 is None
    assert "no job ended" in shown(frame)


def test_a_window_begins_with_the_oldest_answer_of_each_address() -> None:
    first, second = WorkerPages("worker-0:8080"), WorkerPages("worker-1:8080")
    away = ReadPage("worker-1:8080", 0.0, problem="It does not answer.")
    looks = [
        [first.page(0.0), away],
        [first.page(2.0), second.page(2.0)],
        [first.page(4.0), second.page(4.0)],
    ]
    assert [(each.later.name, each.seconds) for each in windows(looks)] == [
        ("worker-0:8080", 4.0),
        ("worker-1:8080", 2.0),
    ]
    assert [each.seconds for each in windows(looks[:1])] == [0.0, 0.0]


def test_a_worker_that_is_down_or_not_ready_says_why() -> None:
    worker = WorkerPages()
    worker.emit(events.ReadinessChanged(ready=False, reason="It is away.", unmet=("triton", "circuits")))
    away = ReadPage("worker-1:8080", 1.0, problem="http://worker-1:8080/metrics does not answer: Connection refused.")
    other = ReadPage("triton:8002", 1.0, tuple(parse_page("nv_cpu_utilization 1\n")))

    frame = make_frame([PageWindow(None, page) for page in (worker.page(1.0), away, other)], [])

    assert [row.state for row in frame.workers] == ["not ready", "down", "down"]
    assert [row.reason for row in frame.workers] == ["triton, circuits", away.problem, frame.workers[2].reason]
    assert "is no worker" in frame.workers[2].reason
    text = shown(frame)
    assert "0 of 3 ready" in text
    assert "Connection refused" in text


def test_models_are_told_by_workers_and_by_triton() -> None:
    worker, triton = WorkerPages(), SimulatedTriton(requests_per_step=100, queue_seconds=0.25, pending=3)
    worker.emit(events.InferenceFinished(MODEL, "1", "OK", 0.1))
    first, first_of_triton = worker.page(100.0), triton_page(triton, 100.0)
    worker.emit(*[events.InferenceFinished(MODEL, "1", "OK", 0.04)] * 30)
    worker.emit(*[events.InferenceFinished(MODEL, "1", "UNAVAILABLE", 0.04)] * 10)
    worker.emit(events.CircuitChanged(MODEL, CircuitState.HALF_OPEN))

    frame = make_frame(
        [PageWindow(first, worker.page(110.0))], [PageWindow(first_of_triton, triton_page(triton, 110.0))]
    )

    row = next(row for row in frame.models if row.name == MODEL)
    assert (row.circuit, row.requests_per_second, row.failures_per_second) == ("half-open", 4.0, 1.0)
    assert row.duration.p50 == pytest.approx(0.0375)
    assert row.queue_seconds == pytest.approx(0.25)
    assert row.pending == 3
    assert frame.servers == {"triton:8002": ""}
    assert "half-open" in shown(frame)


def test_what_a_terminal_would_obey_is_written_out() -> None:
    away = ReadPage("worker-1:8080", 1.0, problem="\x1b[2J")
    assert "\x1b" not in shown(make_frame([PageWindow(None, away)], []))


def test_a_frame_is_json() -> None:
    worker = WorkerPages()
    told = json.loads(json.dumps(make_frame([PageWindow(None, worker.page(1.0))], []).to_dict()))
    assert told["workers"][0]["state"] == "ready"
    assert told["age"] == {"p50": None, "p95": None, "p99": None}


@pytest.mark.parametrize(
    ("buckets", "part", "expected"),
    [
        ({}, 0.5, None),
        ({1.0: 0.0, float("inf"): 0.0}, 0.5, None),
        ({1.0: 10.0, float("inf"): 10.0}, 0.5, 0.5),
        ({1.0: 5.0, 2.0: 10.0, float("inf"): 10.0}, 0.75, 1.5),
        ({1.0: 5.0, 2.0: 5.0, float("inf"): 10.0}, 0.99, 2.0),
    ],
)
def test_quantiles_are_those_of_promql(buckets: dict[float, float], part: float, expected: float | None) -> None:
    assert quantile(buckets, part) == expected
