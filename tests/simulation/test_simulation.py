"""Many workers, many faults, no time: short runs of the simulation, and proof that it would see what it looks for."""

import os
import subprocess
import sys

import pytest

from tests.simulation.defects import DEFECTS, SHOWN_BY, planted
from tests.simulation.scenario import FAULTS, scenario
from tests.simulation.world import simulate

SEEDS = 200
_MAX_SEEDS_TO_FIND_A_DEFECT = 300


def test_no_seed_fails() -> None:
    wrong = {seed: verdict.failures for seed in range(SEEDS) if (verdict := simulate(seed)).failures}
    assert not wrong, "see one with: python -m tests.simulation --seed N"


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str) -> None:
    with planted(defect):
        found = next((verdict for verdict in map(simulate, _seeds_for(defect)) if verdict.failures), None)
    assert found is not None, f"{_MAX_SEEDS_TO_FIND_A_DEFECT} seeds found nothing wrong"


def _seeds_for(defect: str) -> list[int]:
    fault, seeds = SHOWN_BY.get(defect), range(_MAX_SEEDS_TO_FIND_A_DEFECT)
    return [seed for seed in seeds if fault is None or fault in {each.kind for each in scenario(seed).faults}]


def test_a_seed_replays_exactly() -> None:
    first, second = simulate(17), simulate(17)
    assert list(first.trace.lines()) == list(second.trace.lines())
    assert first.trace.digest() != simulate(18).trace.digest()


def test_a_seed_replays_in_another_process_whatever_its_hash_seed() -> None:
    digests = {_digests_with(hash_seed) for hash_seed in ("1", "2")}
    assert digests == {" ".join(simulate(seed).trace.digest() for seed in range(12))}


def _digests_with(hash_seed: str) -> str:
    code = "from tests.simulation.world import simulate\nprint(*(simulate(s).trace.digest() for s in range(12)))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_scenarios_cover_every_fault_and_setting() -> None:
    plans = [scenario(seed) for seed in range(400)]
    assert {fault.kind for plan in plans for fault in plan.faults} == set(FAULTS)
    assert {plan.workers for plan in plans} == {1, 2, 3}
    assert {plan.tuning.key_order for plan in plans} == {True, False}
