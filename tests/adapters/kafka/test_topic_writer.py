"""One writer for many batches, on librdkafka's mock cluster."""

import uuid
from collections.abc import Iterator

import pytest

from worker.adapters.kafka.admin import TopicSpec, create_topics
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.adapters.kafka.offline.topic_writer import TopicWriter
from worker.domain.errors import BrokerError
from worker.domain.records import OutgoingRecord
from worker.local.kafka import MockKafka


class Told:
    """Counts what it is told of."""

    def __init__(self) -> None:
        self.count = 0

    def take(self) -> None:
        self.count += 1


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    with MockKafka() as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def topic(servers: str) -> str:
    name = f"jobs-{uuid.uuid4().hex[:8]}"
    create_topics(servers, [TopicSpec(name, 1, {})])
    return name


def test_each_batch_is_acknowledged_when_it_returns(servers: str, topic: str) -> None:
    told = Told()
    with TopicWriter(servers) as writer, TopicReader(servers, [topic]) as reader:
        for batch in range(2):
            records = [OutgoingRecord(topic, None, f"{batch}/{number}".encode(), ()) for number in range(3)]
            assert writer.write(records, told.take) == 3
            assert told.count == 3 * (batch + 1)
            read = [reader.poll(10) for _ in range(3)]
            # The mock cluster spreads them over its partitions.
            assert {record.value for record in read if record} == {record.value for record in records}


def test_a_batch_that_is_refused_says_why_and_the_next_one_is_written(servers: str, topic: str) -> None:
    good = OutgoingRecord(topic, None, b"good", ())
    with TopicWriter(servers) as writer:
        with pytest.raises(BrokerError, match="Kafka refused a record for"):
            writer.write([OutgoingRecord(topic, None, b"x" * (64 * 1024 * 1024 + 1), ())])
        assert writer.write([good]) == 1
