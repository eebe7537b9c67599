"""Writing records with one producer that stays connected, outside any worker.

Invariant: when `write` returns, the broker has acknowledged each of its records. An idempotent producer asks the broker
for an id before its first record, which takes up to half a second, so whoever writes many batches keeps one writer.
Errors of librdkafka leave this module as BrokerError.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.adapters.kafka.admin import connected
from worker.adapters.kafka.diagnosis import missing_right
from worker.adapters.kafka.offline.standalone import MAX_MESSAGE_BYTES
from worker.adapters.kafka.secret_options import RedactingLogger
from worker.domain.errors import BrokerError
from worker.domain.records import OutgoingRecord

_DELIVERY_SECONDS = 60.0
_METADATA_SECONDS = 15.0
_LOGGER = logging.getLogger(__name__)


class TopicWriter:
    """Writes batches of records; a context manager. Raises BrokerError if the broker does not answer."""

    def __init__(self, bootstrap_servers: str, client_options: Mapping[str, str] | None = None) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._options = client_options or {}
        connected(bootstrap_servers, client_options, timeout_seconds=_METADATA_SECONDS)
        self._producer = Producer(
            {
                **self._options,
                "bootstrap.servers": bootstrap_servers,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "delivery.timeout.ms": int(_DELIVERY_SECONDS * 1000),
                # A batch that is sent again neither comes twice nor after a later one; with more than one in flight
                # librdkafka may acknowledge what a leader that has just come up did not take.
                "enable.idempotence": True,
                "max.in.flight.requests.per.connection": 1,
                "logger": RedactingLogger(_LOGGER, self._options),
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, records: Iterable[OutgoingRecord], on_delivered: Callable[[], None] | None = None) -> int:
        """Write records and return how many; all of them are acknowledged then.

        `on_delivered` is called for each one. Raises BrokerError if any is not acknowledged within a minute.
        """
        delivery = _Delivery(self._bootstrap_servers, self._options, on_delivered)
        for record in records:
            self._produce(record, delivery)
        self._producer.flush(_DELIVERY_SECONDS)
        delivery.check()
        return delivery.acknowledged

    def close(self) -> None:
        """Drop what is not acknowledged, and close the connections."""
        self._producer.purge()
        self._producer.flush(0)

    def _produce(self, record: OutgoingRecord, delivery: "_Delivery") -> None:
        headers: list[tuple[str, str | bytes | None]] = list(record.headers)
        while True:
            try:
                self._producer.produce(record.topic, record.value, record.key, headers=headers, on_delivery=delivery)
            except BufferError:
                self._producer.poll(0.5)
            except KafkaException as error:
                raise BrokerError(f"Kafka refused a record for {record.topic}: {error.args[0]}") from error
            else:
                delivery.asked += 1
                self._producer.poll(0)
                return


class _Delivery:
    """Counts the records that the broker acknowledged."""

    def __init__(
        self, bootstrap_servers: str, client_options: Mapping[str, str], on_delivered: Callable[[], None] | None
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._client_options = client_options
        self._on_delivered = on_delivered
        self._refusal: str | None = None
        self.asked = 0
        self.acknowledged = 0

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Take librdkafka's report on one record."""
        if error is not None:
            denied = error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
            said = missing_right(self._client_options, "Write", "topic", message.topic() or "") if denied else ""
            self._refusal = self._refusal or said or f"{error.str()} ({message.topic()})."
            return
        self.acknowledged += 1
        if self._on_delivered:
            self._on_delivered()

    def check(self) -> None:
        """Raise BrokerError unless every record was acknowledged."""
        if self.acknowledged < self.asked:
            reason = self._refusal or "no answer."
            raise BrokerError(
                f"Kafka at {self._bootstrap_servers} took {self.acknowledged} of {self.asked} records: {reason}"
            )
