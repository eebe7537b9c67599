"""At least once, and not again what was handed over: any order of ends, revocations, losses and crashes."""

import asyncio
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.runtime.looping import Member, crash, settle
from tests.runtime.parts import JOBS, memory_broker
from worker.domain.offsets import decode_done
from worker.domain.records import Coordinate, TopicPartition
from worker.runtime.loop import IntakeLimits

WINDOW = 6
A, B = TopicPartition(JOBS, 0), TopicPartition(JOBS, 1)
PARTITIONS = st.sets(st.sampled_from([A, B]), min_size=1)


class TwoMembers(RuleBasedStateMachine):
    """Two workers of a group that share two partitions, and a coordinator without mercy."""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.broker = memory_broker()
        self.written: list[Coordinate] = []
        self.processed: Counter[Coordinate] = Counter()
        self.promised: dict[TopicPartition, set[Coordinate]] = {A: set(), B: set()}
        self.members: list[Member | None] = [None, None]
        self.tasks: list[asyncio.Task[None] | None] = [None, None]
        for number in (0, 1):
            self.runner.run(self.start(number))

    async def start(self, number: int) -> None:
        member = Member(self.broker, window=WINDOW, limits=IntakeLimits(5, 2**30), takes_at_start=False)
        self.members[number] = member
        self.tasks[number] = asyncio.create_task(member.loop.run(member.stopping))
        member.loop.set_intake(is_open=True)
        await settle()

    def living(self) -> list[Member]:
        return [member for member in self.members if member is not None]

    def note(self) -> None:
        """Count what has ended, and see that nothing was begun that a hand-over had said is done."""
        for member in self.living():
            for at in member.delivery.begun:
                partition = TopicPartition(at.topic, at.partition)
                assert at not in self.promised[partition], f"{at} was done, said so, and was begun again"
            self.processed.update(member.delivery.ended)
            member.delivery.begun.clear()
            member.delivery.ended.clear()

    def learn(self, partitions: set[TopicPartition]) -> None:
        """Take what the committed positions promise, before anybody begins from them."""
        for partition in partitions:
            point = self.broker.committed.get(("labelwire", partition))
            if point is not None:
                done = decode_done(point)
                self.promised[partition] |= {
                    at
                    for at in self.written
                    if (at.topic, at.partition) == partition and (at.offset < point.offset or at.offset in done)
                }

    @rule(count=st.integers(1, 6), partition=st.sampled_from([0, 1]), gap=st.integers(0, 2))
    def write(self, count: int, partition: int, gap: int) -> None:
        async def run() -> None:
            for _ in range(count):
                self.written.append(self.broker.append(JOBS, b"x", partition=partition, gap=gap).coordinate)
            await settle()

        self.runner.run(run())
        self.note()

    @rule(which=st.integers(0, 1), partitions=PARTITIONS)
    def assign(self, which: int, partitions: set[TopicPartition]) -> None:
        member = self.members[which]
        free = {p for p in partitions if ("labelwire", p) not in self.broker.owners}
        if member is None or not free:
            return
        self.learn(free)

        async def run() -> None:
            await member.source.assign(free)
            await settle()

        self.runner.run(run())
        self.note()

    @rule(data=st.data())
    def finish_some(self, data: st.DataObject) -> None:
        open_jobs = [(member, at) for member in self.living() for at in member.delivery.in_hand]
        if not open_jobs:
            return
        chosen = data.draw(st.lists(st.sampled_from(open_jobs), unique_by=lambda job: job[1], max_size=4))

        async def run() -> None:
            for member, at in chosen:
                member.delivery.finish(at.offset, partition=at.partition)
            await settle()

        self.runner.run(run())
        self.note()

    @rule(which=st.integers(0, 1), rests=st.booleans())
    def change_work(self, which: int, *, rests: bool) -> None:
        member = self.members[which]
        for job, _ in member.delivery.in_hand.values() if member else ():
            job.working = not rests

    @rule(which=st.integers(0, 1))
    def commit(self, which: int) -> None:
        member = self.members[which]
        if member is not None:
            self.runner.run(member.commit())
            self.note()

    @rule(which=st.integers(0, 1), finishes=st.booleans())
    def revoke(self, which: int, *, finishes: bool) -> None:
        member = self.members[which]
        if member is None or not member.source.held:
            return

        async def run() -> None:
            revoking = asyncio.create_task(member.source.revoke(member.source.held))
            await settle()
            if finishes:
                for at in list(member.delivery.in_hand):
                    member.delivery.finish(at.offset, partition=at.partition)
            member.clock.advance(1000)
            await revoking
            await settle()

        self.runner.run(run())
        self.note()

    @rule(which=st.integers(0, 1), partitions=PARTITIONS)
    def lose(self, which: int, partitions: set[TopicPartition]) -> None:
        member = self.members[which]
        if member is None:
            return

        async def run() -> None:
            member.source.lose(partitions & member.source.held)
            await settle()

        self.runner.run(run())
        self.note()

    @precondition(lambda self: self.members[0] is not None)
    @rule()
    def kill_and_start_again(self) -> None:
        member, task = self.members[0], self.tasks[0]
        assert member is not None
        assert task is not None
        self.note()
        self.runner.run(crash(member, task))
        self.runner.run(self.start(0))

    @invariant()
    def no_commit_passes_what_is_not_done(self) -> None:
        for partition in (A, B):
            point = self.broker.committed.get(("labelwire", partition))
            if point is None:
                continue
            done = decode_done(point)
            for at in self.written:
                if (at.topic, at.partition) == partition and (at.offset < point.offset or at.offset in done):
                    assert self.processed[at] > 0, f"{at} was committed and never done"

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            for member, task in zip(self.members, self.tasks, strict=True):
                assert member is not None
                assert task is not None
                self.note()
                self.runner.run(crash(member, task))
            self.runner.run(self.finish_everything())
            assert all(self.processed[at] > 0 for at in self.written), "a record was never done"
        finally:
            self.runner.close()

    async def finish_everything(self) -> None:
        """A last worker alone takes what is left."""
        self.learn({A, B})
        await self.start(0)
        member, task = self.members[0], self.tasks[0]
        assert member is not None
        assert task is not None
        await member.source.assign([A, B])
        await settle()
        while member.delivery.in_hand:
            for at in list(member.delivery.in_hand):
                member.delivery.finish(at.offset, partition=at.partition)
            await settle()
        self.members[1] = None
        self.note()
        member.stopping.set()
        await task
        for at in self.written:
            assert at.offset < self.broker.committed["labelwire", TopicPartition(at.topic, at.partition)].offset


TestTwoMembers = TwoMembers.TestCase
TestTwoMembers.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
