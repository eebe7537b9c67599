"""What readers outside any worker do with a topic that is deleted and created again."""

import time
from collections.abc import Collection

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.real_kafka import create_topic, recreate_topic
from worker.adapters.kafka.offline.bounded_reader import BoundedReader, TopicRecreatedError, present_topic_ids
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.domain.records import TopicPartition
from worker.local.kafka import KafkaServer

pytestmark = pytest.mark.real
PATIENCE_SECONDS = 30.0


class Log:
    """One topic of one partition, by plain clients."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.topic = topic
        self.partition = TopicPartition(topic, 0)
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        create_topic(self._admin, topic, 1)

    def write(self, name: str, count: int) -> list[bytes]:
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "linger.ms": 0})
        values = [f"{name} {number}".encode() for number in range(count)]
        for value in values:
            producer.produce(self.topic, value, partition=0)
        assert producer.flush(20) == 0
        return values

    def recreate(self) -> None:
        recreate_topic(self._admin, self.topic, 1)

    def topic_id(self) -> str:
        return present_topic_ids(self.bootstrap_servers, [self.topic])[self.topic]


@pytest.fixture
def log(kafka: KafkaServer, topic: str) -> Log:
    return Log(kafka.bootstrap_servers, topic)


def _until(reader: TopicReader, wanted: Collection[bytes]) -> list[bytes]:
    values: list[bytes] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not set(wanted) <= set(values):
        assert time.monotonic() < deadline, f"{set(wanted) - set(values)} did not come"
        record = reader.poll(0.2)
        values += [record.value] if record is not None and record.value else []
    return values


@pytest.mark.parametrize("count", [3, 12], ids=["shorter than the former", "longer than the former"])
def test_whoever_follows_a_topic_goes_on_at_the_beginning_of_the_new_one(log: Log, count: int) -> None:
    with TopicReader(log.bootstrap_servers, [log.topic]) as reader:
        _until(reader, log.write("former", 8))
        log.recreate()
        new = log.write("new", count)
        values = _until(reader, new)
        values += _until(reader, late := log.write("late", 2))
    assert values[-count - 2 :] == new + late


@pytest.mark.parametrize("count", [3, 12], ids=["shorter than the former", "longer than the former"])
def test_whoever_reads_a_topic_to_its_end_is_told_that_it_was_made_anew(log: Log, count: int) -> None:
    log.write("former", 8)
    with BoundedReader(log.bootstrap_servers, [log.topic]) as reader:
        assert len(reader.read(1, PATIENCE_SECONDS)) == 1
        reader.check_topics()
        log.recreate()
        log.write("new", count)
        began = time.monotonic()
        with pytest.raises(TopicRecreatedError, match=f"The topic {log.topic} .* was deleted"):
            list(reader)
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_offsets_that_were_made_for_a_former_topic_count_as_none(log: Log) -> None:
    log.write("former", 8)
    made_for = {log.topic: log.topic_id()}
    starts, ends = {log.partition: 2}, {log.partition: 5}
    with BoundedReader(log.bootstrap_servers, [log.topic], starts=starts, ends=ends, made_for=made_for) as reader:
        assert (reader.topic_ids, [record.coordinate.offset for record in reader]) == (made_for, [2, 3, 4])
    log.recreate()
    log.write("new", 7)
    with BoundedReader(log.bootstrap_servers, [log.topic], starts=starts, ends=ends, made_for=made_for) as reader:
        assert [record.coordinate.offset for record in reader] == [0, 1, 2, 3, 4, 5, 6]
        assert reader.topic_ids == {log.topic: log.topic_id()} != made_for
