"""The worker's metrics: a closed list. No job id and no key is ever a label.

Invariant: a counter whose labels are closed lists is there with 0 from the start. Prometheus sees no increase of one
that begins with 1, so an alert would not see the first error of a code.

The labels that are no closed lists are models, their versions, topics and partitions. A model's series stay until the
worker ends, some 20 for each version: they grow by one set of models with each rollout.
"""

import itertools
from collections.abc import Iterable
from functools import singledispatchmethod

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from worker import __version__
from worker.domain import events
from worker.domain.circuit import CircuitState
from worker.domain.errors import ErrorCode
from worker.domain.rollout.candidate import Arm, CandidateResult
from worker.domain.rollout.state import Phase
from worker.domain.start_position import ResetReason
from worker.runtime.admission import Lane
from worker.runtime.lifecycle import CONDITIONS

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_AGE_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200)
_CACHE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
_LINES = (0, 1, 5, 10, 20, 50, 100, 200, 500, 1000)
_CIRCUIT_STATES = (CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN)
# The lane `background` is for readings that end no job.
_JOB_LANES = (Lane.SMALL, Lane.LARGE)
_CONFIDENCE = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)


class Metrics:
    """An `EventSink` that counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, what: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"labelwire_{name}", what, labels, buckets=buckets, registry=registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"labelwire_{name}", what, labels, registry=registry)

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"labelwire_{name}", what, labels, registry=registry)

        self.job_duration = histogram(
            "job_duration_seconds",
            "Time from receiving a record to its acknowledged outcome.",
            ("outcome", "lane"),
            _SECONDS,
        )
        self.job_age = histogram(
            "job_age_seconds", "Time from a job's Kafka timestamp to its acknowledged outcome.", (), _AGE_SECONDS
        )
        self.stage_duration = histogram(
            "stage_duration_seconds", "Time of one stage of one job, including waiting.", ("stage",), _SECONDS
        )
        self.triton_duration = histogram(
            "triton_request_duration_seconds",
            "Time of one gRPC request to Triton.",
            ("model", "version", "grpc_code"),
            _SECONDS,
        )
        self.lines = histogram("lines_per_image", "Lines of text in one picture.", (), _LINES)
        self.confidence = histogram(
            "line_confidence", "Confidence of each line, by the version of the recognizer.", ("version",), _CONFIDENCE
        )
        self.jobs = counter("jobs_total", "Jobs that ended, by outcome and error code.", "outcome", "error_code")
        self.retries_in_place = counter(
            "retries_in_place_total", "Jobs that were tried again in place, without a retry topic.", "error_code"
        )
        self.reader_crashes = counter(
            "reader_crashes_total", "Child processes that crashed while they read a suspect job."
        )
        self.commit_failures = counter(
            "commit_failures_total", "Offset commits that Kafka refused; each is repeated by the next commit."
        )
        self.position_resets = counter(
            "position_resets_total", "Partitions that were not continued from their committed offset.", "reason"
        )
        self.triton_retries = counter(
            "triton_retries_total", "Requests to Triton that were sent again.", "model", "reason"
        )
        self.dead_letters = counter("dead_letters_total", "Dead letters written.", "error_code")
        self.rebalances = counter("rebalances_total", "Changes of the partitions that this worker holds.", "kind")
        self.circuit_state = gauge(
            "circuit_state", "State of a model's circuit: 0 closed, 1 half-open, 2 open.", "model"
        )
        self.triton_limit = gauge("triton_inflight_limit", "Current limit of concurrent requests to Triton.")
        self.ready = gauge("ready", "1 while the worker is ready, otherwise 0.")
        self.condition = gauge(
            "ready_condition", "1 while this condition of readiness is met, otherwise 0.", "condition"
        )
        self.inflight_jobs = gauge("inflight_jobs", "Jobs that are being read now.")
        self.inflight_pixels = gauge("inflight_pixels", "Decoded pixels in memory now.")
        self.wanted_jobs = gauge("wanted_jobs", "Small jobs in progress that keep the models busy.")
        self.letters_waiting = gauge("dead_letters_waiting", "Bad jobs that wait because of the dead-letter limit.")
        self.letters_wait = gauge(
            "dead_letters_wait_seconds", "Seconds until all waiting bad jobs have their dead letters."
        )
        self.lag = gauge(
            "partition_lag", "Records of a partition that the worker has not taken yet.", "topic", "partition"
        )
        self.polled = counter("polled_records_total", "Records that polls brought.")
        self.rollout_share = gauge(
            "rollout_share", "Share of the jobs that a rollout's candidate reads, 0 to 1; 0 if none runs."
        )
        self.rollout_phase = gauge("rollout_phase", "1 for the phase of the last rollout, 0 for the others.", "phase")
        self.compared = counter(
            "shadow_compared_total", "Jobs that a rollout's candidate was to read, by what came of them.", "result"
        )
        self.reading_duration = histogram(
            "rollout_reading_duration_seconds",
            "Time of reading one picture while a canary runs, by who read it.",
            ("arm",),
            _SECONDS,
        )
        self.cache_requests = counter(
            "cache_requests_total",
            "Requests to the cache of readings: hit, miss, error (it failed, or is left alone because it failed), "
            "rejected (an entry that is no worker's, or a reading too large to keep).",
            "result",
        )
        self.cache_duration = histogram(
            "cache_request_duration_seconds",
            "Time of one request to the cache of readings, get or put.",
            ("operation",),
            _CACHE_SECONDS,
        )
        self.cache_state = gauge(
            "cache_circuit_state",
            "State of the circuit of the cache of readings, for get and for put: 0 closed, 2 open.",
            "operation",
        )
        gauge("build_info", "Always 1; the label holds the worker's version.", "version").labels(__version__).set(1)
        self._models: set[str] = set()
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Make the series of all closed lists."""
        codes = tuple(map(str, ErrorCode))
        failed = itertools.product((events.JobOutcome.RETRIED, events.JobOutcome.DEAD_LETTERED), codes)
        closed: tuple[tuple[Counter | Gauge | Histogram, Iterable[tuple[str, ...]]], ...] = (
            (self.jobs, [(events.JobOutcome.COMPLETED, ""), *failed]),
            (self.job_duration, itertools.product(events.JobOutcome, _JOB_LANES)),
            (self.dead_letters, zip(codes, strict=True)),
            (self.retries_in_place, zip(codes, strict=True)),
            (self.rebalances, zip(events.PartitionChange, strict=True)),
            (self.position_resets, [(reason.name.lower(),) for reason in ResetReason]),
            (self.condition, zip(CONDITIONS, strict=True)),
            (self.rollout_phase, zip(Phase, strict=True)),
            (self.compared, zip(CandidateResult, strict=True)),
            (self.reading_duration, zip(Arm, strict=True)),
            (self.cache_requests, zip(events.CacheResult, strict=True)),
            (self.cache_duration, zip(events.CacheOperation, strict=True)),
            (self.cache_state, zip(events.CacheOperation, strict=True)),
        )
        for metric, series in closed:
            for labels in series:
                metric.labels(*labels)

    def _begin_model_at_zero(self, model: str) -> None:
        """Make the series of a model that gets its first request; its circuit is closed until it changes."""
        self._models.add(model)
        self.circuit_state.labels(model)
        for reason in events.RetryReason:
            self.triton_retries.labels(model, reason)

    def emit(self, event: events.Event) -> None:
        """Count an event."""
        self._count(event)

    @singledispatchmethod
    def _count(self, event: object) -> None:
        """Count one event; each type has a method of its own below."""

    @_count.register
    def _job_finished(self, event: events.JobFinished) -> None:
        code = str(event.error_code or "")
        self.jobs.labels(event.outcome, code).inc()
        self.job_duration.labels(event.outcome, event.lane).observe(event.duration_seconds)
        if event.age_seconds is not None:
            self.job_age.observe(event.age_seconds)
        if event.error_code is None:
            self.lines.observe(len(event.confidences))
        if event.confidences:
            by_version = self.confidence.labels(event.recognizer_version)
            for confidence in event.confidences:
                by_version.observe(confidence)

    @_count.register
    def _stage_finished(self, event: events.StageFinished) -> None:
        self.stage_duration.labels(event.stage).observe(event.duration_seconds)

    @_count.register
    def _dead_lettered(self, event: events.JobDeadLettered) -> None:
        self.dead_letters.labels(str(event.error_code)).inc()

    @_count.register
    def _job_retried(self, event: events.JobRetried) -> None:
        if event.topic is None:  # else it is an outcome, and counted as one
            self.retries_in_place.labels(str(event.error_code)).inc()

    @_count.register
    def _reader_crashed(self, event: events.ReaderCrashed) -> None:  # noqa: ARG002 - its coordinate is no label
        self.reader_crashes.inc()

    @_count.register
    def _records_polled(self, event: events.RecordsPolled) -> None:
        self.polled.inc(event.count)

    @_count.register
    def _commit_failed(self, event: events.CommitFailed) -> None:  # noqa: ARG002 - its reason is a sentence
        self.commit_failures.inc()

    @_count.register
    def _position_reset(self, event: events.PositionReset) -> None:
        self.position_resets.labels(event.reason.name.lower()).inc()

    @_count.register
    def _readiness_changed(self, event: events.ReadinessChanged) -> None:
        self.ready.set(event.ready)
        for condition in CONDITIONS:
            self.condition.labels(condition).set(condition not in event.unmet)

    @_count.register
    def _dead_letters_waiting(self, event: events.DeadLettersWaiting) -> None:
        self.letters_waiting.set(event.waiting)
        self.letters_wait.set(event.seconds)

    @_count.register
    def _inference_finished(self, event: events.InferenceFinished) -> None:
        if event.model not in self._models:
            self._begin_model_at_zero(event.model)
        self.triton_duration.labels(event.model, event.version, event.grpc_code).observe(event.duration_seconds)

    @_count.register
    def _inference_retried(self, event: events.InferenceRetried) -> None:
        self.triton_retries.labels(event.model, event.reason).inc()

    @_count.register
    def _circuit_changed(self, event: events.CircuitChanged) -> None:
        self.circuit_state.labels(event.model).set(_CIRCUIT_STATES.index(event.state))

    @_count.register
    def _inflight_limit_changed(self, event: events.InflightLimitChanged) -> None:
        self.triton_limit.set(event.limit)

    @_count.register
    def _partitions_changed(self, event: events.PartitionsChanged) -> None:
        self.rebalances.labels(event.kind).inc()
        if event.kind is not events.PartitionChange.ASSIGNED:
            for partition in event.partitions:
                # Another worker reports it from now on.
                self.lag.remove(partition.topic, str(partition.partition))

    @_count.register
    def _inflight_changed(self, event: events.InflightChanged) -> None:
        self.inflight_jobs.set(event.jobs)
        self.inflight_pixels.set(event.pixels)
        self.wanted_jobs.set(event.wanted_jobs)

    @_count.register
    def _rollout_changed(self, event: events.RolloutChanged) -> None:
        self.rollout_share.set(event.share)
        for phase in Phase:
            self.rollout_phase.labels(phase.value).set(phase.value == event.phase)

    @_count.register
    def _candidate_read(self, event: events.CandidateRead) -> None:
        self.compared.labels(event.result).inc()

    @_count.register
    def _reading_finished(self, event: events.ReadingFinished) -> None:
        self.reading_duration.labels(event.arm).observe(event.duration_seconds)

    @_count.register
    def _cache_request_finished(self, event: events.CacheRequestFinished) -> None:
        if event.result is not None:
            self.cache_requests.labels(event.result).inc()
        self.cache_duration.labels(event.operation).observe(event.duration_seconds)

    @_count.register
    def _cache_circuit_changed(self, event: events.CacheCircuitChanged) -> None:
        self.cache_state.labels(event.operation).set(_CIRCUIT_STATES.index(event.state))

    @_count.register
    def _lag_observed(self, event: events.LagObserved) -> None:
        self.lag.labels(event.partition.topic, str(event.partition.partition)).set(event.lag)
