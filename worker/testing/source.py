"""A member of a consumer group without a broker.

Invariants: the same as the real one's. Records are handed over from the event loop, never from inside a call; none of
a partition comes before its `assigned` has returned, nor after its `revoked` was asked; nothing comes over the
allowance, and nothing of a paused partition.
"""

import asyncio
import contextvars
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from worker.domain.due_times import due_at_ms
from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, Record, TopicPartition
from worker.domain.start_position import LogBounds, start_position
from worker.ports import Clock, SourceListener
from worker.testing.broker import MemoryBroker


class MemorySource:
    """A `RecordSource` over a `MemoryBroker`, with methods that let a test cause faults.

    `start` takes all partitions that no other member of the group owns, unless `takes_at_start` is False; `assign`,
    `revoke` and `lose` are what a group's coordinator does; `crash` ends the member without a word; `fail` ends it
    with an error. While `refuses_commits` is set commits wait, as they do where the coordinator is away. `polls` is
    what `alive` answers. `delayed_topics` need a clock: their records come once they are due by it, and the source
    sleeps on it until then.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        topics: Sequence[str],
        *,
        group_id: str = "labelwire",
        start_from: Literal["earliest", "latest"] = "earliest",
        delayed_topics: Collection[str] = (),
        max_delay_seconds: float = 24 * 3600.0,
        clock: Clock | None = None,
        takes_at_start: bool = True,
    ) -> None:
        self.refuses_commits = False
        self.polls = True
        self.allowed_total = 0
        self.paused: frozenset[TopicPartition] = frozenset()
        self.delivered = 0
        self._broker = broker
        self._topics = tuple(topics)
        self._group_id = group_id
        self._start_from = start_from
        self._delayed_topics = frozenset(delayed_topics)
        self._max_delay_seconds = max_delay_seconds
        self._clock = clock
        self._takes_at_start = takes_at_start
        self._listener: SourceListener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: contextvars.Context | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._topic_ids: dict[TopicPartition, str] = {}
        self._beginning_anew: set[asyncio.Task[None]] = set()
        self._due_at_ms: dict[TopicPartition, int] = {}
        self._alarm: tuple[int, asyncio.Task[None]] | None = None
        self._pending: dict[TopicPartition, CommitPoint] = {}
        self._failure: BaseException | None = None
        self._turn_is_due = False

    # The port.

    async def start(self, listener: SourceListener) -> None:
        """Join the group. Raises BrokerError while the broker is not reachable."""
        if not self._broker.reachable:
            raise BrokerError("The memory broker is not reachable.")
        self._listener, self._loop = listener, asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._broker.watch(self._wake)
        if self._takes_at_start:
            subscribed = [partition for topic in self._topics for partition in self._broker.partitions(topic)]
            await self.assign([partition for partition in subscribed if self._owner(partition) is None])

    def allow(self, total_records: int, paused: Collection[TopicPartition]) -> None:
        """Let the source deliver until it has delivered `total_records`, none of them of `paused`."""
        self.allowed_total, self.paused = total_records, frozenset(paused)
        self._wake()

    def commit(self, points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Commit in the event loop's next iteration."""
        self._pending.update(points)
        self._wake()

    def alive(self) -> bool:
        """Answer `polls`."""
        return self.polls

    async def close(self) -> None:
        """Hand back all partitions and leave. Raises what `fail` was given."""
        if self._listener is not None:
            self._commit_pending()
            if self._beginning_anew:
                await asyncio.wait(self._beginning_anew)
            await self.revoke(list(self._positions))
            self._leave()
        if self._failure is not None:
            raise self._failure

    # What happens to a member.

    @property
    def held(self) -> frozenset[TopicPartition]:
        """The partitions of the present assignment."""
        return frozenset(self._positions)

    async def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Give this member partitions that no other one owns."""
        points = {}
        for partition in partitions:
            if self._owner(partition) is not None:
                raise ValueError(f"{partition} has an owner already")
            self._broker.owners[self._group_id, partition] = self
            committed = self._broker.committed.get((self._group_id, partition)) or self._first_position(partition)
            points[partition] = start_position(committed, self._log(partition)).point
        await self._take_over(points)

    async def _take_over(self, points: Mapping[TopicPartition, CommitPoint]) -> None:
        marks = await self._current_listener.assigned(points)
        kept = {partition: point for partition, point in points.items() if self._owner(partition) is self}
        # A mark that comes late could undo what a transaction has committed meanwhile: it comes now or never.
        self._store({partition: mark for partition, mark in marks.items() if partition in kept})
        self._positions.update({partition: point.offset for partition, point in kept.items()})
        self._topic_ids.update({partition: point.topic_id for partition, point in kept.items()})
        self._wake()

    async def revoke(self, partitions: Collection[TopicPartition]) -> None:
        """Take partitions away in an orderly way, and commit what the listener returns."""
        ended = self._stop(partitions)
        points = await self._current_listener.revoked(ended)
        self._store({p: point for p, point in self._pending.items() if p in ended} | dict(points))
        self._release(ended)

    def lose(self, partitions: Collection[TopicPartition]) -> None:
        """Take partitions away without asking: what waits to be committed is dropped."""
        ended = self._stop(partitions)
        self._release(ended)
        self._current_listener.lost(ended)

    def crash(self) -> None:
        """End without a commit and without telling the listener; others may own the partitions from now on."""
        for task in self._beginning_anew:
            task.cancel()
        self._release([partition for (_, partition), owner in self._broker.owners.items() if owner is self])
        self._stop(list(self._positions))
        if self._listener is not None:
            self._leave()

    def fail(self, error: BaseException) -> None:
        """End by itself with an error that `close` raises."""
        self._failure = error
        self._current_listener.failed(error)

    # Turns of the event loop.

    @property
    def _current_listener(self) -> SourceListener:
        if self._listener is None:
            raise RuntimeError("the source has not been started, or has ended")
        return self._listener

    def _owner(self, partition: TopicPartition) -> object | None:
        return self._broker.owners.get((self._group_id, partition))

    def _log(self, partition: TopicPartition) -> LogBounds:
        broker = self._broker
        return LogBounds(broker.low(partition), broker.end(partition), broker.topic_id(partition.topic))

    def _first_position(self, partition: TopicPartition) -> CommitPoint | None:
        """Return where a new group begins that wants only what comes from now on; None where it begins as any other.

        Who finds the group new decides for all of its partitions.
        """
        if self._start_from == "earliest":
            return None
        subscribed = [each for topic in self._topics for each in self._broker.partitions(topic)]
        if not any((self._group_id, each) in self._broker.committed for each in subscribed):
            ends = {each: CommitPoint(self._broker.end(each)) for each in subscribed}
            self._broker.committed.update({(self._group_id, each): point for each, point in ends.items()})
        return self._broker.committed.get((self._group_id, partition))

    def _leave(self) -> None:
        self._listener = None
        self._broker.unwatch(self._wake)
        if self._alarm is not None:
            self._alarm[1].cancel()
            self._alarm = None

    def _stop(self, partitions: Collection[TopicPartition]) -> set[TopicPartition]:
        for partition in partitions:
            self._due_at_ms.pop(partition, None)
        return {partition for partition in partitions if self._positions.pop(partition, None) is not None}

    def _release(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            self._pending.pop(partition, None)
            if self._owner(partition) is self:
                del self._broker.owners[self._group_id, partition]

    def _wake(self) -> None:
        if self._loop is not None and self._listener is not None and not self._turn_is_due:
            self._turn_is_due = True
            # As the member that began it, whoever wrote the record that wakes it.
            self._loop.call_soon(self._turn, context=self._context)

    def _turn(self) -> None:
        self._turn_is_due = False
        if self._listener is None:
            return
        self._restart_recreated()
        self._commit_pending()
        records = self._records(self.allowed_total - self.delivered)
        if records and self._failure is None:
            for record in records:
                self._positions[record.topic_partition] = record.coordinate.offset + 1
            self.delivered += len(records)
            self._listener.received(records)

    def _restart_recreated(self) -> None:
        """Hand back what is held of topics that were deleted and created again, and begin them at their beginning."""
        ids = {partition: self._broker.topic_id(partition.topic) for partition in self._positions}
        recreated = [partition for partition, now in ids.items() if now and now != self._topic_ids[partition]]
        if recreated and self._loop is not None:
            ended = self._stop(recreated)
            task = self._loop.create_task(self._begin_anew(ended), context=self._context)
            self._beginning_anew.add(task)
            task.add_done_callback(self._beginning_anew.discard)

    async def _begin_anew(self, partitions: Collection[TopicPartition]) -> None:
        await self._current_listener.revoked(partitions)  # what it wants committed belongs to the former topic
        for partition in partitions:
            self._pending.pop(partition, None)
        there = [partition for partition in partitions if partition in self._broker.partitions(partition.topic)]
        self._release([partition for partition in partitions if partition not in there])
        if there and self._listener is not None:
            await self._take_over({partition: start_position(None, self._log(partition)).point for partition in there})

    def _records(self, room: int) -> list[Record]:
        records: list[Record] = []
        for partition, position in self._positions.items():
            if partition not in self.paused and room > len(records):
                found = self._broker.read(partition, position, room - len(records))
                records += self._due(partition, found) if partition.topic in self._delayed_topics else found
        self._set_alarm()
        return records

    def _due(self, partition: TopicPartition, found: Sequence[Record]) -> Sequence[Record]:
        """Return what is due of a partition's next records, and note when the first one is that is not."""
        if self._clock is None:
            raise RuntimeError("a source of delayed topics needs a clock")
        now_ms = self._clock.epoch_ms()
        if self._due_at_ms.get(partition, 0) > now_ms:
            return ()
        for place, record in enumerate(found):
            at_ms = due_at_ms(record, self._max_delay_seconds)
            if at_ms > now_ms:
                self._due_at_ms[partition] = at_ms
                return found[:place]
        return found

    def _set_alarm(self) -> None:
        """Sleep until the first waiting partition is due."""
        if self._clock is None or self._loop is None:
            return
        now_ms = self._clock.epoch_ms()
        at_ms = min((due_ms for due_ms in self._due_at_ms.values() if due_ms > now_ms), default=None)
        if at_ms is None or (self._alarm is not None and now_ms < self._alarm[0] <= at_ms):
            return
        if self._alarm is not None:
            self._alarm[1].cancel()
        wait = self._wake_after((at_ms - now_ms) / 1000, self._clock)
        self._alarm = at_ms, self._loop.create_task(wait, context=self._context)

    async def _wake_after(self, seconds: float, clock: Clock) -> None:
        await clock.sleep(seconds)
        self._wake()

    def _commit_pending(self) -> None:
        if not self.refuses_commits:
            points, self._pending = self._pending, {}
            self._store(points)

    def _store(self, points: Mapping[TopicPartition, CommitPoint]) -> None:
        if not self.refuses_commits:
            # A member that the group has put out does not know it yet: its commits are refused.
            own = {partition: point for partition, point in points.items() if self._owner(partition) is self}
            self._broker.committed.update({(self._group_id, partition): point for partition, point in own.items()})
