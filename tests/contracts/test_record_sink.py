"""What every RecordSink must do, the real one and the fake."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest

from tests.contracts.brokers import PARTITIONS, Broker, Memory
from worker.adapters.kafka.sink import KafkaSink
from worker.domain.errors import BrokerError, ErrorCode, JobError
from worker.domain.records import OutgoingRecord
from worker.local.process import free_ports
from worker.ports import RecordSink
from worker.settings import KafkaSettings
from worker.testing.broker import MemoryBroker
from worker.testing.sink import MemorySink

KIBIBYTE = 1024


@pytest.fixture
async def sink(broker: Broker) -> AsyncIterator[RecordSink]:
    made = broker.sink()
    yield made
    await made.close()


def noise(size_bytes: int) -> bytes:
    """Return bytes that no compression makes smaller."""
    return random.Random(size_bytes).randbytes(size_bytes)  # noqa: S311 - no secret


async def test_what_is_acknowledged_is_readable_byte_for_byte(broker: Broker, sink: RecordSink) -> None:
    headers = (("twice", b"\xff\xfe"), ("once", b""), ("null", None), ("twice", b"2"))
    await sink.send(OutgoingRecord(broker.topic, b"\xff\x00", b"\x00value\xff", headers))
    (record,) = await broker.read(broker.topic, 1)
    assert (record.key, record.value, record.headers) == (b"\xff\x00", b"\x00value\xff", headers)


async def test_a_null_key_and_a_null_value_stay_null(broker: Broker, sink: RecordSink) -> None:
    await sink.send(OutgoingRecord(broker.topic, None, None, ()))
    (record,) = await broker.read(broker.topic, 1)
    assert (record.key, record.value, record.headers) == (None, None, ())


async def test_many_sends_at_once_are_all_acknowledged_and_records_of_a_key_keep_their_order(
    broker: Broker, sink: RecordSink
) -> None:
    numbers = [b"%d" % number for number in range(40)]
    await asyncio.gather(*(sink.send(OutgoingRecord(broker.topic, b"key", number, ())) for number in numbers))
    assert [record.value for record in await broker.read(broker.topic, 40)] == numbers


async def test_a_record_over_the_topics_limit_is_too_large_and_the_next_one_is_taken(
    broker: Broker, sink: RecordSink, topic: str
) -> None:
    if not broker.limits_sizes:
        pytest.skip("the mock cluster has no limits")
    await broker.create(topic, max_message_bytes=64 * KIBIBYTE)
    with pytest.raises(JobError, match=topic) as raised:
        await sink.send(OutgoingRecord(topic, None, noise(65 * KIBIBYTE), ()))
    assert raised.value.code is ErrorCode.RESULT_TOO_LARGE
    await sink.send(OutgoingRecord(topic, None, noise(60 * KIBIBYTE), ()))
    assert [len(record.value or b"") for record in await broker.read(topic, 1)] == [60 * KIBIBYTE]


async def test_records_that_fit_one_by_one_are_taken_when_they_are_sent_together(
    broker: Broker, sink: RecordSink, topic: str
) -> None:
    await broker.create(topic, max_message_bytes=64 * KIBIBYTE)
    together = [OutgoingRecord(topic, b"key", noise(12 * KIBIBYTE + number), ()) for number in range(20)]
    await asyncio.gather(*(sink.send(record) for record in together))
    assert len(await broker.read(topic, 20)) == 20


async def test_a_record_of_exactly_the_promised_size_fits(broker: Broker, sink: RecordSink, topic: str) -> None:
    limit = 64 * KIBIBYTE
    await broker.create(topic, max_message_bytes=limit)
    headers = tuple((f"name-{number}", b"v" * number) for number in range(50))
    empty = OutgoingRecord(topic, b"key", b"", headers)
    full = OutgoingRecord(topic, b"key", noise(limit - empty.size_bytes), headers)
    assert full.size_bytes == limit
    await sink.send(full)
    assert (await broker.read(topic, 1))[0].value == full.value


async def test_topics_are_described_with_their_limits_and_missing_ones_as_missing(
    broker: Broker, sink: RecordSink, topic: str
) -> None:
    await broker.create(topic, max_message_bytes=70_000)
    description = await sink.describe([topic, broker.topic, "no-such-topic"])
    assert description.cluster_id
    assert description.topics["no-such-topic"] is None
    limits = description.topics[topic]
    assert limits is not None
    assert limits.partitions == PARTITIONS
    mock = not broker.limits_sizes
    assert limits.max_message_bytes == (None if mock else 70_000)
    assert description.topics[broker.topic] is not None


async def test_looking_at_a_missing_topic_does_not_make_it(sink: RecordSink, topic: str) -> None:
    for _ in range(2):
        assert (await sink.describe([topic])).topics[topic] is None


async def test_a_closed_sink_may_be_closed_again(broker: Broker, sink: RecordSink) -> None:
    await sink.send(OutgoingRecord(broker.topic, None, b"x", ()))
    await sink.close()
    await sink.close()
    assert len(await broker.read(broker.topic, 1)) == 1


def _memory_alone() -> RecordSink:
    broker = MemoryBroker()
    broker.reachable = False
    return MemorySink(broker)


def _kafka_alone() -> RecordSink:
    client = {"message_timeout_ms": "1000"}
    return KafkaSink(KafkaSettings.model_validate({"bootstrap_servers": _nobody(), "client": client}))


def _nobody() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.mark.parametrize("make", [_memory_alone, _kafka_alone])
async def test_without_a_broker_describing_and_sending_fail_in_bounded_time(make: type[RecordSink]) -> None:
    sink, begun = make(), time.monotonic()
    with pytest.raises(BrokerError):
        await sink.describe(["jobs"])
    with pytest.raises(JobError) as raised:
        await sink.send(OutgoingRecord("jobs", None, b"x", ()))
    assert raised.value.code is ErrorCode.BROKER_UNAVAILABLE
    await sink.close()
    assert time.monotonic() - begun < 20


async def test_the_memory_sink_fails_as_it_is_told_and_writes_nothing_then() -> None:
    memory = Memory()
    await memory.create("results")
    sink, record = memory.sink(), OutgoingRecord("results", None, b"x", ())
    away = JobError(ErrorCode.BROKER_UNAVAILABLE, "away")
    sink.refuse(away, None)
    with pytest.raises(JobError, match="away"):
        await sink.send(record)
    await sink.send(record)
    sink.broken = away
    with pytest.raises(JobError, match="away"):
        await sink.send(record)
    sink.broken = None
    sink.hold()
    held = asyncio.create_task(sink.send(record))
    await asyncio.sleep(0)
    assert sink.waiting == 1
    assert len(memory.broker.records("results")) == 1
    sink.release()
    await held
    assert len(memory.broker.records("results")) == 2
    assert sink.attempts == 4
