"""Metrics, log lines and probes."""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from worker.adapters.telemetry.fanout import Fanout
from worker.adapters.telemetry.http import HealthServer
from worker.adapters.telemetry.metrics import Metrics
from worker.adapters.triton import translate
from worker.domain import events
from worker.domain.circuit import CircuitState
from worker.domain.errors import ErrorCode, SettingsError, Stage
from worker.domain.records import Coordinate, TopicPartition
from worker.domain.rollout.candidate import CandidateResult
from worker.domain.rollout.state import Phase
from worker.domain.start_position import ResetReason
from worker.runtime.health import Health
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents

# The closed list.
NAMES = {
    "labelwire_job_duration_seconds": {"outcome", "lane"},
    "labelwire_job_age_seconds": set[str](),
    "labelwire_stage_duration_seconds": {"stage"},
    "labelwire_triton_request_duration_seconds": {"model", "version", "grpc_code"},
    "labelwire_lines_per_image": set[str](),
    "labelwire_line_confidence": {"version"},
    "labelwire_jobs": {"outcome", "error_code"},
    "labelwire_retries_in_place": {"error_code"},
    "labelwire_reader_crashes": set[str](),
    "labelwire_commit_failures": set[str](),
    "labelwire_position_resets": {"reason"},
    "labelwire_triton_retries": {"model", "reason"},
    "labelwire_dead_letters": {"error_code"},
    "labelwire_dead_letters_waiting": set[str](),
    "labelwire_dead_letters_wait_seconds": set[str](),
    "labelwire_rebalances": {"kind"},
    "labelwire_circuit_state": {"model"},
    "labelwire_triton_inflight_limit": set[str](),
    "labelwire_ready": set[str](),
    "labelwire_ready_condition": {"condition"},
    "labelwire_inflight_jobs": set[str](),
    "labelwire_inflight_pixels": set[str](),
    "labelwire_wanted_jobs": set[str](),
    "labelwire_partition_lag": {"topic", "partition"},
    "labelwire_polled_records": set(),
    "labelwire_cache_requests": {"result"},
    "labelwire_cache_request_duration_seconds": {"operation"},
    "labelwire_cache_circuit_state": {"operation"},
    "labelwire_rollout_share": set[str](),
    "labelwire_rollout_phase": {"phase"},
    "labelwire_shadow_compared": {"result"},
    "labelwire_rollout_reading_duration_seconds": {"arm"},
    "labelwire_build_info": {"version"},
}
AT = Coordinate("label-images", 3, 41)
PARTITION = TopicPartition("label-images", 3)
DEAD = events.JobFinished(
    "job-8", AT, events.JobOutcome.DEAD_LETTERED, ErrorCode.IMAGE_CORRUPT, "small", 0.1, None, (), "4", 2
)
SAID: list[events.Event] = [
    events.JobFinished("job-7", AT, events.JobOutcome.COMPLETED, None, "small", 0.2, 1.0, (0.9, 0.8), "4", 1),
    DEAD,
    events.StageFinished(Stage.DECODE, 0.01),
    events.JobDeadLettered(
        "job-8", AT, ErrorCode.IMAGE_CORRUPT, Stage.DECODE, "The picture is damaged.", "decode.py:9 decode"
    ),
    events.JobRetried("job-9", AT, ErrorCode.INFERENCE_UNAVAILABLE, "Triton is away.", 1, 0.4),
    events.InferenceFinished("text_detector", "1", "OK", 0.1),
    events.InferenceRetried("text_detector", "unavailable"),
    events.CircuitChanged("text_detector", CircuitState.OPEN),
    events.InflightLimitChanged(24),
    events.ReaderCrashed(AT, "signal SIGSEGV", 1),
    events.PositionReset(PARTITION, ResetReason.TRUNCATED, 9, 4),
    events.PartitionsChanged(events.PartitionChange.ASSIGNED, (PARTITION,)),
    events.InflightChanged(2, 1000, 4),
    events.LagObserved(PARTITION, 12),
    events.RecordsPolled("label-images", 3, (), 0.1),
    events.ReadinessChanged(ready=True, reason=""),
    events.DeadLettersWaiting(12, 1.2, 600, loud=True),
    events.CommitFailed("rebalance"),
    events.CacheRequestFinished(events.CacheOperation.GET, events.CacheResult.HIT, 0.002),
    events.RolloutChanged("0123456789ab", "canary", "running", "v2", "", 0.05, ""),
    events.CandidateRead("agreed", "v2"),
    events.ReadingFinished("candidate", 0.2),
    events.CacheCircuitChanged(events.CacheOperation.PUT, CircuitState.OPEN, "The Redis failed."),
]


