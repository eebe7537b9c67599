"""One dead letter in full, for a terminal and for scripts.

Invariants: the key and the header values of a producer may hold customers' data and are shown only on request. Control
characters in foreign text are escaped.
"""

import base64
from collections.abc import Iterator
from typing import Any, Final

from worker.dlq.letter import DeadLetter
from worker.domain.records import CONTENT_TYPE_HEADER, Headers
from worker.reporting.formats import DASH, moment, printable, size

_OURS: Final = "labelwire."
Section = tuple[str, list[tuple[str, str]]]


def format_sections(letter: DeadLetter, *, with_values: bool) -> list[Section]:
    """Return titles with pairs of name and text, safe for a terminal."""
    return [
        ("Error", _clean(_error(letter))),
        ("History", _clean(_history(letter))),
        ("Payload", _clean(_payload(letter))),
        ("Producer", _clean(_producers(letter, with_values=with_values))),
    ]


def letter_document(letter: DeadLetter, *, with_values: bool) -> dict[str, Any]:
    """Return all of it for scripts; times are epoch milliseconds, bytes that are no UTF-8 are base64."""
    record = letter.record
    shown = record.headers if with_values else _ours(record.headers)
    return {
        "coordinate": str(record.coordinate),
        "timestamp_ms": record.timestamp_ms,
        "id": letter.id,
        "job_id": letter.job_id,
        "error": {
            "code": letter.code,
            "stage": letter.stage,
            "message": letter.message,
            "class": letter.error_class,
            "disposition": letter.disposition,
            "stack_hash": letter.stack_hash,
            "fingerprint": letter.fingerprint,
        },
        "origin": str(letter.derived.origin) if letter.has_origin else None,
        "source": str(letter.source) if letter.source else None,
        "source_cluster": letter.source_cluster,
        "attempt": letter.attempt,
        "first_failed_at_ms": letter.first_failed_at_ms,
        "failed_at_ms": letter.failed_at_ms,
        "replay": {"count": letter.derived.replay_count, "run_id": letter.derived.replay_run_id},
        "payload": {
            "content_type": record.header(CONTENT_TYPE_HEADER),
            "size_bytes": letter.payload_size_bytes,
            "sha256": letter.payload_sha256,
            "mode": letter.payload_mode,
        },
        "worker_version": letter.worker_version,
        "model_version": letter.model_version,
        "key": (_bytes(record.key) or None) if with_values else None,
        "headers": [{"name": name, **_bytes(value)} for name, value in shown],
        "producer_headers": [
            {"name": name, "size_bytes": len(value or b"")} for name, value in _theirs(record.headers)
        ],
    }


def _error(letter: DeadLetter) -> Iterator[tuple[str, str]]:
    yield "message", letter.message or DASH
    yield "code", f"{letter.code} ({letter.disposition or 'disposition unknown'}), at {letter.stage}"
    yield "class", letter.error_class or DASH
    yield "fingerprint", letter.fingerprint


def _history(letter: DeadLetter) -> Iterator[tuple[str, str]]:
    derived, cluster = letter.derived, letter.source_cluster
    yield "job", letter.job_id
    if letter.has_origin:
        yield "origin", f"{derived.origin}, {moment(derived.origin_timestamp_ms)}"
    if letter.source is not None:
        yield "failed at", f"{letter.source}{f' on cluster {cluster}' if cluster else ''}"
    yield "attempts", _attempts(letter)
    if derived.replay_count or derived.replay_run_id:
        yield "replays", f"{derived.replay_count}, the last by run {derived.replay_run_id or DASH}"
    else:
        yield "replays", "none"
    yield "dead letter", f"{letter.record.coordinate}, {moment(letter.record.timestamp_ms)}, id {letter.id}"
    yield "written by", f"group {letter.group or DASH}, worker {letter.worker_version or DASH}"
    yield "models", letter.model_version or DASH


def _attempts(letter: DeadLetter) -> str:
    if letter.first_failed_at_ms == letter.failed_at_ms:
        return f"{letter.attempt}, failed {moment(letter.failed_at_ms)}"
    return f"{letter.attempt}, from {moment(letter.first_failed_at_ms)} to {moment(letter.failed_at_ms)}"


def _payload(letter: DeadLetter) -> Iterator[tuple[str, str]]:
    yield "type", letter.record.header(CONTENT_TYPE_HEADER) or DASH
    yield "size", f"{letter.payload_size_bytes} bytes"
    yield "sha256", letter.payload_sha256 or DASH
    where = f"at its source, {letter.source or 'which is not named'}" if letter.is_reference else "in the letter"
    yield "where", where


def _producers(letter: DeadLetter, *, with_values: bool) -> Iterator[tuple[str, str]]:
    yield "key", _format_value(letter.record.key, with_values=with_values)
    for name, value in _theirs(letter.record.headers):
        yield name, _format_value(value, with_values=with_values)


def _format_value(value: bytes | None, *, with_values: bool) -> str:
    if value is None:
        return "none"
    if not with_values:
        return size(len(value))
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"{value.hex(' ')} (bytes)"


def _clean(pairs: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(printable(name), printable(text)) for name, text in pairs]


def _ours(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if name.startswith(_OURS))


def _theirs(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if not name.startswith(_OURS))


def _bytes(value: bytes | None) -> dict[str, str]:
    """Return bytes for JSON; nothing for null."""
    if value is None:
        return {}
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
