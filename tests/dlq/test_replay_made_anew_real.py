"""What a replay does where topics whose offsets it remembers were deleted and created again, on a real broker."""

import pytest

from tests.dlq.replays import Ward, assert_each_once_in_order, jobs
from worker.dlq.runs import RunState

pytestmark = pytest.mark.real


def test_letters_of_a_topic_that_was_made_anew_are_not_those_of_an_earlier_replay(ward: Ward) -> None:
    ward.write(ward.letters(jobs(ward.jobs, 20)))
    earlier = ward.carry_out(ward.prepare())
    ward.recreate(ward.dead_letters)
    ward.recreate(ward.target)
    expected = jobs(ward.jobs, 20)
    ward.write(ward.letters(expected))

    later = ward.carry_out(ward.prepare())

    assert (earlier.tally.total(), later.state, later.tally.total()) == (20, RunState.FINISHED, 20)
    assert_each_once_in_order(ward.read(ward.target), expected, later.plan.run_id)
