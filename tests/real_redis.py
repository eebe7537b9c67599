"""What every test on a real Redis asks for first, and how its entries are reached behind the adapter's back."""

import os

import pytest
from redis import Redis

from worker.domain.errors import LocalStackError
from worker.local.provision import python_environment
from worker.local.redis import RedisServer
from worker.settings import CacheSettings

SECRET = "sixteen letters, or more"  # noqa: S105 - of the tests


def demand_real_redis() -> None:
    """Fetch Redis if it is missing; where it cannot be had, skip the test, or fail it in CI."""
    try:
        python_environment("redis")
    except LocalStackError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has to run on a real Redis: {error}")
        pytest.skip(f"no real Redis here: {error}")


def cache_settings(server: RedisServer, **changed: object) -> CacheSettings:
    """Return settings for a server, with time enough for a machine that is busy with other tests."""
    given: dict[str, object] = {
        "backend": "redis",
        "url": server.url,
        "secret": SECRET,
        "timeout_seconds": 5.0,
    }
    return CacheSettings.model_validate(given | changed)


def raw_client(server: RedisServer) -> Redis:
    """Return a client that reads and writes what it likes."""
    return Redis.from_url(server.url)
