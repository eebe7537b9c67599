"""A picture that was read before, by the same models and in the same way, is answered without Triton."""

import asyncio
import base64
import json
from dataclasses import replace

import pytest

from tests.runtime.parts import BLANK, FOLDER, JOBS, PICTURE, URI, Parts, by_uri, in_hand, record
from worker.domain.circuit import CircuitState
from worker.domain.errors import CacheError, ErrorCode, JobError, RejectedEntryError, Stage
from worker.domain.events import (
    CacheCircuitChanged,
    CacheOperation,
    CacheRequestFinished,
    CacheResult,
    JobFinished,
    StageFinished,
)
from worker.domain.result import LabelText
from worker.runtime.reading_cache import CACHE_CIRCUIT
from worker.testing.backend import fake_models
from worker.testing.block_font import BlockLine, draw_blocks, encode_png
from worker.testing.cache import ScriptedCache

AWAY = CacheError("The cache is away.")
JSON = ("content-type", b"application/json")


@pytest.fixture
def cache() -> ScriptedCache:
    return ScriptedCache()


@pytest.fixture
async def cached(parts: Parts, cache: ScriptedCache) -> Parts:
    await parts.keep_readings(cache)
    return parts


def results(parts: Parts) -> list[LabelText]:
    return [LabelText.model_validate_json(written.value or b"") for written in parts.results()]


def asked(parts: Parts) -> list[CacheResult | None]:
    return [event.result for event in parts.events.of(CacheRequestFinished)]


def texts(result: LabelText) -> list[str]:
    return [line.text for page in result.pages for line in page.lines]


async def requests_of(parts: Parts, offset: int, picture: bytes = PICTURE) -> int:
    """Deliver a job, and return how many requests Triton was sent for it."""
    before = len(parts.backend.calls)
    await parts.deliver(record(picture, offset=offset))
    return len(parts.backend.calls) - before


async def test_a_picture_is_read_once(cached: Parts) -> None:
    assert await requests_of(cached, 0) > 0
    assert [await requests_of(cached, offset) for offset in (1, 2)] == [0, 0]
    first, second, third = results(cached)
    assert texts(first) == ["HELLO"]
    assert first.pages == second.pages == third.pages
    assert first.models == second.models
    assert [result.source.offset for result in (first, second, third)] == [0, 1, 2]
    assert first.result_id != second.result_id
    assert asked(cached) == [CacheResult.MISS, None, CacheResult.HIT, CacheResult.HIT]


async def test_a_result_says_that_it_was_kept(cached: Parts) -> None:
    for offset in range(2):
        await cached.deliver(record(offset=offset))
    read, kept = results(cached)
    assert {"decode", "detect", "read"} <= set(read.timing_ms)
    assert "cache" not in read.timing_ms
    assert list(kept.timing_ms) == ["cache"]
    assert [event.stage for event in cached.events.of(StageFinished)][-2:] == [Stage.CACHE, Stage.PUBLISH]
    assert [event.outcome for event in cached.events.of(JobFinished)] == ["completed"] * 2


async def test_what_is_found_is_marked(cached: Parts, cache: ScriptedCache) -> None:
    prepared = await cached.reading().prepare(record())
    await cached.reading().process(prepared, 1)
    assert cached.readings is not None
    [key] = cache.entries
    reading = await cached.readings.find(key)
    assert reading is not None
    assert reading.from_cache
    assert list(reading.timing_seconds) == [Stage.CACHE]


async def test_another_picture_is_read(cached: Parts) -> None:
    await cached.deliver(record(offset=0))
    assert (
        await requests_of(cached, 1, encode_png(draw_blocks([BlockLine("WORLD", 30, 40)], width=240, height=120))) > 0
    )
    assert [texts(result) for result in results(cached)] == [["HELLO"], ["WORLD"]]


async def test_a_blank_picture_is_kept_too(cached: Parts) -> None:
    assert await requests_of(cached, 0, BLANK) > 0
    assert await requests_of(cached, 1, BLANK) == 0
    assert [texts(result) for result in results(cached)] == [[], []]


async def test_what_a_job_asks_for_is_applied_to_what_was_kept(cached: Parts) -> None:
    picture = base64.b64encode(PICTURE).decode()
    for offset, floor in enumerate((0.0, 1.0, 0.0)):
        document = {"image_base64": picture, "options": {"min_confidence": floor}}
        await cached.deliver(record(json.dumps(document).encode(), JSON, offset=offset))
    assert asked(cached)[-2:] == [CacheResult.HIT, CacheResult.HIT]
    assert [texts(result) for result in results(cached)] == [["HELLO"], [], ["HELLO"]]


