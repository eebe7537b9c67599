"""Fetching single records by their coordinates.

Invariant: a fetcher is a member of no group and commits nothing. The record that is returned is the one at the
coordinate that was asked for, never a neighbor. Errors of librdkafka leave this module as BrokerError.
"""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from worker.adapters.kafka.diagnosis import missing_right
from worker.adapters.kafka.messages import to_record
from worker.adapters.kafka.offline.standalone import concerns_group, standalone_consumer
from worker.adapters.kafka.transient import is_transient
from worker.domain.errors import BrokerError
from worker.domain.records import Coordinate, Record

_METADATA_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.5
# The broker returns a larger record whole all the same (KIP-74); more than one is not wanted.
_MAX_FETCH_BYTES: Final = 1024 * 1024
_NOTHING_THERE: Final = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError._PARTITION_EOF,  # noqa: SLF001 - librdkafka's own name
    KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
)


class RecordFetcher:
    """Fetches records by coordinate; a context manager. For one thread at a time."""

    def __init__(
        self, bootstrap_servers: str, client_options: Mapping[str, str] | None = None, *, timeout_seconds: float = 60.0
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._client_options = client_options or {}
        self._timeout_seconds = timeout_seconds
        self._consumer = standalone_consumer(
            bootstrap_servers,
            client_options,
            lost_offset="error",
            tells_ends=True,
            max_fetch_bytes=_MAX_FETCH_BYTES,
            min_queued_messages=1,
        )

    def fetch(self, coordinate: Coordinate) -> Record | None:
        """Return the record at a coordinate; None if it is no longer there, or its topic is not.

        Raises BrokerError if the broker does not say within the timeout.
        """
        try:
            if not self._exists(coordinate):
                return None
            self._consumer.assign([TopicPartition(*coordinate)])
            try:
                return self._read(coordinate)
            finally:
                self._consumer.unassign()
        except KafkaException as error:
            if error.args[0].code() in _NOTHING_THERE:
                return None
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise BrokerError(missing_right(self._client_options, "Read", "topic", coordinate.topic)) from error
            raise BrokerError(f"Kafka at {self._bootstrap_servers}: {error.args[0].str()}.") from error

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _exists(self, coordinate: Coordinate) -> bool:
        """Whether the partition exists and its offsets span the coordinate: to ask for a missing one takes long."""
        listed = self._consumer.list_topics(coordinate.topic, timeout=_METADATA_SECONDS).topics.get(coordinate.topic)
        if listed is not None and listed.error is not None:
            raise KafkaException(listed.error)
        if listed is None or coordinate.partition not in listed.partitions:
            return False
        span = self._consumer.get_watermark_offsets(
            TopicPartition(coordinate.topic, coordinate.partition), timeout=_METADATA_SECONDS
        )
        return span is not None and span[0] <= coordinate.offset < span[1]

    def _read(self, coordinate: Coordinate) -> Record | None:
        deadline = time.monotonic() + self._timeout_seconds
        while time.monotonic() < deadline:
            message = self._consumer.poll(_POLL_SECONDS)
            if message is None or self._is_passing(message):
                continue
            if message.error() is not None:
                return None
            record = to_record(message)
            # A later record comes where compaction or an aborted transaction left a gap.
            return record if record.coordinate == coordinate else None
        raise BrokerError(
            f"Kafka at {self._bootstrap_servers} did not return the record {coordinate} "
            f"within {self._timeout_seconds:g} seconds."
        )

    def _is_passing(self, message: Message) -> bool:
        """Whether a message is an error that passes by itself; raises KafkaException for one that does not."""
        error = message.error()
        if error is None or error.code() in _NOTHING_THERE:
            return False
        if is_transient(error) or concerns_group(error):
            return True
        raise KafkaException(error)
