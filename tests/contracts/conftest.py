"""The brokers of the contracts, one topic and one group for each test."""

from collections.abc import Iterator

import pytest

from tests.contracts.brokers import Broker, Kafka, Memory
from worker.local.kafka import MockKafka


@pytest.fixture(scope="session")
def mock_kafka() -> Iterator[MockKafka]:
    """librdkafka's mock cluster in a process of its own."""
    with MockKafka() as broker:
        yield broker


def _memory(_: pytest.FixtureRequest) -> Broker:
    return Memory()


def _mock(request: pytest.FixtureRequest) -> Broker:
    return Kafka(request.getfixturevalue("mock_kafka").bootstrap_servers, real=False)


def _real(request: pytest.FixtureRequest) -> Broker:
    return Kafka(request.getfixturevalue("kafka").bootstrap_servers, real=True)


@pytest.fixture(params=[_memory, _mock, pytest.param(_real, marks=pytest.mark.real)], ids=lambda maker: maker.__name__)
async def broker(request: pytest.FixtureRequest) -> Broker:
    made: Broker = request.param(request)
    await made.create(made.topic)
    return made
