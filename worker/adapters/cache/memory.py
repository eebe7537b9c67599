"""Readings in the memory of this process.

Invariant: all entries together take no more than `max_bytes`; those that were not asked for the longest go first.
"""

from collections import OrderedDict
from typing import Final

from worker.ports import Clock

# What an entry takes beside its value: two objects' heads, the key, and its place in the mapping.
ENTRY_OVERHEAD_BYTES: Final = 512


class MemoryCache:
    """A `ResultCache` of one worker; it is empty after a restart."""

    def __init__(self, max_bytes: int, ttl_seconds: float, clock: Clock) -> None:
        self.used_bytes = 0
        self._max_bytes = max_bytes
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """Return what was put under a key, unless it was given up or its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires_at = entry
        if self._clock.monotonic() >= expires_at:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value; one that is larger than the whole cache is not kept."""
        if key in self._entries:
            self._remove(key)
        size = len(value) + ENTRY_OVERHEAD_BYTES
        if size > self._max_bytes:
            return
        while self.used_bytes + size > self._max_bytes:
            self._remove(next(iter(self._entries)))
        self._entries[key] = value, self._clock.monotonic() + self._ttl_seconds
        self.used_bytes += size

    async def close(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.used_bytes = 0

    def _remove(self, key: str) -> None:
        value, _ = self._entries.pop(key)
        self.used_bytes -= len(value) + ENTRY_OVERHEAD_BYTES
