"""Entries on disk: written in the order in which topics are read, read back job by job.

Invariant: memory does not grow with the number of entries. What is kept is coordinates and digests, in a database that
belongs to the audit's state (`state.py`), who begins and ends its transaction; sorting spills to temporary files
(`TMPDIR` says where).
"""

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from worker.audit.verdict import AuditEntry, JobHistory, RecordKind
from worker.domain.records import Coordinate, TopicPartition

_BATCH_ROWS: Final = 1000
_COLUMNS: Final = """
    origin_partition INTEGER, origin_offset INTEGER, generation INTEGER, kind INTEGER, is_root INTEGER,
    attempt INTEGER, at_partition INTEGER, at_offset INTEGER, timestamp_ms INTEGER, origin_timestamp_ms INTEGER,
    identity BLOB, reading BLOB, models BLOB, audit INTEGER, former_ms INTEGER
"""
# `deferred` holds entries of jobs that came after the cut.
_SCHEMA: Final = (
    f"CREATE TABLE IF NOT EXISTS entry ({_COLUMNS})",
    f"CREATE TABLE IF NOT EXISTS deferred ({_COLUMNS})",
    "CREATE TABLE IF NOT EXISTS partition (number INTEGER PRIMARY KEY, topic TEXT, partition INTEGER)",
    """
    CREATE TEMP TABLE forgetting (
        origin_partition INTEGER, origin_offset INTEGER, former_ms INTEGER,
        PRIMARY KEY (origin_partition, origin_offset, former_ms)
    ) WITHOUT ROWID
    """,
)
_INSERT: Final = "INSERT INTO {} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
_FORGET: Final = """
    DELETE FROM entry WHERE EXISTS (
        SELECT 1 FROM forgetting WHERE forgetting.origin_partition = entry.origin_partition
            AND forgetting.origin_offset = entry.origin_offset AND forgetting.former_ms = entry.former_ms
    )
"""
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
_HISTORIES: Final = f"""
    SELECT * FROM entry WHERE kind <> {RecordKind.UNREADABLE} ORDER BY origin_partition, origin_offset, former_ms
"""  # noqa: S608 - no input in it
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


_UNREADABLE: Final = f"SELECT * FROM entry WHERE kind = {RecordKind.UNREADABLE} LIMIT ?"  # noqa: S608


class Conflict(NamedTuple):
    """Results of one id with different readings, each reading shown by its first record."""

    origin: Coordinate
    records: tuple[Coordinate, ...]


