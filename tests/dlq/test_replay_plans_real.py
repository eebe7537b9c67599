"""What a replay takes, leaves, parks and refuses, on a real broker."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.dlq.failures import received, written
from tests.dlq.replays import Ward, assert_each_once_in_order, jobs
from worker.dlq.replay.canary import CanaryLimits
from worker.dlq.replay.plan import ReplayError
from worker.dlq.replay.planner import PreparedReplay
from worker.dlq.replay.runs import RunState
from worker.dlq.selection import Selection
from worker.domain.errors import BrokerError, ErrorCode
from worker.domain.headers import REPLAY_COUNT, REPLAY_RUN_ID
from worker.domain.records import Coordinate, OutgoingRecord, Record

pytestmark = pytest.mark.real
CORRUPT = Selection(codes=frozenset({"IMAGE_CORRUPT"}))


def _origins(records: list[Record]) -> list[int]:
    return sorted(int(record.header("labelwire.origin.offset") or -1) for record in records)


def _expect_refusal(ward: Ward, sentence: str, make: Callable[[], object]) -> None:
    with pytest.raises((ReplayError, BrokerError), match=sentence):
        make()
    assert ward.read(f"{ward.jobs}.replay-runs") == []


def test_a_filter_takes_its_letters_alone_and_later_ones_wait_for_the_next_replay(ward: Ward) -> None:
    all_jobs = jobs(ward.jobs, 40)
    ward.write(ward.letters(all_jobs[:20]) + ward.letters(all_jobs[20:30], ErrorCode.POISON))
    prepared = ward.prepare(selection=CORRUPT)
    ward.write(ward.letters(all_jobs[30:]))

    first = ward.carry_out(prepared)
    assert _origins(ward.read(ward.target)) == list(range(20))

    second = ward.carry_out(ward.prepare())

    assert (first.counts.total(), second.counts.total()) == (20, 20)
    assert second.counts.document()["replayed"] == {"IMAGE_CORRUPT": 10, "POISON": 10}
    assert _origins(ward.read(ward.target)) == list(range(40))
    with pytest.raises(ReplayError, match=r"All 40 matching dead letters .* belong to earlier replays"):
        ward.prepare()
    assert ward.prepare(again=True).plan.letters == 40


def test_a_limit_takes_the_oldest_and_the_next_replay_goes_on_behind_them(ward: Ward) -> None:
    ward.write(ward.letters(jobs(ward.jobs, 30)))

    taken = []
    for _ in range(3):
        outcome = ward.carry_out(ward.prepare(selection=Selection(limit=12)))
        taken.append(outcome.counts.total())

    assert taken == [12, 12, 6]
    assert _origins(ward.read(ward.target)) == list(range(30))


def test_the_same_command_goes_on_with_what_was_interrupted(ward: Ward) -> None:
    expected = jobs(ward.jobs, 50)
    ward.write(ward.letters(expected))
    first = ward.prepare()
    assert ward.carry_out(first, rate=100, stop_after=20).state is RunState.INTERRUPTED

    second = ward.prepare()
    outcome = ward.carry_out(second)

    assert second.plan == first.plan
    assert (outcome.state, outcome.counts.total()) == (RunState.FINISHED, 50)
    assert 0 < outcome.written < 50
    assert_each_once_in_order(ward.read(ward.target), expected, first.plan.run_id)
    with pytest.raises(ReplayError, match="is finished"):
        ward.resume(first.plan.run_id)


def test_letters_of_an_unfinished_replay_are_left_to_it(ward: Ward) -> None:
    ward.write(ward.letters(jobs(ward.jobs, 20)))
    first = ward.prepare()
    ward.carry_out(first, rate=40, stop_after=1)
    ward.write(ward.letters(jobs(ward.jobs, 25)[20:]))

    second = ward.prepare()

    assert second.plan.letters == 5
    assert second.census is not None
    assert second.census.taken == {first.plan.run_id: 20}


def test_two_processes_with_one_plan_do_not_take_a_letter_twice(ward: Ward) -> None:
    expected = jobs(ward.jobs, 30)
    ward.write(ward.letters(expected))
    one, other = ward.prepare(), ward.prepare()
    ward.carry_out(one, rate=60, stop_after=10)

    outcome = ward.carry_out(other)

    assert outcome.counts.total() == 30
    assert_each_once_in_order(ward.read(ward.target), expected, one.plan.run_id)


def test_a_letter_that_was_replayed_too_often_is_parked_whole(ward: Ward) -> None:
    job = jobs(ward.jobs, 1)[0]
    often = replace(job, headers=(*job.headers, (REPLAY_COUNT, b"3"), (REPLAY_RUN_ID, b"old")))
    letters = ward.letters([often])
    ward.write(letters)

    outcome = ward.carry_out(ward.prepare(run_id="p"))

    parked = ward.read(f"{ward.jobs}.parked")
    assert outcome.counts.document()["parked"] == {"IMAGE_CORRUPT": 1}
    assert outcome.problem() is None
    assert ward.read(ward.target) == []
    assert (parked[0].key, parked[0].value) == (job.key, job.value)
    assert {*letters[0].headers} - {*parked[0].headers} == {(REPLAY_RUN_ID, b"old")}
    assert parked[0].header(REPLAY_RUN_ID) == "p"


def test_a_payload_is_fetched_back_and_one_that_is_gone_is_counted(ward: Ward) -> None:
    big = b"picture" * 2000
    ward.write([OutgoingRecord(ward.jobs, b"k", big, (("content-type", b"image/png"),))])
    there = ward.read(ward.jobs)[0]
    gone = received(key=b"k", value=big, coordinate=Coordinate(ward.jobs, there.coordinate.partition, 7))
    ward.write(written(job, topic=ward.dead_letters, max_message_bytes=4000) for job in (there, gone))

    outcome = ward.carry_out(ward.prepare())

    replayed = ward.read(ward.target)
    assert [(record.key, record.value) for record in replayed] == [(b"k", big)]
    assert outcome.counts.document()["unavailable"] == {"IMAGE_CORRUPT": 1}
    assert "left 1 dead letter on" in (outcome.problem() or "")
    assert "retention removed it" in outcome.notices[0]


def test_a_replay_to_the_origin_goes_to_its_topic_and_partition(ward: Ward) -> None:
    expected = jobs(ward.jobs, 8)
    ward.write(ward.letters(expected))

    outcome = ward.carry_out(ward.prepare(target=None))

    assert_each_once_in_order(ward.read(ward.jobs), expected, outcome.plan.run_id)


def test_an_older_process_is_fenced_by_one_that_takes_the_run_over(ward: Ward) -> None:
    expected = jobs(ward.jobs, 60)
    ward.write(ward.letters(expected))
    slow = ward.start("--yes", "--no-canary", "--rate", "10", "--run-id", "f")
    while not ward.read(ward.target):
        assert slow.poll() is None

    outcome = ward.carry_out(ward.resume("f"))
    _, problem = slow.communicate(timeout=30)

    assert slow.returncode == 1
    assert problem.splitlines()[-1].startswith("Another process took over the replay f,")
    assert outcome.counts.total() == 60
    assert_each_once_in_order(ward.read(ward.target), expected, "f")


def test_a_dry_run_writes_nothing_and_a_script_must_say_yes(ward: Ward) -> None:
    ward.write(ward.letters(jobs(ward.jobs, 10)))

    dry = ward.replay("--dry-run", "--code", "image_corrupt")
    unasked = ward.replay()

    assert dry.code == 0
    assert "10 dead letters" in dry.said
    assert "█" in dry.said
    assert (unasked.code, unasked.said) == (1, "")
    assert unasked.problem.startswith("There is no terminal to ask for confirmation")
    assert ward.read(ward.target) == ward.read(f"{ward.jobs}.replay-runs") == []


def test_refusals_come_before_the_first_write(ward: Ward, make_ward: Callable[..., Ward]) -> None:
    ward.write(ward.letters(jobs(ward.jobs, 8, padding=2000)))
    _expect_refusal(ward, "dead-letter topic .* itself", lambda: ward.prepare(target=ward.dead_letters))
    _expect_refusal(ward, "is the topic of results", lambda: ward.prepare(target=ward.results))
    poison = Selection(codes=frozenset({"POISON"}))
    _expect_refusal(ward, "No dead letter .* matches the filter", lambda: ward.prepare(selection=poison))
    _expect_refusal(ward, "topic nowhere does not exist", lambda: ward.prepare(target="nowhere"))
    _expect_refusal(ward, "no replay other", lambda: ward.resume("other"))

    narrow = make_ward(target_partitions=3)
    narrow.write(narrow.letters(jobs(narrow.jobs, 8)))
    _expect_refusal(narrow, "has 3 partitions, too few to keep the order of keys", narrow.prepare)

    tight = make_ward(target_configs={"max.message.bytes": "2000"})
    tight.write(tight.letters(jobs(tight.jobs, 8, padding=2000)))
    _expect_refusal(tight, "takes records of 2000 bytes, and the dead letter", tight.prepare)


def test_a_run_id_that_is_taken_by_another_plan_is_refused(ward: Ward) -> None:
    ward.write(ward.letters(jobs(ward.jobs, 10)))
    ward.carry_out(ward.prepare(run_id="mine"), rate=20, stop_after=1)

    with pytest.raises(ReplayError, match="unfinished replay mine with another filter"):
        ward.prepare(run_id="mine", selection=CORRUPT)


def _answer_canaries(ward: Ward, *, failing: bool) -> list[Record]:
    """Do a worker's part: a result or a dead letter for each replayed job."""
    canaries = ward.read(ward.target)
    topic = ward.dead_letters if failing else ward.results
    ward.write([OutgoingRecord(topic, each.key, b"{}", each.headers) for each in canaries])
    return canaries


