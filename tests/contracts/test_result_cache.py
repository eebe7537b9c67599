"""What every cache of readings does, in this process, in a real Redis, or scripted."""

from collections.abc import AsyncIterator

import pytest

from tests.real_redis import cache_settings
from worker.adapters.cache.memory import MemoryCache
from worker.adapters.cache.redis import RedisCache
from worker.local.redis import RedisServer
from worker.ports import ResultCache
from worker.testing.cache import ScriptedCache
from worker.testing.clock import ManualClock


@pytest.fixture(params=["memory", "redis", "scripted"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[ResultCache]:
    made: ResultCache
    if request.param == "memory":
        made = MemoryCache(1024 * 1024, 60, ManualClock())
    elif request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        made = RedisCache(cache_settings(server))
    else:
        made = ScriptedCache()
    yield made
    await made.close()


async def test_what_was_put_is_found_under_its_key_alone(cache: ResultCache, topic: str) -> None:
    assert await cache.get(topic) is None
    await cache.put(topic, b"\x00one\xff")
    assert await cache.get(topic) == b"\x00one\xff"
    assert await cache.get(f"{topic}:other") is None


async def test_a_value_replaces_the_one_before(cache: ResultCache, topic: str) -> None:
    await cache.put(topic, b"a long value")
    await cache.put(topic, b"new")
    assert await cache.get(topic) == b"new"


async def test_an_empty_value_is_a_value(cache: ResultCache, topic: str) -> None:
    await cache.put(topic, b"")
    assert await cache.get(topic) == b""


async def test_many_values_are_kept_apart(cache: ResultCache, topic: str) -> None:
    for number in range(20):
        await cache.put(f"{topic}:{number}", bytes([number]) * number)
    found = [await cache.get(f"{topic}:{number}") for number in range(20)]
    assert found == [bytes([number]) * number for number in range(20)]
