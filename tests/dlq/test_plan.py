import json
from dataclasses import replace

import pytest

from tests.dlq.failures import FAILED_AT_MS, received, stands, written
from worker.dlq.letter import DeadLetter
from worker.dlq.replay.canary import CanarySketch
from worker.dlq.replay.census import check_targets, limit_plan, take_census
from worker.dlq.replay.plan import ReplayError, ReplayPlan, ReplayRequest, RunClaim
from worker.dlq.replay.runs import RunHistory, RunRecord, RunState
from worker.dlq.selection import Selection
from worker.domain.records import ClusterDescription, Coordinate, Headers, Record, TopicLimits

REQUEST = ReplayRequest(Selection(codes=frozenset({"B", "A"})), "replays", 3)
CLAIM = RunClaim("run", Selection(), FAILED_AT_MS, {0: 0, 1: 0}, {0: 10, 1: 10})
PLAN = ReplayPlan(CLAIM, "cluster", "label-images.dlq", "replays", "parked", 3, (), frozenset(), {}, {})
RECORD = RunRecord(PLAN, RunState.BEGUN, "me@host", 1, 2, {"replayed": {"A": 3}})


def _standing(offset: int, partition: int = 0, *, at_ms: int = 0, headers: Headers = (), origin: int = 3) -> Record:
    job = received(b"%d" % offset, b"v", headers, Coordinate("label-images", origin, offset))
    return replace(stands(written(job), partition, offset), timestamp_ms=at_ms)


def _stored(record: RunRecord) -> Record:
    return stands(record.outgoing("runs"))


def test_a_run_is_the_same_as_long_as_nothing_changes() -> None:
    one = REQUEST.identity("cluster", "dlq", "id", {0: 5, 1: 7}, ["x"], 1)

    assert one == REQUEST.identity("cluster", "dlq", "id", {1: 7, 0: 5}, ["x"], 2)
    others = [
        REQUEST.identity("cluster", "dlq", "id", {0: 6, 1: 7}, ["x"], 1),
        REQUEST.identity("cluster", "dlq", "id", {0: 5, 1: 7}, ["x", "y"], 1),
        REQUEST.identity("other", "dlq", "id", {0: 5, 1: 7}, ["x"], 1),
        REQUEST.identity("cluster", "dlq", "made anew", {0: 5, 1: 7}, ["x"], 1),
        replace(REQUEST, target=None).identity("cluster", "dlq", "id", {0: 5, 1: 7}, ["x"], 1),
        replace(REQUEST, again=True).identity("cluster", "dlq", "id", {0: 5, 1: 7}, ["x"], 1),
        replace(REQUEST, again=True).identity("cluster", "dlq", "id", {0: 5, 1: 7}, ["x"], 2),
    ]
    assert len({one, *others}) == 8
    assert replace(REQUEST, run_id="mine").identity("cluster", "dlq", "id", {}, [], 1) == "mine"


def test_a_plan_comes_back_from_its_record() -> None:
    earlier = replace(CLAIM, run_id="before", only_keys=frozenset({"00ff"}))
    selection = Selection(headers=(("a", "b"),), keys=frozenset({"ü"}), older_than_seconds=2.5, limit=4)
    plan = replace(PLAN, earlier=(earlier,), claim=replace(CLAIM, selection=selection), target=None, counts={"A": 2})
    run = replace(RECORD, plan=plan, state=RunState.INTERRUPTED, reason="why")

    runs = RunHistory([_stored(run)], "cluster", "label-images.dlq")

    assert runs.get("run") == run


def test_the_last_record_of_a_run_counts_and_foreign_ones_do_not() -> None:
    foreign = replace(_stored(RECORD), value=b"{}")
    elsewhere = replace(RECORD, plan=replace(PLAN, cluster_id="other"), state=RunState.ABORTED)
    finished = replace(RECORD, state=RunState.FINISHED)

    runs = RunHistory(map(_stored, [RECORD, finished, elsewhere]), "cluster", "label-images.dlq")

    assert runs.get("run") == finished
    assert RunHistory([foreign], "cluster", "label-images.dlq").get("run") is None
    assert runs.overlapping("", {0: 9, 1: 10}) == [finished]
    assert runs.overlapping("", {0: 10, 1: 10}) == []


