"""Records with header names, and commits with metadata, of any bytes."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.adapters.kafka.raw_client import commit_raw, produce_raw
from worker.adapters.kafka.offline.bounded_reader import BoundedReader
from worker.adapters.kafka.offline.group_view import KafkaGroupView
from worker.adapters.kafka.offline.submit import submit
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.domain.errors import JobError
from worker.domain.job import parse_job
from worker.domain.records import OutgoingRecord, Record, TopicPartition
from worker.local.kafka import MockKafka
from worker.settings import KafkaSettings

LATIN_1 = "café".encode("latin-1")
SURROGATE = b"\xed\xa0\x80"
GOOD = "größe".encode()
READ_IN_A_CHILD = """
import faulthandler, sys
from worker.adapters.kafka.offline.bounded_reader import BoundedReader

faulthandler.enable()
servers, topic = sys.argv[1:]
for _ in range(20):
    with BoundedReader(servers, [topic]) as reader:
        assert sum(record.unreadable_headers for record in reader) == 1000
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    with MockKafka() as broker:
        yield broker.bootstrap_servers


def read(servers: str, topic: str) -> list[Record]:
    with BoundedReader(servers, [topic]) as reader:
        return list(reader)


def test_a_name_that_is_not_utf8_is_kept_escaped_and_counted(servers: str, topic: str) -> None:
    produce_raw(servers, topic, [[(GOOD, b"1"), (LATIN_1, b"2"), (b"", b"3")]], key=b"\xff", value=b"\xfe\0")
    (record,) = read(servers, topic)
    assert (record.key, record.value, record.unreadable_headers) == (b"\xff", b"\xfe\0", 1)
    assert record.headers == (("größe", b"1"), ("caf\\xe9", b"2"), ("", b"3"))
    with pytest.raises(JobError, match=r"^1 of the record's 3 headers have names that are not UTF-8;.*\.$"):
        parse_job(record)


def test_of_several_such_names_the_first_is_kept_and_every_value(servers: str, topic: str) -> None:
    produce_raw(servers, topic, [[(LATIN_1, b"1"), (SURROGATE, None), (GOOD, b"3"), (b"\xff", b"4")], [(GOOD, b"5")]])
    first, second = read(servers, topic)
    assert first.headers == (("caf\\xe9", b"1"), ("\ufffd", None), ("größe", b"3"), ("\ufffd", b"4"))
    assert (first.unreadable_headers, second.unreadable_headers) == (3, 0)
    assert second.headers == (("größe", b"5"),)


def test_a_null_value_is_another_one_than_an_empty_one(servers: str, topic: str) -> None:
    produce_raw(servers, topic, [[(b"none", None), (b"empty", b""), (b"content-type", b"x"), (b"content-type", None)]])
    (record,) = read(servers, topic)
    assert record.headers == (("none", None), ("empty", b""), ("content-type", b"x"), ("content-type", None))
    assert record.header("content-type") is None


def test_what_was_read_of_it_can_be_written(servers: str, topic: str) -> None:
    produce_raw(servers, topic, [[(LATIN_1, b"1"), (SURROGATE, b"2")]])
    (record,) = read(servers, topic)
    assert submit(servers, [OutgoingRecord(topic, record.key, record.value, record.headers)]) == 1
    again = max(read(servers, topic), key=lambda each: each.timestamp_ms)
    assert (again.headers, again.unreadable_headers) == (record.headers, 0)


def test_readers_survive_thousands_of_them(servers: str, topic: str) -> None:
    """The interpreter specializes a call that it makes often, and no longer checks it then."""
    produce_raw(servers, topic, [[(LATIN_1, b"1")]] * 1000)
    child = subprocess.run(
        [sys.executable, "-c", READ_IN_A_CHILD, servers, topic], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    with TopicReader(servers, [topic]) as reader:
        record = reader.poll(10)
    assert record is not None
    assert record.unreadable_headers == 1


def test_committed_metadata_that_is_not_utf8_is_foreign_and_no_end(servers: str, topic: str) -> None:
    produce_raw(servers, topic, [[]] * 3)
    settings = KafkaSettings(bootstrap_servers=servers, group_id=f"group-{topic}")
    commit_raw(servers, settings.group_id, topic, 0, 2, b"own" + LATIN_1)
    partition = TopicPartition(topic, 0)
    point = KafkaGroupView(settings).positions([partition])[partition]
    assert (point.offset, point.metadata) == (2, "owncaf\ufffd")
