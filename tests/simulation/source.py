"""A worker's place in the group."""

from collections import Counter
from collections.abc import Callable, Collection

from tests.simulation.jobs import TOPICS
from worker.domain.records import TopicPartition
from worker.ports import Clock, SourceListener
from worker.testing.broker import MemoryBroker
from worker.testing.source import MemorySource

CONSUMED = (TOPICS.jobs, *TOPICS.retry_topics, TOPICS.replay_topic)


class SimulatedSource(MemorySource):
    """A member of a group whose coordinator wants to know who comes."""

    def __init__(self, broker: MemoryBroker, clock: Clock, changed: Callable[[], None]) -> None:
        super().__init__(broker, CONSUMED, delayed_topics=TOPICS.retry_topics, clock=clock, takes_at_start=False)
        self.joined = False
        self._changed = changed
        self._generations: Counter[TopicPartition] = Counter()

    async def start(self, listener: SourceListener) -> None:
        """Join the group."""
        await super().start(listener)
        self.joined = True
        self._changed()

    async def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Take partitions, in a new generation."""
        self._generations.update(partitions)
        await super().assign(partitions)

    def wake(self) -> None:
        """Look for records, because one of a partition that is held has come."""
        self._wake()

    def generation(self, partition: TopicPartition) -> int:
        """Say in which generation this member holds a partition."""
        return self._generations[partition]

    async def close(self) -> None:
        """Leave it."""
        self.joined = False
        await super().close()