class Ledger:
    """The entries of one audit, and those that earlier ones have kept; `audit` is its number among them."""

    def __init__(self, database: sqlite3.Connection, audit: int, partitions: list[TopicPartition]) -> None:
        self._database = database
        self._audit = audit
        self._partitions = partitions
        self._numbers = {partition: number for number, partition in enumerate(partitions)}
        self._rows: list[tuple[Any, ...]] = []
        self._forgetting: list[tuple[int, int, int]] = []
        self._is_settled = False

    @classmethod
    def on(cls, database: sqlite3.Connection, audit: int = 1) -> "Ledger":
        """Return the ledger of a database; in an empty one it makes its tables. Raises sqlite3.Error."""
        for statement in _SCHEMA:
            database.execute(statement)
        known = database.execute("SELECT topic, partition FROM partition ORDER BY number")
        return cls(database, audit, [TopicPartition(*row) for row in known])

    def add(self, entry: AuditEntry) -> None:
        """Keep an entry."""
        self._is_settled = False
        self._rows.append(self._row(entry))
        if len(self._rows) >= _BATCH_ROWS:
            self._flush()

    def defer(self, entry: AuditEntry) -> None:
        """Keep an entry of a job that came after the cut, for the next audit."""
        self._database.execute(_INSERT.format("deferred"), self._row(entry))

    def readmit(self, ends: Mapping[TopicPartition, int]) -> None:
        """Take in those deferred entries whose jobs are below the ends."""
        self._is_settled = False
        for number, partition in enumerate(self._partitions):
            below = "FROM deferred WHERE origin_partition = ? AND origin_offset < ?"
            chosen = (number, ends.get(partition, 0))
            self._database.execute(f"INSERT INTO entry SELECT * {below}", chosen)
            self._database.execute(f"DELETE {below}", chosen)

    def histories(
        self, is_done: Callable[[Coordinate], bool], is_forgotten: Callable[[Coordinate], bool]
    ) -> Iterator[JobHistory]:
        """Return each job with all that was seen of it, by partition and offset of its origin.

        `is_done` says whether the group's positions have passed an input, `is_forgotten` whether an earlier audit has
        accounted for the job at an origin.
        """
        self._settle()
        rows = self._database.execute(_HISTORIES)
        for (*_, former_ms), group in itertools.groupby(rows, key=lambda row: (*row[:2], row[-1])):
            history: JobHistory | None = None
            for row in group:
                entry = self._entry(row)
                if history is None:
                    forgotten = is_forgotten(entry.origin)
                    history = JobHistory(entry.origin, former_ms=former_ms, is_forgotten=forgotten)
                history.take(entry._replace(done=True) if entry.kind.is_input and is_done(entry.at) else entry)
            if history is not None:
                yield history

    def unreadable(self, limit: int) -> list[AuditEntry]:
        """Return the first records on the result topic that hold no result."""
        self._flush()
        return [self._entry(row) for row in self._database.execute(_UNREADABLE, (limit,))]

    def forget(self, history: JobHistory) -> None:
        """Let a job go once `purge` is called."""
        self._forgetting.append((self._number(history.origin), history.origin.offset, history.former_ms))
        if len(self._forgetting) >= _BATCH_ROWS:
            self._flush_forgetting()

    def purge(self, up_to_audit: int) -> None:
        """Remove the jobs that were to be forgotten, and unreadable results that audits up to this number read."""
        self._flush_forgetting()
        self._database.execute(_FORGET)
        self._database.execute("DELETE FROM forgetting")
        self._database.execute(
            "DELETE FROM entry WHERE kind = ? AND audit <= ?", (int(RecordKind.UNREADABLE), up_to_audit)
        )
        # Headers may name a job that never comes.
        self._database.execute("DELETE FROM deferred WHERE audit <= ? AND audit < ?", (up_to_audit, self._audit))

    @property
    def size(self) -> int:
        """How many entries are kept."""
        self._flush()
        (rows,) = self._database.execute("SELECT (SELECT count(*) FROM entry) + count(*) FROM deferred").fetchone()
        return int(rows)

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
            self._database.execute("INSERT INTO partition VALUES (?, ?, ?)", (number, *partition))
        return number

    def _row(self, entry: AuditEntry) -> tuple[Any, ...]:
        return (
            self._number(entry.origin),
            entry.origin.offset,
            entry.generation,
            int(entry.kind),
            entry.is_root,
            entry.attempt,
            self._number(entry.at),
            entry.at.offset,
            entry.timestamp_ms,
            entry.origin_timestamp_ms,
            entry.identity,
            entry.reading,
            entry.models,
            self._audit,
        )

    def _entry(self, row: tuple[Any, ...]) -> AuditEntry:
        origin, at = self._partitions[row[0]], self._partitions[row[6]]
        return AuditEntry(
            origin=Coordinate(origin.topic, origin.partition, row[1]),
            generation=row[2],
            kind=RecordKind(row[3]),
            is_root=bool(row[4]),
            done=False,
            attempt=row[5],
            at=Coordinate(at.topic, at.partition, row[7]),
            timestamp_ms=row[8],
            origin_timestamp_ms=row[9],
            identity=row[10],
            reading=row[11],
            models=row[12],
            audit=row[13],
        )

    def _settle(self) -> None:
        """Tell the jobs of former topics from those that stand in their places."""
        self._flush()
        if self._is_settled:
            return
        self._database.execute(_SET_FORMER)
        self._is_settled = True

    def _flush(self) -> None:
        self._database.executemany(_INSERT.format("entry"), self._rows)
        self._rows.clear()

    def _flush_forgetting(self) -> None:
        self._database.executemany("INSERT OR IGNORE INTO forgetting VALUES (?, ?, ?)", self._forgetting)
        self._forgetting.clear()
