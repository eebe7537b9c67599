import pytest
from confluent_kafka import Producer

from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.offline.bounded_reader import BoundedReader
from worker.domain.errors import BrokerError
from worker.domain.records import TopicPartition
from worker.local.kafka import KafkaServer

pytestmark = pytest.mark.real


def _write(kafka: KafkaServer, topic: str, *values: bytes, committed: bool = True) -> None:
    """Write to partition 0 in one transaction, which leaves a marker behind."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0)
    producer.flush(30)
    if committed:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def test_it_reads_to_the_ends_of_its_start_past_markers_and_aborted_records(kafka: KafkaServer, topic: str) -> None:
    create_topics(kafka.bootstrap_servers, [TopicSpec(topic, 3)])
    _write(kafka, topic, b"1", b"2")
    _write(kafka, topic, b"lost", committed=False)

    with BoundedReader(kafka.bootstrap_servers, [topic]) as reader:
        _write(kafka, topic, b"later")
        values = [record.value for record in reader]

    partition = TopicPartition(topic, 0)
    assert values == [b"1", b"2"]
    assert reader.finished
    assert reader.ends[partition] == reader.position(partition) == reader.passed == reader.total == 5
    assert reader.lows == {TopicPartition(topic, number): 0 for number in range(3)}


def test_it_begins_and_ends_where_it_is_told(kafka: KafkaServer, topic: str) -> None:
    create_topics(kafka.bootstrap_servers, [TopicSpec(topic, 1)])
    _write(kafka, topic, b"0", b"1", b"2", b"3")
    partition = TopicPartition(topic, 0)

    with BoundedReader(kafka.bootstrap_servers, [topic], starts={partition: 1}, ends={partition: 3}) as reader:
        assert not reader.finished
        records = list(reader)

    assert [record.coordinate.offset for record in records] == [1, 2]
    assert reader.total == reader.passed == 2


def test_an_empty_topic_is_finished_at_once(kafka: KafkaServer, topic: str) -> None:
    create_topics(kafka.bootstrap_servers, [TopicSpec(topic, 2)])

    with BoundedReader(kafka.bootstrap_servers, [topic]) as reader:
        assert reader.finished
        assert list(reader) == []


def test_a_topic_that_does_not_exist_is_named_and_not_made(kafka: KafkaServer, topic: str) -> None:
    for _ in range(2):
        with pytest.raises(BrokerError, match=f"has no topic {topic}"):
            BoundedReader(kafka.bootstrap_servers, [topic])
