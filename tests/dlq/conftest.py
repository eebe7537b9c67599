from collections.abc import Callable, Mapping

import pytest

from tests.dlq.replays import PARTITIONS, Ward
from worker.local.kafka import KafkaServer


@pytest.fixture
def make_ward(kafka: KafkaServer) -> Callable[..., Ward]:
    """Make topics of their own."""

    def make(target_partitions: int = PARTITIONS, target_configs: Mapping[str, str] | None = None) -> Ward:
        ward = Ward(
            kafka.bootstrap_servers, target_partitions=target_partitions, target_configs=dict(target_configs or {})
        )
        ward.create_topics()
        return ward

    return make


@pytest.fixture
def ward(make_ward: Callable[..., Ward]) -> Ward:
    return make_ward()
