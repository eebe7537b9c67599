"""Workers that follow one rollout in virtual time, and readings that are drawn instead of read."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.simulation.virtual_time import VirtualClock, VirtualTimeLoop
from worker.domain.errors import RolloutError
from worker.domain.rollout.evidence import Evidence, part_bin, time_bin
from worker.domain.rollout.records import RolloutRecords
from worker.domain.rollout.routing import is_in_share
from worker.domain.rollout.state import ControlState, Phase, Rollout, state_key, to_json
from worker.runtime.health import Health
from worker.runtime.rollout.follower import ROLLOUT, RolloutFollower
from worker.testing.broker import MemoryBroker
from worker.testing.control_log import MemoryControlLog
from worker.testing.events import RecordedEvents

TOPIC = "label-images.rollouts"


@dataclass(frozen=True, slots=True)
class Candidate:
    """How a candidate does: rates of failures and blank pages, how much slower it is, how much it reads otherwise."""

    error_rate: float = 0.0
    blank_rate: float = 0.0
    slowness: float = 1.0
    disagreement: float = 0.01


@dataclass(slots=True)
class Member:
    """One worker: what it knows, and the task that lets it know."""

    follower: RolloutFollower
    log: MemoryControlLog
    events: RecordedEvents
    running: asyncio.Task[None]

    async def kill(self) -> None:
        """End it as a crash does: what it had not written is lost."""
        self.running.cancel()
        await self.log.close()
        await asyncio.wait([self.running])


@dataclass(slots=True)
class Fleet:
    """Workers over one log, and jobs of a stream that each of them reads in turn.

    `other_work_rate` is the part of the readings, by whichever models, that wait for other work on the machine.
    """

    loop: VirtualTimeLoop
    chance: random.Random
    candidate: Candidate = Candidate()
    other_work_rate: float = 0.0
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    members: list[Member] = field(default_factory=list)
    canary_jobs: int = 0
    jobs: int = 0
    _names: int = 0

    async def start(self, count: int) -> None:
        """Start so many workers."""
        if not self.broker.partitions(TOPIC):
            self.broker.create_topic(TOPIC)
        for _ in range(count):
            self.members.append(await self.member())

    async def member(self) -> Member:
        """Start a worker and return it once it has read the log."""
        self._names += 1
        clock, events = VirtualClock(self.loop), RecordedEvents()
        log = MemoryControlLog(self.broker, TOPIC)
        health = Health((ROLLOUT,), clock, events, pulse_seconds=60)
        follower = RolloutFollower(log, f"worker-{self._names}", clock, events, health)
        member = Member(follower, log, events, self.loop.create_task(follower.run()))
        while not health.ready:
            await clock.sleep(0.01)
        return member

    async def stop(self) -> None:
        """End all workers."""
        for member in self.members:
            await member.kill()

    def write(self, change: Callable[[ControlState], ControlState]) -> ControlState:
        """Write the state that follows the present one, as a person does by a command."""
        state = self.state
        following = change(state)
        self.broker.append(TOPIC, to_json(following), key=state_key(following, "person").encode())
        return following

    @property
    def state(self) -> ControlState:
        """The state in the log, read anew."""
        read = RolloutRecords()
        for record in self.broker.records(TOPIC):
            with contextlib.suppress(RolloutError):
                read.take((record.key or b"").decode("utf-8", "replace"), record.value or b"")
        return read.state

    async def read_jobs(
        self, limit: int, each: Callable[[int], Awaitable[None]] | None = None, pause_seconds: float = 0.05
    ) -> None:
        """Let jobs be read until the rollout has ended, at most so many."""
        clock = VirtualClock(self.loop)
        for number in range(limit):
            if self._has_ended():
                return
            member = self.members[number % len(self.members)]
            rollout = member.follower.running
            self.jobs += 1
            if rollout is not None:
                self._read(member.follower, rollout, f"key-{self.chance.randrange(10**9)}".encode())
            if each is not None:
                await each(number)
            await clock.sleep(pause_seconds)

    def _has_ended(self) -> bool:
        """Whether the newest record is that of a rollout's end."""
        newest = self.broker.records(TOPIC)[-1]
        return (newest.key or b"").startswith(b"state/") and self.state.running is None

    def _read(self, follower: RolloutFollower, rollout: Rollout, key: bytes) -> None:
        seconds = self.chance.lognormvariate(-1.5, 0.4)
        waited_seconds = self.chance.uniform(1, 4) if self.chance.random() < self.other_work_rate else 0.0
        if not is_in_share(rollout.id, key, rollout.share):
            follower.observe(rollout, Evidence(in_use_times={time_bin(waited_seconds + seconds): 1}))
            return
        self.canary_jobs += 1
        one = self.candidate
        if self.chance.random() < one.error_rate:
            follower.observe(rollout, Evidence(jobs=1, errors=1))
            return
        own_seconds = waited_seconds + one.slowness * seconds
        follower.observe(rollout, Evidence(jobs=1, candidate_times={time_bin(own_seconds): 1}))
        is_blank = self.chance.random() < one.blank_rate
        disagreement = 1.0 if is_blank else min(1.0, self.chance.expovariate(1 / one.disagreement))
        follower.observe(
            rollout,
            Evidence(
                pairs=1,
                blanks=int(is_blank),
                text={part_bin(disagreement): 1},
                fields={part_bin(disagreement): 1},
                code_lost=self.chance.random() < 0.02,
                code_won=self.chance.random() < 0.02,
            ),
        )


def simulate(
    seed: int, candidate: Candidate, rollout: Rollout, other_work_rate: float = 0.0, *, limit: int = 200_000
) -> tuple[Phase, int]:
    """Return how a rollout ends, and after how many jobs that the candidate was to read."""
    loop = VirtualTimeLoop()
    fleet = Fleet(loop, random.Random(seed), candidate, other_work_rate)  # noqa: S311 - drawn readings

    async def run() -> tuple[Phase, int]:
        await fleet.start(3)
        fleet.write(lambda state: state.started(rollout))
        await fleet.read_jobs(limit)
        await fleet.stop()
        ended = fleet.state.rollout
        assert ended is not None
        return ended.phase, fleet.canary_jobs

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()
