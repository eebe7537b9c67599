"""What the sink makes of a producer that has failed for good."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from pydantic import ValidationError

from tests.adapters.kafka.scripted_consumer import FATAL
from tests.contracts.brokers import Kafka
from worker.adapters.kafka.sink import KafkaSink, producer_options
from worker.domain.errors import ErrorCode, JobError
from worker.domain.records import OutgoingRecord
from worker.local.kafka import MockKafka
from worker.local.process import free_ports
from worker.settings import KafkaSettings

PATIENCE_SECONDS = 15


class FailingProducer(Producer):
    """A real producer that fails for good when it is told to: as librdkafka's do, in each call from then on."""

    fails = False

    def produce(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - librdkafka's own
        if self.fails:
            raise KafkaException(KafkaError(FATAL, "Fatal error: scripted"))
        super().produce(*arguments, **options)

    def poll(self, timeout: float = -1) -> int:
        served = super().poll(timeout)
        if self.fails:
            raise KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "scripted", fatal=True))
        return int(served)


class Makers:
    """Makes producers, the first of which may have no broker."""

    def __init__(self, *, first_has_a_broker: bool) -> None:
        self.first_has_a_broker = first_has_a_broker
        self.made: list[FailingProducer] = []

    def make(self, options: dict[str, Any]) -> Producer:
        nobody = {} if self.made or self.first_has_a_broker else {"bootstrap.servers": f"127.0.0.1:{free_ports(1)[0]}"}
        self.made.append(FailingProducer({**options, **nobody}))
        return self.made[-1]


@pytest.fixture(scope="module")
def mock() -> Iterator[MockKafka]:
    with MockKafka() as broker:
        yield broker


async def sent(sink: KafkaSink, record: OutgoingRecord) -> int:
    """Send as the worker does, again and again, and return how often that took."""
    tries = 1
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (error := await refusal(sink, record)) is not None:
            assert error.code is ErrorCode.BROKER_UNAVAILABLE
            tries += 1
            await asyncio.sleep(0.05)
    return tries


async def refusal(sink: KafkaSink, record: OutgoingRecord) -> JobError | None:
    try:
        await sink.send(record)
    except JobError as error:
        return error
    return None


async def test_a_producer_that_failed_for_good_is_made_anew(mock: MockKafka, topic: str) -> None:
    broker, makers = Kafka(mock.bootstrap_servers, limits_sizes=False), Makers(first_has_a_broker=True)
    await broker.create(topic)
    sink = KafkaSink(broker.settings, makers.make)
    await sink.send(OutgoingRecord(topic, b"key", b"1", ()))
    makers.made[0].fails = True
    assert await sent(sink, OutgoingRecord(topic, b"key", b"2", ())) > 1
    await sink.send(OutgoingRecord(topic, b"key", b"3", ()))
    await sink.close()
    assert [record.value for record in await broker.read(topic, 3)] == [b"1", b"2", b"3"]
    assert len(makers.made) == 2


async def test_what_is_under_way_when_a_producer_fails_is_told_so_and_sent_again(mock: MockKafka, topic: str) -> None:
    broker, makers = Kafka(mock.bootstrap_servers, limits_sizes=False), Makers(first_has_a_broker=False)
    await broker.create(topic)
    sink = KafkaSink(broker.settings, makers.make)
    records = [OutgoingRecord(topic, b"key", b"%d" % number, ()) for number in range(5)]
    sending = [asyncio.create_task(sent(sink, record)) for record in records]
    await asyncio.sleep(0.2)
    assert len(makers.made[0]) == 5
    makers.made[0].fails = True
    assert await asyncio.gather(*sending) == [2] * 5
    await sink.close()
    found = sorted(record.value or b"" for record in await broker.read(topic, 5))
    assert found == [b"0", b"1", b"2", b"3", b"4"]
    assert len(makers.made) == 2


@pytest.mark.parametrize("alias", ["max_in_flight", "max_in_flight_requests_per_connection"])
def test_no_batch_can_overtake_one_that_is_refused(alias: str) -> None:
    assert producer_options(KafkaSettings())["max.in.flight.requests.per.connection"] == 1
    with pytest.raises(ValidationError, match="belongs to the worker"):
        KafkaSettings.model_validate({"client": {alias: "5"}})