@pytest.mark.parametrize(
    ("planned_on", "present", "counts"),
    [("a", "a", True), ("a", "b", False), ("", "b", True), ("a", "", True), ("", "", True)],
)
def test_a_run_on_a_former_topic_has_taken_nothing(planned_on: str, present: str, *, counts: bool) -> None:
    run = replace(RECORD, plan=replace(PLAN, claim=replace(CLAIM, topic_id=planned_on)), state=RunState.FINISHED)

    runs = RunHistory([_stored(run)], "cluster", "label-images.dlq")

    assert runs.overlapping(present, {0: 0, 1: 0}) == ([run] if counts else [])


def test_a_run_that_was_recorded_before_plans_named_their_topic_still_counts() -> None:
    stored = _stored(RECORD)
    document = json.loads(stored.value or b"")
    del document["plan"]["claim"]["topic_id"], document["plan"]["results_topic_id"]

    runs = RunHistory([replace(stored, value=json.dumps(document).encode())], "cluster", "label-images.dlq")

    assert runs.overlapping("a", {0: 0, 1: 0}) == [RECORD]


def test_a_run_that_was_given_up_claims_its_canaries_alone() -> None:
    letters = [DeadLetter.of(_standing(n)) for n in range(10)]
    sketch = CanarySketch("run")
    for letter in letters:
        sketch.add(letter)
    aborted = replace(RECORD, plan=replace(PLAN, canary_keys=sketch.choose()), state=RunState.ABORTED)

    assert sum(aborted.claim.covers(letter) for letter in letters) == 1
    assert sum(RECORD.claim.covers(letter) for letter in letters) == 10
    assert not CLAIM.covers(DeadLetter.of(_standing(10)))
    assert not CLAIM.covers(DeadLetter.of(_standing(1, partition=2)))


def test_a_limit_leaves_the_oldest_of_all_partitions() -> None:
    records = [_standing(n, 0, at_ms=100 + n) for n in range(10)] + [_standing(n, 1, at_ms=104 + n) for n in range(10)]

    plan = limit_plan(PLAN, records, 8)
    plan, found = take_census(plan, records, canary=False)

    assert plan.claim.ends == {0: 6, 1: 2}
    assert found.letters == plan.letters == 8


def test_a_limit_cuts_a_partition_in_its_order_whatever_its_timestamps_say() -> None:
    records = [_standing(0, at_ms=500), _standing(1, at_ms=3), _standing(2, at_ms=1)]

    assert limit_plan(PLAN, records, 2).claim.ends == {0: 2, 1: 0}


def test_a_letter_that_does_not_know_its_origin_cannot_go_back_there() -> None:
    plan = replace(PLAN, target=None)
    foreign = replace(received(), coordinate=Coordinate("label-images.dlq", 0, 1))

    with pytest.raises(ReplayError, match="does not say where its job came from"):
        take_census(plan, [foreign], canary=False)


def test_the_targets_are_measured_against_the_letters() -> None:
    records = [_standing(1), _standing(2, origin=6)]
    plan, found = take_census(PLAN, records, canary=True)
    assert len(plan.canary_keys) == 1
    assert found.needs["replays"].partitions == 7
    needed = found.needs["replays"].size_bytes

    check_targets(plan, found, ClusterDescription("cluster", {"replays": TopicLimits(7, needed)}))
    for limits, sentence in (
        (TopicLimits(6, None), "has 6 partitions, too few"),
        (TopicLimits(7, needed - 1), f"takes records of {needed - 1} bytes"),
        (None, "does not exist; create it with 7 partitions"),
    ):
        with pytest.raises(ReplayError, match=sentence):
            check_targets(plan, found, ClusterDescription("cluster", {"replays": limits}))