def _canaries_first(ward: Ward) -> tuple[PreparedReplay, list[Record]]:
    """Begin with 300 letters of 60 keys, and end where no canary has an outcome."""
    all_jobs = jobs(ward.jobs, 300, keys=60)
    ward.write(ward.letters(all_jobs[:200]) + ward.letters(all_jobs[200:], ErrorCode.POISON))
    prepared = ward.prepare(canary=True)
    outcome = ward.carry_out(prepared, canary=CanaryLimits(0.2, 0.5))
    assert outcome.state is RunState.INTERRUPTED
    assert "Check that workers consume" in outcome.reason
    return ward.resume(prepared.plan.run_id), all_jobs


def test_canaries_that_fare_well_let_the_rest_follow(ward: Ward) -> None:
    prepared, all_jobs = _canaries_first(ward)
    canaries = _answer_canaries(ward, failing=False)

    outcome = ward.carry_out(prepared, canary=CanaryLimits(5, 0.5))

    keys = {record.key for record in canaries}
    assert 2 <= len(canaries) <= 20
    assert len(canaries) == sum(job.key in keys for job in all_jobs)
    assert outcome.canaries is not None
    assert (len(outcome.canaries.succeeded), outcome.state) == (len(canaries), RunState.FINISHED)
    assert_each_once_in_order(ward.read(ward.target), all_jobs, prepared.plan.run_id)


def test_canaries_that_fail_again_end_the_replay_and_a_new_one_takes_the_rest(ward: Ward) -> None:
    prepared, all_jobs = _canaries_first(ward)
    canaries = _answer_canaries(ward, failing=True)

    outcome = ward.carry_out(prepared, canary=CanaryLimits(5, 0.5))

    assert outcome.state is RunState.ABORTED
    assert f"{len(canaries)} of {len(canaries)} canaries failed again" in (outcome.problem() or "")
    assert len(ward.read(ward.target)) == len(canaries)
    given_up = ward.resume(prepared.plan.run_id)
    with pytest.raises(ReplayError, match="too many canaries failed again"):
        ward.carry_out(given_up, canary=CanaryLimits(5, 0.5))
    successor = ward.prepare()
    assert successor.plan.letters == len(all_jobs)  # the canaries' new dead letters, and those that were left
    ward.carry_out(successor, rate=100, stop_after=1)
    with pytest.raises(ReplayError, match="took over its letters"):
        ward.resume(prepared.plan.run_id)
