"""From librdkafka's messages to records, bytes untouched, whatever the bytes.

Kafka keeps any bytes as a header's name, and some brokers keep any as a commit's metadata. The binding (confluent-kafka
2.16) takes both for UTF-8:

- `Message.headers()` continues after a name that is not, and returns a list whose tuples lack their first item, with
  the exception still set. Called by the interpreter's specialized instruction, which does not check that, the list
  comes back, and touching the missing item crashes the process. Called through C, the call raises SystemError.
- `TopicPartition.metadata` raises UnicodeDecodeError.

Invariant: no other module uses these two.
"""

import gc
import operator
from typing import Any

from confluent_kafka import Message, TopicPartition

from worker.domain.records import Coordinate, Headers, Record

# Always a checked call, however often this line runs: an instruction specialized for `message.headers()` is not.
_headers_of = operator.methodcaller("headers")
_LOST_NAME = "\N{REPLACEMENT CHARACTER}"


def to_record(message: Message) -> Record:
    """Return the record of a message that carries no error."""
    headers, unreadable = _headers(message)
    _, timestamp_ms = message.timestamp()
    return Record(
        coordinate=Coordinate(message.topic() or "", message.partition() or 0, message.offset() or 0),
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=headers,
        timestamp_ms=max(0, timestamp_ms),
        unreadable_headers=unreadable,
    )


def metadata_text(partition: TopicPartition) -> str:
    """Return what was committed beside an offset; bytes that are no UTF-8 become U+FFFD."""
    try:
        return partition.metadata or ""
    except UnicodeDecodeError as error:
        return error.object.decode("utf-8", "replace")


def _headers(message: Message) -> tuple[Headers, int]:
    """Return the headers, and how many of them have a name that is not UTF-8."""
    try:
        received = _headers_of(message) or []
    except (SystemError, UnicodeDecodeError) as failure:
        return _salvaged(message, failure)
    pairs = received.items() if isinstance(received, dict) else received
    return tuple((name, _bytes(value)) for name, value in pairs), 0


def _salvaged(message: Message, failure: BaseException) -> tuple[Headers, int]:
    """Return the headers that can be had: every value, every readable name, and the first unreadable one, escaped."""
    unread_name = _undecoded(failure)
    headers: list[tuple[str, bytes | None]] = []
    unreadable = 0
    for pair in _headers_of(message) or ():
        # Nothing may touch the missing name; the garbage collector's view of a tuple is made for missing items.
        items: list[Any] = gc.get_referents(pair)
        name = next((item for item in items if isinstance(item, str)), None)
        value = next((item for item in items if isinstance(item, bytes)), None)
        if name is None:
            unreadable += 1
            name, unread_name = unread_name or _LOST_NAME, None
        headers.append((name, value))
    message.set_headers([*headers])  # replaces the list with missing items
    return tuple(headers), unreadable


def _undecoded(failure: BaseException | None) -> str | None:
    """Return the name that the first error was about: the later ones are errors about having one."""
    while failure is not None:
        if isinstance(failure, UnicodeDecodeError):
            return failure.object.decode("utf-8", "backslashreplace")
        failure = failure.__cause__
    return None


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
