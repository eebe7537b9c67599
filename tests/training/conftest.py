import pytest

from tests.dlq.replays import Ward
from worker.local.kafka import KafkaServer


@pytest.fixture
def ward(kafka: KafkaServer) -> Ward:
    """Topics of the test's own."""
    ward = Ward(kafka.bootstrap_servers)
    ward.create_topics()
    return ward
