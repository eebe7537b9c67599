"""From a record to a job: content type, body, identity.

Invariant: `parse_job` raises nothing but JobError, whatever the bytes.
"""

import base64
import contextlib
import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from worker.domain.content import (
    JSON_TYPE,
    UTF8_MARK,
    Content,
    content_of,
    content_type,
    is_compressed,
    is_utf16_or_utf32,
)
from worker.domain.errors import ErrorCode, JobError
from worker.domain.headers import DerivedHeaders
from worker.domain.records import JOB_ID_HEADER, Record
from worker.domain.uri import PictureUri

MAX_JOB_ID_CHARACTERS = 512

_SPACES = " \t\r\n\f\v\u0085\u00a0\u200b\u2028\u2029\ufeff"
_WHITE_SPACE = str.maketrans("", "", _SPACES)
_LINE_BREAKS = re.compile("[\t\r\n\f\v\u0085\u2028\u2029]")
# data:image/png;name="a,b";base64, with any space in it, or what is left of it.
_DATA_HEAD = re.compile(
    r"[\s\ufeff]*(?:(?:data:)?[^;,]{0,200}(?:;[^;]{1,200}){0,8}?;)?\s{0,8}base64\s{0,8},", re.IGNORECASE
)
_ESCAPED_TWICE = re.compile(r"\\[nrt/]")
_URL_SAFE = str.maketrans("-_", "+/")
_QUANTUM = 4  # letters of base64 that three bytes take


class JobOptions(BaseModel):
    """What a job may ask for: lines read with less than `min_confidence` are left out of its result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None

    def canonical(self) -> str:
        """Return the same text for the same options, for the result's identity."""
        return json.dumps(self.model_dump(exclude_none=True), sort_keys=True, separators=(",", ":"))


class _JobDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    job_id: Annotated[str, Field(min_length=1, max_length=MAX_JOB_ID_CHARACTERS)] | None = None
    image_uri: str | None = None
    image_base64: str | None = None
    options: JobOptions = JobOptions()
    deadline: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class LabelJob:
    """A picture to read. `deadline_ms` is epoch milliseconds.

    With a `uri`, `picture` is empty and `picture_sha256` is that of an empty value until the picture is fetched.
    """

    job_id: str
    picture: bytes
    picture_sha256: str
    options: JobOptions
    deadline_ms: int | None
    uri: PictureUri | None = None

    @property
    def result_id(self) -> str:
        """The identity of the job's result: the same for every attempt and replay of the same job.

        For a picture by URI the URI as it was given counts, so that the identity is known before it is fetched.
        """
        content = self.picture_sha256 if self.uri is None else self.uri.original
        identity = f"{self.job_id}\0{content}\0{self.options.canonical()}"
        return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def with_picture(self, picture: bytes) -> "LabelJob":
        """Return the job with its fetched picture."""
        return replace(self, picture=picture, picture_sha256=hashlib.sha256(picture).hexdigest())


def job_id_in_headers(record: Record, derived: DerivedHeaders | None = None) -> str:
    """Return the record's job id without looking into its value: from its headers, or where it first stood.

    `derived` are the record's derived headers where they were parsed already.
    """
    derived = derived or DerivedHeaders.of(record)
    return derived.job_id or record.header(JOB_ID_HEADER) or str(derived.origin)


def job_id_in_value(record: Record) -> str:
    """Return the record's job id as `parse_job` has it: read from a JSON value, even where that is not a valid job."""
    if content_of(record) is Content.JSON:
        with contextlib.suppress(ValidationError):
            return _document(record.value or b"").job_id or job_id_in_headers(record)
    return job_id_in_headers(record)


def parse_job(record: Record) -> LabelJob:
    """Return the job that a record holds.

    Raises JobError JOB_INVALID for a body or header that is not valid, URI_FORBIDDEN for a scheme that is not fetched.
    """
    if record.unreadable_headers:
        raise JobError(
            ErrorCode.JOB_INVALID,
            f"{record.unreadable_headers} of the record's {len(record.headers)} headers have names that are not UTF-8; "
            "send header names in UTF-8. The first such name is kept, escaped, the others are lost; values are kept.",
        )
    if not record.value:
        raise JobError(ErrorCode.JOB_INVALID, "The record's value is empty; send the picture's bytes or a JSON job.")
    if is_compressed(record):
        raise JobError(
            ErrorCode.JOB_INVALID,
            "The record's value is compressed (gzip or the like); send it as it is, and let compression.type do that.",
        )
    content = content_of(record)
    if content is Content.PICTURE:
        return _job(record, _JobDocument(), record.value)
    if content is Content.JSON:
        document = _parse_document(record.value)
        uri = _uri(document)
        return _job(record, document, b"" if uri else _picture(document), uri)
    named = content_type(record)[:80]
    raise JobError(
        ErrorCode.JOB_INVALID,
        f"The header content-type is {named!r}; send image/jpeg (or another image type) or {JSON_TYPE}.",
    )


