"""How many bytes of fetched pictures are held, and how many fetches are under way.

Invariants: room is given in the order in which it was asked for; never more than all of it is taken, but by a picture
that is larger than the whole room and alone; who waits for room holds none, so nobody waits for ever.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class FetchMemory:
    """Room for fetched pictures. `turns` is for those who fetch; their room they keep until the picture is read."""

    def __init__(self, max_bytes: int, max_fetches: int) -> None:
        self.turns = asyncio.Semaphore(max_fetches)
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held_bytes = 0

    @contextmanager
    def lease(self) -> "Iterator[Lease]":
        """Give a lease of nothing yet; what it grows to is given back at the end."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            lease.shrink(0)

    async def take(self, size_bytes: int) -> None:
        """Wait for room, and take it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.held_bytes -= size_bytes
            self._admit()
            raise

    def give_back(self, size_bytes: int) -> None:
        """Give room back."""
        self.held_bytes -= size_bytes
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            size_bytes, turn = self._waiting[0]
            if not turn.done():
                if self.held_bytes and self.held_bytes + size_bytes > self._max_bytes:
                    return
                self.held_bytes += size_bytes
                turn.set_result(None)
            self._waiting.popleft()


class Lease:
    """The room of one picture; `FetchMemory.lease` makes it."""

    def __init__(self, room: FetchMemory) -> None:
        self._room = room
        self.size_bytes = 0

    async def grow(self, size_bytes: int) -> None:
        """Wait until there is so much room, giving back first what is too little."""
        if size_bytes > self.size_bytes:
            self.shrink(0)
            await self._room.take(size_bytes)
            self.size_bytes = size_bytes

    def shrink(self, size_bytes: int) -> None:
        """Give back what is not needed."""
        if size_bytes < self.size_bytes:
            self._room.give_back(self.size_bytes - size_bytes)
            self.size_bytes = size_bytes
