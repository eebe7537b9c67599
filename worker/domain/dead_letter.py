"""A dead letter: the record byte for byte as received, with headers that say what went wrong.

Invariant: a dead letter that is written twice (after a crash) has the same `id` both times.
"""

import hashlib
import traceback
from dataclasses import dataclass, replace

from worker.domain.errors import JobError
from worker.domain.headers import DEAD_LETTER_PREFIX, DerivedHeaders, without_dead_letter_headers
from worker.domain.job import MAX_JOB_ID_CHARACTERS
from worker.domain.records import Headers, OutgoingRecord, Record

DEAD_LETTER_VERSION = "1"
MAX_MESSAGE_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """How a record failed, and at which worker. Times are epoch milliseconds."""

    error: JobError
    job_id: str
    attempt: int
    first_failed_at_ms: int
    failed_at_ms: int
    cluster_id: str
    group_id: str
    worker_version: str
    model_version: str


def dead_letter(
    record: Record, failure: Failure, topic: str, max_message_bytes: int | None, *, copies_payload: bool = True
) -> OutgoingRecord:
    """Return the dead letter for `topic`.

    A record over `max_message_bytes` is not copied, and none is without `copies_payload`: the value is left out, and
    the header `payload.mode` says `reference`. If that is still too large, key and received headers are left out, too.
    """
    derived = replace(DerivedHeaders.of(record).without_retry(), job_id=failure.job_id, attempt=failure.attempt)
    received = derived.onto(without_dead_letter_headers(record.headers))
    whole = OutgoingRecord(topic, record.key, record.value, received + _headers(record, failure, derived, "inline"))
    if copies_payload and (max_message_bytes is None or whole.size_bytes <= max_message_bytes):
        return whole
    own = _headers(record, failure, derived, "reference")
    reference = OutgoingRecord(topic, record.key, None, received + own)
    if max_message_bytes is None or reference.size_bytes <= max_message_bytes:
        return reference
    named = replace(derived, job_id=failure.job_id[:MAX_JOB_ID_CHARACTERS])
    return OutgoingRecord(topic, None, None, named.onto(()) + own)


def dead_letter_id(record: Record) -> str:
    """Return the id of a record of the dead-letter topic; its coordinate where it has none."""
    return record.header(DEAD_LETTER_PREFIX + "id") or str(record.coordinate)


def _headers(record: Record, failure: Failure, derived: DerivedHeaders, payload_mode: str) -> Headers:
    error, value = failure.error, record.value or b""
    source = record.coordinate
    identity = f"{failure.cluster_id}/{source}/{failure.group_id}"
    fields: dict[str, object] = {
        "version": DEAD_LETTER_VERSION,
        "id": hashlib.sha256(identity.encode()).hexdigest()[:32],
        "source.cluster": failure.cluster_id,
        "source.topic": source.topic,
        "source.partition": source.partition,
        "source.offset": source.offset,
        "source.timestamp": record.timestamp_ms,
        "group": failure.group_id,
        "error.class": type(error.__cause__ or error).__name__,
        "error.code": error.code,
        "error.stage": error.stage,
        "error.message": error.message[:MAX_MESSAGE_CHARACTERS],
        "error.stack-hash": stack_hash(error),
        "disposition": error.disposition,
        "attempt": failure.attempt,
        "first-failed-at": failure.first_failed_at_ms,
        "failed-at": failure.failed_at_ms,
        "replay.count": derived.replay_count,
        "replay.run-id": derived.replay_run_id or "",
        "payload.sha256": hashlib.sha256(value).hexdigest(),
        "payload.size": len(value),
        "payload.mode": payload_mode,
        "worker.version": failure.worker_version,
        "model.version": failure.model_version,
    }
    return tuple((DEAD_LETTER_PREFIX + name, str(text).encode("utf-8", "replace")) for name, text in fields.items())


def stack_hash(error: BaseException) -> str:
    """Return a fingerprint of where an error came from: files and functions, not lines, so that it survives edits."""
    frames: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        frames.append(type(cause).__name__)
        calls = traceback.extract_tb(cause.__traceback__)
        frames.extend(f"{call.filename.rpartition('/')[2]}:{call.name}" for call in calls)
        cause = cause.__cause__
    return hashlib.sha256("\n".join(frames).encode()).hexdigest()[:16]


def release_memory(error: BaseException) -> None:
    """Free what the frames of an error's traceback keep alive, as pictures; where it was raised stays known."""
    found: list[BaseException | None] = [error]
    seen: set[int] = set()
    while found:
        cause = found.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        traceback.clear_frames(cause.__traceback__)
        found += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            found += cause.exceptions


def raised_at(error: BaseException) -> str:
    """Return the file, line and function that an error's first cause came from; empty if it was never raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    calls = traceback.extract_tb(error.__traceback__)
    if not calls:
        return ""
    return f"{calls[-1].filename.rpartition('/')[2]}:{calls[-1].lineno} {calls[-1].name}"
