"""The brokers of the contracts, one topic and one group for each test."""

from collections.abc import Iterator

import pytest

from tests.contracts.brokers import ALL, Broker, Kafka, Memory
from worker.local.kafka import MockKafka


@pytest.fixture(scope="session")
def mock_kafka() -> Iterator[MockKafka]:
    """librdkafka's mock cluster in a process of its own."""
    with MockKafka() as broker:
        yield broker


@pytest.fixture(params=ALL)
async def broker(request: pytest.FixtureRequest) -> Broker:
    made = _made(request.param, request)
    await made.create(made.topic)
    return made


def _made(kind: str, request: pytest.FixtureRequest) -> Broker:
    if kind == "memory":
        return Memory()
    if kind == "mock":
        return Kafka(request.getfixturevalue("mock_kafka").bootstrap_servers, limits_sizes=False)
    real = request.getfixturevalue("kafka").bootstrap_servers
    return Kafka(real, limits_sizes=True, group_protocol="classic" if kind == "classic" else "auto")