def _document(value: bytes) -> _JobDocument:
    """Return the document, which may begin with a UTF-8 byte order mark. Raises ValidationError."""
    return _JobDocument.model_validate_json(value.removeprefix(UTF8_MARK))


def _parse_document(value: bytes) -> _JobDocument:
    if is_utf16_or_utf32(value):
        raise JobError(ErrorCode.JOB_INVALID, "The JSON job is in UTF-16 or UTF-32; send it in UTF-8.")
    try:
        return _document(value)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        location = ".".join(str(part) for part in problem["loc"]) or "the body"
        raise JobError(ErrorCode.JOB_INVALID, f"The JSON job is wrong at {location[:80]}: {problem['msg']}.") from error


def _uri(document: _JobDocument) -> PictureUri | None:
    if document.image_uri is None:
        return None
    if document.image_base64 is not None:
        raise JobError(ErrorCode.JOB_INVALID, "The job has both image_uri and image_base64; send one of them.")
    return PictureUri.parse(document.image_uri)


def _picture(document: _JobDocument) -> bytes:
    if not document.image_base64:
        raise JobError(ErrorCode.JOB_INVALID, "The job has no picture; send image_base64 or image_uri.")
    try:
        return base64.b64decode(document.image_base64, validate=True)
    except ValueError:  # not as in RFC 4648; most other forms can be decoded without doubt
        return _lenient_base64(document.image_base64)


def _lenient_base64(text: str) -> bytes:
    """Decode base64 in lines, with the letters of URLs, without padding, or as a data URI (RFC 2397).

    Raises JobError JOB_INVALID.
    """
    if head := _DATA_HEAD.match(text):
        text = text[head.end() :]
    elif text.lstrip()[:5].lower() == "data:":
        raise JobError(ErrorCode.JOB_INVALID, "The job's image_base64 is a data URI without base64; send base64.")
    if "%" in text:
        raise JobError(ErrorCode.JOB_INVALID, "The job's image_base64 is percent-encoded; send base64 as it is.")
    if "\\" in text:
        text = _ESCAPED_TWICE.sub(_unescaped, text)
    letters = _without_space(text).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % _QUANTUM), validate=True)
    except ValueError as error:
        raise JobError(ErrorCode.JOB_INVALID, f"The job's image_base64 is not base64: {error}.") from error


def _unescaped(escaped: re.Match[str]) -> str:
    return "/" if escaped[0] == "\\/" else ""


def _without_space(text: str) -> str:
    """Return base64 without line breaks and other white space.

    Decoding a web form turns plus signs into spaces. Dropping those would shift all bits behind them, so spaces become
    plus signs again unless they separate lines.
    """
    spaced = text.strip(_SPACES)
    if " " in spaced and "+" not in spaced and not _LINE_BREAKS.search(spaced):
        pieces = spaced.split(" ")
        lengths = {len(piece) for piece in pieces[:-1]}
        are_lines = len(lengths) == 1 and not min(lengths) % _QUANTUM
        if not are_lines and len(spaced.rstrip("=")) % _QUANTUM != 1:
            return spaced.replace(" ", "+")
    return text.translate(_WHITE_SPACE)


def _job(record: Record, document: _JobDocument, picture: bytes, uri: PictureUri | None = None) -> LabelJob:
    derived = DerivedHeaders.of(record)
    # An id in the value comes first: derived headers may be written without reading the value.
    job_id = document.job_id or derived.job_id or record.header(JOB_ID_HEADER) or str(derived.origin)
    if len(job_id) > MAX_JOB_ID_CHARACTERS:
        raise JobError(
            ErrorCode.JOB_INVALID,
            f"The header {JOB_ID_HEADER} has {len(job_id)} characters; at most {MAX_JOB_ID_CHARACTERS} are allowed.",
        )
    deadline = document.deadline
    return LabelJob(
        job_id=job_id,
        picture=picture,
        picture_sha256=hashlib.sha256(picture).hexdigest(),
        options=document.options,
        deadline_ms=None if deadline is None else int(deadline.timestamp() * 1000),
        uri=uri,
    )


def check_deadline(job: LabelJob, now_ms: int) -> None:
    """Raise JobError DEADLINE_EXCEEDED where the job's deadline has passed."""
    if job.deadline_ms is not None and now_ms >= job.deadline_ms:
        late_seconds = (now_ms - job.deadline_ms) / 1000
        raise JobError(
            ErrorCode.DEADLINE_EXCEEDED,
            f"The job's deadline passed {late_seconds:g} seconds before it was read; send it earlier.",
        )
