"""A producer without a broker.

Invariant: a record is readable before `send` returns, and a record whose `send` raised was not written.
"""

import asyncio
from collections import deque
from collections.abc import Collection

from worker.domain.errors import BrokerError, ErrorCode, JobError, Stage
from worker.domain.records import ClusterDescription, OutgoingRecord
from worker.testing.broker import MemoryBroker


class MemorySink:
    """A `RecordSink` over a `MemoryBroker`.

    `refuse` scripts the next sends one by one; while `broken` holds an error each send raises it. `hold` keeps
    acknowledgements back until `release`; `waiting` counts the sends that wait, `descriptions` the calls of `describe`.
    `shows_limits` set to False hides the topics' size limits from `describe`, as brokers do whose configs may not be
    read.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self.broken: JobError | None = None
        self.shows_limits = True
        self.closed = False
        self.attempts = 0
        self.waiting = 0
        self.descriptions = 0
        self._broker = broker
        self._script: deque[JobError | None] = deque()
        self._released = asyncio.Event()
        self._released.set()

    def refuse(self, *errors: JobError | None) -> None:
        """Let the next sends raise these, in order; None lets one through."""
        self._script.extend(errors)

    def hold(self) -> None:
        """Withhold acknowledgements."""
        self._released.clear()

    def release(self) -> None:
        """Send the withheld acknowledgements."""
        self._released.set()

    async def send(self, record: OutgoingRecord) -> None:
        """Return once the record is readable. Raises JobError RESULT_TOO_LARGE or BROKER_UNAVAILABLE."""
        self.attempts += 1
        self.waiting += 1
        try:
            await asyncio.sleep(0)
            await self._released.wait()
        finally:
            self.waiting -= 1
        error = self.broken or (self._script.popleft() if self._script else None) or refusal(self._broker, record)
        if error is not None:
            raise error
        self._broker.take(record)

    async def describe(self, topics: Collection[str]) -> ClusterDescription:
        """Describe topics. Raises BrokerError while the broker is not reachable."""
        self.descriptions += 1
        if not self._broker.reachable:
            raise BrokerError("The memory broker does not answer.")
        return self._broker.describe(topics, limits_hidden=not self.shows_limits)

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


def refusal(broker: MemoryBroker, record: OutgoingRecord) -> JobError | None:
    """Return why a broker does not take a record; None if it does."""
    limits = broker.limits(record.topic)
    if not broker.reachable or limits is None:
        message = f"The memory broker did not take a record for {record.topic}."
        return JobError(ErrorCode.BROKER_UNAVAILABLE, message, stage=Stage.PUBLISH)
    if limits.max_message_bytes is not None and record.size_bytes > limits.max_message_bytes:
        message = f"The record is over the size limit of topic {record.topic}; raise its max.message.bytes."
        return JobError(ErrorCode.RESULT_TOO_LARGE, message)
    return None
