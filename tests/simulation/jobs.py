"""The jobs of a simulated run: what is sent, and how each may end."""

import base64
import datetime as dt
import json
from dataclasses import dataclass
from functools import cache

import cv2

from worker.domain.errors import ErrorCode
from worker.domain.records import CONTENT_TYPE_HEADER, JOB_ID_HEADER, Headers, Record
from worker.settings import TopicSettings
from worker.testing.block_font import BlockLine, draw_blocks, encode_png

TOPICS = TopicSettings(min_result_bytes=1024)
EPOCH_MS = 1_700_000_000_000
LARGE_FROM_PIXELS = 5000
MAX_IMAGE_PIXELS = 1_000_000
RESULT_LIMIT_BYTES = 2500
JOB_LIMIT_BYTES = 8000
BUCKETS = (96, 192)
_PADDING_BYTES = 7000
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEIGHT_PIXELS = 48
_BLOCK_PIXELS = 24
_PNG = (CONTENT_TYPE_HEADER, b"image/png")
_HEADER_OF_30000_BY_30000 = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (30000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0" + b"?" * 20
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A job to be sent at a time, and how it may end: with this text, or with one of these codes, or either."""

    kind: str
    at_seconds: float
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    text: str | None
    codes: frozenset[ErrorCode]
    job_id: str | None = None
    gap: int = 0


@cache
def picture(text: str, width: int = BUCKETS[0]) -> bytes:
    """Return a PNG with one line of text, or none."""
    lines = [BlockLine(text, 12, 12, _BLOCK_PIXELS)] if text else []
    return encode_png(draw_blocks(lines, width=width, height=_HEIGHT_PIXELS))


def text_of(number: int) -> str:
    """Return a text of three letters that no other number below 40,000 has."""
    return "".join(_LETTERS[number // 36**place % 36] for place in range(3))


KINDS = {
    "good": 40,
    "large": 6,
    "json": 8,
    "blank": 5,
    "late": 3,
    "soon": 4,
    "corrupt": 5,
    "foreign": 3,
    "empty": 2,
    "no-type": 2,
    "untyped": 2,
    "uri": 2,
    "huge": 2,
    "wordy": 2,
    "bulky": 2,
    "twin": 3,
    "rejected": 2,
    "cursed": 2,
    "poison": 1,
    "heavy": 1,
}
_POISON = b"poison"


def is_poison(record: Record) -> bool:
    """Say whether reading this job's picture ends the process that does it."""
    return bool(record.value and record.value.endswith(_POISON))


def body(kind: str, number: int, at_seconds: float, soon_seconds: float) -> tuple[bytes | None, Headers]:
    """Return the value and the headers of a job of a kind."""
    text = text_of(number)
    if kind == "json":
        return _json(text, job_id=f"json-{number}", options={"min_confidence": 0.3}), _type("application/json")
    if kind in {"late", "soon"}:
        due = EPOCH_MS / 1000 + (at_seconds + soon_seconds if kind == "soon" else -10)
        deadline = dt.datetime.fromtimestamp(due, tz=dt.UTC).isoformat()
        return _json(text, deadline=deadline), _type("application/json; charset=utf-8")
    values: dict[str, bytes | None] = {
        "blank": picture(""),
        "large": picture(text, width=BUCKETS[1]),
        "corrupt": _cut_short(text),
        "foreign": b"GIF89a" + text.encode(),
        "empty": None,
        "no-type": text.encode(),
        "huge": _HEADER_OF_30000_BY_30000,
        "bulky": _cut_short(text) + bytes(_PADDING_BYTES),
        "twin": picture("TWN"),
        "poison": picture(text) + _POISON,
        "heavy": picture(text) + bytes(_PADDING_BYTES),
        "uri": b'{"image_uri": "s3://bucket/label.png"}',
    }
    special: dict[str, Headers] = {
        "no-type": (),
        "untyped": (),
        "uri": _type("application/json"),
        "wordy": (_PNG, _wordy(number)),
        # By this id the weather knows which jobs Triton does not take.
        "rejected": (_PNG, (JOB_ID_HEADER, f"rejected-{number}".encode())),
        "cursed": (_PNG, (JOB_ID_HEADER, f"cursed-{number}".encode())),
        "heavy": (_PNG, (JOB_ID_HEADER, f"cursed-{number}".encode())),
    }
    return values.get(kind, picture(text)), special.get(kind, (_PNG,))


def id_of(kind: str, number: int) -> str | None:
    """Return the id that the job names, None where it is its coordinate."""
    ids = {"json": f"json-{number}", "rejected": f"rejected-{number}"}
    return ids.get(kind)


def ends(kind: str, number: int) -> tuple[str | None, frozenset[ErrorCode]]:
    """Return the text of the result, None where there is none, and the codes that the dead letter may have."""
    codes: dict[str, ErrorCode] = {
        "late": ErrorCode.DEADLINE_EXCEEDED,
        "corrupt": ErrorCode.IMAGE_CORRUPT,
        "bulky": ErrorCode.IMAGE_CORRUPT,
        "foreign": ErrorCode.IMAGE_UNSUPPORTED,
        "empty": ErrorCode.JOB_INVALID,
        "no-type": ErrorCode.JOB_INVALID,
        "uri": ErrorCode.URI_FORBIDDEN,
        "huge": ErrorCode.IMAGE_TOO_LARGE,
        "wordy": ErrorCode.RESULT_TOO_LARGE,
        "rejected": ErrorCode.INFERENCE_REJECTED,
        "cursed": ErrorCode.INFERENCE_FAILED,
        "poison": ErrorCode.POISON,
        "heavy": ErrorCode.INFERENCE_FAILED,
    }
    if kind == "soon":
        return text_of(number), frozenset({ErrorCode.DEADLINE_EXCEEDED})
    if kind in codes:
        return None, frozenset({codes[kind]})
    return {"blank": "", "twin": "TWN"}.get(kind, text_of(number)), frozenset()


@cache
def _cut_short(text: str) -> bytes:
    """Return a JPEG without its end."""
    pixels = draw_blocks([BlockLine(text, 12, 12, _BLOCK_PIXELS)], width=BUCKETS[0], height=_HEIGHT_PIXELS)
    return cv2.imencode(".jpg", pixels)[1].tobytes()[:-40]


def closing_job(number: int, partition: int) -> Sent:
    """Return a good job for the time after the last fault."""
    text = text_of(number)
    return Sent("good", 0.0, partition, None, picture(text), (_PNG,), text, frozenset())


def _json(text: str, **fields: object) -> bytes:
    return json.dumps({"image_base64": base64.b64encode(picture(text)).decode(), **fields}).encode()


def _type(name: str) -> Headers:
    return ((CONTENT_TYPE_HEADER, name.encode()),)


def _wordy(number: int) -> tuple[str, bytes]:
    """Return a job id so long that the result is over the topic's limit."""
    return JOB_ID_HEADER, f"{number}-".encode() + b"\xc3\xa9" * 500
