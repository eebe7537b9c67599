"""The cache in memory holds no more than it may, and nothing for longer than it may."""

import random

from worker.adapters.cache.memory import ENTRY_OVERHEAD_BYTES, MemoryCache
from worker.testing.clock import ManualClock


async def test_all_entries_together_stay_under_the_limit() -> None:
    chance = random.Random(7)  # noqa: S311 - seeded, for sizes
    limit = 20_000
    cache = MemoryCache(limit, 60, ManualClock())
    kept: dict[str, bytes] = {}
    for _ in range(500):
        key = f"key {chance.randrange(60)}"
        kept[key] = chance.randbytes(chance.randrange(3000))
        await cache.put(key, kept[key])
        found = {key: value for key in kept if (value := await cache.get(key)) is not None}
        assert all(value == kept[key] for key, value in found.items())
        assert sum(len(value) + ENTRY_OVERHEAD_BYTES for value in found.values()) == cache.used_bytes <= limit
    assert cache.used_bytes > limit / 2


async def test_what_was_asked_for_last_stays_longest() -> None:
    cache = MemoryCache(3 * (100 + ENTRY_OVERHEAD_BYTES), 60, ManualClock())
    for key in ("one", "two", "three"):
        await cache.put(key, bytes(100))
    await cache.get("one")
    await cache.put("four", bytes(100))
    assert [await cache.get(key) is not None for key in ("one", "two", "three", "four")] == [True, False, True, True]


async def test_a_value_larger_than_the_cache_is_not_kept_and_drives_nothing_out() -> None:
    cache = MemoryCache(2000, 60, ManualClock())
    await cache.put("small", b"1")
    await cache.put("large", bytes(2000))
    assert await cache.get("large") is None
    assert await cache.get("small") == b"1"
    await cache.put("small", bytes(2000))  # what it replaces is no longer true
    assert await cache.get("small") is None
    assert cache.used_bytes == 0


async def test_a_value_ends_with_its_time_and_gives_its_memory_back() -> None:
    clock = ManualClock()
    cache = MemoryCache(10_000, 60, clock)
    await cache.put("key", b"value")
    clock.advance(59)
    assert await cache.get("key") == b"value"
    clock.advance(1)
    assert await cache.get("key") is None
    assert cache.used_bytes == 0
