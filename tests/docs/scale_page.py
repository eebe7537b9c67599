# ruff: noqa: T201 - a command prints
"""The tables of docs/scale.md: `python -m tests.docs.scale_page` writes them anew, and a test compares them.

Invariant: each figure of a table is an input that is named here, a figure of docs/scale.json, which the simulation
wrote, or a formula over these.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.adapters.kafka.topics import DAY_MS, DEFAULT_MAX_MESSAGE_BYTES, wanted_topics
from worker.audit.state import DEFAULT_HORIZON_SECONDS
from worker.settings import KafkaSettings, LimitSettings, TopicSettings

PAGE: Final = Path(__file__).parents[2] / "docs" / "scale.md"
SIMULATED: Final[Mapping[str, Any]] = json.loads((PAGE.parent / "scale.json").read_text(encoding="utf-8"))
DAY_SECONDS: Final = 24 * 3600
_MARK: Final = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

# Measured on this project's machines; the page says how.
PICTURE_BYTES: Final = 321_168
RESULT_BYTES: Final = 7_032
HEADER_BYTES: Final = 238
WORKER_CPU_SECONDS: Final = 0.077
SERIES_PER_WORKER: Final = 784
KAFKA_CONNECTIONS: Final = 7
AUDIT_RECORDS_PER_SECOND: Final = 5_000
STATE_BYTES_PER_JOB: Final = 150
EVIDENCE_BYTES: Final = 1_400
EVIDENCE_RECORDS_PER_SECOND: Final = 40

# Assumed; put your own in their place.
URI_JOB_BYTES: Final = 400
CORES_PER_WORKER: Final = 4
BUSY: Final = 0.7
PARTITIONS_PER_WORKER: Final = 2
GPU_LABELS_PER_SECOND: Final = 200
REPLICAS: Final = 3
RESULT_DAYS: Final = 3
DEAD_LETTER_SHARE: Final = 0.005
RETRY_SHARE: Final = 0.01
BROKERS: Final = 6
OFFSET_RECORD_BYTES: Final = 100
AUDIT_BITS_PER_SECOND: Final = 1e9
RESULT_READERS: Final = 1


@dataclass(frozen=True, slots=True)
class Load:
    """How many labels come, on average and at the peak, and how many bytes a job has."""

    name: str
    mean_per_second: float
    peak_per_second: float
    job_bytes: int = PICTURE_BYTES

    @property
    def workers(self) -> int:
        """Workers that read the peak."""
        return math.ceil(self.peak_per_second * WORKER_CPU_SECONDS / (CORES_PER_WORKER * BUSY))

    @property
    def partitions(self) -> int:
        """Partitions of each topic, in hundreds."""
        return 100 * math.ceil(PARTITIONS_PER_WORKER * self.workers / 100)

    @property
    def gpus(self) -> int:
        """GPUs that read the peak."""
        return math.ceil(self.peak_per_second / (GPU_LABELS_PER_SECOND * BUSY))

    @property
    def labels_per_day(self) -> float:
        """Labels of a day."""
        return self.mean_per_second * DAY_SECONDS


DAILY: Final = Load("10 million a day", 10_000_000 / DAY_SECONDS, 3 * 10_000_000 / DAY_SECONDS)
DAILY_BY_URI: Final = Load("the same, by URI", DAILY.mean_per_second, DAILY.peak_per_second, URI_JOB_BYTES)
CONSTANT: Final = Load("10,000 a second", 10_000, 10_000)
CONSTANT_BY_URI: Final = Load("the same, by URI", 10_000, 10_000, URI_JOB_BYTES)
LOADS: Final = (DAILY, DAILY_BY_URI, CONSTANT, CONSTANT_BY_URI)


def compute_table() -> str:
    """Return what reads the labels."""
    rows = [
        ("labels a second at the peak", [_number(load.peak_per_second) for load in (DAILY, CONSTANT)]),
        ("workers", [_number(load.workers) for load in (DAILY, CONSTANT)]),
        ("CPU cores of workers", [_number(load.workers * CORES_PER_WORKER) for load in (DAILY, CONSTANT)]),
        ("partitions of each topic", [_number(load.partitions) for load in (DAILY, CONSTANT)]),
        ("GPUs, if one reads 200 labels a second", [_number(load.gpus) for load in (DAILY, CONSTANT)]),
    ]
    return _table(("", DAILY.name, CONSTANT.name), rows)


def bytes_table() -> str:
    """Return what goes through Kafka and stays on its disks."""
    retention = _retention_days()
    rows = []
    for name, per_label, days in _flows(retention):
        rows.append((name, [_rate(load.mean_per_second * per_label(load)) for load in LOADS]))
        rows.append((f"— on disk, {days:g} days", [_size(_stored(load, per_label(load), days)) for load in LOADS]))
    rows.append(("all written, with replicas", [_rate(REPLICAS * _written(load)) for load in LOADS]))
    rows.append(("all read by workers and by 1 reader of results", [_rate(_read(load)) for load in LOADS]))
    total = [sum(_stored(load, per_label(load), days) for _, per_label, days in _flows(retention)) for load in LOADS]
    rows.append(("all disks", [_size(each) for each in total]))
    return _table(("mean", *(load.name for load in LOADS)), rows)


def group_table() -> str:
    """Return what the group's coordinator and the other servers see."""
    loads = (DAILY, CONSTANT)
    interval = KafkaSettings().commit_interval_seconds
    commits = [min(load.mean_per_second, load.partitions / interval) for load in loads]
    consumed = 5
    busiest = _phase("join")["commits_in_busiest_second"] / (consumed * SIMULATED["partitions"])
    per_worker = [consumed * load.partitions / load.workers for load in loads]
    limit = LimitSettings().dead_letters_per_minute
    rows = [
        ("positions committed a second", [_number(each) for each in commits]),
        ("bytes a second on the offsets topic", [_rate(each * _offset_bytes()) for each in commits]),
        ("commit requests a second, at most", [_number(load.workers / interval) for load in loads]),
        ("positions in the second of a rebalance", [_number(busiest * consumed * load.partitions) for load in loads]),
        ("memory of the trackers of a worker", [_size(each * SIMULATED["tracker_bytes"]) for each in per_worker]),
        ("— with all windows full", [_size(each * SIMULATED["full_tracker_bytes"]) for each in per_worker]),
        ("connections to 6 brokers, at most", [_number(load.workers * KAFKA_CONNECTIONS * BROKERS) for load in loads]),
        ("connections to Triton, one server a GPU", [_number(load.workers * load.gpus) for load in loads]),
        (
            "series of Prometheus, at most",
            [_number(load.workers * SERIES_PER_WORKER + consumed * load.partitions) for load in loads],
        ),
        ("dead letters a minute", [_number(60 * load.mean_per_second * DEAD_LETTER_SHARE) for load in loads]),
        ("— the workers' limit", [_number(load.workers * limit) for load in loads]),
        (
            "evidence of a canary that a broker sends",
            [_rate(EVIDENCE_RECORDS_PER_SECOND * EVIDENCE_BYTES * load.workers) for load in loads],
        ),
        (
            "object store requests a second, by URI",
            [_number(load.mean_per_second * (1 + RETRY_SHARE)) for load in loads],
        ),
        ("a day's audit, hours for its records", [_number(_audit_hours(load)) for load in loads]),
        ("— for its bytes at 1 Gbit/s", [_number(_transfer_hours(load)) for load in loads]),
        ("— the same, by URI", [_number(_transfer_hours(load)) for load in (DAILY_BY_URI, CONSTANT_BY_URI)]),
        ("— its state", [_size(_state_bytes(load)) for load in loads]),
    ]
    return _table(("", *(load.name for load in loads)), rows)