def metrics() -> tuple[Metrics, CollectorRegistry]:
    registry = CollectorRegistry()
    return Metrics(registry), registry


def test_every_event_is_taken_and_every_metric_is_fed() -> None:
    counting, registry = metrics()
    for event in SAID:
        counting.emit(event)
    families = {family.name: family for family in registry.collect()}
    assert {name for name in families if name.startswith("labelwire_")} == set(NAMES)
    for name, labels in NAMES.items():
        samples = families[name].samples
        assert samples, f"{name} is never fed"
        used = {label for sample in samples for label in sample.labels}
        assert used - {"le"} == labels


def test_every_event_has_a_metric() -> None:
    assert {type(event) for event in SAID} == set(get_args(events.Event))
    unheard = []
    for event in SAID:
        counting, registry = metrics()
        before = list(registry.collect())
        counting.emit(event)
        if [family.samples for family in registry.collect()] == [family.samples for family in before]:
            unheard.append(type(event).__name__)
    assert unheard == []


def test_what_waits_can_be_seen() -> None:
    counting, registry = metrics()
    value = registry.get_sample_value
    assert value("labelwire_ready") == 0
    for event in SAID:
        counting.emit(event)
    assert value("labelwire_ready") == 1
    assert value("labelwire_triton_inflight_limit") == 24
    assert value("labelwire_retries_in_place_total", {"error_code": "INFERENCE_UNAVAILABLE"}) == 1
    assert value("labelwire_position_resets_total", {"reason": "truncated"}) == 1
    counting.emit(
        events.JobRetried("job-9", AT, ErrorCode.INFERENCE_FAILED, "No.", 1, 30.0, topic="label-images.retry.1")
    )
    assert value("labelwire_retries_in_place_total", {"error_code": "INFERENCE_FAILED"}) == 0
    counting.emit(events.ReadinessChanged(ready=False, reason="triton: away", unmet=("triton",)))
    assert value("labelwire_ready") == 0
    assert value("labelwire_ready_condition", {"condition": "triton"}) == 0
    assert value("labelwire_ready_condition", {"condition": "topics"}) == 1


def test_every_phase_of_a_rollout_and_every_result_of_a_candidate_is_seen_before_it_happens() -> None:
    counting, registry = metrics()
    value = registry.get_sample_value
    for result in CandidateResult:
        assert value("labelwire_shadow_compared_total", {"result": result.value}) == 0
    assert [value("labelwire_rollout_phase", {"phase": phase.value}) for phase in Phase] == [0] * len(Phase)
    counting.emit(events.RolloutChanged("0123456789ab", "canary", "running", "v2", "", 0.05, ""))
    assert value("labelwire_rollout_share") == 0.05
    counting.emit(events.RolloutChanged("0123456789ab", "canary", "rolled_back", "v2", "", 0.0, "It fails."))
    phases = {phase.value: value("labelwire_rollout_phase", {"phase": phase.value}) for phase in Phase}
    assert phases == {phase.value: phase is Phase.ROLLED_BACK for phase in Phase}
    assert value("labelwire_rollout_share") == 0


def counters_of(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        if family.type == "counter"
        for sample in family.samples
        if sample.name.endswith("_total")
    }


