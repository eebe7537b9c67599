"""The page on scale shows what its inputs give, and the simulation still gives what it shows."""

import pytest

from tests.docs.scale_page import PAGE, SIMULATED, TABLES, rendered
from tests.simulation.scale import ScalePlan, measure
from worker.domain.offsets import MAX_WINDOW, encode_metadata

BASE = 10**9
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


def test_the_largest_metadata_is_what_the_page_says() -> None:
    done, reached = range(BASE + 1, BASE + MAX_WINDOW), BASE + MAX_WINDOW
    largest = encode_metadata(BASE, done, reached=reached, clean_end=True, topic_id="x" * 22)
    assert f"cannot pass {len(largest):,} bytes" in TEXT
