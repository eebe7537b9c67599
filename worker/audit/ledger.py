"""Entries on disk: written in the order in which topics are read, read back job by job.

Invariant: memory does not grow with the number of entries. What is kept is coordinates and digests, in a temporary file
that goes with the ledger; sorting spills to temporary files as well (`TMPDIR` says where both are).
"""

import itertools
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from worker.audit.verdict import AuditEntry, JobHistory, RecordKind
from worker.domain.records import Coordinate, TopicPartition

_BATCH_ROWS: Final = 1000
_CACHE_KIBIBYTES: Final = 16 * 1024
_SCHEMA: Final = """
CREATE TABLE entry (
    origin_partition INTEGER, origin_offset INTEGER, generation INTEGER, kind INTEGER, is_root INTEGER, done INTEGER,
    attempt INTEGER, at_partition INTEGER, at_offset INTEGER, timestamp_ms INTEGER, origin_timestamp_ms INTEGER,
    identity BLOB, reading BLOB, models BLOB, former_ms INTEGER
)
"""
_INSERT: Final = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
# Of each job that another one stands in the place of now, when it was written.
_SET_FORMER: Final = """
    UPDATE entry SET former_ms = entry.origin_timestamp_ms
    FROM (
        SELECT origin_partition AS partition, origin_offset AS offset, origin_timestamp_ms AS written_ms FROM entry
        WHERE is_root AND at_partition = origin_partition AND at_offset = origin_offset AND origin_timestamp_ms > 0
    ) AS present
    WHERE entry.origin_partition = present.partition AND entry.origin_offset = present.offset
        AND entry.origin_timestamp_ms NOT IN (0, present.written_ms)
"""
_HISTORIES: Final = "SELECT * FROM entry ORDER BY origin_partition, origin_offset, former_ms"
# The same id and another reading: of one job whatever read it, of several (one sent twice) by the same models.
_CONFLICTS: Final = f"""
    SELECT identity FROM entry WHERE kind = {RecordKind.RESULT}
    GROUP BY identity, origin_partition, origin_offset, former_ms HAVING min(reading) <> max(reading)
    UNION
    SELECT identity FROM entry WHERE kind = {RecordKind.RESULT}
    GROUP BY identity, models HAVING min(reading) <> max(reading)
"""  # noqa: S608 - no input in it
_LETTER_COPIES: Final = f"""
    SELECT coalesce(sum(records - 1), 0) FROM (
        SELECT count(*) AS records FROM entry WHERE kind = {RecordKind.DEAD_LETTER}
        GROUP BY origin_partition, origin_offset, former_ms, generation, identity
    )
"""  # noqa: S608 - no input in it
_OF_IDENTITY: Final = f"SELECT * FROM entry WHERE kind = {RecordKind.RESULT} AND identity = ?"  # noqa: S608


class Conflict(NamedTuple):
    """Results of one id with different readings, each reading shown by its first record."""

    origin: Coordinate
    records: tuple[Coordinate, ...]


class Ledger:
    """The entries of one audit; a context manager. Its files are in a folder of their own in `parent`."""

    def __init__(self, parent: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="labelwire-audit-", dir=parent)
        # One transaction without a journal: what is in here is worth nothing after a crash.
        self._database = sqlite3.connect(Path(self._folder.name) / "ledger.sqlite", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "temp_store=FILE"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
        self._database.execute(_SCHEMA)
        self._database.execute("BEGIN")
        self._rows: list[tuple[Any, ...]] = []
        self._numbers: dict[TopicPartition, int] = {}
        self._partitions: list[TopicPartition] = []
        self._is_settled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything."""
        self._database.close()
        self._folder.cleanup()

    def add(self, entry: AuditEntry) -> None:
        """Keep an entry."""
        origin, at = entry.origin, entry.at
        self._is_settled = False
        self._rows.append(
            (
                self._number(origin),
                origin.offset,
                entry.generation,
                int(entry.kind),
                entry.is_root,
                entry.done,
                entry.attempt,
                self._number(at),
                at.offset,
                entry.timestamp_ms,
                entry.origin_timestamp_ms,
                entry.identity,
                entry.reading,
                entry.models,
            )
        )
        if len(self._rows) >= _BATCH_ROWS:
            self._flush()

    def histories(self) -> Iterator[JobHistory]:
        """Return each job with all that was seen of it, by partition and offset of its origin."""
        self._settle()
        rows = self._database.execute(_HISTORIES)
        for (*_, former_ms), group in itertools.groupby(rows, key=lambda row: (*row[:2], row[-1])):
            history: JobHistory | None = None
            for row in group:
                entry = self._entry(row)
                history = history or JobHistory(entry.origin, is_former=former_ms > 0)
                history.take(entry)
            if history is not None:
                yield history

    def counts(self) -> dict[RecordKind, int]:
        """Return how many records there are of each kind; a job that was replayed to its origin counts as a replay."""
        self._flush()
        query = f"""
            SELECT CASE WHEN kind = {RecordKind.JOB} AND NOT is_root THEN {RecordKind.REPLAY} ELSE kind END AS shown,
                count(*)
            FROM entry GROUP BY shown
        """  # noqa: S608 - no input in it
        found = {RecordKind(kind): count for kind, count in self._database.execute(query)}
        return {kind: found.get(kind, 0) for kind in RecordKind}

    def dead_letter_copies(self) -> int:
        """Return how many dead letters have the id of an earlier one of their job."""
        self._settle()
        (copies,) = self._database.execute(_LETTER_COPIES).fetchone()
        return int(copies)

    def conflicts(self, limit: int) -> tuple[int, list[Conflict]]:
        """Return under how many result ids readings differ, and the first `limit` of them."""
        self._settle()
        count = 0
        shown: list[bytes] = []
        for (identity,) in self._database.execute(_CONFLICTS):
            count += 1
            if len(shown) < limit:
                shown.append(identity)
        return count, [self._conflict(identity) for identity in shown]

    def _conflict(self, identity: bytes) -> Conflict:
        entries = [self._entry(row) for row in self._database.execute(_OF_IDENTITY, (identity,))]
        first_of_reading = {entry.reading: entry for entry in reversed(entries)}
        return Conflict(entries[0].origin, tuple(sorted(entry.at for entry in first_of_reading.values())))

    def _number(self, at: Coordinate) -> int:
        partition = TopicPartition(at.topic, at.partition)
        number = self._numbers.get(partition)
        if number is None:
            number = self._numbers[partition] = len(self._partitions)
            self._partitions.append(partition)
        return number

    def _entry(self, row: tuple[Any, ...]) -> AuditEntry:
        origin, at = self._partitions[row[0]], self._partitions[row[7]]
        return AuditEntry(
            origin=Coordinate(origin.topic, origin.partition, row[1]),
            generation=row[2],
            kind=RecordKind(row[3]),
            is_root=bool(row[4]),
            done=bool(row[5]),
            attempt=row[6],
            at=Coordinate(at.topic, at.partition, row[8]),
            timestamp_ms=row[9],
            origin_timestamp_ms=row[10],
            identity=row[11],
            reading=row[12],
            models=row[13],
        )

    def _settle(self) -> None:
        """Tell the jobs of former topics from those that stand in their places."""
        self._flush()
        if self._is_settled:
            return
        self._database.execute(_SET_FORMER)
        self._is_settled = True

    def _flush(self) -> None:
        self._database.executemany(_INSERT, self._rows)
        self._rows.clear()
