"""The page on scale shows what its inputs give, and the simulation still gives what it shows."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.audit.histories import TOPICS, Logs
from tests.docs.scale_page import EVIDENCE_BYTES, PAGE, SIMULATED, STATE_BYTES_PER_JOB, TABLES, rendered
from tests.simulation.scale import ScalePlan, measure, tracker_bytes
from worker.audit.account import account
from worker.audit.state import opened_state
from worker.domain.offsets import MAX_WINDOW, encode_metadata
from worker.domain.rollout.evidence import Evidence, part_bin, time_bin
from worker.domain.rollout.state import WorkerEvidence, to_json

BASE = 10**9
JOBS = 5000
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_tables_are_those_that_the_inputs_give() -> None:
    assert rendered(TEXT) == TEXT, "run python -m tests.docs.scale_page"
    assert all(f"<!-- table {name} -->\n| " in TEXT for name in TABLES)


def test_the_figures_of_the_simulation_lost_nothing() -> None:
    assert SIMULATED["failures"] == []
    assert (SIMULATED["workers"], SIMULATED["partitions"]) == (200, 1000)
    assert f"took {SIMULATED['recovery_seconds']} s until" in TEXT
    assert f"99 % had {SIMULATED['metadata_bytes']['p99']} bytes" in TEXT


def test_a_smaller_run_shows_the_same_for_each_partition() -> None:
    measured = measure(ScalePlan(workers=20, partitions=100, jobs_per_second=20)).to_dict()
    for name in ("partitions_moved", "commits_in_busiest_second"):
        shown = [phase[name] / SIMULATED["partitions"] for phase in SIMULATED["phases"][1:4:2]]
        now = [phase[name] / measured["partitions"] for phase in measured["phases"][1:4:2]]
        assert now == pytest.approx(shown, rel=0.1)
    assert measured["metadata_bytes"]["p99"] == pytest.approx(SIMULATED["metadata_bytes"]["p99"], rel=0.2)


def test_a_tracker_takes_the_memory_that_the_page_says() -> None:
    assert tracker_bytes(8) == pytest.approx(SIMULATED["tracker_bytes"], rel=0.1)
    assert tracker_bytes(MAX_WINDOW) == pytest.approx(SIMULATED["full_tracker_bytes"], rel=0.1)
    assert f"8 jobs takes {SIMULATED['tracker_bytes']} bytes" in TEXT


def test_a_record_of_evidence_has_the_size_that_the_page_says() -> None:
    chance = random.Random(1)  # noqa: S311 - dice
    times = [Counter(time_bin(chance.lognormvariate(-1.5, 0.5)) for _ in range(1000)) for _ in range(2)]
    parts = [Counter(part_bin(min(1.0, chance.expovariate(20))) for _ in range(100)) for _ in range(2)]
    seen = Evidence(
        jobs=1000, pairs=100, candidate_times=times[0], in_use_times=times[1], text=parts[0], fields=parts[1]
    )
    record = to_json(WorkerEvidence(rollout="0123456789ab", step=0, evidence=seen))
    assert len(record) == pytest.approx(EVIDENCE_BYTES, rel=0.15)


def test_a_job_takes_the_space_in_the_state_of_audits_that_the_page_says(tmp_path: Path) -> None:
    logs = Logs()
    for _ in range(JOBS):
        logs.result(logs.job())
    with opened_state(tmp_path) as state:
        account(logs.records.values(), logs.cut(), TOPICS, state=state)
    size_bytes = (tmp_path / "audit.sqlite").stat().st_size
    assert size_bytes / JOBS == pytest.approx(STATE_BYTES_PER_JOB, rel=0.2)


def test_the_largest_metadata_is_what_the_page_says() -> None:
    done, reached = range(BASE + 1, BASE + MAX_WINDOW), BASE + MAX_WINDOW
    largest = encode_metadata(BASE, done, reached=reached, clean_end=True, topic_id="x" * 22)
    assert f"cannot pass {len(largest):,} bytes" in TEXT
