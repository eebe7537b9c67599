"""What the audit keeps of a record: coordinates and digests, never text off a label.

Invariant: nothing here raises, whatever the bytes. A record that names no job becomes an `UnknownRecord`, and one on
the topic of results that holds no result an entry of the kind UNREADABLE.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from worker.audit.consistent_cut import ConsistentCut
from worker.audit.verdict import AuditEntry, RecordKind
from worker.domain.dead_letter import dead_letter_id
from worker.domain.errors import JobError
from worker.domain.headers import ORIGIN_TIMESTAMP, DerivedHeaders
from worker.domain.job import parse_job
from worker.domain.offsets import decode_done
from worker.domain.records import Coordinate, Record, TopicPartition
from worker.settings import TopicSettings

_DIGEST_BYTES: Final = 16
_MAX_INTEGER: Final = 2**63 - 1  # headers may hold any digits, and the ledger 64 bits


class AfterCut(NamedTuple):
    """A record of a job that came after the cut: the entry for an audit of a later one."""

    entry: AuditEntry


class UnknownRecord(NamedTuple):
    """A record on an outcome topic that names no job."""


Classified = AuditEntry | AfterCut | UnknownRecord


def _kinds(topics: TopicSettings) -> dict[str, RecordKind]:
    """Return what the records of each audited topic are."""
    return {
        topics.jobs: RecordKind.JOB,
        **dict.fromkeys(topics.retry_topics, RecordKind.RETRY),
        topics.replay_topic: RecordKind.REPLAY,
        topics.results: RecordKind.RESULT,
        topics.dead_letters: RecordKind.DEAD_LETTER,
        topics.parked_topic: RecordKind.PARKED,
    }


class Classifier:
    """Says what each record is, by the topics and the cut."""

    def __init__(self, topics: TopicSettings, cut: ConsistentCut) -> None:
        self._kinds = _kinds(topics)
        self._ends = cut.ends
        self._bases = {partition: point.offset for partition, point in cut.positions.items()}
        self._done = {partition: decode_done(point) for partition, point in cut.positions.items()}

    def classify(self, record: Record) -> Classified:
        """Return what a record of an audited topic says."""
        kind, derived = self._kinds[record.coordinate.topic], DerivedHeaders.of(record)
        origin_kind = self._kinds.get(derived.origin.topic)
        if not kind.is_input and origin_kind is not None and not origin_kind.is_input:
            return UnknownRecord()
        entry = self._entry(record, kind, derived, is_foreign=origin_kind is None)
        return AfterCut(entry) if origin_kind is not None and self._is_later(derived.origin) else entry

    def is_done(self, at: Coordinate) -> bool:
        """Say whether the group's positions have passed an input."""
        partition = TopicPartition(at.topic, at.partition)
        base = self._bases.get(partition)
        return base is not None and (at.offset < base or at.offset in self._done[partition])

    def _entry(self, record: Record, kind: RecordKind, derived: DerivedHeaders, *, is_foreign: bool) -> AuditEntry:
        is_root = kind.is_input and (is_foreign or derived.origin == record.coordinate)
        entry = AuditEntry(
            origin=derived.origin._replace(offset=min(derived.origin.offset, _MAX_INTEGER)),
            generation=min(derived.replay_count, _MAX_INTEGER),
            kind=kind,
            is_root=is_root,
            done=kind.is_input and self.is_done(record.coordinate),
            attempt=min(derived.attempt, _MAX_INTEGER),
            at=record.coordinate,
            timestamp_ms=record.timestamp_ms,
            origin_timestamp_ms=_origin_timestamp_ms(record, derived),
        )
        if kind is RecordKind.RESULT:
            return _with_reading(entry, record)
        if kind is RecordKind.DEAD_LETTER:
            return entry._replace(identity=digest(dead_letter_id(record)))
        return entry._replace(identity=_expected(record)) if is_root else entry

    def _is_later(self, origin: Coordinate) -> bool:
        return origin.offset >= self._ends.get(TopicPartition(origin.topic, origin.partition), 0)


def _origin_timestamp_ms(record: Record, derived: DerivedHeaders) -> int:
    """Return when the job was written; 0 where neither the record nor its headers say so."""
    is_told = derived.origin == record.coordinate or record.header(ORIGIN_TIMESTAMP) == str(derived.origin_timestamp_ms)
    return min(derived.origin_timestamp_ms, _MAX_INTEGER) if is_told else 0


def digest(text: str) -> bytes:
    """Return 16 bytes that stand for a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def _expected(record: Record) -> bytes | None:
    """Return the identity that a result of this job must have; None where its picture is not in the record."""
    try:
        return digest(parse_job(record).result_id)
    except JobError:
        return None


def _with_reading(entry: AuditEntry, record: Record) -> AuditEntry:
    try:
        document = from_json(record.value or b"")
        lines = [[line["text"] for line in page["lines"]] for page in document["pages"]]
        reading = json.dumps([document["image"]["sha256"], lines])
        return entry._replace(
            identity=digest(str(document["result_id"])), reading=digest(reading), models=_models(document)
        )
    except (ValueError, TypeError, KeyError):
        return entry._replace(kind=RecordKind.UNREADABLE)


def _models(document: Mapping[str, Any]) -> bytes:
    return digest(json.dumps(document.get("models"), sort_keys=True))