async def test_a_picture_is_known_wherever_it_comes_from(cached: Parts) -> None:
    cached.blobs.put(URI, PICTURE)
    cached.blobs.put(f"{FOLDER}b.png", PICTURE)
    await cached.deliver(record(offset=0))
    before = len(cached.backend.calls)
    await cached.deliver(by_uri(offset=1))
    await cached.deliver(by_uri(f"{FOLDER}b.png", offset=2))
    assert len(cached.backend.calls) == before
    assert [list(result.timing_ms) for result in results(cached)[1:]] == [["fetch", "cache"]] * 2


async def test_what_other_models_read_is_not_taken(cached: Parts) -> None:
    await cached.deliver(record(offset=0))
    cached.backend.models = fake_models(max_batch_size=4)
    await cached.reader.refresh()
    assert await requests_of(cached, 1) > 0
    assert await requests_of(cached, 2) == 0
    cached.backend.models = fake_models()
    await cached.reader.refresh()
    assert await requests_of(cached, 3) == 0  # these are the first ones again
    former, *_, latter = {result.models["text_recognizer"].version for result in results(cached)}
    assert former != latter


async def test_nothing_is_kept_of_models_whose_version_does_not_name_their_content(
    cached: Parts, cache: ScriptedCache
) -> None:
    cached.backend.models = {name: replace(model, version="1") for name, model in fake_models().items()}
    await cached.reader.refresh()
    assert [await requests_of(cached, offset) > 0 for offset in range(2)] == [True, True]
    assert cache.requests == []


async def test_nothing_is_taken_while_the_models_have_to_be_asked_for(cached: Parts, cache: ScriptedCache) -> None:
    await cached.deliver(record(offset=0))
    cached.reader.invalidate()
    cache.requests.clear()
    assert await requests_of(cached, 1) > 0
    assert [operation for operation, _ in cache.requests] == ["put"]
    assert await requests_of(cached, 2) == 0


