"""What a replay does where topics whose offsets it remembers were deleted and created again, on a real broker."""

from collections.abc import Callable

import pytest

from tests.dlq.replays import Ward, assert_each_once_in_order, jobs
from worker.dlq.replay.canary import CanaryLimits
from worker.dlq.replay.plan import ReplayError
from worker.dlq.replay.runs import RunState
from worker.domain.headers import REPLAY_RUN_ID
from worker.domain.records import OutgoingRecord

pytestmark = pytest.mark.real


def test_letters_of_a_topic_that_was_made_anew_are_not_those_of_an_earlier_replay(ward: Ward) -> None:
    ward.write(ward.letters(jobs(ward.jobs, 20)))
    earlier = ward.carry_out(ward.prepare())
    ward.recreate(ward.dead_letters)
    ward.recreate(ward.target)
    expected = jobs(ward.jobs, 20)
    ward.write(ward.letters(expected))

    later = ward.carry_out(ward.prepare())

    assert (earlier.counts.total(), later.state, later.counts.total()) == (20, RunState.FINISHED, 20)
    assert_each_once_in_order(ward.read(ward.target), expected, later.plan.run_id)


def test_a_replay_whose_letters_were_deleted_is_not_gone_on_with(ward: Ward) -> None:
    ward.write(ward.letters(jobs(ward.jobs, 30)))
    begun = ward.prepare()
    ward.carry_out(begun, rate=100, stop_after=10)
    done, untouched = len(ward.read(ward.target)), ward.prepare(run_id="u", again=True)
    ward.recreate(ward.dead_letters)
    ward.write(ward.letters(jobs(ward.jobs, 30)))

    attempts: list[Callable[[], object]] = [
        lambda: ward.resume(begun.plan.run_id),
        lambda: ward.prepare(run_id=begun.plan.run_id),
        lambda: ward.carry_out(untouched),  # it was made before
    ]
    for attempt in attempts:
        with pytest.raises(ReplayError, match=r"was deleted and created again .* its letters are gone"):
            attempt()
    assert len(ward.read(ward.target)) == done
    successor = ward.prepare()
    assert (successor.plan.letters, successor.plan.run_id == begun.plan.run_id) == (30, False)


def test_a_replay_takes_nothing_of_a_topic_that_is_made_anew_while_it_runs(ward: Ward) -> None:
    ward.write(ward.letters(jobs(ward.jobs, 40)))
    process = ward.start("--yes", "--no-canary", "--rate", "10", "--json")
    while not ward.read(ward.target):
        assert process.poll() is None
    ward.recreate(ward.dead_letters)
    anew = jobs(ward.jobs, 60)[40:]
    ward.write(ward.letters(anew))

    _, problem = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "its letters are gone" in problem
    origins = {int(record.header("labelwire.origin.offset") or -1) for record in ward.read(ward.target)}
    assert max(origins) < 40
    outcome = ward.carry_out(ward.prepare())
    assert (outcome.state, outcome.counts.total()) == (RunState.FINISHED, 20)


def test_canaries_are_seen_on_a_result_topic_that_was_made_anew(ward: Ward) -> None:
    ward.write(OutgoingRecord(ward.results, b"%d" % number, b"{}", ()) for number in range(40))
    ward.write(ward.letters(jobs(ward.jobs, 40)))
    prepared = ward.prepare(canary=True)
    ward.recreate(ward.results)
    key = next(iter({job.key for job in jobs(ward.jobs, 40)}))
    run_id = (REPLAY_RUN_ID, prepared.plan.run_id.encode())
    ward.write([OutgoingRecord(ward.results, key, b"{}", (run_id,))])

    outcome = ward.carry_out(prepared, canary=CanaryLimits(5, 0.5))

    assert outcome.canaries is not None
    assert (outcome.canaries.known, outcome.state) == (1, RunState.FINISHED)
