"""A compacted topic with one partition as the `ControlLog`.

Invariants: one thread alone touches the consumer, which is a member of no group and commits nothing. A topic that does
not exist is an empty log; once it is created it is read. One that was deleted and created again is read from its
beginning, as by a worker that starts.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka.admin import connected, is_mock, topic_configs, translated
from worker.adapters.kafka.call_timeout import all_done
from worker.adapters.kafka.diagnosis import missing_right
from worker.adapters.kafka.offline.standalone import concerns_group, standalone_consumer
from worker.adapters.kafka.topic_ids import topic_ids_of
from worker.adapters.kafka.topic_watch import TopicWatch
from worker.domain.errors import BrokerError, JobError
from worker.domain.records import CommitPoint, OutgoingRecord, TopicPartition
from worker.ports import Clock, ControlListener, RecordSink
from worker.settings import KafkaSettings

_LOGGER = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.1
_AGAIN_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 5.0
_DONE_SECONDS: Final = 2 * _ANSWER_SECONDS
_MAX_RECORDS: Final = 500
# States and evidence take a few kilobytes each.
_MAX_FETCH_BYTES: Final = 1024 * 1024
_POLICY: Final = "cleanup.policy"
_REFUSED: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


def find_control_topic(settings: KafkaSettings, topic: str) -> str | None:
    """Return the topic's id, empty where the broker has none; None if there is no such topic.

    Raises BrokerError where the topic may not be read, or cannot hold a state for ever and in one order.
    """
    client = connected(settings.bootstrap_servers, settings.client_options(), timeout_seconds=_ANSWER_SECONDS)
    with translated(settings.bootstrap_servers, settings.client_options()):
        metadata = client.list_topics(timeout=_ANSWER_SECONDS)
        if is_mock(metadata.cluster_id):
            return "" if topic in metadata.topics else None
        (described,) = all_done(
            _DONE_SECONDS, client.describe_topics(TopicCollection([topic]), request_timeout=_ANSWER_SECONDS)
        ).values()
        try:
            found = described.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            if code in _REFUSED:
                raise BrokerError(missing_right(settings.client_options(), "Read", "topic", topic)) from error
            raise
        _check(topic, len(found.partitions), topic_configs(client, [topic], _POLICY).get(topic))
        return str(found.topic_id)


def _check(topic: str, partitions: int, policy: str | None) -> None:
    if policy is not None and policy != "compact":
        raise BrokerError(
            f"Topic {topic} has {_POLICY}={policy}, so the state of a rollout would be lost: set it to compact, or"
            " delete the topic where no rollout is to run."
        )
    if partitions != 1:
        raise BrokerError(f"Topic {topic} has {partitions} partitions, which give no one order: create it with 1.")


class KafkaControlLog:
    """Reads and writes the topic. Written records go through `sink`."""

    def __init__(self, settings: KafkaSettings, topic: str, sink: RecordSink, clock: Clock) -> None:
        self._settings = settings
        self._topic = topic
        self._partition = TopicPartition(topic, 0)
        self._sink = sink
        self._clock = clock
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    async def start(self, listener: ControlListener) -> None:
        """Begin to read, and return at once."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(loop, listener), name="kafka-control", daemon=True)
        self._thread.start()

    async def append(self, key: str, value: bytes) -> None:
        """Return once the record is acknowledged. Raises BrokerError."""
        try:
            await self._sink.send(OutgoingRecord(self._topic, key.encode(), value, ()))
        except JobError as error:
            raise BrokerError(error.message) from error

    async def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    # On the thread.

    def _run(self, loop: asyncio.AbstractEventLoop, listener: ControlListener) -> None:
        tell = partial(_call, loop)
        was_read = told_absent = False
        while not self._closing.is_set():
            try:
                topic_id = find_control_topic(self._settings, self._topic)
                if was_read:  # it was deleted, or deleted and created again
                    tell(listener.reset)
                    was_read = told_absent = False
                if topic_id is not None:
                    was_read = True
                    self._read(topic_id, listener, tell)
                elif not told_absent:
                    told_absent = True
                    tell(listener.reached_end)
            except BrokerError as error:
                tell(listener.failed, str(error))
            except KafkaException as error:
                tell(listener.failed, f"Topic {self._topic} cannot be read: {error.args[0].str()}.")
            except Exception as error:  # a defect must not leave a worker that hears nothing more
                _LOGGER.exception("Reading the rollouts' topic failed in an unforeseen way and begins again")
                tell(listener.failed, f"Topic {self._topic} cannot be read: {type(error).__name__}.")
            self._closing.wait(_AGAIN_SECONDS)

    def _read(self, topic_id: str, listener: ControlListener, tell: Callable[..., None]) -> None:
        """Read the topic until it is another one, or the log is closed."""
        options = self._settings.client_options()
        consumer = standalone_consumer(
            self._settings.bootstrap_servers, options, tells_ends=True, max_fetch_bytes=_MAX_FETCH_BYTES
        )
        watch = TopicWatch(topic_ids_of(self._settings), self._clock)
        watch.hold({self._partition: CommitPoint(0, topic_id=topic_id)})
        told_end = False
        try:
            consumer.assign([KafkaPartition(self._topic, 0, OFFSET_BEGINNING)])
            while not self._closing.is_set() and not watch.recreated():
                at_end = self._pass_on(consumer, listener, tell)
                if at_end and not told_end:  # it is reached again after every record that comes
                    told_end = True
                    tell(listener.reached_end)
        finally:
            watch.release([self._partition])
            consumer.close()

    def _pass_on(self, consumer: Consumer, listener: ControlListener, tell: Callable[..., None]) -> bool:
        """Pass on what has come, and say whether the end of the log was reached."""
        first, at_end = consumer.poll(_POLL_SECONDS), False
        if first is None:
            return False
        for message in (first, *consumer.consume(_MAX_RECORDS, 0)):
            error, key, value = message.error(), message.key(), message.value()
            if error is None:
                if key is not None and value is not None:
                    tell(listener.received, _bytes(key).decode("utf-8", "replace"), _bytes(value))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own name
                at_end = True
            elif error.code() in _REFUSED:
                raise BrokerError(missing_right(self._settings.client_options(), "Read", "topic", self._topic))
            elif concerns_group(error):
                continue
            elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise BrokerError(f"Topic {self._topic} was deleted.")
            else:
                _LOGGER.warning("The rollout's topic %s cannot be read for now: %s", self._topic, error.str())
        return at_end


def _call(loop: asyncio.AbstractEventLoop, method: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - passed on
    try:
        loop.call_soon_threadsafe(method, *arguments)
    except RuntimeError:  # the loop has ended, and with it the worker
        _LOGGER.debug("A record of the rollout's topic came after the worker's end")


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
