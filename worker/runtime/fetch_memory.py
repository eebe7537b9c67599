"""How many bytes of fetched pictures are held, and how many fetches are under way.

Invariants: memory is given in the order in which it was asked for. No more than the limit is taken, except by a picture
that is larger than the limit and alone. A lease gives back what it has before it waits for more, so no two leases wait
for each other.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from worker.runtime.weighted_gate import WeightedGate

_ALL: Final = "all"


class _Memory:
    """The rule of the gate: bytes that are held."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.held_bytes = 0

    def next_lane(self, heads: Mapping[str, int]) -> str | None:
        """Return the only lane, if the bytes that its first task asks for are free, or if none are taken."""
        free_bytes = self._max_bytes - self.held_bytes
        return next((lane for lane, size in heads.items() if not self.held_bytes or size <= free_bytes), None)

    def enter(self, lane: str, size_bytes: int) -> None:  # noqa: ARG002 - there is one lane
        """Take memory."""
        self.held_bytes += size_bytes

    def leave(self, lane: str, size_bytes: int) -> None:  # noqa: ARG002 - there is one lane
        """Give memory back."""
        self.held_bytes -= size_bytes


class FetchMemory:
    """Memory for fetched pictures. A fetch needs one of `fetch_slots`; its memory is kept until the picture is read."""

    def __init__(self, max_bytes: int, max_fetches: int) -> None:
        self.fetch_slots = asyncio.Semaphore(max_fetches)
        self._memory = _Memory(max_bytes)
        self._gate = WeightedGate(self._memory, (_ALL,))

    @property
    def held_bytes(self) -> int:
        """Bytes that are held."""
        return self._memory.held_bytes

    @contextmanager
    def lease(self) -> "Iterator[Lease]":
        """Give an empty lease; what it grows to is given back at the end of the block."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            lease.shrink(0)

    async def reserve(self, size_bytes: int) -> None:
        """Wait for memory, and take it."""
        await self._gate.enter(_ALL, size_bytes)

    def release(self, size_bytes: int) -> None:
        """Give memory back."""
        self._gate.leave(_ALL, size_bytes)


class Lease:
    """The memory of one picture; `FetchMemory.lease` makes it."""

    def __init__(self, memory: FetchMemory) -> None:
        self._memory = memory
        self.size_bytes = 0

    async def grow(self, size_bytes: int) -> None:
        """Wait until so many bytes are free, and take them; what the lease had before is given back first."""
        if size_bytes > self.size_bytes:
            self.shrink(0)
            await self._memory.reserve(size_bytes)
            self.size_bytes = size_bytes

    def shrink(self, size_bytes: int) -> None:
        """Keep so many bytes, and give the rest back."""
        if size_bytes < self.size_bytes:
            self._memory.release(self.size_bytes - size_bytes)
            self.size_bytes = size_bytes
