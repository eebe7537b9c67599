"""What a rollout's log promises, in memory and on the real Kafka: the mock cluster gives topics four partitions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from confluent_kafka.admin import AdminClient

from tests.real_kafka import create_topic, recreate_topic
from worker.adapters.clock import SystemClock
from worker.adapters.kafka.control_log import KafkaControlLog
from worker.adapters.kafka.sink import KafkaSink
from worker.local.kafka import KafkaServer
from worker.ports import ControlLog
from worker.settings import KafkaSettings
from worker.testing.broker import MemoryBroker
from worker.testing.control_log import MemoryControlLog

ANSWER_SECONDS = 30.0


@dataclass(slots=True)
class Heard:
    """What a listener was told, in order."""

    told: list[str] = field(default_factory=list)

    def received(self, key: str, value: bytes) -> None:
        self.told.append(f"{key}={value.decode()}")

    def reached_end(self) -> None:
        self.told.append("end")

    def reset(self) -> None:
        self.told.append("reset")

    def failed(self, reason: str) -> None:
        if self.told[-1:] != [reason]:
            self.told.append(reason)

    @property
    def records(self) -> list[str]:
        return [line for line in self.told if "=" in line]

    async def until(self, is_true: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            while not is_true(self.told):  # noqa: ASYNC110 - another thread tells it
                await asyncio.sleep(0.01)


@dataclass(slots=True)
class Logs:
    """Makes logs on one topic, and closes them."""

    make: Callable[[], ControlLog]
    create: Callable[[], Awaitable[None]]
    create_again: Callable[[], Awaitable[None]]
    made: list[ControlLog] = field(default_factory=list)

    async def read(self) -> tuple[ControlLog, Heard]:
        log, heard = self.make(), Heard()
        self.made.append(log)
        await log.start(heard)
        return log, heard


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.real)])
async def logs(request: pytest.FixtureRequest, topic: str) -> AsyncIterator[Logs]:
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "memory":
            made = _in_memory(MemoryBroker(), topic)
        else:
            kafka: KafkaServer = request.getfixturevalue("kafka")
            settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
            sink = KafkaSink(settings)
            stack.push_async_callback(sink.close)
            made = _on_kafka(settings, topic, sink)
        yield made
        for log in made.made:
            await log.close()


def _in_memory(broker: MemoryBroker, topic: str) -> Logs:
    async def create() -> None:
        broker.create_topic(topic)

    async def again() -> None:
        broker.delete_topic(topic)
        broker.create_topic(topic)

    return Logs(partial(MemoryControlLog, broker, topic), create, again)


def _on_kafka(settings: KafkaSettings, topic: str, sink: KafkaSink) -> Logs:
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    compacted = {"cleanup.policy": "compact"}

    async def create() -> None:
        await asyncio.to_thread(create_topic, admin, topic, 1, compacted)

    async def again() -> None:
        await asyncio.to_thread(recreate_topic, admin, topic, 1, compacted)

    return Logs(partial(KafkaControlLog, settings, topic, sink, SystemClock()), create, again)


async def test_every_reader_gets_every_record_in_one_order(logs: Logs) -> None:
    await logs.create()
    (one, first), (other, second) = await logs.read(), await logs.read()
    await first.until(lambda told: told == ["end"])

    for number in range(10):
        await (one if number % 2 else other).append(f"k{number}", str(number).encode())

    expected = [f"k{number}={number}" for number in range(10)]
    await first.until(lambda _: first.records == expected)
    await second.until(lambda _: second.records == expected)


async def test_a_reader_that_starts_later_gets_all_before_it_is_told_of_the_end(logs: Logs) -> None:
    await logs.create()
    log, _ = await logs.read()
    await log.append("a", b"1")
    await log.append("b", b"2")

    _, late = await logs.read()

    await late.until(lambda told: "end" in told)
    assert late.told[:3] == ["a=1", "b=2", "end"]


async def test_a_log_that_does_not_exist_is_empty_and_is_read_once_it_does(logs: Logs) -> None:
    _, heard = await logs.read()
    await heard.until(lambda told: told[:1] == ["end"])

    await logs.create()
    writer, _ = await logs.read()
    await writer.append("a", b"1")

    await heard.until(lambda _: heard.records == ["a=1"])


async def test_a_log_that_was_made_anew_is_read_from_its_beginning(logs: Logs) -> None:
    await logs.create()
    log, heard = await logs.read()
    await heard.until(lambda told: told == ["end"])
    await log.append("a", b"1")
    await heard.until(lambda _: heard.records == ["a=1"])

    await logs.create_again()
    await heard.until(lambda told: told[-2:] == ["reset", "end"])
    await log.append("b", b"2")

    await heard.until(lambda _: heard.records == ["a=1", "b=2"])
    assert heard.told.count("end") == 2


@pytest.mark.real
@pytest.mark.parametrize(
    ("partitions", "policy", "reason"),
    [(1, "delete", "cleanup.policy=delete"), (1, "compact,delete", "cleanup.policy="), (3, "compact", "3 partitions")],
)
async def test_a_topic_that_cannot_hold_a_state_is_named_and_read_once_it_is_mended(
    kafka: KafkaServer, topic: str, partitions: int, policy: str, reason: str
) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    await asyncio.to_thread(create_topic, admin, topic, partitions, {"cleanup.policy": policy})
    sink, heard = KafkaSink(settings), Heard()
    log = KafkaControlLog(settings, topic, sink, SystemClock())
    await log.start(heard)

    await heard.until(bool)
    assert reason in heard.told[0]
    assert "end" not in heard.told
    await asyncio.to_thread(recreate_topic, admin, topic, 1, {"cleanup.policy": "compact"})
    await heard.until(lambda told: told[-1] == "end")

    await log.close()
    await sink.close()
