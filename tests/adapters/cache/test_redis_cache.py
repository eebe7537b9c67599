"""A Redis is neither trusted nor waited for."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.adapters.blob.https_server import make_certificate
from tests.adapters.cache.relay import answering, dripping, passing_on, serving, silent
from tests.real_redis import SECRET, cache_settings, demand_real_redis, raw_client
from worker.adapters.cache.redis import KEY_PREFIX, TAG_BYTES, RedisCache
from worker.domain.errors import CacheError, RejectedEntryError, SettingsError
from worker.local.redis import RedisServer
from worker.settings import CacheSettings

MAX_ENTRY_BYTES = 4096


@pytest.fixture
def raw(redis: RedisServer) -> Iterator[Redis]:
    with raw_client(redis) as client:
        yield client


@pytest.fixture
async def cache(redis: RedisServer) -> AsyncIterator[RedisCache]:
    made = RedisCache(cache_settings(redis, max_entry_bytes=MAX_ENTRY_BYTES))
    yield made
    await made.close()


async def refusal(cache: RedisCache, key: str) -> str:
    with pytest.raises(RejectedEntryError) as raised:
        await cache.get(key)
    return str(raised.value)


async def failure(cache: RedisCache, key: str = "key") -> str:
    with pytest.raises(CacheError) as raised:
        await cache.get(key)
    return str(raised.value)


# What is in there.


async def test_an_entry_that_was_changed_in_one_bit_or_cut_off_is_not_served(
    cache: RedisCache, raw: Redis, topic: str
) -> None:
    await cache.put(topic, b"a reading")
    name = f"{KEY_PREFIX}{topic}"
    entry = raw.get(name)
    assert isinstance(entry, bytes)
    assert len(entry) == TAG_BYTES + len(b"a reading")
    for place in range(len(entry)):
        raw.set(name, entry[:place] + bytes([entry[place] ^ 1]) + entry[place + 1 :])
        assert "does not carry the HMAC" in await refusal(cache, topic)
    for length in range(1, len(entry)):
        raw.set(name, entry[:length])
        assert "does not carry the HMAC" in await refusal(cache, topic)
    raw.set(name, entry)
    assert await cache.get(topic) == b"a reading"


async def test_the_entry_of_another_key_is_not_served(cache: RedisCache, raw: Redis, topic: str) -> None:
    await cache.put(f"{topic}:one", b"one")
    await cache.put(f"{topic}:two", b"two")
    raw.rename(f"{KEY_PREFIX}{topic}:one", f"{KEY_PREFIX}{topic}:two")
    assert "does not carry the HMAC" in await refusal(cache, f"{topic}:two")


async def test_the_entry_of_another_secret_is_not_served(redis: RedisServer, cache: RedisCache, topic: str) -> None:
    stranger = RedisCache(cache_settings(redis, secret=SECRET.upper()))
    await stranger.put(topic, b"forged")
    await stranger.close()
    assert "LABELWIRE_CACHE__SECRET" in await refusal(cache, topic)


@pytest.mark.parametrize("garbage", [b"\x00", b"{}", bytes(TAG_BYTES), bytes(MAX_ENTRY_BYTES), "ü" * 40])
async def test_garbage_is_not_served(cache: RedisCache, raw: Redis, topic: str, garbage: bytes | str) -> None:
    raw.set(f"{KEY_PREFIX}{topic}", garbage)
    assert "does not carry the HMAC" in await refusal(cache, topic)


async def test_of_a_huge_entry_no_more_is_read_than_an_entry_may_have(
    redis: RedisServer, cache: RedisCache, raw: Redis, topic: str
) -> None:
    await cache.put(topic, bytes(MAX_ENTRY_BYTES))
    assert await cache.get(topic) == bytes(MAX_ENTRY_BYTES)
    generous = RedisCache(cache_settings(redis, max_entry_bytes=64 * 1024 * 1024))
    await generous.put(topic, bytes(32 * 1024 * 1024))
    await generous.close()
    before = _sent_bytes(raw)
    assert "more than 4128 bytes" in await refusal(cache, topic)
    assert _sent_bytes(raw) - before < 64 * 1024


def _sent_bytes(raw: Redis) -> int:
    return int(raw.info("stats")["total_net_output_bytes"])


async def test_an_entry_of_another_type_is_a_failure_and_is_replaced(cache: RedisCache, raw: Redis, topic: str) -> None:
    raw.rpush(f"{KEY_PREFIX}{topic}", b"a list")
    assert "(ResponseError)" in await failure(cache, topic)
    await cache.put(topic, b"a reading")
    assert await cache.get(topic) == b"a reading"


async def test_an_entry_has_a_time_to_live(redis: RedisServer, raw: Redis, topic: str) -> None:
    cache = RedisCache(cache_settings(redis, ttl_seconds=100))
    await cache.put(topic, b"a reading")
    await cache.close()
    assert 98 <= raw.ttl(f"{KEY_PREFIX}{topic}") <= 100


async def test_a_user_needs_two_commands_on_these_keys_alone(redis: RedisServer, raw: Redis, topic: str) -> None:
    rights = ["~labelwire:reading:*", "+getrange", "+set"]
    raw.execute_command("ACL", "SETUSER", topic, "on", ">hunter2", *rights)  # type: ignore[no-untyped-call]
    cache = RedisCache(cache_settings(redis, url=redis.url.replace("redis://", f"redis://{topic}:hunter2@")))
    await cache.put(topic, b"a reading")
    assert await cache.get(topic) == b"a reading"
    await cache.close()
    stranger = RedisCache(cache_settings(redis, url=redis.url.replace("redis://", f"redis://{topic}:wrong@")))
    assert "(AuthenticationError)" in await failure(stranger, topic)
    await stranger.close()


# How the server behaves.


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff\x00\xff\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b":1000000000000\r\n",
        b"$5\r\nab",
        b"$900000000000\r\nab",
        b"$notanumber\r\n",
        b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        b"*1000000000\r\n",
        b"-ERR no\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"%3\r\n",
        b"+" + b"x" * 100_000,
    ],
)
async def test_a_server_that_is_no_redis_is_a_failure(redis: RedisServer, answer: bytes) -> None:
    async with serving(answering(answer)) as port:
        cache = RedisCache(cache_settings(redis, url=f"redis://127.0.0.1:{port}", timeout_seconds=0.3))
        begun = time.monotonic()
        assert f"The Redis at 127.0.0.1:{port} failed" in await failure(cache)
        with pytest.raises(CacheError):
            await cache.put("key", b"a reading")
        assert time.monotonic() - begun < 3
        await cache.close()


async def test_a_silent_server_costs_the_timeout_and_no_more(redis: RedisServer) -> None:
    async with serving(silent) as port:
        cache = RedisCache(cache_settings(redis, url=f"redis://127.0.0.1:{port}", timeout_seconds=0.2))
        begun = time.monotonic()
        assert "(TimeoutError)" in await failure(cache)
        assert 0.15 < time.monotonic() - begun < 1.5
        begun = time.monotonic()
        answers = await asyncio.gather(*(cache.get(str(number)) for number in range(40)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [CacheError] * 40
        assert time.monotonic() - begun < 2
        await cache.close()


async def test_a_server_that_drips_has_no_more_time(redis: RedisServer) -> None:
    async with serving(dripping(b"+" + b"x" * 1000, 0.05)) as port:
        cache = RedisCache(cache_settings(redis, url=f"redis://127.0.0.1:{port}", timeout_seconds=0.3))
        begun = time.monotonic()
        assert "(TimeoutError)" in await failure(cache)
        assert time.monotonic() - begun < 2
        await cache.close()


async def test_a_server_that_is_away_is_a_failure_that_names_its_address_and_no_password(redis: RedisServer) -> None:
    async with serving(silent) as port:
        address = f"127.0.0.1:{port}"
    cache = RedisCache(cache_settings(redis, url=f"redis://user:hunter2@{address}"))
    said = await failure(cache)
    assert f"The Redis at {address} failed (ConnectionError); check LABELWIRE_CACHE__URL" in said
    assert "hunter2" not in said
    await cache.close()


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(redis: RedisServer, topic: str) -> None:
    """Were it, its HMAC would refuse it; but the connection is given up, so the next answer is right."""
    delays = [0.0]
    async with serving(passing_on(redis.url, lambda: delays[0])) as port:
        cache = RedisCache(cache_settings(redis, url=f"redis://127.0.0.1:{port}", timeout_seconds=1.0))
        for name in ("one", "two"):
            await cache.put(f"{topic}:{name}", name.encode())
        for _ in range(3):
            delays[0] = 1.3
            await failure(cache, f"{topic}:one")
            delays[0] = 0.0
            assert await cache.get(f"{topic}:two") == b"two"
        asked = asyncio.create_task(cache.get(f"{topic}:one"))
        await asyncio.sleep(0.001)
        asked.cancel()
        await asyncio.wait([asked])
        assert await cache.get(f"{topic}:two") == b"two"
        await cache.close()


async def test_a_full_server_answers_and_takes_nothing() -> None:
    demand_real_redis()
    with RedisServer(max_memory_bytes=2 * 1024 * 1024) as server:
        cache = RedisCache(cache_settings(server, max_entry_bytes=1024 * 1024))
        await cache.put("first", bytes(200_000))
        puts = [cache.put(str(number), bytes(200_000)) for number in range(20)]
        refused = [str(answer) for answer in await asyncio.gather(*puts, return_exceptions=True) if answer]
        assert refused
        assert all("(OutOfMemoryError)" in said for said in refused)
        assert await cache.get("first") == bytes(200_000)
        await cache.close()


async def test_a_server_that_was_killed_is_used_again_when_it_is_back() -> None:
    demand_real_redis()
    with RedisServer() as server:
        cache = RedisCache(cache_settings(server))
        await cache.put("key", b"a reading")
        server.kill()
        await failure(cache)
        server.restart()
        assert await cache.get("key") is None
        await cache.put("key", b"a reading")
        assert await cache.get("key") == b"a reading"
        await cache.close()


async def test_a_server_with_a_certificate_is_believed_only_if_somebody_vouches_for_it(
    redis: RedisServer, tmp_path: Path, topic: str
) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    async with serving(passing_on(redis.url), context) as port:
        vouched = f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path / 'authority.pem'}"
        cache = RedisCache(cache_settings(redis, url=vouched))
        await cache.put(topic, b"a reading")
        assert await cache.get(topic) == b"a reading"
        await cache.close()
        stranger = RedisCache(cache_settings(redis, url=f"rediss://localhost:{port}/0"))
        assert "(ConnectionError)" in await failure(stranger, topic)
        await stranger.close()


async def test_a_certificate_of_another_name_is_not_believed(redis: RedisServer, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "DNS:elsewhere")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    async with serving(passing_on(redis.url), context) as port:
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path / 'authority.pem'}"
        cache = RedisCache(cache_settings(redis, url=url))
        assert "(ConnectionError)" in await failure(cache)
        await cache.close()


@pytest.mark.parametrize("options", ["db=first", "no_such_option=1", "socket_timeout=soon"])
def test_an_address_with_wrong_options_is_a_wrong_setting(options: str) -> None:
    given = {"backend": "redis", "url": f"redis://user:hunter2@127.0.0.1:6379?{options}", "secret": SECRET}
    with pytest.raises(SettingsError, match="LABELWIRE_CACHE__URL has options that the Redis client") as raised:
        RedisCache(CacheSettings.model_validate(given))
    assert "hunter2" not in str(raised.value)


def test_the_secret_stands_in_no_representation(redis: RedisServer) -> None:
    assert SECRET not in repr(cache_settings(redis))
