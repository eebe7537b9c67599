"""Two hundred workers on a thousand partitions come, go, die and wait, and nothing is lost."""

import pytest

from tests.simulation.scale import ScaleMeasurement, ScalePlan, measure

SMALL = ScalePlan(workers=8, partitions=40, jobs_per_second=8)


@pytest.fixture(scope="module")
def large() -> ScaleMeasurement:
    return measure(ScalePlan(workers=200, partitions=1000, jobs_per_second=32))


def test_two_hundred_workers_on_a_thousand_partitions_lose_nothing(large: ScaleMeasurement) -> None:
    assert large.failures == ()
    jobs = sum(phase.jobs for phase in large.phases)
    assert jobs > 3000
    assert sum(phase.results + phase.dead_letters for phase in large.phases) >= jobs


def test_a_steady_group_commits_no_more_positions_than_it_ends_jobs(large: ScaleMeasurement) -> None:
    steady = large.phases[2]
    assert steady.moved == steady.read_twice == 0
    assert 0 < steady.commits <= 1.1 * (steady.results + steady.dead_letters + 2 * steady.retries)


def test_an_orderly_change_reads_no_record_twice_and_a_kill_does(large: ScaleMeasurement) -> None:
    _, joined, _, left, killed, *_ = large.phases
    assert joined.moved > 0 < left.moved
    assert (joined.read_twice, left.read_twice) == (0, 0)
    assert killed.read_twice > 0
    assert max(killed.without_owner_seconds) >= 6.0  # the session of the settings


def test_an_outage_stops_the_outcomes_and_is_made_up_for(large: ScaleMeasurement) -> None:
    away = large.phases[5]
    assert (away.results, away.retries) == (0, 0)
    assert away.longest_pause_seconds > 10
    assert large.recovery_seconds is not None


def test_with_the_order_of_keys_nothing_is_lost_either() -> None:
    measured = measure(ScalePlan(20, 100, 20, key_order=True))
    assert measured.failures == ()
    assert sum(phase.results for phase in measured.phases) > 1500


def test_the_same_plan_gives_the_same_figures() -> None:
    assert measure(SMALL).to_dict() == measure(SMALL).to_dict()
