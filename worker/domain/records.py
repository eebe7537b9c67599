"""Kafka records as values: what comes in, what goes out, and the headers that every derived record carries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# A null value is another one than an empty one.
Headers = tuple[tuple[str, bytes | None], ...]

CONTENT_TYPE_HEADER = "content-type"
CONTENT_ENCODING_HEADER = "content-encoding"
JOB_ID_HEADER = "job-id"


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


class Coordinate(NamedTuple):
    """A record's topic, partition and offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was received, bytes untouched.

    `timestamp_ms` is the broker's or producer's timestamp in epoch milliseconds, or 0 if it has none.
    `unreadable_headers` counts the headers whose names are not UTF-8: in `headers` such a name is escaped, or U+FFFD.
    """

    coordinate: Coordinate
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    unreadable_headers: int = 0

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition it came from."""
        return TopicPartition(self.coordinate.topic, self.coordinate.partition)

    def header(self, name: str) -> str | None:
        """Return the last value of a header as text, as Kafka clients do; undecodable bytes become U+FFFD.

        Names are compared without regard to case, as bridges from HTTP write them in any. None where there is none, or
        its last value is null.
        """
        for key, value in reversed(self.headers):
            if key.lower() == name.lower():
                return None if value is None else value.decode("utf-8", "replace")
        return None

    @property
    def size_bytes(self) -> int:
        """The memory that holding this record takes, roughly."""
        return len(self.value or b"") + len(self.key or b"")


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def size_bytes(self) -> int:
        """What the broker's size limit counts, headers and framing included; never less than the real size."""
        headers = sum(len(name.encode()) + len(value or b"") + 10 for name, value in self.headers)
        return len(self.value or b"") + len(self.key or b"") + headers + 100


@dataclass(frozen=True, slots=True)
class TopicLimits:
    """What a topic takes: its partitions, and the largest record batch in bytes (None: the broker does not say)."""

    partitions: int
    max_message_bytes: int | None


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """What a broker says of itself and of topics; None for a topic that does not exist."""

    cluster_id: str
    topics: Mapping[str, TopicLimits | None]


@dataclass(frozen=True, slots=True)
class CommitPoint:
    """A position to commit: the lowest offset that is not done, and what to keep beside it.

    For a position where a group begins, `topic_id` is the id of the topic that the offset belongs to; empty if the
    broker has no ids. It is not compared: a commit has its topic's id in the metadata.
    """

    offset: int
    metadata: str = ""
    topic_id: str = field(default="", compare=False)
