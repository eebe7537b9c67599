"""Workers share readings through a real Redis, which may end and come back while they work."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from tests.adapters.cache.relay import passing_on, serving
from tests.real_redis import cache_settings, demand_real_redis, raw_client
from tests.runtime.parts import Parts, record
from worker.adapters.cache.redis import KEY_PREFIX, RedisCache
from worker.adapters.clock import SystemClock
from worker.domain.circuit import CircuitState
from worker.domain.events import CacheCircuitChanged, CacheOperation, CacheRequestFinished, CacheResult
from worker.domain.result import LabelText
from worker.local.redis import RedisServer
from worker.settings import CacheSettings
from worker.testing.backend import fake_models
from worker.testing.block_font import BlockLine, draw_blocks, encode_png

WORDS = ("ONE", "TWO", "SIX")
PICTURES = [encode_png(draw_blocks([BlockLine(word, 30, 40)], width=240, height=120)) for word in WORDS]
JOBS_AT_ONCE = 4


@asynccontextmanager
async def worker_with(settings: CacheSettings, executor: ThreadPoolExecutor) -> AsyncIterator[Parts]:
    """Give a worker of its own, which keeps its readings there."""
    cache = RedisCache(settings)
    parts = Parts(executor)
    await parts.keep_readings(cache, SystemClock())
    yield parts
    await cache.close()


async def stream(parts: Parts, first: int, count: int) -> None:
    """Deliver jobs, a few at once, whose pictures come again and again."""
    for begin in range(first, first + count, JOBS_AT_ONCE):
        offsets = range(begin, min(begin + JOBS_AT_ONCE, first + count))
        await asyncio.gather(*(parts.deliver(record(PICTURES[at % len(PICTURES)], offset=at)) for at in offsets))


def texts(parts: Parts) -> dict[int, str]:
    results = [LabelText.model_validate_json(written.value or b"") for written in parts.results()]
    return {result.source.offset: result.pages[0].lines[0].text for result in results}


def results_of(parts: Parts, operation: CacheOperation) -> list[CacheResult | None]:
    return [event.result for event in parts.events.of(CacheRequestFinished) if event.operation is operation]


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    demand_real_redis()
    with RedisServer() as server:
        yield server


async def test_workers_with_one_secret_and_the_same_models_share_their_readings(
    own_redis: RedisServer, pixel_threads: ThreadPoolExecutor
) -> None:
    settings = cache_settings(own_redis)
    async with worker_with(settings, pixel_threads) as one, worker_with(settings, pixel_threads) as two:
        await stream(one, 0, 3)
        assert len(one.backend.calls) > 0
        await stream(two, 0, 12)
        assert two.backend.calls == []
        assert texts(two) == {at: WORDS[at % 3] for at in range(12)}
        two.backend.models = fake_models(max_batch_size=4)
        await two.reader.refresh()
        await stream(two, 12, 3)
        assert len(two.backend.calls) > 0
        assert texts(two) == {at: WORDS[at % 3] for at in range(15)}


async def test_nothing_that_somebody_else_put_there_becomes_a_result(
    own_redis: RedisServer, pixel_threads: ThreadPoolExecutor
) -> None:
    async with worker_with(cache_settings(own_redis), pixel_threads) as parts:
        await stream(parts, 0, 3)
        with raw_client(own_redis) as raw:
            names = sorted(raw.scan_iter(f"{KEY_PREFIX}*"))
            assert len(names) == 3
            entries = [raw.get(name) for name in names]
            for name, entry in zip(names, (entries[1], b"garbage", entries[2][:-1]), strict=True):  # swapped, cut off
                raw.set(name, entry)
            before = len(parts.backend.calls)
            await stream(parts, 3, 3)
            assert len(parts.backend.calls) > before
            assert results_of(parts, CacheOperation.GET) == [CacheResult.MISS] * 3 + [CacheResult.REJECTED] * 3
            assert [raw.get(name) for name in names] == entries  # the right ones are there again
        assert texts(parts) == {at: WORDS[at % 3] for at in range(6)}


async def test_a_redis_that_is_killed_in_a_stream_costs_speed_alone_and_is_used_again(
    own_redis: RedisServer, pixel_threads: ThreadPoolExecutor
) -> None:
    async with worker_with(cache_settings(own_redis), pixel_threads) as parts:
        await stream(parts, 0, 20)
        under_way = asyncio.create_task(stream(parts, 20, 40))
        while len(parts.results()) < 24:  # noqa: ASYNC110 - turn by turn
            await asyncio.sleep(0.001)
        own_redis.kill()
        await under_way
        without = len(parts.backend.calls)
        await stream(parts, 60, 20)
        assert len(parts.backend.calls) > without
        own_redis.restart()
        count, deadline = 80, time.monotonic() + 30
        while results_of(parts, CacheOperation.GET)[-1] is not CacheResult.HIT:
            assert time.monotonic() < deadline
            await stream(parts, count, 4)
            count += 4
            await asyncio.sleep(0.1)
        assert texts(parts) == {at: WORDS[at % 3] for at in range(count)}
        assert parts.letters() == []
        changes = [event for event in parts.events.of(CacheCircuitChanged) if event.operation is CacheOperation.GET]
        assert [event.state for event in changes] == [CircuitState.OPEN, CircuitState.CLOSED]


async def test_a_redis_that_is_slow_costs_its_timeout_three_times_and_not_with_every_job(
    own_redis: RedisServer, pixel_threads: ThreadPoolExecutor
) -> None:
    async with serving(passing_on(own_redis.url, lambda: 5.0)) as port:
        settings = cache_settings(own_redis, url=f"redis://127.0.0.1:{port}", timeout_seconds=0.3)
        async with worker_with(settings, pixel_threads) as parts:
            for offset in range(40):
                await parts.deliver(record(PICTURES[offset % 3], offset=offset))
            waits = [event.duration_seconds for event in parts.events.of(CacheRequestFinished)]
            assert texts(parts) == {at: WORDS[at % 3] for at in range(40)}
    # Three questions, the readings that were offered meanwhile, and few tries.
    assert 3 <= sum(seconds > 0.25 for seconds in waits) <= 10
