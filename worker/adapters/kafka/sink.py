"""A producer as a `RecordSink`: each `send` returns when all in-sync replicas have the record.

Invariants: a record is reported as acknowledged only by its own delivery report without an error; a producer that has
failed for good is replaced, and what was under way with it fails.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.adapters.kafka.admin import describe_cluster
from worker.adapters.kafka.diagnosis import missing_right
from worker.adapters.kafka.membership import is_fatal
from worker.adapters.kafka.secret_options import RedactingLogger
from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.records import ClusterDescription, OutgoingRecord
from worker.picture_settings import MEBIBYTE
from worker.settings import KafkaSettings

_LOGGER = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_FULL_QUEUE_SECONDS = 0.05
_CLOSE_SECONDS = 10.0
_MAX_MESSAGE_BYTES = 96 * MEBIBYTE  # the topic's own limit decides; librdkafka's default would come before it
# A batch over its topic's limit is refused whole, records that fit and all, and no topic's limit is below this (it is
# the default of Java's producer, too). A larger record has a batch of its own.
_BATCH_BYTES = 16 * 1024


class KafkaSink:
    """Writes records with an idempotent producer."""

    def __init__(self, settings: KafkaSettings, make_producer: Callable[[dict[str, Any]], Producer] = Producer) -> None:
        self._settings = settings
        self._make_producer = make_producer
        self._producer = make_producer(producer_options(settings))
        self._failed: Producer | None = None
        self._closing = threading.Event()
        # Delivery reports come on the thread that polls.
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._thread.start()

    async def send(self, record: OutgoingRecord) -> None:
        """Return once the record is acknowledged.

        Raises JobError RESULT_TOO_LARGE where it is over a size limit, and BROKER_UNAVAILABLE else.
        """
        loop = asyncio.get_running_loop()
        acknowledged: asyncio.Future[None] = loop.create_future()

        def report(error: KafkaError | None, _message: Message) -> None:
            refusal = None if error is None else _job_error(error, record.topic, self._settings)
            loop.call_soon_threadsafe(_resolve, acknowledged, refusal)

        while not self._produced(record, report):  # noqa: ASYNC110 - librdkafka does not say when its queue has room
            await asyncio.sleep(_FULL_QUEUE_SECONDS)
        await acknowledged

    def _produced(self, record: OutgoingRecord, report: Any) -> bool:  # noqa: ANN401 - librdkafka's callback
        """Hand the record to librdkafka; False if its queue is full."""
        producer = self._producer
        try:
            producer.produce(record.topic, record.value, record.key, headers=list(record.headers), on_delivery=report)
        except BufferError:
            return False
        except KafkaException as error:
            self._note(producer, error.args[0])
            raise _job_error(error.args[0], record.topic, self._settings) from error
        return True

    async def describe(self, topics: Collection[str]) -> ClusterDescription:
        """Return the cluster's name and each topic's limits. Raises BrokerError if the broker does not answer."""
        return await asyncio.to_thread(
            describe_cluster, self._settings.bootstrap_servers, topics, self._settings.client_options()
        )

    async def close(self) -> None:
        """Wait a bounded time for what is under way, and close."""
        await asyncio.to_thread(self._producer.flush, _CLOSE_SECONDS)
        self._closing.set()
        await asyncio.to_thread(self._thread.join)

    def _poll(self) -> None:
        while not self._closing.is_set():
            try:
                self._producer.poll(_POLL_SECONDS)
            except KafkaException as error:  # librdkafka's way to say that a producer has failed for good
                self._note(self._producer, error.args[0])
            except SystemError:  # the same, where the binding was calling back and lost the error
                _LOGGER.warning("The producer has failed and is replaced")
                self._failed = self._producer
            if self._failed is self._producer:
                self._replace(self._producer)

    def _note(self, producer: Producer, error: KafkaError) -> None:
        if is_fatal(error):
            _LOGGER.warning("The producer has failed and is replaced: %s", error.str())
            self._failed = producer

    def _replace(self, failed: Producer) -> None:
        """Make a new producer, then fail what was under way with the old one; the senders send it again."""
        self._producer = self._make_producer(producer_options(self._settings))
        failed.purge()
        # Each report may bring the failure up again, instead of what it reports.
        deadline = time.monotonic() + _CLOSE_SECONDS
        while len(failed) and time.monotonic() < deadline:
            with contextlib.suppress(KafkaException, SystemError):
                failed.poll(_POLL_SECONDS)


def producer_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return librdkafka's options for the producer; those that the worker depends on override the settings."""
    return {
        "client.id": "labelwire",
        "linger.ms": 5,
        "batch.size": _BATCH_BYTES,
        "compression.type": "lz4",
        "message.max.bytes": _MAX_MESSAGE_BYTES,
        **{name: value for name, value in settings.client_options().items() if not name.startswith("group.")},
        "bootstrap.servers": settings.bootstrap_servers,
        "enable.idempotence": True,
        # With more, a batch that the broker refuses for the moment may be overtaken by the next one; where this
        # producer is new to the partition the broker takes that, and librdkafka counts the first one as written, too.
        "max.in.flight.requests.per.connection": 1,
        "acks": "all",
        "logger": RedactingLogger(_LOGGER, settings.client_options()),
    }


def _resolve(acknowledged: asyncio.Future[None], error: JobError | None) -> None:
    if acknowledged.done():  # the sender was canceled
        return
    if error is None:
        acknowledged.set_result(None)
    else:
        acknowledged.set_exception(error)


def too_large(error: KafkaError) -> bool:
    """Say whether a record was refused for its size."""
    return error.code() in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)


def _job_error(error: KafkaError, topic: str, settings: KafkaSettings) -> JobError:
    if too_large(error):
        message = f"The record is over the size limit of topic {topic}; raise its max.message.bytes."
        return JobError(ErrorCode.RESULT_TOO_LARGE, message)
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        message = f"{missing_right(settings.client_options(), 'Write', 'topic', topic)} The record is sent again."
    else:
        message = f"Kafka did not take a record for topic {topic}: {error.str()}; it is sent again."
    return JobError(ErrorCode.BROKER_UNAVAILABLE, message, stage=Stage.PUBLISH)
