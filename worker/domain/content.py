"""What the value of a job is: a picture's bytes, or a JSON document.

Invariant: a content-type header that names a type decides. If it only says that the value is bytes, or if there is
none, the first bytes decide, where they belong to one format only.
"""

from enum import Enum
from typing import Final

from worker.domain.records import CONTENT_ENCODING_HEADER, CONTENT_TYPE_HEADER, Record

JSON_TYPE = "application/json"

_JSON_TYPES: Final = frozenset({JSON_TYPE, "text/json", "application/x-json"})
_PDF_TYPES: Final = frozenset({"application/pdf", "application/x-pdf"})
# What stores and proxies write if they do not know the type.
_TYPES_OF_ANYTHING: Final = frozenset(
    {"", "*/*", "application/octet-stream", "application/x-binary", "application/unknown", "binary/octet-stream"}
)
UTF8_MARK: Final = b"\xef\xbb\xbf"
_OTHER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{", b"\0\0\xfe\xff", b"\0\0\0{")  # of UTF-16 and UTF-32
_BLANK: Final = b" \t\r\n"
_BLANKS_AHEAD: Final = 4096
# First bytes that no text has. Formats among them that are not supported are refused by name when they are decoded.
_PICTURE_STARTS: Final = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"GIF87a", b"GIF89a",
    b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", b"\0\0\0\x0cJXL \r\n\x87\n",
)  # fmt: skip
_GZIP_START: Final = b"\x1f\x8b\x08"
_COMPRESSIONS: Final = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress"})
_PDF_START: Final = b"%PDF-"
_PDF_START_WITHIN: Final = 1024


class Content(Enum):
    """What a value is; `UNCLEAR` where neither its header nor its first bytes say so."""

    PICTURE = "picture"
    JSON = "json"
    UNCLEAR = "unclear"


def content_type(record: Record) -> str:
    """Return the media type of a record's header, in lower case and without parameters; empty where it has none."""
    return (record.header(CONTENT_TYPE_HEADER) or "").partition(";")[0].strip().lower()


def content_of(record: Record) -> Content:
    """Return what a record's value is."""
    value, named = record.value or b"", content_type(record)
    if named.startswith("image/") or named in _PDF_TYPES:
        return Content.PICTURE
    if named in _JSON_TYPES or (named.startswith("application/") and named.endswith("+json")):
        return Content.JSON
    if named not in _TYPES_OF_ANYTHING:
        return Content.UNCLEAR
    if _begins_as_picture(value):
        return Content.PICTURE
    return Content.JSON if _begins_as_json(value) else Content.UNCLEAR


def is_compressed(record: Record) -> bool:
    """Say if the producer compressed a value: by its gzip magic, or by a header that the first bytes do not refute.

    Bridges that decompress a value may leave the header there.
    """
    value = record.value or b""
    if value.startswith(_GZIP_START):
        return True
    encoding = (record.header(CONTENT_ENCODING_HEADER) or "").strip().lower()
    return encoding in _COMPRESSIONS and not (_begins_as_picture(value) or _begins_as_json(value))


def is_utf16_or_utf32(value: bytes) -> bool:
    """Say whether a JSON document is in UTF-16 or UTF-32, by its byte order mark or its first bytes."""
    return value.startswith(_OTHER_MARKS)


def _begins_as_picture(value: bytes) -> bool:
    return (
        value.startswith(_PICTURE_STARTS)
        or (value.startswith(b"RIFF") and value[8:12] == b"WEBP")
        or (value.startswith(b"BM") and value[6:10] == bytes(4))  # a bitmap's reserved bytes
        or value[4:8] == b"ftyp"
        or (_PDF_START in value[:_PDF_START_WITHIN] and not _begins_as_json(value))
    )


def _begins_as_json(value: bytes) -> bool:
    return value[:_BLANKS_AHEAD].removeprefix(UTF8_MARK).lstrip(_BLANK).startswith(b"{") or is_utf16_or_utf32(value)
