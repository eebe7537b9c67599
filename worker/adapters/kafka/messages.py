"""From librdkafka's messages to records, bytes untouched."""

from confluent_kafka import Message

from worker.domain.records import Coordinate, Record


def to_record(message: Message) -> Record:
    """Return the record of a message that carries no error."""
    received = message.headers() or []
    pairs = received.items() if isinstance(received, dict) else received
    _, timestamp_ms = message.timestamp()
    return Record(
        coordinate=Coordinate(message.topic() or "", message.partition() or 0, message.offset() or 0),
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=tuple((name, _bytes(value) or b"") for name, value in pairs),
        timestamp_ms=max(0, timestamp_ms),
    )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
