from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fleet.workers import Fleet
from worker.local.kafka import KafkaServer


@pytest.fixture
def make_fleet(kafka: KafkaServer, tmp_path: Path) -> Iterator[Callable[[str], Fleet]]:
    """Make fleets that are stopped at the end."""
    fleets: list[Fleet] = []

    def make(triton_url: str) -> Fleet:
        fleets.append(Fleet(kafka.bootstrap_servers, triton_url, tmp_path))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.stop()
