"""What reading a page takes beside the page: a server that reads a block font, and threads."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from worker.testing.backend import FakeBackend


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
async def backend() -> AsyncIterator[FakeBackend]:
    made = FakeBackend()
    yield made
    await made.close()
