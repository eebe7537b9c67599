"""What becomes of a transaction whose producer or process fails, on the real broker."""

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from tests.contracts.brokers import PARTITIONS, Kafka
from tests.contracts.members import SILENCE_SECONDS, Listener, member, partition
from worker.adapters.kafka.offline.topic_reader import TopicReader
from worker.adapters.kafka.source import KafkaSource
from worker.adapters.kafka.transactions import KafkaTransactions
from worker.domain.errors import ErrorCode, JobError
from worker.domain.records import CommitPoint, OutgoingRecord
from worker.local.kafka import KafkaServer

pytestmark = pytest.mark.real

FENCED = KafkaError._FENCED  # noqa: SLF001 - librdkafka's own name
TIMED_OUT = KafkaError._TIMED_OUT  # noqa: SLF001 - librdkafka's own name
_KILLED = Path(__file__).with_name("killed_transaction.py")


class ScriptedProducer(Producer):
    """A real producer; what stands in a class's script happens once, before or after the real call."""

    def begin_transaction(self) -> None:
        self.script.happen("begin")
        super().begin_transaction()

    def commit_transaction(self, timeout: float = 0) -> None:
        self.script.happen("before the end")
        self._hear()
        super().commit_transaction(timeout)
        self.script.happen("after the end")

    def send_offsets_to_transaction(self, *arguments: Any) -> None:  # noqa: ANN401 - as they come
        if self.script.hangs.is_set():
            self.script.hangs.clear()
            self.script.released.wait(60)
        super().send_offsets_to_transaction(*arguments)

    def abort_transaction(self, timeout: float = 0) -> None:
        self._hear()
        super().abort_transaction(timeout)

    def _hear(self) -> None:
        if self.is_deaf:
            raise KafkaException(KafkaError(TIMED_OUT, retriable=True))

    script: "Script"
    is_deaf = False


class Script:
    """Makes producers that fail once each time that it is told to."""

    def __init__(self) -> None:
        self.failures: dict[str, KafkaError] = {}
        self.made: list[dict[str, Any]] = []
        self.last: ScriptedProducer | None = None
        self.hangs = threading.Event()
        self.released = threading.Event()

    def happen(self, when: str) -> None:
        error = self.failures.pop(when, None)
        if error is not None:
            raise KafkaException(error)

    def make(self, options: dict[str, Any]) -> Producer:
        self.made.append(options)
        producer = ScriptedProducer(options)
        producer.script = self
        self.last = producer
        return producer


@pytest.fixture
async def broker(kafka: KafkaServer, topic: str) -> Kafka:
    made = Kafka(kafka.bootstrap_servers, limits_sizes=True)
    await made.create(made.topic)
    await made.create(topic)
    return made


@pytest.fixture
def script() -> Script:
    return Script()


@asynccontextmanager
async def writer(broker: Kafka, script: Script) -> AsyncIterator[KafkaTransactions]:
    listener = Listener()
    async with member(broker, listener) as source:
        assert isinstance(source, KafkaSource)
        await listener.until(lambda: len(listener.held) == PARTITIONS)
        await asyncio.sleep(0.3)  # until the source has told of its membership
        sink = KafkaTransactions(broker.settings, lambda: source.group_metadata, script.make)
        try:
            yield sink
        finally:
            await sink.close()


async def committed(sink: KafkaTransactions, broker: Kafka, topic: str, number: int) -> None:
    record = OutgoingRecord(topic, b"key", b"%d" % number, ())
    await sink.commit([record], {partition(broker, 0): CommitPoint(number, "map")})


async def values(broker: Kafka, topic: str, count: int) -> list[bytes | None]:
    return [record.value for record in await broker.read(topic, count)]


async def test_an_end_that_is_not_acknowledged_in_time_is_asked_for_again(
    broker: Kafka, script: Script, topic: str
) -> None:
    async with writer(broker, script) as sink:
        script.failures["before the end"] = KafkaError(TIMED_OUT, retriable=True)
        await committed(sink, broker, topic, 1)
        await committed(sink, broker, topic, 2)
    assert await values(broker, topic, 2) == [b"1", b"2"]
    assert len(script.made) == 1


@pytest.mark.parametrize("must_abort", [False, True], ids=["at the end", "at the abort"])
async def test_a_producer_that_gets_no_answer_any_more_is_made_anew(
    broker: Kafka, script: Script, topic: str, *, must_abort: bool
) -> None:
    async with writer(broker, script) as sink:
        await committed(sink, broker, topic, 1)
        assert script.last is not None
        script.last.is_deaf = True
        if must_abort:
            script.failures["before the end"] = KafkaError(TIMED_OUT, txn_requires_abort=True)
        with pytest.raises(JobError) as raised:
            await committed(sink, broker, topic, 2)
        assert raised.value.code is ErrorCode.BROKER_UNAVAILABLE
        assert await broker.committed(0) == CommitPoint(1, "map")
        await committed(sink, broker, topic, 3)
        assert await values(broker, topic, 2) == [b"1", b"3"]
    assert len(script.made) == 2


