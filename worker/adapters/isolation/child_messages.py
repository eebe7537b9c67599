"""The messages between worker and child: frames of a JSON head and raw bytes, each preceded by its length.

The worker sends one record after another; the child sends `READY` once, and for each record `TAKEN` as soon as it
holds it, then its text or its error. Invariant: what is packed here is unpacked equal, byte for byte.
"""

import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final

from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.records import Coordinate, Record
from worker.domain.result import LabelText

Frame = tuple[dict[str, Any], bytes]

READY: Final[dict[str, Any]] = {"type": "ready"}
TAKEN: Final[dict[str, Any]] = {"type": "taken"}
_LENGTHS: Final = struct.Struct(">IQ")


def pack(head: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a frame."""
    encoded = json.dumps(head).encode()
    return _LENGTHS.pack(len(encoded), len(body)) + encoded + body


async def unpack(read_exactly: Callable[[int], Awaitable[bytes]]) -> Frame:
    """Return the next frame of a stream. Raises asyncio.IncompleteReadError at its end."""
    head_bytes, body_bytes = _LENGTHS.unpack(await read_exactly(_LENGTHS.size))
    head: dict[str, Any] = json.loads(await read_exactly(head_bytes))
    return head, await read_exactly(body_bytes)


def pack_record(record: Record, attempt: int, model_set: str) -> bytes:
    """Return the frame that asks for a record to be read with the models of a set."""
    head = {
        "attempt": attempt,
        "model_set": model_set,
        "coordinate": list(record.coordinate),
        "timestamp_ms": record.timestamp_ms,
        "key": None if record.key is None else len(record.key),
        "value": None if record.value is None else len(record.value),
        "headers": [(name, None if value is None else len(value)) for name, value in record.headers],
        "unreadable_headers": record.unreadable_headers,
    }
    body = (record.key, record.value, *(value for _, value in record.headers))
    return pack(head, b"".join(value or b"" for value in body))


def unpack_record(frame: Frame) -> tuple[Record, int, str]:
    """Return the record, the number of the attempt at it, and the model set to read it with."""
    head, body = frame
    parts: list[bytes | None] = []
    begin = 0
    for size in (head["key"], head["value"], *(size for _, size in head["headers"])):
        parts.append(None if size is None else body[begin : begin + size])
        begin += size or 0
    record = Record(
        Coordinate(*head["coordinate"]),
        parts[0],
        parts[1],
        tuple((name, value) for (name, _), value in zip(head["headers"], parts[2:], strict=True)),
        head["timestamp_ms"],
        head["unreadable_headers"],
    )
    return record, head["attempt"], head["model_set"]


def pack_answer(answer: LabelText | JobError) -> bytes:
    """Return the frame that says what became of a record."""
    if isinstance(answer, JobError):
        return pack({"type": "error", "code": answer.code.name, "stage": answer.stage.value, "message": answer.message})
    return pack({"type": "text"}, answer.to_json())


def unpack_answer(frame: Frame) -> LabelText:
    """Return the text. Raises the JobError that the child raised."""
    head, body = frame
    if head["type"] == "error":
        raise JobError(ErrorCode[head["code"]], head["message"], stage=Stage(head["stage"]))
    return LabelText.model_validate_json(body)