def storm_table() -> str:
    """Return what the simulation saw of each phase."""
    rows = []
    for phase in SIMULATED["phases"][:-1]:
        unread = phase["without_owner_seconds"]
        metadata = phase["metadata_bytes"]
        cells = [
            _number(phase["jobs"]),
            _number(phase["commits_per_second"]),
            _number(phase["commits_in_busiest_second"]),
            f"{metadata['p50']} / {metadata['p99']} / {metadata['max']}",
            _number(phase["partitions_moved"]),
            "–" if unread is None else f"{unread['max']:.1f}",  # noqa: RUF001 - a dash is meant
            _number(phase["read_twice"]),
            f"{phase['longest_pause_seconds']:.1f}",
            _number(phase["retries"]),
            _number(phase["dead_letters"]),
        ]
        rows.append((phase["name"], cells))
    heads = (
        "phase, 15 s each",
        "jobs",
        "positions/s",
        "in the busiest s",
        "metadata B p50 / p99 / max",
        "partitions moved",
    )
    return _table((*heads, "not read, s", "read twice", "longest pause, s", "retries", "dead letters"), rows)


TABLES: Final = {
    "compute": compute_table,
    "bytes": bytes_table,
    "group": group_table,
    "storm": storm_table,
}


def rendered(page: str) -> str:
    """Return the page with its tables as they are computed now."""
    return _MARK.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", page)


