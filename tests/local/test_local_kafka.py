from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from worker.adapters.kafka.admin import TopicSpec, create_topics, describe_topics, is_reachable
from worker.domain.errors import BrokerError, LocalStackError
from worker.local.kafka import MAX_RECORD_BYTES, Broker, KafkaServer, MockKafka
from worker.local.process import free_ports


def _produce(broker: Broker, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "message.max.bytes": MAX_RECORD_BYTES})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def _consume(broker: Broker, topic: str, group_protocol: str, count: int) -> list[bytes | None]:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": f"group-of-{topic}",
            "group.protocol": group_protocol,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    try:
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


def test_the_mock_cluster_carries_records(topic: str) -> None:
    with MockKafka() as broker:
        create_topics(broker.bootstrap_servers, [TopicSpec(topic, 8)])
        _produce(broker, topic, b"one")
        assert _consume(broker, topic, "classic", 1) == [b"one"]
        described = describe_topics(broker.bootstrap_servers, [topic, "missing"])
        assert [described[topic].partitions, described[topic].max_message_bytes] == [4, None]
        assert "missing" not in described
        address = broker.bootstrap_servers
    assert not is_reachable(address)


@pytest.mark.real
def test_topics_are_created_once_and_described(kafka: KafkaServer, topic: str) -> None:
    spec = TopicSpec(topic, 3, {"max.message.bytes": "2000000"})
    create_topics(kafka.bootstrap_servers, [spec])
    create_topics(kafka.bootstrap_servers, [spec, TopicSpec(f"{topic}-b", 1)])
    described = describe_topics(kafka.bootstrap_servers, [topic, f"{topic}-b", "missing"])
    assert set(described) == {topic, f"{topic}-b"}
    assert (described[topic].partitions, described[topic].max_message_bytes) == (3, 2_000_000)
    assert described[f"{topic}-b"].max_message_bytes == MAX_RECORD_BYTES


@pytest.mark.real
def test_looking_at_a_topic_does_not_make_it(kafka: KafkaServer, topic: str) -> None:
    assert describe_topics(kafka.bootstrap_servers, [topic]) == {}
    assert describe_topics(kafka.bootstrap_servers, [topic]) == {}


@pytest.mark.real
def test_a_topic_the_broker_refuses_is_a_broker_error(kafka: KafkaServer) -> None:
    with pytest.raises(BrokerError, match="not a topic"):
        create_topics(kafka.bootstrap_servers, [TopicSpec("not a topic", 1)])


def test_a_broker_that_is_not_there_is_a_broker_error() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    assert not is_reachable(address)
    with pytest.raises(BrokerError, match=address):
        describe_topics(address, ["any"], timeout_seconds=0.5)


def test_an_option_that_librdkafka_does_not_know_is_a_broker_error() -> None:
    with pytest.raises(BrokerError, match=r"no\.such\.option"):
        create_topics("127.0.0.1:1", [], {"no.such.option": "1"})


@pytest.mark.real
def test_a_killed_broker_comes_back_with_its_address_and_records(tmp_path: Path, topic: str) -> None:
    with KafkaServer(run_dir=tmp_path) as broker:
        address = broker.bootstrap_servers
        create_topics(address, [TopicSpec(topic, 1)])
        picture = bytes(64 * 1024 * 1024)
        _produce(broker, topic, b"small", picture)
        broker.kill()
        assert not is_reachable(address)
        broker.restart()
        assert broker.bootstrap_servers == address
        assert _consume(broker, topic, "consumer", 2) == [b"small", picture]


def test_a_broker_that_was_not_started_has_no_address() -> None:
    with pytest.raises(LocalStackError, match="has no address, because it was not started"):
        _ = KafkaServer().bootstrap_servers
