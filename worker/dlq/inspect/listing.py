"""Dead letters as they are read, or as rows of a list in the order of time.

Invariant: rows hold no payload, and the rows in memory are bounded in number. Letters of different partitions that are
further apart than that come in the order in which they were read.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

from worker.dlq.letter import DeadLetter
from worker.dlq.selection import Selection
from worker.domain.records import Coordinate, Record, TopicPartition
from worker.reporting.formats import moment, printable, size

MAX_HELD: Final = 20_000
_READ_AT_ONCE: Final = 500
_READ_SECONDS: Final = 0.5


class LetterSource(Protocol):
    """Where letters are read from; a `BoundedReader` is one."""

    @property
    def ends(self) -> Mapping[TopicPartition, int]:
        """Where each partition ends."""

    @property
    def passed(self) -> int:
        """How many offsets were read."""

    @property
    def finished(self) -> bool:
        """Whether everything was read."""

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset to read."""

    def read(self, max_records: int, timeout_seconds: float) -> list[Record]:
        """Return the next records."""


@dataclass(frozen=True, slots=True)
class LetterRow:
    """One letter as `dlq ls` lists it."""

    coordinate: Coordinate
    at_ms: int
    id: str
    code: str
    stage: str
    fingerprint: str
    job_id: str
    attempt: int
    replay_count: int
    payload_size_bytes: int
    payload_mode: str
    message: str

    @classmethod
    def of(cls, letter: DeadLetter) -> "LetterRow":
        """Return the row of a letter."""
        return cls(
            coordinate=letter.record.coordinate,
            at_ms=letter.failed_at_ms,
            id=letter.id,
            code=letter.code,
            stage=letter.stage,
            fingerprint=letter.fingerprint,
            job_id=letter.job_id,
            attempt=letter.attempt,
            replay_count=letter.derived.replay_count,
            payload_size_bytes=letter.payload_size_bytes,
            payload_mode=letter.payload_mode,
            message=letter.message,
        )

    def cells(self) -> tuple[str, ...]:
        """Return the texts to show, safe for a terminal, in the order of `COLUMNS`."""
        return (
            str(self.coordinate),
            moment(self.at_ms),
            self.code,
            self.stage,
            self.fingerprint,
            str(self.attempt),
            str(self.replay_count),
            size(self.payload_size_bytes),
            printable(self.job_id),
        )

    def document(self) -> dict[str, Any]:
        """Return all of it for scripts; times are epoch milliseconds."""
        return {
            "coordinate": str(self.coordinate),
            "id": self.id,
            "failed_at_ms": self.at_ms,
            "code": self.code,
            "stage": self.stage,
            "fingerprint": self.fingerprint,
            "message": self.message,
            "job_id": self.job_id,
            "attempt": self.attempt,
            "replay_count": self.replay_count,
            "payload_size_bytes": self.payload_size_bytes,
            "payload_mode": self.payload_mode,
        }


COLUMNS: Final = ("letter", "failed", "code", "stage", "fingerprint", "attempts", "replays", "size", "job")


def select_letters(
    source: LetterSource, selection: Selection, now_ms: int, reached: Callable[[int], None]
) -> Iterator[DeadLetter]:
    """Yield the letters that are selected, as they are read; `reached` is told how many offsets were read."""
    return islice(_selected(source, selection, now_ms, reached), selection.limit)


def _selected(
    source: LetterSource, selection: Selection, now_ms: int, reached: Callable[[int], None]
) -> Iterator[DeadLetter]:
    while not source.finished:
        for record in source.read(_READ_AT_ONCE, _READ_SECONDS):
            letter = DeadLetter.of(record)
            if selection.matches(letter, now_ms):
                yield letter
        reached(source.passed)


def list_rows(
    source: LetterSource,
    selection: Selection,
    now_ms: int,
    reached: Callable[[int], None],
    *,
    max_held: int = MAX_HELD,
) -> Iterator[LetterRow]:
    """Yield the rows of the selected letters, the newest last; `reached` is told how many offsets were read."""
    return islice(_in_time_order(source, selection, now_ms, reached, max_held), selection.limit)


def _in_time_order(
    source: LetterSource, selection: Selection, now_ms: int, reached: Callable[[int], None], max_held: int
) -> Iterator[LetterRow]:
    held: list[tuple[int, Coordinate, LetterRow]] = []
    latest_ms: dict[TopicPartition, int] = {}
    while not source.finished:
        for record in source.read(_READ_AT_ONCE, _READ_SECONDS):
            latest_ms[record.topic_partition] = record.timestamp_ms
            letter = DeadLetter.of(record)
            if selection.matches(letter, now_ms):
                heapq.heappush(held, (record.timestamp_ms, record.coordinate, LetterRow.of(letter)))
        reached(source.passed)
        # No partition that is still read has anything older to come, as far as its records are in order.
        still_read = [partition for partition, end in source.ends.items() if source.position(partition) < end]
        settled_ms = min((latest_ms.get(partition, -1) for partition in still_read), default=-1)
        while held and (held[0][0] <= settled_ms or len(held) > max_held):
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]
