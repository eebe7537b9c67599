"""What a deployment did lately, by its pages of metrics.

Invariant: a counter that is lower than before belongs to a new process, so all that it counts is new. A page that does
not answer adds nothing. Neither does one that is seen for the first time: what it counted before may be long ago.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from worker.adapters.telemetry.exposition import MetricSample
from worker.monitoring.targets import ReadPage

_CIRCUITS: Final = {0: "closed", 1: "half-open", 2: "open"}
_MICROSECOND: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of seconds; None where nothing was observed."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker. `state` is ready, not ready or down, and `reason` says why in the latter two."""

    name: str
    state: str
    reason: str
    version: str
    jobs_per_second: float
    inflight_jobs: int
    lag: int
    duration: Quantiles
    letters_waiting: int
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model: what workers see of it, and what Triton counts; None where Triton does not tell."""

    name: str
    circuit: str
    requests_per_second: float
    failures_per_second: float
    duration: Quantiles
    batch_size: float | None
    queue_seconds: float | None
    pending: int | None


@dataclass(frozen=True, slots=True)
class CodeRow:
    """Dead letters of one error code, since the workers' start and lately."""

    code: str
    total: int
    per_second: float


@dataclass(frozen=True, slots=True)
class DeploymentFrame:
    """A deployment over `seconds`; 0 where only one look was taken, so that no rate is known."""

    seconds: float
    workers: tuple[WorkerRow, ...]
    servers: Mapping[str, str]
    outcomes_per_second: Mapping[str, float]
    age: Quantiles
    duration: Quantiles
    lag: Mapping[str, int]
    models: tuple[ModelRow, ...]
    dead_letters: tuple[CodeRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


class _Counts:
    """Samples by name."""

    def __init__(self, samples: Iterable[MetricSample]) -> None:
        self._by_name: dict[str, list[MetricSample]] = defaultdict(list)
        for sample in samples:
            self._by_name[sample.name].append(sample)

    def of(self, name: str, **labels: str) -> Iterator[MetricSample]:
        """Yield the samples of a name that have these labels."""
        return (each for each in self._by_name.get(name, ()) if labels.items() <= each.labels.items())

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of them."""
        return sum(each.value for each in self.of(name, **labels))

    def largest(self, name: str, **labels: str) -> float | None:
        """Return the largest of them, None if there is none."""
        return max((each.value for each in self.of(name, **labels)), default=None)

    def values(self, name: str, label: str) -> list[str]:
        """Return the values of a label, in order."""
        return sorted({each.labels[label] for each in self.of(name) if label in each.labels})

    def quantiles(self, name: str, **labels: str) -> Quantiles:
        """Return the quantiles of a histogram."""
        buckets: dict[float, float] = defaultdict(float)
        for each in self.of(f"{name}_bucket", **labels):
            buckets[float(each.labels["le"])] += each.value
        return Quantiles(*(quantile(buckets, part) for part in (0.5, 0.95, 0.99)))


def quantile(buckets: Mapping[float, float], part: float) -> float | None:
    """Return a quantile of a histogram with cumulated counts by upper bound; None if it is empty.

    As `histogram_quantile` of PromQL: linear within a bucket, and the highest bound for what lies above all of them.
    """
    bounds = sorted(buckets)
    count = buckets[bounds[-1]] if bounds else 0.0
    if count <= 0:
        return None
    rank = part * count
    index = next(index for index, bound in enumerate(bounds) if buckets[bound] >= rank)
    upper = bounds[index]
    lower, below = (bounds[index - 1], buckets[bounds[index - 1]]) if index else (0.0, 0.0)
    if math.isinf(upper):
        return lower
    return lower + (upper - lower) * (rank - below) / (buckets[upper] - below)


@dataclass(frozen=True, slots=True)
class PageWindow:
    """What one address answered at last, and the oldest answer of a while; None where it had none before."""

    earlier: ReadPage | None
    later: ReadPage

    @property
    def seconds(self) -> float:
        """How long this is; 0 where no rate is known."""
        return self.later.at_seconds - self.earlier.at_seconds if self.earlier else 0.0

    def rates(self) -> Iterator[MetricSample]:
        """Yield what each counter counted in a second."""
        if self.earlier is None or self.seconds <= 0:
            return
        before = {_key(each): each.value for each in self.earlier.samples}
        for each in self.later.samples:
            former = before.get(_key(each), 0.0)
            increase = each.value - former if each.value >= former else each.value
            yield MetricSample(each.name, each.labels, increase / self.seconds)


def windows(looks: Sequence[Sequence[ReadPage]]) -> list[PageWindow]:
    """Return a window for each page of the last look. Looks are in the order of time."""
    oldest: dict[str, ReadPage] = {}
    for look in looks[:-1]:
        for page in look:
            if not page.problem:
                oldest.setdefault(page.name, page)
    return [PageWindow(oldest.get(page.name), page) for page in looks[-1]]


def _key(sample: MetricSample) -> tuple[str, tuple[tuple[str, str], ...]]:
    return sample.name, tuple(sorted(sample.labels.items()))


@dataclass(frozen=True, slots=True)
class _Observed:
    """Pages of one kind together: their last samples, and what they counted in a second."""

    pages: Sequence[PageWindow]
    now: _Counts = field(init=False)
    rates: _Counts = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "now", _Counts(each for page in self.pages for each in page.later.samples))
        object.__setattr__(self, "rates", _Counts(each for page in self.pages for each in page.rates()))


def make_frame(worker_pages: Sequence[PageWindow], server_pages: Sequence[PageWindow]) -> DeploymentFrame:
    """Return what the pages of workers and of Triton servers tell."""
    workers, servers = _Observed(worker_pages), _Observed(server_pages)
    now, rates = workers.now, workers.rates
    return DeploymentFrame(
        seconds=max((page.seconds for page in worker_pages), default=0.0),
        workers=tuple(map(_worker_row, worker_pages)),
        servers={page.later.name: page.later.problem for page in server_pages},
        outcomes_per_second={
            outcome: rates.total("labelwire_jobs_total", outcome=outcome)
            for outcome in now.values("labelwire_jobs_total", "outcome")
        },
        age=rates.quantiles("labelwire_job_age_seconds"),
        duration=rates.quantiles("labelwire_job_duration_seconds"),
        lag={
            topic: round(now.total("labelwire_partition_lag", topic=topic))
            for topic in now.values("labelwire_partition_lag", "topic")
        },
        models=tuple(
            _model_row(name, workers, servers)
            for name in sorted(
                {
                    *now.values("labelwire_circuit_state", "model"),
                    *servers.now.values("nv_inference_count", "model"),
                }
            )
        ),
        dead_letters=tuple(
            CodeRow(code, round(total), rates.total("labelwire_dead_letters_total", error_code=code))
            for code in now.values("labelwire_dead_letters_total", "error_code")
            if (total := now.total("labelwire_dead_letters_total", error_code=code))
        ),
    )


def _worker_row(page: PageWindow) -> WorkerRow:
    observed = _Observed([page])
    now, rates = observed.now, observed.rates
    state, reason = _state(page.later, now)
    ended = sum(each.value for each in rates.of("labelwire_jobs_total") if each.labels.get("outcome") != "retried")
    return WorkerRow(
        name=page.later.name,
        state=state,
        reason=reason,
        version=next((each.labels.get("version", "") for each in now.of("labelwire_build_info")), ""),
        jobs_per_second=ended,
        inflight_jobs=round(now.total("labelwire_inflight_jobs")),
        lag=round(now.total("labelwire_partition_lag")),
        duration=rates.quantiles("labelwire_job_duration_seconds"),
        letters_waiting=round(now.total("labelwire_dead_letters_waiting")),
        memory_bytes=now.total("process_resident_memory_bytes"),
    )


def _state(page: ReadPage, now: _Counts) -> tuple[str, str]:
    """Return a worker's state, and why it is not ready."""
    if page.problem:
        return "down", page.problem
    ready = now.largest("labelwire_ready")
    if ready is None:
        return "down", f"{page.name} is no worker: its page has no labelwire_ready."
    unmet = [each.labels.get("condition", "") for each in now.of("labelwire_ready_condition") if not each.value]
    return ("ready", "") if ready else ("not ready", ", ".join(unmet))


def _model_row(name: str, workers: _Observed, servers: _Observed) -> ModelRow:
    requests, served = "labelwire_triton_request_duration_seconds", servers.rates
    counted = list(workers.rates.of(f"{requests}_count", model=name))
    circuit = workers.now.largest("labelwire_circuit_state", model=name)
    executions = served.total("nv_inference_exec_count", model=name)
    answered = served.total("nv_inference_request_success", model=name)
    queued = served.total("nv_inference_queue_duration_us", model=name) * _MICROSECOND
    pending = [each.value for each in servers.now.of("nv_inference_pending_request_count", model=name)]
    return ModelRow(
        name=name,
        circuit="" if circuit is None else _CIRCUITS.get(round(circuit), ""),
        requests_per_second=sum(each.value for each in counted),
        failures_per_second=sum(each.value for each in counted if each.labels.get("grpc_code") != "OK"),
        duration=workers.rates.quantiles(requests, model=name),
        batch_size=served.total("nv_inference_count", model=name) / executions if executions else None,
        queue_seconds=queued / answered if answered else None,
        pending=round(sum(pending)) if pending else None,
    )
