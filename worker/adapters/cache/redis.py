"""Readings in a Redis, which other workers share and which nobody has to trust.

Invariants: each value begins with an HMAC-SHA256 (RFC 2104) over its key and what follows, and nothing is returned that
was not compared with it. No more of a value is read than an entry may have. Every request ends in time.
"""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from worker.domain.errors import CacheError, RejectedEntryError, SettingsError
from worker.settings import CacheSettings

KEY_PREFIX: Final = "labelwire:reading:"
TAG_BYTES: Final = 32
_MAX_CONNECTIONS: Final = 16


class RedisCache:
    """A `ResultCache` in a Redis; it connects when it is first asked, and again whenever it has to.

    Raises SettingsError for options in the address that the client does not know.
    """

    def __init__(self, settings: CacheSettings) -> None:
        url = settings.redis_url
        address = urlsplit(url)
        self._address = f"{address.hostname}:{address.port or 6379}"
        self._secret = settings.redis_secret
        self._timeout_seconds = settings.timeout_seconds
        self._ttl_seconds = settings.ttl_seconds
        self._max_value_bytes = settings.max_entry_bytes + TAG_BYTES
        # One try each, because there is no time for a second one. The client's own timeouts bound what it does after a
        # request was given up: closing a connection.
        try:
            pool = ConnectionPool.from_url(
                url,
                max_connections=_MAX_CONNECTIONS,
                socket_timeout=settings.timeout_seconds,
                socket_connect_timeout=settings.timeout_seconds,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
            # It does not connect, but takes the options of the address.
            pool.make_connection()  # type: ignore[no-untyped-call]
        except (TypeError, ValueError, RedisError) as error:
            raise SettingsError(
                "LABELWIRE_CACHE__URL has options that the Redis client does not take; leave them out or correct them."
            ) from error
        self._client = Redis.from_pool(pool)
        # Not the client's pool that waits: under Python 3.11 its wait_for may lose the cancellation of a request.
        self._connections = asyncio.Semaphore(_MAX_CONNECTIONS)

    async def get(self, key: str) -> bytes | None:
        """Return what a worker with the same secret put under a key. Raises CacheError and RejectedEntryError."""
        name = f"{KEY_PREFIX}{key}"
        async with self._answering():
            # One byte more than an entry may have, so that a larger one shows.
            value: object = await self._client.getrange(name, 0, self._max_value_bytes)
            if not isinstance(value, bytes):
                raise TypeError("an answer to GETRANGE is a string")
        if not value:
            return None
        if len(value) > self._max_value_bytes:
            raise RejectedEntryError(
                f"An entry of the Redis at {self._address} has more than {self._max_value_bytes} bytes; raise"
                " LABELWIRE_CACHE__MAX_ENTRY_BYTES on all workers alike."
            )
        tag, payload = value[:TAG_BYTES], value[TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(name, payload)):
            raise RejectedEntryError(
                f"An entry of the Redis at {self._address} does not carry the HMAC of LABELWIRE_CACHE__SECRET; give all"
                " workers the same secret, and nobody else access."
            )
        return payload

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value under a key for the time to live. Raises CacheError."""
        name = f"{KEY_PREFIX}{key}"
        async with self._answering():
            if not await self._client.set(name, self._tag(name, value) + value, ex=self._ttl_seconds):
                raise TypeError("an answer to SET is OK")

    async def close(self) -> None:
        """Close the connections; one that cannot be closed in an orderly way ends with the process."""
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    def _tag(self, name: str, payload: bytes) -> bytes:
        """Return the HMAC of an entry; a name holds no NUL byte, so the two cannot be cut otherwise."""
        return hmac.digest(self._secret, name.encode() + b"\0" + payload, "sha256")

    @contextlib.asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Let the block take no longer than a request may, and translate what it raises to CacheError."""
        try:
            async with asyncio.timeout(self._timeout_seconds), self._connections:
                yield
        except Exception as error:  # a server that is none makes the client raise anything
            # Its class alone: a message may quote the command, and so the entry.
            raise CacheError(
                f"The Redis at {self._address} failed ({type(error).__name__}); check LABELWIRE_CACHE__URL and the"
                " server."
            ) from error
