"""A dead letter, parsed from a record of its topic.

Invariant: this is the one parse of a dead letter's headers, and it takes every record. One that is not ours, or whose
headers are broken, has the code `UNKNOWN`, and whatever its headers do not tell is empty or None.
"""

import hashlib
import re
from dataclasses import dataclass

from worker.domain.dead_letter import dead_letter_id
from worker.domain.headers import DEAD_LETTER_PREFIX, DerivedHeaders, without_dead_letter_headers
from worker.domain.job import job_id_in_headers
from worker.domain.records import Coordinate, Headers, Record

UNKNOWN_CODE = "UNKNOWN"
UNKNOWN_STAGE = "unknown"
_REFERENCE = "reference"
_INLINE = "inline"
_MAX_TEXT_CHARACTERS = 1000
_MAX_DIGITS = 19  # of a 64-bit number
_FINGERPRINT_DIGITS = 8
# A later version may know codes and stages that this one does not.
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_STAGE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")  # what Kafka takes for a topic's name
_OFFSET = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a dead letter says of itself. Times are epoch milliseconds.

    `source` is where the record stood that failed; None if the headers do not tell, or tell nonsense. `derived.origin`
    is where its job first stood, `group` the consumer group of the worker that wrote the letter. `payload_size_bytes`
    and `payload_sha256` are those of the value as it was received, which is not in this record where `is_reference`.
    `fingerprint` is the same for failures of one code and stage that came from the same place in the program.
    """

    record: Record
    derived: DerivedHeaders
    id: str
    job_id: str
    code: str
    stage: str
    error_class: str
    message: str
    stack_hash: str
    disposition: str
    attempt: int
    failed_at_ms: int
    first_failed_at_ms: int
    source: Coordinate | None
    source_cluster: str
    group: str
    payload_mode: str
    payload_size_bytes: int
    payload_sha256: str
    worker_version: str
    model_version: str
    fingerprint: str

    @classmethod
    def of(cls, record: Record) -> "DeadLetter":
        """Parse a record of the dead-letter topic."""
        derived = DerivedHeaders.of(record)
        code = _matching(_text(record, "error.code"), _CODE, UNKNOWN_CODE)
        stage = _matching(_text(record, "error.stage"), _STAGE, UNKNOWN_STAGE)
        stack_hash = _text(record, "error.stack-hash")
        failed_at_ms = _number(record, "failed-at") or record.timestamp_ms
        size_bytes = _number(record, "payload.size")
        return cls(
            record=record,
            derived=derived,
            id=dead_letter_id(record)[:_MAX_TEXT_CHARACTERS],
            job_id=job_id_in_headers(record, derived),
            code=code,
            stage=stage,
            error_class=_text(record, "error.class"),
            message=_text(record, "error.message"),
            stack_hash=stack_hash,
            disposition=_text(record, "disposition"),
            attempt=_number(record, "attempt") or derived.attempt,
            failed_at_ms=failed_at_ms,
            first_failed_at_ms=_number(record, "first-failed-at") or failed_at_ms,
            source=_source(record),
            source_cluster=_text(record, "source.cluster"),
            group=_text(record, "group"),
            payload_mode=_REFERENCE if _text(record, "payload.mode") == _REFERENCE else _INLINE,
            payload_size_bytes=len(record.value or b"") if size_bytes is None else size_bytes,
            payload_sha256=_text(record, "payload.sha256"),
            worker_version=_text(record, "worker.version"),
            model_version=_text(record, "model.version"),
            fingerprint=_fingerprint(code, stage, stack_hash),
        )

    @property
    def is_reference(self) -> bool:
        """Whether the value was too large for the topic and is still where it was received."""
        return self.payload_mode == _REFERENCE

    @property
    def received_headers(self) -> Headers:
        """The headers without the dead letter's own."""
        return without_dead_letter_headers(self.record.headers)

    @property
    def has_origin(self) -> bool:
        """Whether the headers say where the job first stood."""
        return self.derived.origin != self.record.coordinate


def _text(record: Record, name: str) -> str:
    return (record.header(DEAD_LETTER_PREFIX + name) or "")[:_MAX_TEXT_CHARACTERS]


def _number(record: Record, name: str) -> int | None:
    text = _text(record, name)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def _matching(text: str, pattern: re.Pattern[str], otherwise: str) -> str:
    return text if pattern.fullmatch(text) else otherwise


def _source(record: Record) -> Coordinate | None:
    topic, partition, offset = (_text(record, f"source.{part}") for part in ("topic", "partition", "offset"))
    if not (_TOPIC.fullmatch(topic) and _OFFSET.fullmatch(partition) and _OFFSET.fullmatch(offset)):
        return None
    return Coordinate(topic, int(partition), int(offset))


def _fingerprint(code: str, stage: str, stack_hash: str) -> str:
    return hashlib.sha256(f"{code}\0{stage}\0{stack_hash}".encode()).hexdigest()[:_FINGERPRINT_DIGITS]
