import pytest

from worker.adapters.kafka.admin import TopicSpec, create_topics, describe_topics
from worker.local.kafka import KafkaServer
from worker.local.triton import TritonServer


@pytest.mark.real
def test_servers(kafka: KafkaServer, triton: TritonServer, topic: str) -> None:
    create_topics(kafka.bootstrap_servers, [TopicSpec(topic, 3)])
    assert describe_topics(kafka.bootstrap_servers, [topic])[topic].partitions == 3
    assert triton.is_ready()
