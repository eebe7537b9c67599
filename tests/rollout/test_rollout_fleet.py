"""Several workers over one log: what they agree on, and what a crash or a slow link changes."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable

import pytest

from tests.rollout.fleet import TOPIC, Candidate, Fleet
from tests.rollout.test_rollout_state import rollout
from tests.simulation.virtual_time import VirtualClock, VirtualTimeLoop
from worker.domain.errors import BrokerError
from worker.domain.events import RolloutChanged
from worker.domain.records import TopicPartition
from worker.domain.rollout.evidence import Evidence
from worker.domain.rollout.state import (
    ROLLOUT_SCHEMA,
    ControlState,
    Phase,
    RolloutLimits,
    WorkerEvidence,
    evidence_key,
    state_key,
    to_json,
)
from worker.runtime.health import Health
from worker.runtime.rollout.follower import ROLLOUT, RolloutFollower
from worker.testing.broker import MemoryBroker
from worker.testing.control_log import MemoryControlLog
from worker.testing.events import RecordedEvents

STEPS = (2000, 5000, 10_000)
EQUAL = Candidate()


def play(scene: Callable[[Fleet], Awaitable[None]], candidate: Candidate = EQUAL, seed: int = 5) -> None:
    loop = VirtualTimeLoop()
    fleet = Fleet(loop, random.Random(seed), candidate)  # noqa: S311 - drawn readings

    async def run() -> None:
        await scene(fleet)
        await fleet.stop()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def test_workers_never_differ_for_longer_than_a_second() -> None:
    async def scene(fleet: Fleet) -> None:
        clock = VirtualClock(fleet.loop)
        differ_since: float | None = None
        longest = 0.0

        async def look(_number: int) -> None:
            nonlocal differ_since, longest
            views = {member.follower.state.model_dump_json() for member in fleet.members}
            if len(views) == 1:
                differ_since = None
            elif differ_since is None:
                differ_since = clock.monotonic()
            else:
                longest = max(longest, clock.monotonic() - differ_since)

        await fleet.start(3)
        fleet.write(lambda state: state.started(rollout(steps=STEPS)))
        await fleet.read_jobs(20_000, look)

        assert fleet.state.rollout is not None
        assert fleet.state.rollout.phase is Phase.PROMOTED
        assert longest < 1.0

    play(scene)


@pytest.mark.parametrize("killed_in_step", [0, 1, 2])
def test_a_worker_killed_in_any_step_comes_back_to_the_same_share_and_evidence(killed_in_step: int) -> None:
    async def scene(fleet: Fleet) -> None:
        killed = False

        async def kill_once(_number: int) -> None:
            nonlocal killed
            state = fleet.members[1].follower.state
            if killed or state.running is None or state.running.step != killed_in_step:
                return
            seen = fleet.members[1].follower.evidence().get(killed_in_step, Evidence())
            if seen.jobs < 40:
                return
            killed = True
            await VirtualClock(fleet.loop).sleep(1.1)  # what was seen is written twice a second
            before = fleet.members[1].follower
            await fleet.members[1].kill()
            fleet.members[1] = await fleet.member()
            after = fleet.members[1].follower
            assert after.state == before.state
            assert after.evidence() == before.evidence()
            assert after.judgment() == before.judgment()

        await fleet.start(3)
        fleet.write(lambda state: state.started(rollout(steps=STEPS)))
        await fleet.read_jobs(20_000, kill_once)

        assert killed
        assert fleet.state.rollout is not None
        assert fleet.state.rollout.phase is Phase.PROMOTED

    play(scene)


@pytest.mark.parametrize(("workers", "records_a_second"), [(5, 10), (40, 40)])
def test_many_workers_write_a_bounded_number_of_records_together(workers: int, records_a_second: int) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.start(workers)
        fleet.write(lambda state: state.started(rollout(steps=STEPS, limits=RolloutLimits(min_jobs=10**6))))
        await fleet.read_jobs(15 * workers, pause_seconds=0.2 / workers)  # each reads five a second, for three seconds
        before = fleet.broker.end(TopicPartition(TOPIC, 0))
        await fleet.read_jobs(50 * workers, pause_seconds=0.2 / workers)  # and for ten more
        written = fleet.broker.end(TopicPartition(TOPIC, 0)) - before

        assert 0.7 * records_a_second <= written / 10 <= 1.1 * records_a_second
        seen = [member.follower.evidence()[0].jobs for member in fleet.members]
        assert min(seen) > 0.4 * fleet.canary_jobs

    play(scene)


def test_a_rollback_is_remembered_by_a_worker_that_starts_later() -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.start(2)
        fleet.write(lambda state: state.started(rollout(steps=STEPS)))
        await fleet.read_jobs(5_000)
        late = await fleet.member()

        assert late.follower.running is None
        assert late.follower.in_use == ""
        assert late.follower.state == fleet.state
        assert [event.phase for event in late.events.of(RolloutChanged)] == ["rolled_back"], "its alert goes on"
        ended = fleet.state.rollout
        assert ended is not None
        assert ended.phase is Phase.ROLLED_BACK
        assert "reads nothing" in ended.reason
        for member in fleet.members:
            told = member.events.of(RolloutChanged)
            assert [event.phase for event in told] == ["running", "rolled_back"]
            assert told[-1].reason == ended.reason
        await late.kill()

    play(scene, Candidate(blank_rate=0.3))


def test_a_promoted_candidate_is_in_use_for_all_and_for_who_comes_later() -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.start(2)
        fleet.write(lambda state: state.started(rollout(steps=(10_000,))))
        fleet.write(lambda state: state.promoted(now_ms=2, reason="by hand"))
        await VirtualClock(fleet.loop).sleep(0.1)
        late = await fleet.member()

        assert {member.follower.in_use for member in (*fleet.members, late)} == {"v2"}
        await late.kill()

    play(scene)


def test_a_worker_that_hears_late_writes_nothing_that_counts() -> None:
    """Its view is old: the state that it writes has an epoch that was taken, so no reader follows it."""

    async def scene(fleet: Fleet) -> None:
        await fleet.start(2)
        fleet.write(lambda state: state.started(rollout(steps=STEPS)))
        await VirtualClock(fleet.loop).sleep(0.2)
        deaf = fleet.members[1]
        deaf.log.held = True
        fleet.write(lambda state: state.rolled_back("by hand", 2))
        running = deaf.follower.running
        assert running is not None
        deaf.follower.observe(running, Evidence(jobs=200, pairs=200, text={20: 200}))
        await VirtualClock(fleet.loop).sleep(3)

        written = [record.key or b"" for record in fleet.broker.records(TOPIC)]
        assert sum(key.startswith(b"state/2/") for key in written) == 2
        deaf.log.held = False
        await VirtualClock(fleet.loop).sleep(0.2)
        assert deaf.follower.state == fleet.members[0].follower.state == fleet.state
        assert fleet.state.rollout is not None
        assert fleet.state.rollout.reason == "by hand"

    play(scene)


def test_a_topic_that_was_made_anew_is_the_truth() -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.start(2)
        fleet.write(lambda state: state.started(rollout(steps=STEPS)))
        fleet.write(lambda state: state.promoted(now_ms=2))
        await VirtualClock(fleet.loop).sleep(0.2)
        fleet.broker.delete_topic(TOPIC)
        fleet.broker.create_topic(TOPIC)
        await VirtualClock(fleet.loop).sleep(0.2)

        assert {member.follower.in_use for member in fleet.members} == {""}
        fleet.write(lambda state: state.started(rollout(id="ba9876543210", candidate="v3")))
        await VirtualClock(fleet.loop).sleep(0.2)
        for member in fleet.members:
            assert member.follower.running is not None
            assert member.follower.running.candidate == "v3"

    play(scene)


def test_a_foreign_record_in_the_topic_is_left_out() -> None:
    async def scene(fleet: Fleet) -> None:
        fleet.broker.create_topic(TOPIC)
        for key in (b"state/1/x", b"evidence/a/b/c", b"note", b"\xff"):
            fleet.broker.append(TOPIC, b"{garbage", key=key)
        await fleet.start(1)
        fleet.write(lambda state: state.started(rollout(steps=STEPS)))
        await VirtualClock(fleet.loop).sleep(0.2)

        assert fleet.members[0].follower.running is not None

    play(scene)


@pytest.mark.parametrize(
    "impossible",
    [
        {"text": {"-5": 1}},
        {"fields": {"21": 1}},
        {"candidate_times": {"100000": 1}, "in_use_times": {"0": 100}},
        {"errors": 1},
        {"blanks": 1},
        {"jobs": 10**309},
    ],
)
def test_evidence_that_cannot_be_stops_no_worker(impossible: dict[str, object]) -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.start(1)
        begun = fleet.write(lambda state: state.started(rollout(steps=STEPS))).running
        assert begun is not None
        value = {"schema": ROLLOUT_SCHEMA, "rollout": begun.id, "step": 0, "evidence": impossible}
        fleet.broker.append(TOPIC, json.dumps(value).encode(), key=f"evidence/{begun.id}/0/foreign".encode())
        await VirtualClock(fleet.loop).sleep(2)

        assert not fleet.members[0].running.done()
        assert fleet.members[0].follower.evidence() == {}

    play(scene)


def test_a_rollout_that_is_replaced_while_evidence_is_written_stops_no_worker() -> None:
    """What a job saw in an earlier step is written as well, so several records may be under way."""

    async def scene(fleet: Fleet) -> None:
        await fleet.start(1)
        begun = fleet.write(lambda state: state.started(rollout(steps=STEPS))).running
        fleet.write(lambda state: state.advanced(now_ms=2))
        await VirtualClock(fleet.loop).sleep(0.1)
        follower, append = fleet.members[0].follower, fleet.members[0].log.append
        assert begun is not None
        assert follower.running is not None

        async def append_slowly(key: str, value: bytes) -> None:
            await VirtualClock(fleet.loop).sleep(1)
            await append(key, value)

        fleet.members[0].log.append = append_slowly  # type: ignore[method-assign]
        follower.observe(begun, Evidence(jobs=1))
        follower.observe(follower.running, Evidence(jobs=1))
        await VirtualClock(fleet.loop).sleep(0.6)
        fleet.write(lambda state: state.aborted("by hand", 3))
        fleet.write(lambda state: state.started(rollout(id="ba9876543210", candidate="v3", steps=STEPS)))
        await VirtualClock(fleet.loop).sleep(3)

        assert not fleet.members[0].running.done()
        assert follower.evidence() == {}

    play(scene)


def test_a_record_that_is_refused_when_its_rollout_is_over_stops_no_worker() -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.start(1)
        begun = fleet.write(lambda state: state.started(rollout(steps=STEPS))).running
        await VirtualClock(fleet.loop).sleep(0.1)
        follower = fleet.members[0].follower
        assert begun is not None

        async def refuse(key: str, value: bytes) -> None:  # noqa: ARG001
            await VirtualClock(fleet.loop).sleep(1)
            raise BrokerError("The broker does not answer.")

        fleet.members[0].log.append = refuse  # type: ignore[method-assign]
        follower.observe(begun, Evidence(jobs=1))
        await VirtualClock(fleet.loop).sleep(0.6)
        fleet.write(lambda state: state.aborted("by hand", 3))
        fleet.write(lambda state: state.started(rollout(id="ba9876543210", candidate="v3", steps=STEPS)))
        await VirtualClock(fleet.loop).sleep(3)

        assert not fleet.members[0].running.done()

    play(scene)


def test_a_log_that_is_read_again_brings_no_former_rollout_back_and_loses_no_evidence() -> None:
    loop = VirtualTimeLoop()
    clock, events = VirtualClock(loop), RecordedEvents()
    health = Health((ROLLOUT,), clock, events, pulse_seconds=60)
    follower = RolloutFollower(MemoryControlLog(MemoryBroker(), TOPIC), "worker", clock, events, health)
    seen: list[tuple[str, str]] = []
    follower.on_change(lambda: seen.append((follower.in_use, follower.running.candidate if follower.running else "")))
    begun = ControlState().started(rollout(candidate="bad"))
    rolled_back = begun.rolled_back("It reads nothing.", 2)
    again = rolled_back.started(rollout(id="ba9876543210", candidate="v3"))
    log = [(state_key(state, "person"), to_json(state)) for state in (begun, rolled_back, again)]

    for key, value in log:
        follower.received(key, value)
    follower.reached_end()
    assert follower.running is not None
    follower.observe(follower.running, Evidence(jobs=1))
    follower.reset()
    assert not health.ready
    for key, value in log:
        follower.received(key, value)
        assert follower.running is None
    follower.reached_end()

    assert health.ready
    assert set(seen) == {("", "v3")}
    assert follower.evidence() == {0: Evidence(jobs=1)}
    assert [event.candidate for event in events.of(RolloutChanged)] == ["v3", "v3"]
    loop.close()


def test_evidence_of_an_older_rollout_does_not_count() -> None:
    async def scene(fleet: Fleet) -> None:
        await fleet.start(1)
        fleet.write(lambda state: state.started(rollout(steps=STEPS)))
        fleet.write(lambda state: state.aborted("by hand", 2))
        fleet.write(lambda state: state.started(rollout(id="ba9876543210", candidate="v3", steps=STEPS)))
        old = WorkerEvidence(rollout="0123456789ab", step=0, evidence=Evidence(jobs=200, errors=200))
        fleet.broker.append(TOPIC, to_json(old), key=evidence_key(old, "worker-9").encode())
        await VirtualClock(fleet.loop).sleep(2)

        assert fleet.members[0].follower.running is not None
        assert fleet.members[0].follower.evidence() == {}

    play(scene)


def test_a_worker_is_not_ready_before_it_knows_the_state_and_says_why() -> None:
    loop = VirtualTimeLoop()
    clock, broker, events = VirtualClock(loop), MemoryBroker(), RecordedEvents()
    log = MemoryControlLog(broker, TOPIC)
    log.misfit = "Topic label-images.rollouts has cleanup.policy=delete."
    health = Health((ROLLOUT,), clock, events, pulse_seconds=60)

    async def run() -> None:
        running = loop.create_task(RolloutFollower(log, "worker", clock, events, health).run())
        await clock.sleep(0.1)
        assert health.reason == "rollout: Topic label-images.rollouts has cleanup.policy=delete."
        log.misfit = ""
        broker.create_topic(TOPIC)
        await clock.sleep(0.1)
        assert health.ready
        running.cancel()
        await log.close()
        await asyncio.wait([running])

    loop.run_until_complete(run())
    loop.close()
