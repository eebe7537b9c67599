"""The order of the jobs of one key.

Invariant: a job's turn comes when every earlier job of its key, on its partition, has ended; jobs without a key and
jobs of different keys do not wait for each other.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from worker.domain.records import Record, TopicPartition


@dataclass(slots=True)
class _KeyQueue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # first come, first served
    jobs: int = 0


class KeyOrder:
    """Runs the jobs of one key and partition one after another."""

    def __init__(self) -> None:
        self._queues: dict[tuple[TopicPartition, bytes], _KeyQueue] = {}

    @asynccontextmanager
    async def in_order(self, record: Record) -> AsyncIterator[None]:
        """Wait for the record's turn, and hold it during the block. To be called in the order of the offsets."""
        if record.key is None:
            yield
            return
        name = (record.topic_partition, record.key)
        queue = self._queues.setdefault(name, _KeyQueue())
        queue.jobs += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.jobs -= 1
            if not queue.jobs:
                del self._queues[name]
