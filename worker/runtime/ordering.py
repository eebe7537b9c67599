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
class _Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # first come, first served
    jobs: int = 0


class KeyOrder:
    """Who goes before whom."""

    def __init__(self) -> None:
        self._lines: dict[tuple[TopicPartition, bytes], _Line] = {}

    @asynccontextmanager
    async def turn(self, record: Record) -> AsyncIterator[None]:
        """Wait for the record's turn; asked in the order of the offsets."""
        if record.key is None:
            yield
            return
        name = (record.topic_partition, record.key)
        line = self._lines.setdefault(name, _Line())
        line.jobs += 1
        try:
            async with line.lock:
                yield
        finally:
            line.jobs -= 1
            if not line.jobs:
                del self._lines[name]
