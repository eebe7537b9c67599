"""Pods whose expositions are the worker's own metrics, fed by events, and Triton's as a real one gave it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from tests.alerts.recording import Recording, target_of
from tests.chart.rendering import Manifest
from worker.adapters.telemetry.metrics import Metrics
from worker.domain import events
from worker.domain.errors import ErrorCode, Stage
from worker.domain.records import Coordinate, TopicPartition
from worker.runtime.lifecycle import CONDITIONS

TRITON_EXPOSITION = Path(__file__).with_name("triton.prom")
TRITON = target_of("demo-labelwire-triton-0")
JOBS = TopicPartition("label-images", 0)
INTERVAL_SECONDS = 30
_BEGAN_AT = 1_900_000_000


@dataclass
class SimulatedWorker:
    """A worker in a pod. Each step it does `jobs_per_step` jobs of an age, and has a lag."""

    pod: str
    started_at: float
    jobs_per_step: int = 10
    age_seconds: float = 1.0
    lag: int = 0
    answers: bool = True

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start the process, ready at once."""
        self._registry = CollectorRegistry()
        self._metrics = Metrics(self._registry)
        self.emit(events.ReadinessChanged(ready=True, reason=""))
        self.emit(events.InferenceFinished("text_detector", "1", "OK", 0.01))

    def restart(self, now: float) -> None:
        """End the process and start another one in the same pod."""
        self.started_at = now
        self.begin()

    def emit(self, *happened: events.Event) -> None:
        for event in happened:
            self._metrics.emit(event)

    def not_ready(self, *conditions: str) -> None:
        assert set(conditions) <= set(CONDITIONS)
        self.emit(events.ReadinessChanged(ready=not conditions, reason="It is away.", unmet=conditions))

    def end_jobs(self, count: int, code: ErrorCode | None = None) -> None:
        """End jobs well, or as dead letters."""
        at = Coordinate(JOBS.topic, JOBS.partition, 1)
        outcome = events.JobOutcome.DEAD_LETTERED if code else events.JobOutcome.COMPLETED
        ended = events.JobFinished("job", at, outcome, code, "small", 0.2, self.age_seconds, (), "1", 1)
        for _ in range(count):
            self.emit(ended)
            if code is not None:
                self.emit(events.JobDeadLettered("job", at, code, Stage.DECODE, "It is bad.", "decode.py:9 decode"))

    def exposition(self) -> str | None:
        """Return its page /metrics."""
        if not self.answers:
            return None
        self.end_jobs(self.jobs_per_step)
        self.emit(events.LagObserved(JOBS, self.lag))
        # As prometheus_client's ProcessCollector would tell of the process.
        process = {"start_time_seconds": self.started_at, "resident_memory_bytes": 1e8, "cpu_seconds_total": 12.5}
        lines = [f"process_{name} {value}\n" for name, value in process.items()]
        return generate_latest(self._registry).decode() + "".join(lines)


@dataclass
class SimulatedTriton:
    """Triton's exposition, with one model's counts as they are wanted."""

    answers: bool = True
    pending: int = 0
    requests: int = 0
    failures: int = 0
    queued_microseconds: int = 0
    requests_per_step: int = 100
    queue_seconds: float = 0.01

    def exposition(self) -> str | None:
        """Return its page /metrics."""
        if not self.answers:
            return None
        self.requests += self.requests_per_step
        self.queued_microseconds += round(self.requests_per_step * self.queue_seconds * 1e6)
        text = TRITON_EXPOSITION.read_text(encoding="utf-8")
        for series, value in {
            'nv_inference_pending_request_count{model="text_detector"': self.pending,
            'nv_inference_request_success{model="text_detector"': self.requests,
            'nv_inference_request_failure{model="text_detector",reason="BACKEND"': self.failures,
            'nv_inference_queue_duration_us{model="text_detector"': self.queued_microseconds,
        }.items():
            line = re.compile(rf"^({re.escape(series)},.*}}) \S+$", re.MULTILINE)
            text, count = line.subn(rf"\1 {value}", text)
            assert count == 1
        return text


@dataclass
class Cluster:
    """Two workers and a Triton, scraped every 30 seconds."""

    rules: Manifest
    recording: Recording = field(init=False)
    triton: SimulatedTriton = field(default_factory=SimulatedTriton)

    def __post_init__(self) -> None:
        self.recording = Recording(self.rules, INTERVAL_SECONDS, _BEGAN_AT)
        self.workers = [SimulatedWorker(f"demo-labelwire-worker-{n}", _BEGAN_AT - 86_400.0) for n in range(2)]

    @property
    def now(self) -> float:
        """Epoch seconds."""
        return float(_BEGAN_AT + self.recording.steps * INTERVAL_SECONDS)

    def run(self, minutes: float, in_each_step: Callable[[], object] = lambda: None) -> None:
        """Let time go on."""
        for _ in range(round(minutes * 60 / INTERVAL_SECONDS)):
            in_each_step()
            for worker in self.workers:
                self.recording.scrape(target_of(worker.pod), worker.exposition())
            self.recording.scrape(TRITON, self.triton.exposition())
            self.recording.next_step()

    def remove(self, worker: SimulatedWorker) -> None:
        """Delete a worker's pod."""
        self.workers.remove(worker)
        self.recording.remove(target_of(worker.pod))

    def expect(self, *alerts: str) -> None:
        """Expect that these alerts fire now, and no others."""
        self.recording.expect(*alerts)
