"""What an audit leaves for the next one: its cut, the jobs that may still change, and finished ones for a time.

Invariant: a state is whole or absent. It is one SQLite database, changed in one transaction that is committed after the
audit has read everything; an audit that is killed leaves the state of the one before. An audit without a state folder
uses an empty database of its own, and removes it afterwards.

A job is forgotten once it was `horizon` long untouched: no audit of that time has read a record of it. A pending job is
never forgotten, and a dead-lettered one not before its dead letter has been removed from its topic, because it may be
replayed until then. Of a forgotten job only the count by its state is left.
"""

import contextlib
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.audit.consistent_cut import ConsistentCut, Gap, Removals
from worker.audit.ledger import Ledger
from worker.audit.verdict import JobState
from worker.domain.errors import LabelwireError
from worker.domain.records import Coordinate, TopicPartition
from worker.domain.start_position import is_same_topic
from worker.settings import TopicSettings

DEFAULT_HORIZON_SECONDS: Final = 24 * 3600.0
_FILE_NAME: Final = "audit.sqlite"
_APPLICATION_ID: Final = 0x4C574155  # "LWAU"
_VERSION: Final = 1
_CACHE_KIBIBYTES: Final = 16 * 1024
_FORGOTTEN: Final = "forgotten."
_SCHEMA: Final = (
    f"PRAGMA application_id={_APPLICATION_ID}",
    f"PRAGMA user_version={_VERSION}",
    "CREATE TABLE IF NOT EXISTS scope (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS topic (name TEXT PRIMARY KEY, id TEXT) WITHOUT ROWID",
    """
    CREATE TABLE IF NOT EXISTS span (
        topic TEXT, partition INTEGER, covered_from INTEGER, read_to INTEGER, PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE IF NOT EXISTS audit (number INTEGER PRIMARY KEY, until_ms INTEGER, gaps TEXT)",
    "CREATE TABLE IF NOT EXISTS total (name TEXT PRIMARY KEY, count INTEGER) WITHOUT ROWID",
)
_ADD: Final = "INSERT INTO total VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET count = count + excluded.count"
_REASONS: Final = {
    "SQLITE_BUSY": "is in use by another audit; wait until that has ended",
    "SQLITE_FULL": "has no space left; make its volume or TMPDIR larger, and audit again",
    "SQLITE_READONLY": "cannot be written; give this user the right to write, and audit again",
    "SQLITE_IOERR": "cannot be read or written now; check its volume, and audit again",
    "SQLITE_CANTOPEN": "cannot be opened; give this user the right to write in its folder",
}
_DAMAGED: Final = "is damaged, or no state of an audit; delete it, and audit everything again"


class AuditStateError(LabelwireError):
    """A state cannot be used for this audit, or not now."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose records a state accounts for: the cluster, the group, and the topics by their use."""

    cluster_id: str
    group_id: str
    topics: Mapping[str, str]

    @classmethod
    def of(cls, cluster_id: str, group_id: str, topics: TopicSettings) -> "Scope":
        """Return the scope of a deployment's settings."""
        uses = {
            "jobs": topics.jobs,
            **{f"retry {level}": topic for level, topic in enumerate(topics.retry_topics, start=1)},
            "replay": topics.replay_topic,
            "results": topics.results,
            "dead letters": topics.dead_letters,
            "parked": topics.parked_topic,
        }
        return cls(cluster_id, group_id, uses)

    def named(self) -> dict[str, str]:
        """Return each part with what it is called."""
        return {
            "the cluster": self.cluster_id,
            "the group": self.group_id,
            **{f"the topic of {use}": topic for use, topic in self.topics.items()},
        }


@dataclass(frozen=True, slots=True)
class _Span:
    """The offsets of a partition that were accounted for."""

    covered_from: int
    read_to: int


@dataclass(frozen=True, slots=True)
class StateSummary:
    """What a state held at the end of an audit, for its report.

    `audits` made it since `began_ms`; it holds `kept_records`, and its file has `size_bytes`. `forgotten` counts the
    jobs that are not in it any more, by what became of them. `open_since_ms` is the time of the audit that read the
    oldest pending job first, None if none is pending.
    """

    folder: str
    began_ms: int
    audits: int
    horizon_seconds: float
    kept_records: int
    size_bytes: int
    forgotten: Mapping[JobState, int]
    open_since_ms: int | None


class AuditState:
    """The state within one audit. `number` counts the audits, `starts` says from where this one reads.

    `since_ms` is the time of the audit before, None in the first one, and `gaps` what that and earlier ones could not
    account for.
    """

    def __init__(self, database: sqlite3.Connection, folder: Path | None, horizon_seconds: float) -> None:
        self._database = database
        self._folder = folder
        self._horizon_seconds = horizon_seconds
        self.number = 1
        self.since_ms: int | None = None
        self.gaps: tuple[Gap, ...] = ()
        self.topic_ids: dict[str, str] = {}
        self._spans: dict[TopicPartition, _Span] = {}
        self._times: dict[int, int] = {}

    @classmethod
    def on(cls, database: sqlite3.Connection, folder: Path | None, horizon_seconds: float) -> "AuditState":
        """Return the state of a database; in an empty one it makes its tables. Raises sqlite3.Error."""
        for statement in _SCHEMA:
            database.execute(statement)
        state = cls(database, folder, horizon_seconds)
        for number, until_ms, gaps in database.execute("SELECT number, until_ms, gaps FROM audit ORDER BY number"):
            state.number, state.since_ms = number + 1, until_ms
            state.gaps += tuple(Gap(*gap) for gap in json.loads(gaps))
            state._times[number] = until_ms
        state.topic_ids = dict(database.execute("SELECT name, id FROM topic"))
        for topic, partition, *span in database.execute("SELECT topic, partition, covered_from, read_to FROM span"):
            state._spans[TopicPartition(topic, partition)] = _Span(*span)
        return state

    def ledger(self) -> Ledger:
        """Return the entries of earlier audits, to which this one's are added."""
        return Ledger.on(self._database, self.number)

    @property
    def starts(self) -> dict[TopicPartition, int]:
        """The first offset of each partition that no audit has read."""
        return {partition: span.read_to for partition, span in self._spans.items()}

    def covers(self, origin: Coordinate) -> bool:
        """Say whether an earlier audit has read the record at an origin."""
        span = self._spans.get(TopicPartition(origin.topic, origin.partition))
        return span is not None and span.covered_from <= origin.offset < span.read_to

    def claim(self, scope: Scope) -> None:
        """Make the state that of a scope. Raises AuditStateError if it is that of another one."""
        kept, asked = dict(self._database.execute("SELECT name, value FROM scope")), scope.named()
        for name in asked | kept if kept else {}:
            if kept.get(name) != asked.get(name):
                raise AuditStateError(
                    f"The state in {self._folder} is of {name} {kept.get(name, 'none')}, and this audit of "
                    f"{asked.get(name, 'none')}: name another folder with --state, or correct the settings."
                )
        self._database.executemany("INSERT OR IGNORE INTO scope VALUES (?, ?)", asked.items())

    def check(self, cut: ConsistentCut) -> None:
        """Raise AuditStateError unless a cut goes on where the state ends."""
        for topic, kept in self.topic_ids.items():
            if not is_same_topic(kept, cut.topic_ids.get(topic, "")):
                raise AuditStateError(
                    f"The topic {topic} was deleted and created again since the last audit, so the state in "
                    f"{self._folder} is of another topic: delete it, and audit everything again."
                )
        for partition, span in self._spans.items():
            end = cut.ends.get(partition)
            if end is None or end < span.read_to:
                raise AuditStateError(
                    f"{partition} ends at offset {end or 0}, and the state in {self._folder} has read it up to "
                    f"{span.read_to}: audit again, and if this stays, the log was deleted or truncated: delete the "
                    "state, and audit everything again."
                )

    # The end of an audit.

    def oldest_to_keep(self, until_ms: int) -> int:
        """Return the number of the first audit whose jobs are within the horizon."""
        begins_ms = until_ms - self._horizon_seconds * 1000
        within = [number for number, at_ms in {**self._times, self.number: until_ms}.items() if at_ms > begins_ms]
        return min(within, default=self.number + 1)

    def save(
        self,
        ledger: Ledger,
        cut: ConsistentCut,
        removals: Removals,
        until_ms: int,
        *,
        counted: Mapping[str, int],
        forgotten: Mapping[JobState, int],
        oldest_open: int | None,
    ) -> None:
        """Write everything down; it counts once the state is left without an error."""
        oldest = self.oldest_to_keep(until_ms)
        ledger.purge(oldest - 1)
        names = {**counted, **{f"{_FORGOTTEN}{state}": jobs for state, jobs in forgotten.items()}}
        self._database.executemany(_ADD, names.items())
        gaps = json.dumps([(gap.topic, gap.sentence) for gap in removals.gaps])
        self._database.execute("INSERT INTO audit VALUES (?, ?, ?)", (self.number, until_ms, gaps))
        # What hid the outcome of a job that is still open must be known when it is judged.
        needed = min(oldest, self.number, self.number if oldest_open is None else oldest_open)
        self._database.execute("UPDATE audit SET gaps = '[]' WHERE number < ?", (needed,))
        self._database.execute("DELETE FROM audit WHERE number < ? AND number > 1", (needed,))
        self._database.executemany("INSERT OR REPLACE INTO topic VALUES (?, ?)", cut.topic_ids.items())
        self._database.executemany(
            "INSERT OR REPLACE INTO span VALUES (?, ?, ?, ?)",
            [(*p, self._covered_from(p, removals.lows.get(p, 0)), end) for p, end in cut.ends.items()],
        )

    def totals(self) -> Counter[str]:
        """Return what this audit and the earlier ones have counted together, by its name."""
        return Counter(dict(self._database.execute("SELECT name, count FROM total")))

    def summary(self, ledger: Ledger, until_ms: int, oldest_open: int | None) -> StateSummary | None:
        """Return what is kept, None where nothing is; to be asked for after `save`."""
        if self._folder is None:
            return None
        totals, times = self.totals(), {**self._times, self.number: until_ms}
        (pages,), (page_bytes,) = (
            self._database.execute(f"PRAGMA {of}").fetchone() for of in ("page_count", "page_size")
        )
        # The time of an audit that left nothing open is not kept: where offsets were set back, the next one's is told.
        opened_ms = None if oldest_open is None else min(at_ms for n, at_ms in times.items() if n >= oldest_open)
        return StateSummary(
            folder=str(self._folder),
            began_ms=times[1],
            audits=self.number,
            horizon_seconds=self._horizon_seconds,
            kept_records=ledger.size,
            size_bytes=pages * page_bytes,
            forgotten={state: totals[f"{_FORGOTTEN}{state}"] for state in JobState},
            open_since_ms=opened_ms,
        )

    def _covered_from(self, partition: TopicPartition, low: int) -> int:
        span = self._spans.get(partition)
        return low if span is None or low > span.read_to else span.covered_from


@contextlib.contextmanager
def opened_state(folder: Path, horizon_seconds: float = DEFAULT_HORIZON_SECONDS) -> Iterator[AuditState]:
    """Give the state of a folder, an empty one where there is none, and commit it unless the audit fails.

    Raises AuditStateError where it cannot be read or written, another audit is using it, or it is damaged.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditStateError(
            f"The folder {folder} cannot hold the state of audits ({error}); name another."
        ) from error
    try:
        with contextlib.closing(sqlite3.connect(folder / _FILE_NAME, isolation_level=None, timeout=0)) as database:
            for pragma in ("temp_store=FILE", f"cache_size=-{_CACHE_KIBIBYTES}", "synchronous=FULL"):
                database.execute(f"PRAGMA {pragma}")
            database.execute("BEGIN IMMEDIATE")  # without a commit it is rolled back as the database is closed
            _check_file(database, folder)
            yield AuditState.on(database, folder, horizon_seconds)
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise AuditStateError(f"The state of audits in {folder} {_reason(error)} ({error}).") from error


@contextlib.contextmanager
def temporary_state(parent: Path | None = None) -> Iterator[AuditState]:
    """Give an empty state that is removed afterwards; it is in a folder of its own in `parent`."""
    with (
        tempfile.TemporaryDirectory(prefix="labelwire-audit-", dir=parent) as folder,
        contextlib.closing(sqlite3.connect(Path(folder) / _FILE_NAME, isolation_level=None)) as database,
    ):
        # One transaction without a journal: what is in here is worth nothing after a crash.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "temp_store=FILE"):
            database.execute(f"PRAGMA {pragma}")
        database.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
        database.execute("BEGIN")
        yield AuditState.on(database, None, float("inf"))


def _reason(error: sqlite3.Error) -> str:
    """Return what an error says of a state; SQLite's own name of it may be longer than that of its kind."""
    named = getattr(error, "sqlite_errorname", "")
    return next((reason for name, reason in _REASONS.items() if named.startswith(name)), _DAMAGED)


def _check_file(database: sqlite3.Connection, folder: Path) -> None:
    """Raise AuditStateError unless a file is empty or a whole state of this version."""
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,), (version,) = (
        database.execute(f"PRAGMA {of}").fetchone() for of in ("application_id", "user_version")
    )
    if tables == 0:
        return
    (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if application != _APPLICATION_ID or found != "ok":
        raise AuditStateError(f"The state of audits in {folder} {_DAMAGED}.")
    if version != _VERSION:
        raise AuditStateError(
            f"The state of audits in {folder} has version {version}, and this version reads {_VERSION}: delete it, and "
            "audit everything again."
        )