def _flows(retention: Mapping[str, float]) -> list[tuple[str, Callable[[Load], float], float]]:
    """Return each topic that many bytes go to: its name, its bytes a label, and its days."""
    return [
        ("jobs", lambda load: load.job_bytes + HEADER_BYTES, retention["jobs"]),
        ("results", lambda _load: RESULT_BYTES + HEADER_BYTES, RESULT_DAYS),
        ("retries", lambda load: RETRY_SHARE * (load.job_bytes + HEADER_BYTES), retention["retry"]),
        ("dead letters", lambda load: DEAD_LETTER_SHARE * (load.job_bytes + HEADER_BYTES), retention["letters"]),
    ]


def _retention_days() -> dict[str, float]:
    """Return the least days that `labelwire topics` asks for."""
    topics = TopicSettings()
    floors = {each.name: each.floors for each in wanted_topics(topics, 8, DEFAULT_MAX_MESSAGE_BYTES)}
    named = {"jobs": topics.jobs, "retry": topics.retry_topics[0], "letters": topics.dead_letters}
    return {use: floors[topic]["retention.ms"] / DAY_MS for use, topic in named.items()}


def _stored(load: Load, per_label: float, days: float) -> float:
    return load.labels_per_day * per_label * days * REPLICAS


def _written(load: Load) -> float:
    return load.mean_per_second * sum(per_label(load) for _, per_label, _ in _flows(_retention_days()))


def _read(load: Load) -> float:
    """Return what workers read of jobs and retries, and readers of results."""
    jobs, results, retries, _ = (per_label(load) for _, per_label, _ in _flows(_retention_days()))
    return load.mean_per_second * (jobs + retries + RESULT_READERS * results)


def _offset_bytes() -> int:
    return OFFSET_RECORD_BYTES + int(SIMULATED["metadata_bytes"]["p99"])


def _audit_hours(load: Load) -> float:
    return load.labels_per_day * (2 + RETRY_SHARE) / AUDIT_RECORDS_PER_SECOND / 3600


def _transfer_hours(load: Load) -> float:
    return DAY_SECONDS * 8 * _written(load) / AUDIT_BITS_PER_SECOND / 3600


def _state_bytes(load: Load) -> float:
    """Return the size of a state that is used daily: the horizon, and the day that is being read."""
    return load.labels_per_day * STATE_BYTES_PER_JOB * (1 + DEFAULT_HORIZON_SECONDS / DAY_SECONDS)


def _phase(word: str) -> Mapping[str, Any]:
    (found,) = (phase for phase in SIMULATED["phases"] if word in phase["name"])
    return found  # type: ignore[no-any-return]


def _number(value: float) -> str:
    """Return a number with three digits that count."""
    if value < 10 and value != round(value):
        return f"{value:.1f}"
    if value < 1000 or value == round(value):
        return f"{round(value):,}"
    place = 10 ** (len(str(round(value))) - 3)
    return f"{round(value / place) * place:,}"


def _size(count_bytes: float) -> str:
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count_bytes >= factor:
            return f"{_number(round(count_bytes / factor, 1))} {unit}"
    return f"{_number(round(count_bytes / 1e3, 1))} kB"


def _rate(bytes_per_second: float) -> str:
    return f"{_size(bytes_per_second)}/s"


def _table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *([name, *cells] for name, cells in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"The tables of {PAGE} are those of now.")