def test_no_counter_of_a_closed_list_begins_with_one() -> None:
    counting, registry = metrics()
    counting.emit(events.InferenceFinished("text_detector", "1", "OK", 0.1))
    born = counters_of(registry)
    assert set(born.values()) == {0}
    for event in SAID:
        counting.emit(event)
    for code in ErrorCode:
        counting.emit(replace(DEAD, error_code=code))
        counting.emit(replace(DEAD, error_code=code, outcome=events.JobOutcome.RETRIED))
        counting.emit(events.JobDeadLettered("job-8", AT, code, Stage.DECODE, "It is damaged.", "decode.py:9 decode"))
        counting.emit(events.JobRetried("job-9", AT, code, "It failed.", 1, 0.4))
    for change in events.PartitionChange:
        counting.emit(events.PartitionsChanged(change, ()))
    for reason in ResetReason:
        counting.emit(events.PositionReset(PARTITION, reason, 9, 4))
    assert counters_of(registry).keys() == born.keys()


def test_every_reason_to_send_a_request_again_is_known() -> None:
    faults = [value for value in vars(translate).values() if isinstance(value, translate.Fault)]
    assert len(faults) > 10
    assert {fault.reason for fault in faults if fault.resends} <= set(events.RetryReason)


def test_every_result_of_the_cache_is_seen_before_it_happens() -> None:
    counting, registry = metrics()
    value = registry.get_sample_value
    results = ("hit", "miss", "error", "rejected")
    assert [value("labelwire_cache_requests_total", {"result": result}) for result in results] == [0, 0, 0, 0]
    counting.emit(events.CacheRequestFinished(events.CacheOperation.PUT, None, 0.002))
    counting.emit(events.CacheRequestFinished(events.CacheOperation.GET, events.CacheResult.REJECTED, 0.002))
    assert [value("labelwire_cache_requests_total", {"result": result}) for result in results] == [0, 0, 0, 1]
    assert value("labelwire_cache_request_duration_seconds_count", {"operation": "put"}) == 1


def test_a_circuit_is_seen_from_its_models_first_request_on() -> None:
    counting, registry = metrics()
    counting.emit(events.InferenceFinished("text_detector", "1", "OK", 0.1))
    assert registry.get_sample_value("labelwire_circuit_state", {"model": "text_detector"}) == 0


def test_no_job_id_key_or_offset_is_a_label() -> None:
    counting, registry = metrics()
    for event in SAID:
        counting.emit(event)
    values = {v for family in registry.collect() for sample in family.samples for v in sample.labels.values()}
    assert values.isdisjoint({"job-7", "job-8", "job-9", "41"})


def test_outcomes_and_confidences_are_counted() -> None:
    counting, registry = metrics()
    for event in SAID:
        counting.emit(event)
    value = registry.get_sample_value
    assert value("labelwire_jobs_total", {"outcome": "completed", "error_code": ""}) == 1
    assert value("labelwire_jobs_total", {"outcome": "dead_lettered", "error_code": "IMAGE_CORRUPT"}) == 1
    assert value("labelwire_line_confidence_count", {"version": "4"}) == 2
    assert value("labelwire_lines_per_image_count") == 1
    assert value("labelwire_job_age_seconds_count") == 1


def test_a_circuits_state_is_a_number_that_rises_with_the_trouble() -> None:
    registry = CollectorRegistry()
    metrics, told = Metrics(registry), []
    for state in (CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED):
        metrics.emit(events.CircuitChanged("text_detector", state))
        told.append(registry.get_sample_value("labelwire_circuit_state", {"model": "text_detector"}))
    assert told == [2, 1, 0]


@pytest.mark.parametrize("kind", [events.PartitionChange.REVOKED, events.PartitionChange.LOST])
def test_the_lag_of_a_partition_that_left_is_not_told_any_more(kind: events.PartitionChange) -> None:
    counting, registry = metrics()
    labels = {"topic": "label-images", "partition": "3"}
    counting.emit(events.LagObserved(PARTITION, 12))
    assert registry.get_sample_value("labelwire_partition_lag", labels) == 12
    for _ in range(2):
        counting.emit(events.PartitionsChanged(kind, (PARTITION,)))
    assert registry.get_sample_value("labelwire_partition_lag", labels) is None


def test_a_fanout_passes_every_event_to_all_in_order() -> None:
    first, second = RecordedEvents(), RecordedEvents()
    fanout = Fanout(first, second)
    for event in SAID:
        fanout.emit(event)
    assert first.all == second.all == SAID


