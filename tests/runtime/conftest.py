"""Threads for pixels, and the parts of a worker over memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.runtime.parts import Parts


@pytest.fixture(scope="session")
def pixel_threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def parts(pixel_threads: ThreadPoolExecutor) -> Parts:
    return Parts(pixel_threads)
