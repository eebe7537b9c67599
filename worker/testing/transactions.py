"""A transactional producer without a broker.

Invariant: the records and positions of a transaction are there together before `commit` returns, and none of them is
where it raised.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence

from worker.domain.errors import BrokerError, ErrorCode, JobError, Stage
from worker.domain.records import ClusterDescription, CommitPoint, OutgoingRecord, TopicPartition
from worker.ports import FencedError
from worker.testing.broker import MemoryBroker
from worker.testing.sink import refusal


class MemoryTransactions:
    """A `TransactionalSink` over a `MemoryBroker`, for the member of a group that is `owner` there: its source.

    `refuse` scripts the next commits one by one; while `broken` holds an error each commit raises it. `hold` keeps
    commits back until `release`: they happen after it, and are fenced if the partitions have moved on meanwhile.
    `attempts` counts commits, `committed` those that came to be.
    """

    def __init__(self, broker: MemoryBroker, owner: object, *, group_id: str = "labelwire") -> None:
        self.broken: Exception | None = None
        self.closed = False
        self.attempts = 0
        self.committed = 0
        self._broker = broker
        self._owner = owner
        self._group_id = group_id
        self._script: deque[Exception | None] = deque()
        self._released = asyncio.Event()
        self._released.set()

    def refuse(self, *errors: Exception | None) -> None:
        """Let the next commits raise these, in order; None lets one through."""
        self._script.extend(errors)

    def hold(self) -> None:
        """Withhold commits."""
        self._released.clear()

    def release(self) -> None:
        """Carry out the withheld commits."""
        self._released.set()

    async def commit(self, records: Sequence[OutgoingRecord], points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Write all, or nothing. Raises JobError RESULT_TOO_LARGE or BROKER_UNAVAILABLE, and FencedError."""
        self.attempts += 1
        await asyncio.sleep(0)
        await self._released.wait()
        error = self.broken or (self._script.popleft() if self._script else None) or self._refusal(records, points)
        if error is not None:
            raise error
        self._broker.take_together(records)
        self._broker.committed.update({(self._group_id, partition): point for partition, point in points.items()})
        self.committed += 1

    async def describe(self, topics: Collection[str]) -> ClusterDescription:
        """Describe topics. Raises BrokerError while the broker is not reachable."""
        if not self._broker.reachable:
            raise BrokerError("The memory broker does not answer.")
        return self._broker.describe(topics)

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _refusal(
        self, records: Sequence[OutgoingRecord], points: Mapping[TopicPartition, CommitPoint]
    ) -> Exception | None:
        if not self._broker.reachable:
            message = "The memory broker did not take a transaction."
            return JobError(ErrorCode.BROKER_UNAVAILABLE, message, stage=Stage.PUBLISH)
        for record in records:
            error = refusal(self._broker, record)
            if error is not None:
                return error
        if any(self._broker.owners.get((self._group_id, partition)) is not self._owner for partition in points):
            return FencedError("Another member of the group has taken over.")
        return None
