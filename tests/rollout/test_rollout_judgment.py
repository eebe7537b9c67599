import pytest

from tests.rollout.test_rollout_state import rollout
from worker.domain.rollout.evidence import Evidence, part_bin, time_bin
from worker.domain.rollout.judgment import Criterion, Decision, judge, needs_pairs
from worker.domain.rollout.state import Mode, RolloutLimits

GOOD = Evidence(
    jobs=150,
    pairs=100,
    text={part_bin(0.0): 90, part_bin(0.04): 10},
    fields={part_bin(0.0): 100},
    candidate_times={time_bin(0.2): 149, time_bin(0.4): 1},
    in_use_times={time_bin(0.2): 990, time_bin(0.4): 10},
)

ON_A_BUSY_MACHINE = {time_bin(0.2): 950, time_bin(2.0): 50}


def change(**numbers: object) -> Evidence:
    return GOOD.model_copy(update=numbers)


def test_a_good_candidate_goes_on() -> None:
    judgment = judge(rollout(), {0: GOOD})

    assert judgment.decision is Decision.ADVANCE
    assert {finding.criterion for finding in judgment.findings} == set(Criterion)


@pytest.mark.parametrize(
    ("seen", "criterion"),
    [
        (change(errors=8), Criterion.ERRORS),
        (change(blanks=10), Criterion.BLANKS),
        (change(text={part_bin(0.5): 100}), Criterion.TEXT),
        (change(fields={part_bin(0.6): 100}), Criterion.FIELDS),
        (change(code_lost=60, code_won=2), Criterion.CODES),
        (change(candidate_times={time_bin(0.2): 130, time_bin(0.6): 20}), Criterion.P99),
        (change(candidate_times={time_bin(0.6): 150}, in_use_times=ON_A_BUSY_MACHINE), Criterion.P50),
    ],
)
def test_a_candidate_that_is_worse_in_one_thing_is_rolled_back_and_the_reason_names_it(
    seen: Evidence, criterion: Criterion
) -> None:
    judgment = judge(rollout(), {0: seen})

    (found,) = [finding for finding in judgment.findings if finding.limit_reached]
    assert judgment.decision is Decision.ROLL_BACK
    assert found.criterion is criterion
    assert f"over its limit of {found.limit:g}" in judgment.reason


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (change(jobs=99), "99 of 100 jobs are judged"),
        (change(pairs=49), "49 of 50 jobs are compared"),
        (change(in_use_times={time_bin(0.2): 99}), "99 of 100 times"),
        (change(errors=2), "leans against"),
        (change(jobs=400, errors=4), "leans against"),  # twice the limit, however many they are
        (change(pairs=1000, text={0: 1000}, blanks=18), "leans against"),
    ],
)
def test_what_is_not_known_yet_is_waited_for(seen: Evidence, reason: str) -> None:
    judgment = judge(rollout(), {0: seen})

    assert judgment.decision is Decision.WAIT
    assert reason in judgment.reason


@pytest.mark.parametrize(
    ("seen", "needed"),
    [
        (change(pairs=199), True),
        (change(pairs=200, text={0: 200}), False),
        (change(pairs=200, text={0: 200}, blanks=3), True),  # 1.5 % is over the limit, and may be chance
        (change(pairs=200, text={5: 200}), True),
        (change(pairs=200, text={0: 200}, errors=5), False),  # more pairs say nothing of errors
    ],
)
def test_pairs_are_compared_until_they_decide(seen: Evidence, needed: bool) -> None:  # noqa: FBT001
    assert needs_pairs(rollout(), seen) is needed


def test_a_p99_of_a_few_slow_readings_holds_up_no_step_once_many_were_not() -> None:
    in_use = {time_bin(0.2): 980, time_bin(0.4): 20}
    few = change(candidate_times={time_bin(0.2): 50, time_bin(0.7): 1}, in_use_times=in_use)
    many = change(candidate_times={time_bin(0.2): 580, time_bin(0.7): 7}, in_use_times=in_use)

    assert "p99" in judge(rollout(), {0: few}).reason
    (found,) = [found for found in judge(rollout(), {0: many}).findings if found.criterion is Criterion.P99]
    assert found.seen is not None
    assert found.seen > found.limit
    assert judge(rollout(), {0: many}).decision is Decision.ADVANCE


def test_a_median_between_two_kinds_of_pages_holds_up_no_step() -> None:
    in_use = {time_bin(0.1): 510, time_bin(0.3): 490}
    seen = change(candidate_times={time_bin(0.1): 74, time_bin(0.3): 76}, in_use_times=in_use)

    assert judge(rollout(), {0: seen}).decision is Decision.ADVANCE


def test_one_misread_code_holds_up_no_step() -> None:
    assert judge(rollout(), {0: change(code_lost=1)}).decision is Decision.ADVANCE


def test_a_bad_candidate_is_rolled_back_before_the_minimum_is_seen() -> None:
    seen = change(jobs=30, errors=8)

    assert judge(rollout(), {0: seen}).decision is Decision.ROLL_BACK


def test_only_the_present_step_decides() -> None:
    assert judge(rollout(step=1), {0: change(errors=50), 1: GOOD}).decision is Decision.ADVANCE


BUSY = change(candidate_times={time_bin(0.9): 150}, in_use_times={})
"""What a step sees in which the candidate reads all jobs while the machine is busy."""


def test_times_are_compared_with_those_of_the_same_step() -> None:
    in_a_busy_hour = BUSY.model_copy(update={"in_use_times": {time_bin(0.9): 150}})

    assert judge(rollout(step=1), {0: GOOD, 1: in_a_busy_hour}).decision is Decision.ADVANCE
    assert judge(rollout(step=1), {0: GOOD, 1: change(candidate_times={time_bin(0.9): 150})}).decision is (
        Decision.ROLL_BACK
    )


def test_a_candidate_that_reads_all_jobs_was_compared_before() -> None:
    a_late_one = BUSY.model_copy(update={"in_use_times": {time_bin(0.2): 1}})

    assert judge(rollout(step=1), {0: GOOD, 1: BUSY}).decision is Decision.ADVANCE
    assert judge(rollout(step=1), {0: GOOD, 1: a_late_one}).decision is Decision.ADVANCE
    assert judge(rollout(step=1), {1: BUSY}).decision is Decision.WAIT


def test_a_shadow_is_not_judged_by_its_time() -> None:
    slow = change(candidate_times={time_bin(9.0): 150}, in_use_times={})

    assert judge(rollout(mode=Mode.SHADOW), {0: slow}).decision is Decision.ADVANCE


def test_a_wider_limit_lets_more_pass() -> None:
    seen = change(text={part_bin(0.3): 100})

    assert judge(rollout(limits=RolloutLimits(max_text_disagreement=0.4)), {0: seen}).decision is Decision.ADVANCE
    assert judge(rollout(), {0: seen}).decision is Decision.ROLL_BACK
