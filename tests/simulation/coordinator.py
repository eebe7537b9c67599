"""The group's coordinator: gives partitions to members, takes them away, and puts out who does not answer.

Invariant: a partition has at most one owner on the broker; a member that was put out learns of it only once it runs
again, and may go on until then.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence

from tests.simulation.judge import SPOILT, Judge
from tests.simulation.member import Member
from tests.simulation.scenario import Tuning
from tests.simulation.source import CONSUMED
from tests.simulation.trace import Trace
from worker.domain.records import CommitPoint, TopicPartition
from worker.testing.broker import MemoryBroker

Assignor = Callable[[Sequence[TopicPartition], Sequence[Member]], dict[Member, list[TopicPartition]]]

GROUP = "labelwire"
_DELAY_SECONDS = 0.2
_SLACK_SECONDS = 1.0
_NOTICE_SECONDS = 0.3


class Coordinator:
    """Keeps the partitions dealt out. `garbles` says whether committed metadata is spoilt before it is handed on.

    Without an `assignor` the partitions are dealt round robin, anew each time, so that they move as much as they can.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        members: Sequence[Member],
        tuning: Tuning,
        judge: Judge,
        trace: Trace,
        chance: random.Random,
        garbles: Callable[[], bool],
        assignor: Assignor | None = None,
    ) -> None:
        self._broker = broker
        self._members = members
        self._tuning = tuning
        self._judge = judge
        self._trace = trace
        self._chance = chance
        self._garbles = garbles
        self._assignor = assignor or self._round_robin
        self._change = asyncio.Event()
        self._partitions: list[TopicPartition] = []

    def changed(self) -> None:
        """Deal again soon."""
        self._change.set()

    async def run(self) -> None:
        """Deal whenever something has changed."""
        self._partitions = sorted(partition for topic in CONSUMED for partition in self._broker.partitions(topic))
        while True:
            await self._change.wait()
            await asyncio.sleep(_DELAY_SECONDS)
            self._change.clear()
            await self._deal()

    async def _deal(self) -> None:
        takers = [member for member in self._members if member.takes_partitions]
        self._trace.note("coordinator", "deals", *(member.name for member in takers))
        wanted = self._assignor(self._partitions, takers)
        away = {member: [p for p in member.held if p not in wanted[member]] for member in takers}
        await self._all_answer({member: self._revoke(member, gone) for member, gone in away.items() if gone})
        free = {p for p in self._partitions if (GROUP, p) not in self._broker.owners}
        coming = {member: [p for p in wanted.get(member, ()) if p in free] for member in takers}
        await self._all_answer({member: self._give(member, new) for member, new in coming.items() if new})
        if takers and any((GROUP, p) not in self._broker.owners for p in self._partitions):
            self.changed()

    def _round_robin(
        self, partitions: Sequence[TopicPartition], takers: Sequence[Member]
    ) -> dict[Member, list[TopicPartition]]:
        """Deal from a member that the dice choose."""
        wanted: dict[Member, list[TopicPartition]] = {member: [] for member in takers}
        start = self._chance.randrange(len(takers)) if takers else 0
        for place, partition in enumerate(partitions if takers else ()):
            wanted[takers[(place + start) % len(takers)]].append(partition)
        return wanted

    async def _all_answer(self, asked: "dict[Member, asyncio.Task[None]]") -> None:
        """Wait until all have answered, and put out those that do not in time."""
        if not asked:
            return
        limit_seconds = self._tuning.drain_seconds + self._tuning.session_seconds + _SLACK_SECONDS
        await asyncio.wait(asked.values(), timeout=limit_seconds)
        for member, task in asked.items():
            if not task.done():
                self.put_out(member)
            elif not task.cancelled():
                task.result()

    def _revoke(self, member: Member, partitions: Sequence[TopicPartition]) -> "asyncio.Task[None]":
        self._trace.note("coordinator", "revokes", member.name, *partitions)
        return member.process.create_task(self._revoked(member, partitions))

    async def _revoked(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        if member.evicted or not member.source.joined:
            return
        began = asyncio.get_running_loop().time()
        await member.source.revoke(partitions)
        if asyncio.get_running_loop().time() - began >= self._tuning.drain_seconds:
            self._judge.excuse("a drain was cut short")

    def _give(self, member: Member, partitions: Sequence[TopicPartition]) -> "asyncio.Task[None]":
        return member.process.create_task(self._given(member, partitions))

    async def _given(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        if not member.takes_partitions:
            return
        for partition in partitions:
            self._hand_over(member, partition)
        await member.source.assign(partitions)

    def _hand_over(self, member: Member, partition: TopicPartition) -> None:
        point = self._broker.committed.get((GROUP, partition), CommitPoint(0))
        # Who knows neither the topic nor the offset of a position cannot tell that it is none: that is not asked for.
        if self._garbles() and point.metadata and self._judge.belongs(partition, point):
            self._judge.excuse(SPOILT)
            point = CommitPoint(point.offset, self._spoilt(point.metadata))
            dict.__setitem__(self._broker.committed, (GROUP, partition), point)
        self._trace.note("coordinator", "assigns", member.name, partition, point)
        self._judge.assigned(member.name, partition, point, self._broker.end(partition))

    def _spoilt(self, metadata: str) -> str:
        place = self._chance.randrange(len(metadata))
        others = [point.metadata for point in self._broker.committed.values()]
        ways: list[Callable[[], str]] = [
            lambda: "",
            lambda: "someone else's",
            lambda: metadata[:place],
            lambda: metadata[:place] + chr(33 + self._chance.randrange(80)) + metadata[place + 1 :],
            lambda: self._chance.choice(others),
        ]
        return self._chance.choice(ways)()

    # What happens to members.

    def put_out(self, member: Member) -> None:
        """Take all partitions from a member without telling it."""
        if member.evicted:
            return
        self._trace.note("coordinator", "puts out", member.name)
        self._judge.excuse("a member was put out")
        member.evicted = True
        for name, owner in list(self._broker.owners.items()):
            if owner is member.source:
                del self._broker.owners[name]
        self.changed()
        member.process.create_task(self._tell(member))

    async def _tell(self, member: Member) -> None:
        """Let a member that was put out learn of it, some time after it runs again, and join anew."""
        await asyncio.sleep(self._chance.uniform(0, _NOTICE_SECONDS))
        if member.source.joined:
            self._trace.note("coordinator", "tells", member.name, "that its partitions are lost")
            member.source.lose(member.held)
        member.evicted = False
        self.changed()

    def lose(self, member: Member, partitions: Iterable[TopicPartition]) -> None:
        """Take partitions from a member that runs, without asking."""
        self._judge.excuse("partitions were lost")
        member.source.lose(list(partitions))
        self.changed()