async def test_a_transaction_that_was_committed_unheard_is_found_to_be_and_not_written_twice(
    broker: Kafka, script: Script, topic: str
) -> None:
    async with writer(broker, script) as sink:
        await committed(sink, broker, topic, 1)
        script.failures["after the end"] = KafkaError(FENCED, fatal=True)
        await committed(sink, broker, topic, 2)
        await committed(sink, broker, topic, 3)
        assert await values(broker, topic, 3) == [b"1", b"2", b"3"]
        assert await broker.committed(0) == CommitPoint(3, "map")
    assert len(script.made) == 2


async def test_a_transaction_whose_producer_failed_before_its_end_is_found_not_to_be_committed(
    broker: Kafka, script: Script, topic: str
) -> None:
    async with writer(broker, script) as sink:
        await committed(sink, broker, topic, 1)
        script.failures["before the end"] = KafkaError(FENCED, fatal=True)
        with pytest.raises(JobError) as raised:
            await committed(sink, broker, topic, 2)
        assert raised.value.code is ErrorCode.BROKER_UNAVAILABLE
        assert await broker.committed(0) == CommitPoint(1, "map")
        await committed(sink, broker, topic, 3)
        assert await values(broker, topic, 2) == [b"1", b"3"]


@pytest.mark.parametrize("fails", ["by script", "by another of its name"])
async def test_a_producer_that_failed_for_good_is_made_anew(
    broker: Kafka, script: Script, topic: str, fails: str
) -> None:
    async with writer(broker, script) as sink:
        await committed(sink, broker, topic, 1)
        if fails == "by script":
            script.failures["begin"] = KafkaError(FENCED, fatal=True)
        else:
            another = Producer(script.made[0])
            await asyncio.to_thread(another.init_transactions, 10)
        with pytest.raises(JobError) as raised:
            await committed(sink, broker, topic, 2)
        assert raised.value.code is ErrorCode.BROKER_UNAVAILABLE
        await committed(sink, broker, topic, 3)
        assert await values(broker, topic, 2) == [b"1", b"3"]
    assert len(script.made) == 2


async def test_a_producer_that_hangs_is_made_anew_and_fenced(broker: Kafka, script: Script, topic: str) -> None:
    async with writer(broker, script) as sink:
        await committed(sink, broker, topic, 1)
        script.hangs.set()
        with pytest.raises(JobError) as raised:
            await committed(sink, broker, topic, 2)
        assert raised.value.code is ErrorCode.BROKER_UNAVAILABLE
        await committed(sink, broker, topic, 3)
        script.released.set()
        await committed(sink, broker, topic, 4)
        assert await values(broker, topic, 3) == [b"1", b"3", b"4"]
        assert await broker.committed(0) == CommitPoint(4, "map")
    assert len(script.made) == 2


async def killed_in_a_transaction(broker: Kafka, topic: str) -> None:
    argv = [sys.executable, "-P", str(_KILLED), broker.settings.bootstrap_servers, broker.settings.group_id]
    killed = await asyncio.create_subprocess_exec(*argv, broker.topic, topic, stdout=asyncio.subprocess.PIPE)
    assert killed.stdout is not None
    assert await killed.stdout.readline() == b"written\n"
    killed.kill()
    assert await killed.wait() == -signal.SIGKILL


async def test_nothing_is_seen_of_the_transaction_of_a_killed_process(broker: Kafka, topic: str) -> None:
    await killed_in_a_transaction(broker, topic)
    with TopicReader(broker.settings.bootstrap_servers, [topic], isolation_level="read_uncommitted") as everything:
        record = await asyncio.to_thread(poll_until, everything.poll)
        assert (record.value if record else None) == b"of the killed"
    listener = Listener()
    async with member(broker, listener) as source:
        assert isinstance(source, KafkaSource)
        await listener.until(lambda: len(listener.held) == PARTITIONS)
        assert listener.held[partition(broker, 0)] == CommitPoint(0, "begun")
        await asyncio.sleep(SILENCE_SECONDS)
        sink = KafkaTransactions(broker.settings, lambda: source.group_metadata)
        await committed(sink, broker, topic, 1)
        await sink.close()
    assert await values(broker, topic, 1) == [b"1"]


def poll_until(poll: Callable[[float], Any]) -> Any:  # noqa: ANN401 - a record, or None
    for _ in range(100):
        record = poll(0.2)
        if record is not None:
            return record
    return None
