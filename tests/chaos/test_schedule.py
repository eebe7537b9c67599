import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from worker.lab.chaos.schedule import FaultKind, draw_schedule

seeds = st.integers(min_value=0, max_value=2**32)


@given(seeds)
def test_five_minutes_hold_at_least_forty_faults_of_every_kind(seed: int) -> None:
    counts = Counter(fault.kind for fault in draw_schedule(seed, 300))
    assert counts.total() >= 40
    assert set(counts) == set(FaultKind)
    assert counts[FaultKind.TRITON_SIGKILL] >= 2
    assert counts[FaultKind.DEAD_LETTER_LIMIT] == 1


@given(seeds)
def test_two_minutes_hold_every_kind(seed: int) -> None:
    assert {fault.kind for fault in draw_schedule(seed, 120)} == set(FaultKind)


@given(seeds, st.floats(min_value=5, max_value=600))
def test_a_seed_is_a_schedule(seed: int, duration_seconds: float) -> None:
    schedule = draw_schedule(seed, duration_seconds)
    assert schedule == draw_schedule(seed, duration_seconds)
    assert schedule
    assert len({draw_schedule(other, duration_seconds) for other in range(seed, seed + 8)}) > 1


@given(seeds, st.floats(min_value=30, max_value=600))
def test_faults_come_in_order_within_the_time(seed: int, duration_seconds: float) -> None:
    times = [fault.at_seconds for fault in draw_schedule(seed, duration_seconds)]
    assert times == sorted(times)
    assert times[0] >= 3
    assert times[-1] < duration_seconds


@given(seeds)
def test_triton_has_time_to_come_back(seed: int) -> None:
    schedule = draw_schedule(seed, 300)
    gaps = [
        later.at_seconds - fault.at_seconds
        for fault, later in itertools.pairwise(schedule)
        if fault.kind is FaultKind.TRITON_SIGKILL
    ]
    assert min(gaps) > 16


def test_a_zombie_sleeps_longer_than_its_session() -> None:
    schedule = [fault for seed in range(20) for fault in draw_schedule(seed, 300)]
    assert all(fault.lasts_seconds > 7 for fault in schedule if fault.kind is FaultKind.WORKER_ZOMBIE)
    assert all(fault.lasts_seconds < 5 for fault in schedule if fault.kind is FaultKind.WORKER_STALL)


def test_only_the_kinds_that_were_asked_for_come() -> None:
    kinds = (FaultKind.WORKER_SIGKILL, FaultKind.BROKER_SIGKILL)
    schedule = draw_schedule(1, 60, kinds)
    assert {fault.kind for fault in schedule} == set(kinds)


def test_the_limit_of_dead_letters_is_met_last() -> None:
    assert all(draw_schedule(seed, 120)[-1].kind is FaultKind.DEAD_LETTER_LIMIT for seed in range(20))
