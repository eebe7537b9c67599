"""Rollouts as a fleet of workers decides them, in virtual time: readings are drawn, everything else is real."""

import pytest

from tests.rollout.fleet import Candidate, simulate
from tests.rollout.test_rollout_state import rollout
from worker.domain.rollout.state import Phase, RolloutLimits

# A canary at 20 % first, so that no simulation needs tens of thousands of jobs.
STEPS = (2000, 5000, 10_000)


OTHER_WORK_RATE = 0.05


def test_an_equal_candidate_is_promoted_in_99_of_100_runs() -> None:
    # Every second one on machines with other work.
    ends = [
        simulate(seed, Candidate(), rollout(id=f"{seed:012x}", steps=STEPS), seed % 2 * OTHER_WORK_RATE)[0]
        for seed in range(100)
    ]

    assert ends.count(Phase.PROMOTED) >= 99


@pytest.mark.parametrize(
    ("candidate", "least"),
    [
        (Candidate(disagreement=0.8), 20),
        (Candidate(slowness=3.0), 20),
        (Candidate(blank_rate=0.1), 19),
        (Candidate(error_rate=0.05), 17),  # 5 % of 200 jobs are 4 to 17 errors: chance decides
        (Candidate(error_rate=0.1), 20),
    ],
)
def test_a_bad_candidate_is_rolled_back_within_200_of_its_jobs(candidate: Candidate, least: int) -> None:
    runs = [simulate(seed, candidate, rollout(id=f"{seed:012x}", steps=STEPS)) for seed in range(20)]

    assert all(phase is Phase.ROLLED_BACK for phase, _ in runs)
    assert sum(jobs <= 200 for _, jobs in runs) >= least


def test_a_slow_candidate_is_rolled_back_where_other_work_on_the_machine_hides_it_from_the_p99() -> None:
    slow = Candidate(slowness=2.0)
    runs = [simulate(seed, slow, rollout(id=f"{seed:012x}", steps=STEPS), OTHER_WORK_RATE) for seed in range(20)]

    assert all(phase is Phase.ROLLED_BACK for phase, _ in runs)
    assert max(jobs for _, jobs in runs) <= 200


def test_a_candidate_within_its_limits_that_differs_is_promoted() -> None:
    limits = RolloutLimits(max_text_disagreement=0.4, max_field_disagreement=0.5)

    phase, _ = simulate(1, Candidate(disagreement=0.2), rollout(steps=STEPS, limits=limits))

    assert phase is Phase.PROMOTED