LOGGING = """
import logging, structlog
from worker.adapters.telemetry.logs import EventLog, configure
from worker.domain import events
from worker.domain.circuit import CircuitState
from tests.adapters.test_telemetry import SAID

configure({level!r}, {style!r})
log = EventLog()
for event in SAID:
    log.emit(event)
logging.getLogger("some.library").warning("a library's %s", "words")

def read_label() -> None:
    text = "SECRET" + " ADDRESS"
    raise ValueError("where nobody foresaw it")

try:
    read_label()
except ValueError:
    logging.getLogger("labelwire").exception("failed")
"""


def logged(level: str, style: str) -> str:
    """Return what a process of its own logs: the configuration is the process's."""
    script = LOGGING.format(level=level, style=style)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == ""
    return ended.stderr


def test_log_lines_are_json_with_what_happened() -> None:
    lines = [json.loads(line) for line in logged("debug", "json").splitlines()]
    by_event = {line["event"]: line for line in lines}
    assert all(line["level"] and line["timestamp"] and line["logger"] for line in lines)
    dead = by_event["job dead-lettered"]
    assert (dead["job_id"], dead["coordinate"], dead["error_code"]) == ("job-8", "label-images/3/41", "IMAGE_CORRUPT")
    assert dead["message"] == "The picture is damaged."
    assert by_event["partitions changed"]["partitions"] == ["label-images/3"]
    assert by_event["readiness changed"]["ready"] is True
    assert by_event["readiness changed"]["unmet"] == []
    assert by_event["job finished"]["lines"] in (0, 2)
    assert by_event["a library's words"]["logger"] == "some.library"


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_failure_is_logged_without_what_was_in_its_variables(style: str) -> None:
    said = logged("info", style)
    assert "where nobody foresaw it" in said
    assert "SECRET ADDRESS" not in said


def test_jobs_that_end_well_are_told_at_debug_only() -> None:
    said = logged("info", "json")
    assert '"job finished"' not in said
    assert '"job dead-lettered"' in said


@contextmanager
def serving(health: Health, registry: CollectorRegistry) -> Iterator[int]:
    server = HealthServer("127.0.0.1", 0, health, registry)
    port = server.start()
    try:
        yield port
    finally:
        server.close()


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_probes_say_what_is_the_matter() -> None:
    clock = ManualClock()
    health = Health(("triton",), clock, RecordedEvents(), pulse_seconds=60)
    with serving(health, CollectorRegistry()) as port:
        assert get(port, "/livez") == (200, "alive\n")
        health.unmet("triton", "Triton hat kein Modell für Größe.")
        assert get(port, "/readyz") == (503, "triton: Triton hat kein Modell für Größe.\n")
        health.met("triton")
        assert get(port, "/readyz") == (200, "ready\n")
        clock.advance(61)
        assert get(port, "/livez")[0] == 503
        assert get(port, "/readyz")[0] == 200
        assert get(port, "/")[0] == 404


def test_metrics_are_served_as_prometheus_reads_them() -> None:
    counting, registry = metrics()
    counting.emit(events.StageFinished(Stage.DECODE, 0.01))
    health = Health(("triton",), ManualClock(), RecordedEvents(), pulse_seconds=60)
    with serving(health, registry) as port:
        status, text = get(port, "/metrics")
    assert status == 200
    assert "labelwire_stage_duration_seconds" in {family.name for family in text_string_to_metric_families(text)}


def test_a_probe_that_stays_silent_holds_up_no_other() -> None:
    health = Health((), ManualClock(), RecordedEvents(), pulse_seconds=60)
    with serving(health, CollectorRegistry()) as port, socket.create_connection(("127.0.0.1", port)):
        assert get(port, "/readyz")[0] == 200


def test_a_port_that_is_taken_is_a_wrong_setting() -> None:
    _, registry = metrics()
    health = Health((), ManualClock(), RecordedEvents(), pulse_seconds=1.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"LABELWIRE_HTTP__PORT={port}: Address already in use"):
            HealthServer("127.0.0.1", port, health, registry)
