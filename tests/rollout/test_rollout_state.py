import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.domain.errors import RolloutError
from worker.domain.rollout.evidence import Evidence
from worker.domain.rollout.routing import ALL, bucket_of, is_in_share
from worker.domain.rollout.state import (
    ControlState,
    Mode,
    Phase,
    Rollout,
    RolloutLimits,
    WorkerEvidence,
    evidence_key,
    from_record,
    state_key,
    to_json,
)


def rollout(**change: object) -> Rollout:
    given = {"id": "0123456789ab", "mode": Mode.CANARY, "candidate": "v2", "replaced": "", "started_at_ms": 1}
    return Rollout.model_validate(given | {"changed_at_ms": 1} | change)


def test_the_steps_lead_to_the_candidate_in_use() -> None:
    state = ControlState().started(rollout())
    shares = []
    while state.running is not None:
        shares.append(state.running.share)
        state = state.advanced(now_ms=2)

    assert shares == [100, 500, 2500, ALL]
    assert state.in_use == "v2"
    assert state.rollout is not None
    assert state.rollout.phase is Phase.PROMOTED
    assert state.rollout.share == 0
    assert state.epoch == 5


def test_a_shadow_changes_nothing() -> None:
    state = ControlState().started(rollout(mode=Mode.SHADOW, steps=(ALL,))).advanced(now_ms=2)

    assert state.rollout is not None
    assert state.rollout.phase is Phase.PASSED
    assert state.in_use is None


def test_what_was_rolled_back_stays_so() -> None:
    state = ControlState().started(rollout()).rolled_back("It reads nothing.", now_ms=2)

    assert (state.in_use, state.running) == (None, None)
    with pytest.raises(RolloutError, match="No rollout runs"):
        state.advanced(3)
    with pytest.raises(RolloutError, match="No rollout runs"):
        state.promoted(3)
    with pytest.raises(RolloutError, match="No rollout runs"):
        state.aborted("", 3)


def test_a_second_rollout_is_refused_while_one_runs_and_taken_afterwards() -> None:
    state = ControlState().started(rollout())
    with pytest.raises(RolloutError, match="A rollout of 'v2' runs"):
        state.started(rollout(id="ba9876543210", candidate="v3"))

    again = state.aborted("by hand", 2).started(rollout(id="ba9876543210", candidate="v3"))

    assert again.running is not None
    assert again.running.candidate == "v3"


@given(st.randoms(use_true_random=False))
def test_workers_that_write_at_once_agree_on_the_first(chance: random.Random) -> None:
    """Any number of writers, each by what it knew; all readers of the log end in the same state at each offset."""
    log: list[ControlState] = []
    writers = [ControlState() for _ in range(4)]
    for _ in range(30):
        number = chance.randrange(len(writers))
        if chance.random() < 0.5:  # it reads up to somewhere, never back
            for record in log[: chance.randrange(len(log) + 1)]:
                writers[number] = writers[number].follow(record)
            continue
        known = writers[number]
        if known.running is None:
            log.append(known.started(rollout(candidate=f"v{chance.randrange(9)}")))
        else:
            log.append(chance.choice([known.advanced(2), known.rolled_back("bad", 2), known.promoted(2)]))

    def read_whole() -> ControlState:
        state = ControlState()
        for record in log:
            assert record.epoch <= state.epoch + 1
            state = state.follow(record)
        return state

    final = read_whole()
    for state in writers:
        for record in log:
            state = state.follow(record)  # noqa: PLW2901 - the state goes on
        assert state == final


def test_a_key_is_in_the_same_share_at_every_attempt_and_in_every_larger_one() -> None:
    keys = [f"key-{number}".encode() for number in range(4000)]
    small = {key for key in keys if is_in_share("salt", key, 100)}
    large = {key for key in keys if is_in_share("salt", key, 2500)}

    assert small < large
    assert 15 <= len(small) <= 70
    assert 900 <= len(large) <= 1100
    assert all(is_in_share("salt", key, ALL) for key in keys)
    assert {key for key in keys if is_in_share("other", key, 2500)} != large
    assert [bucket_of("salt", key) for key in keys[:50]] == [bucket_of("salt", key) for key in keys[:50]]


def test_records_are_read_as_they_were_written() -> None:
    state = ControlState().started(rollout())
    seen = WorkerEvidence(rollout="0123456789ab", step=2, evidence=Evidence(jobs=3, text={4: 2}))

    assert from_record(state_key(state, "w1"), to_json(state)) == state
    assert from_record(evidence_key(seen, "w1"), to_json(seen)) == seen
    assert evidence_key(seen, "w1") == "evidence/0123456789ab/2/w1"


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("state/1/w", b"{}x", "the whole"),
        ("state/1/w", b'{"schema": "labelwire.rollout/9"}', "schema"),
        ("state/1/w", b'{"schema": "labelwire.rollout/1", "in_use": "No Such Name"}', "in_use"),
        ("evidence/a/0/w", b'{"rollout": "a", "step": 0, "evidence": {"jobs": -1}}', "evidence.jobs"),
        ("something", b"{}", "names no kind"),
    ],
)
def test_a_foreign_record_is_refused_with_its_reason(key: str, value: bytes, match: str) -> None:
    with pytest.raises(RolloutError, match=match):
        from_record(key, value)


@pytest.mark.parametrize("steps", [(), (500, 100), (100, 100), (0, 100), (20_000,)])
def test_steps_that_do_not_rise_to_the_whole_are_refused(steps: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError):
        rollout(steps=steps)


def test_limits_that_cannot_be_tested_are_refused() -> None:
    with pytest.raises(ValidationError):
        RolloutLimits(max_error_rate=0)
    with pytest.raises(ValidationError):
        RolloutLimits(max_p99_ratio=1.0)
