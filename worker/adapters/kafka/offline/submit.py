"""Writing a batch of records, outside any worker.

Errors of librdkafka leave this module as BrokerError.
"""

import logging
from collections.abc import Callable, Iterable, Mapping

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


def submit(
    bootstrap_servers: str,
    records: Iterable[OutgoingRecord],
    client_options: Mapping[str, str] | None = None,
    on_delivered: Callable[[], None] | None = None,
) -> int:
    """Write records and return how many; all of them are acknowledged then.

    `on_delivered` is called for each one. Raises BrokerError if any is not acknowledged within a minute.
    """
    connected(bootstrap_servers, client_options, timeout_seconds=_METADATA_SECONDS)
    delivery = _Delivery(bootstrap_servers, client_options or {}, on_delivered)
    producer = Producer(
        {
            **(client_options or {}),
            "bootstrap.servers": bootstrap_servers,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "delivery.timeout.ms": int(_DELIVERY_SECONDS * 1000),
            # A batch that is sent again neither comes twice nor after a later one; with more than one in flight
            # librdkafka may acknowledge what a leader that has just come up did not take.
            "enable.idempotence": True,
            "max.in.flight.requests.per.connection": 1,
            "logger": RedactingLogger(_LOGGER, client_options or {}),
        }
    )
    for record in records:
        _produce(producer, record, delivery)
    producer.flush(_DELIVERY_SECONDS)
    delivery.check()
    return delivery.acknowledged


def _produce(producer: Producer, record: OutgoingRecord, delivery: "_Delivery") -> None:
    while True:
        try:
            producer.produce(record.topic, record.value, record.key, headers=list(record.headers), on_delivery=delivery)
        except BufferError:
            producer.poll(0.5)
        except KafkaException as error:
            raise BrokerError(f"Kafka refused a record for {record.topic}: {error.args[0]}") from error
        else:
            delivery.asked += 1
            producer.poll(0)
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