class ChangingModels(ScriptedCache):
    """Serves other models while it is asked."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts

    async def get(self, key: str) -> bytes | None:
        found = await super().get(key)
        if found is not None:
            self._parts.backend.models = fake_models(max_batch_size=4)
            await self._parts.reader.refresh()
        return found


async def test_what_is_found_while_the_models_change_is_not_taken(parts: Parts) -> None:
    await parts.keep_readings(ChangingModels(parts))
    await parts.deliver(record(offset=0))
    assert await requests_of(parts, 1) > 0
    first, second = results(parts)
    assert first.models != second.models


@pytest.mark.parametrize("code", [ErrorCode.INFERENCE_REJECTED, ErrorCode.INFERENCE_FAILED])
async def test_a_reading_that_failed_is_not_kept(cached: Parts, cache: ScriptedCache, code: ErrorCode) -> None:
    cached.backend.fail(JobError(code, "No."))
    await cached.deliver(record(offset=0))
    assert cached.results() == []
    assert [operation for operation, _ in cache.requests] == ["get"]
    assert cache.entries == {}


async def test_a_picture_that_cannot_be_decoded_is_not_kept(cached: Parts, cache: ScriptedCache) -> None:
    middle = len(PICTURE) // 2
    for offset in range(2):
        await cached.deliver(record(PICTURE[:middle] + bytes(40) + PICTURE[middle + 40 :], offset=offset))
    assert [operation for operation, _ in cache.requests] == ["get", "get"]
    assert len(cached.letters()) == 2


async def test_what_is_found_waits_for_no_pixels(cached: Parts) -> None:
    await cached.deliver(record(offset=0))
    async with asyncio.timeout(10), cached.admission.admitted(10**6):
        await cached.deliver(record(offset=1))
    assert len(cached.results()) == 2


async def test_a_found_result_is_work_that_a_drain_waits_for(cached: Parts) -> None:
    await cached.deliver(record(offset=0))
    job = in_hand(record(offset=1))
    await cached.delivery().deliver(job)
    assert job.working
    assert job.record.coordinate.topic == JOBS


@pytest.mark.parametrize("entry", [b"", b"garbage", b"x" * 70_000])
async def test_an_entry_that_is_no_reading_is_replaced(cached: Parts, cache: ScriptedCache, entry: bytes) -> None:
    await cached.deliver(record(offset=0))
    [key] = cache.entries
    kept, cache.entries[key] = cache.entries[key], entry
    assert await requests_of(cached, 1) > 0
    assert cache.entries[key] == kept
    assert asked(cached)[2:] == [CacheResult.REJECTED, None]
    assert results(cached)[0].pages == results(cached)[1].pages


# A cache that fails.


async def test_a_cache_that_is_away_costs_no_job_and_is_left_alone(cached: Parts, cache: ScriptedCache) -> None:
    cache.broken = AWAY
    for offset in range(10):
        await cached.deliver(record(offset=offset))
    assert [texts(result) for result in results(cached)] == [["HELLO"]] * 10
    assert cached.letters() == []
    assert asked(cached).count(CacheResult.ERROR) == 10 + 2  # two readings were offered to it, too
    assert CacheResult.MISS not in asked(cached)
    gets = [operation for operation, _ in cache.requests if operation == "get"]
    assert len(gets) == CACHE_CIRCUIT.failures
    assert cached.events.of(CacheCircuitChanged) == [
        CacheCircuitChanged(CacheOperation.GET, CircuitState.OPEN, "The cache is away.")
    ]


async def test_a_cache_that_is_back_is_used_again(cached: Parts, cache: ScriptedCache) -> None:
    cache.broken = AWAY
    for offset in range(5):
        await cached.deliver(record(offset=offset))
    cache.broken = None
    cached.clock.advance(CACHE_CIRCUIT.max_cooldown_seconds)
    await cached.deliver(record(offset=5))
    await cached.deliver(record(offset=6))
    assert await requests_of(cached, 7) == 0
    changes = [event for event in cached.events.of(CacheCircuitChanged) if event.operation is CacheOperation.GET]
    assert [event.state for event in changes] == [CircuitState.OPEN, CircuitState.CLOSED]


async def test_each_cooldown_costs_one_request(cached: Parts, cache: ScriptedCache) -> None:
    cache.broken = AWAY
    for offset in range(CACHE_CIRCUIT.failures):
        await cached.deliver(record(offset=offset))
    for cooldown in range(4):
        cache.requests.clear()
        cached.clock.advance(CACHE_CIRCUIT.max_cooldown_seconds)
        for offset in range(3):
            await cached.deliver(record(offset=10 + 3 * cooldown + offset))
        assert [operation for operation, _ in cache.requests] == ["get"]
    opened = [event for event in cached.events.of(CacheCircuitChanged) if event.operation is CacheOperation.GET]
    assert len(opened) == 1


class Full(ScriptedCache):
    async def put(self, key: str, value: bytes) -> None:
        self.requests.append(("put", f"{key}:{len(value)}"))
        raise CacheError("The cache is full.")


async def test_a_cache_that_is_full_is_asked_and_given_nothing(parts: Parts) -> None:
    cache = Full()
    await parts.keep_readings(cache)
    for offset in range(10):
        await parts.deliver(record(offset=offset))
    operations = [operation for operation, _ in cache.requests]
    assert operations.count("get") == 10
    assert operations.count("put") == CACHE_CIRCUIT.failures
    assert [(event.operation, event.reason) for event in parts.events.of(CacheCircuitChanged)] == [
        (CacheOperation.PUT, "The cache is full.")
    ]


async def test_entries_that_are_rejected_are_logged_once_a_minute(cached: Parts, cache: ScriptedCache) -> None:
    cache.broken = RejectedEntryError("Not ours.")
    for offset in range(3):
        await cached.deliver(record(offset=offset))
    cached.clock.advance(60)
    await cached.deliver(record(offset=3))
    rejected = [event for event in cached.events.of(CacheRequestFinished) if event.result is CacheResult.REJECTED]
    assert len(rejected) >= 4
    assert [event.rejection for event in rejected if event.rejection] == ["Not ours.", "Not ours."]
    assert cached.events.of(CacheCircuitChanged) == []  # it answers


class Hanging(ScriptedCache):
    """Never answers a get while it hangs."""

    hangs = False

    async def get(self, key: str) -> bytes | None:
        found = await super().get(key)
        if self.hangs:
            await asyncio.Event().wait()
        return found


async def test_a_job_that_is_stopped_while_it_tries_the_cache_lets_the_next_one_try(parts: Parts) -> None:
    cache = Hanging()
    await parts.keep_readings(cache)
    cache.broken = AWAY
    for offset in range(CACHE_CIRCUIT.failures):
        await parts.deliver(record(offset=offset))
    cache.broken, cache.hangs = None, True
    parts.clock.advance(CACHE_CIRCUIT.max_cooldown_seconds)
    stopped = asyncio.create_task(parts.deliver(record(offset=5)))
    cache.requests.clear()
    async with asyncio.timeout(10):
        while not cache.requests:  # noqa: ASYNC110 - turn by turn
            await asyncio.sleep(0.001)
    await parts.deliver(record(offset=6))  # one at a time: it is not asked for this one
    stopped.cancel()
    await asyncio.wait([stopped])
    cache.hangs = False
    await parts.deliver(record(offset=7))
    await parts.deliver(record(offset=8))
    assert await requests_of(parts, 9) == 0
