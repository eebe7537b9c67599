"""From bytes to a job, or to a sentence."""

import base64
import gzip
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.records import COORDINATE, any_headers, record, typed
from worker.domain.errors import ErrorCode, JobError
from worker.domain.headers import JOB_ID, ORIGIN_OFFSET, ORIGIN_PARTITION, ORIGIN_TOPIC
from worker.domain.job import (
    MAX_JOB_ID_CHARACTERS,
    LabelJob,
    check_deadline,
    job_id_in_headers,
    job_id_in_value,
    parse_job,
)
from worker.domain.records import Coordinate, Headers, Record

JSON = typed("application/json")
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)
)
documents = st.dictionaries(
    st.sampled_from(["job_id", "image_uri", "image_base64", "options", "deadline"]) | st.text(max_size=4),
    json_values | st.fixed_dictionaries({"min_confidence": json_values}) | st.just("aGVsbG8="),
    max_size=5,
).map(lambda document: json.dumps(document).encode())


def job(value: bytes | None, *headers: tuple[str, bytes]) -> LabelJob:
    return parse_job(record(value, *headers))


def refusal(value: bytes | None, *headers: tuple[str, bytes]) -> JobError:
    with pytest.raises(JobError) as raised:
        job(value, *headers)
    return raised.value


def document(**fields: object) -> bytes:
    return json.dumps({"image_base64": base64.b64encode(b"picture").decode(), **fields}).encode()


def outcome(received: Record) -> LabelJob | JobError:
    try:
        return parse_job(received)
    except JobError as error:
        return error


@given(st.none() | st.binary(max_size=200) | documents, any_headers)
def test_nothing_but_a_job_or_a_job_error_comes_of_any_bytes(value: bytes | None, headers: Headers) -> None:
    received = Record(COORDINATE, None, value, headers, 0)
    came = outcome(received)
    assert job_id_in_headers(received)
    if isinstance(came, JobError):
        assert came.code in {ErrorCode.JOB_INVALID, ErrorCode.URI_FORBIDDEN}
        assert came.message.endswith(".")
        assert len(came.message) < 600
    else:
        assert 0 < len(came.job_id) <= MAX_JOB_ID_CHARACTERS
        assert len(came.result_id) == 32
        assert came.job_id.encode()


@given(documents)
def test_a_json_body_is_a_job_or_a_job_error(value: bytes) -> None:
    came = outcome(record(value, JSON))
    if isinstance(came, JobError):
        assert came.code in {ErrorCode.JOB_INVALID, ErrorCode.URI_FORBIDDEN}
    else:
        assert came.picture == (b"hello" if came.uri is None else b"")


@pytest.mark.parametrize(
    ("value", "headers", "says"),
    [
        (None, [typed("image/png")], "empty"),
        (b"", [typed("image/png")], "empty"),
        (b"x", [], "content-type is ''"),
        (b"x", [typed("text/plain")], "content-type is 'text/plain'"),
        (b"{", [JSON], "wrong at the body"),
        (b"[]", [JSON], "wrong at the body"),
        (document(image_uri="s3://b/k"), [JSON], "both image_uri and image_base64"),
        (document(image_base64=None), [JSON], "no picture"),
        (b'{"image_uri": "s3://bucket"}', [JSON], "no path"),
        (b'{"image_uri": ""}', [JSON], "no URI"),
        (document(image_base64="*"), [JSON], "not base64"),
        (document(image_base64="cGlj=dHVyZQ=="), [JSON], "not base64"),
        (document(image_base64="cGljd"), [JSON], "not base64"),
        (document(image_base64="data:image/png,%89PNG"), [JSON], "data URI without base64"),
        (document(image_base64="data:image/png;base64"), [JSON], "data URI without base64"),
        (document(image_base64="a" * 500 + ",cGlj"), [JSON], "not base64"),
        (document(image_base64="b'cGlj'"), [JSON], "not base64"),
        (gzip.compress(document(), mtime=0), [JSON], "is compressed"),
        (gzip.compress(b"x", mtime=0), [], "is compressed"),
        (b"x", [typed("image/png"), ("Content-Encoding", b"GZIP")], "is compressed"),
        (b"\x8b\x07", [JSON, ("content-encoding", b"br")], "is compressed"),
        (document(image_base64="data:;base64,cGljdHVyZQ%3D%3D"), [JSON], "percent-encoded"),
        (document().decode().encode("utf-16"), [JSON], "UTF-16"),
        (document().decode().encode("utf-16-be"), [JSON], "UTF-16"),
        (document().decode().encode("utf-32"), [typed("application/octet-stream")], "UTF-16 or UTF-32"),
        (document(), [typed("text/plain")], "content-type is 'text/plain'"),
        (b"hello", [typed("application/octet-stream")], "content-type is 'application/octet-stream'"),
        (document(image_base64="größe"), [JSON], "not base64"),
        (document(options={"min_confidence": 2}), [JSON], r"options\.min_confidence"),
        (document(color="red"), [JSON], "color"),
        (document(job_id=""), [JSON], "job_id"),
        (document(deadline="tomorrow"), [JSON], "deadline"),
        (document(deadline="2026-01-01T00:00:00"), [JSON], "deadline"),
        (b"x", [typed("image/png"), ("job-id", b"j" * 513)], "513 characters"),
    ],
)
def test_what_is_no_job_gets_a_sentence(value: bytes | None, headers: list[tuple[str, bytes]], says: str) -> None:
    error = refusal(value, *headers)
    assert error.code is ErrorCode.JOB_INVALID
    with pytest.raises(JobError, match=says):
        raise error


def test_a_scheme_that_nobody_fetches_is_forbidden_and_the_uri_not_repeated_in_the_sentence() -> None:
    error = refusal(json.dumps({"image_uri": "http://secret-host/key?token=1"}).encode(), JSON)
    assert error.code is ErrorCode.URI_FORBIDDEN
    assert "'http'" in error.message
    assert "secret" not in error.message


def test_a_job_by_uri_has_its_identity_before_its_picture_and_keeps_it() -> None:
    given = {"job_id": "a", "image_uri": "https://cdn.example.com/a.png?signature=1"}
    parsed = job(json.dumps(given).encode(), JSON)
    assert parsed.picture == b""
    fetched = parsed.with_picture(b"x")
    assert (fetched.picture, fetched.picture_sha256) == (b"x", hashlib.sha256(b"x").hexdigest())
    assert fetched.result_id == parsed.result_id
    elsewhere = given | {"image_uri": "https://cdn.example.com/b.png"}
    assert job(json.dumps(elsewhere).encode(), JSON).result_id != parsed.result_id
    inline = {"job_id": "a", "image_base64": base64.b64encode(b"x").decode()}
    assert job(json.dumps(inline).encode(), JSON).result_id != parsed.result_id


def test_a_wrong_document_is_not_repeated_in_the_sentence() -> None:
    assert "hunter2" not in refusal(document(job_id=["hunter2"]), JSON).message


@pytest.mark.parametrize("content_type", ["image/jpeg", "IMAGE/JPEG", " image/x-anything ; q=1"])
def test_any_image_type_makes_the_value_the_picture(content_type: str) -> None:
    parsed = job(b"\xff\xd8", typed(content_type))
    assert parsed.picture == b"\xff\xd8"
    assert parsed.picture_sha256 == hashlib.sha256(b"\xff\xd8").hexdigest()


PICTURE = bytes(range(256)) * 3 + b"\xfb\xff"
LINES = base64.encodebytes(PICTURE).decode()
LETTERS = base64.b64encode(PICTURE).decode()


@pytest.mark.parametrize(
    "spelt",
    [
        LETTERS,
        LINES,
        LINES.replace("\n", "\r\n"),
        f"  {LETTERS[:50]}\t{LETTERS[50:]}\n",
        LETTERS.rstrip("="),
        LETTERS + "=",
        base64.urlsafe_b64encode(PICTURE).decode(),
        base64.urlsafe_b64encode(PICTURE).decode().rstrip("="),
        f"data:image/jpeg;base64,{LETTERS}",
        f"DATA:image/png;name=a.png;BASE64, {LINES}",
        f"data:;base64,{LETTERS.rstrip('=')}",
        f' data: image/jpeg ; name="a,b;c.jpg" ; base64 , {LETTERS}',
        f"image/png;base64,{LETTERS}",
        f"base64,{LETTERS}",
        f"\ufeff{LETTERS}",
        LINES.replace("\n", "\u2028"),
        LINES.replace("\n", " "),
        LINES.replace("\n", "\n    "),
        LINES.replace("\n", "\\r\\n"),  # escaped twice
        LETTERS.replace("/", "\\/"),
        LETTERS.replace("+", " "),  # a form that was decoded twice
        LETTERS.replace("+", " ").rstrip("="),
    ],
)
def test_base64_is_read_however_it_is_written_and_is_the_same_job(spelt: str) -> None:
    image = job(PICTURE, typed("image/png"), ("job-id", b"a"))
    parsed = job(json.dumps({"job_id": "a", "image_base64": spelt}).encode(), JSON)
    assert parsed.picture == PICTURE
    assert parsed.result_id == image.result_id


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b" \r\n\t", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize(
    "named",
    ["application/json", "Application/JSON; charset=UTF-8", "text/json", "application/vnd.labels+json",
     "application/octet-stream", "binary/octet-stream", ""],
)  # fmt: skip
def test_a_json_job_is_one_behind_a_mark_or_space_and_where_its_type_says_nothing(named: str, before: bytes) -> None:
    received = record(before + document(job_id="a"), typed(named))
    assert parse_job(received).picture == b"picture"
    assert job_id_in_value(received) == "a"


def test_a_value_that_is_not_packed_is_read() -> None:
    assert job(document(), JSON, ("content-encoding", b"identity")).picture == b"picture"
    assert job(document(), JSON, ("content-encoding", b"gzip")).picture == b"picture"
    assert job(b"\xff\xd8\xff", typed("image/jpeg"), ("Content-Encoding", b"gzip")).picture == b"\xff\xd8\xff"
    assert job(b" \r\n" * 300 + document()).picture == b"picture"


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "CONTENT-TYPE"])
def test_a_header_counts_in_any_case(name: str) -> None:
    parsed = job(b"x", (name, b"image/png"), ("Job-ID", b"a"))
    assert (parsed.picture, parsed.job_id) == (b"x", "a")


@pytest.mark.parametrize("start", [
    b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"RIFF\0\0\0\0WEBPVP8 ",
    b"BM\x36\0\0\0\0\0\0\0", b"\0\0\0\x1cftypheic", b"%PDF-1.7", b"\n%PDF-1.4", b"GIF89a",
])  # fmt: skip
@pytest.mark.parametrize("headers", [[], [typed("application/octet-stream")], [typed("binary/octet-stream; x=y")]])
def test_a_picture_is_one_by_its_first_bytes_where_its_type_says_nothing(
    headers: list[tuple[str, bytes]], start: bytes
) -> None:
    assert job(start + bytes(99), *headers).picture == start + bytes(99)


@pytest.mark.parametrize("named", ["application/pdf", "application/x-pdf", "Application/PDF; version=1.4"])
def test_a_pdf_document_is_a_picture(named: str) -> None:
    assert job(b"%PDF-1.4", typed(named)).picture == b"%PDF-1.4"


def test_a_document_that_holds_the_start_of_a_pdf_is_no_picture() -> None:
    received = record(document(job_id="%PDF-1.4"), typed("application/octet-stream"))
    assert parse_job(received).job_id == "%PDF-1.4"


def test_a_json_job_says_id_options_and_deadline() -> None:
    parsed = job(document(job_id="a", options={"min_confidence": 0.25}, deadline="2026-01-01T00:00:00+01:00"), JSON)
    assert (parsed.job_id, parsed.picture, parsed.options.min_confidence) == ("a", b"picture", 0.25)
    assert parsed.deadline_ms == 1767222000000


def test_the_id_of_the_way_comes_before_the_producers_and_the_origin_last() -> None:
    image, own, way = typed("image/png"), ("job-id", b"own"), (JOB_ID, b"way")
    assert job(b"x", image, own, way).job_id == "way"
    assert job(b"x", image, own).job_id == "own"
    assert job(b"x", image).job_id == "label-images/3/41"
    first = [(ORIGIN_TOPIC, b"t"), (ORIGIN_PARTITION, b"0"), (ORIGIN_OFFSET, b"9")]
    assert job(b"x", image, *first).job_id == "t/0/9"
    assert job_id_in_headers(record(b"x", *first)) == "t/0/9"


def test_a_json_job_keeps_its_own_id_and_identity_over_a_retry() -> None:
    first, retried = job(document(job_id="a"), JSON), job(document(job_id="a"), JSON, (JOB_ID, b"label-images/3/41"))
    assert (first.job_id, first.result_id) == (retried.job_id, retried.result_id) == ("a", first.result_id)


def test_a_result_id_is_the_same_wherever_the_record_stands_and_differs_by_job_content_and_options() -> None:
    image, own = typed("image/png"), ("job-id", b"a")
    elsewhere = Record(
        Coordinate("label-images.replay", 0, 1), None, b"x", (image, own, ("labelwire.attempt", b"4")), 5
    )
    one = job(b"x", image, own).result_id
    assert parse_job(elsewhere).result_id == one
    in_json = {"job_id": "a", "image_base64": base64.b64encode(b"x").decode()}
    assert job(json.dumps(in_json).encode(), JSON).result_id == one
    assert job(json.dumps({**in_json, "options": {"min_confidence": None}}).encode(), JSON).result_id == one
    others = {
        job(b"y", image, own).result_id,
        job(b"x", image, ("job-id", b"b")).result_id,
        job(json.dumps({**in_json, "options": {"min_confidence": 0.5}}).encode(), JSON).result_id,
    }
    assert len(others - {one}) == 3


def test_the_result_id_is_what_it_was_in_the_first_release() -> None:
    assert job(b"x", typed("image/png"), ("job-id", b"a")).result_id == "25661fdffa53f489d5fe9d7bcd7f1cc3"


def test_a_deadline_that_has_passed_is_told() -> None:
    parsed = job(document(deadline="2026-01-01T00:00:00Z"), JSON)
    assert parsed.deadline_ms is not None
    check_deadline(parsed, parsed.deadline_ms - 1)
    with pytest.raises(JobError, match="passed 0 seconds before") as raised:
        check_deadline(parsed, parsed.deadline_ms)
    assert raised.value.code is ErrorCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("deadline", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", 1e300, -1e12])
def test_an_extreme_deadline_is_a_deadline_or_a_sentence(deadline: object) -> None:
    came = outcome(record(document(deadline=deadline), JSON))
    if isinstance(came, JobError):
        assert came.code is ErrorCode.JOB_INVALID
    else:
        with pytest.raises(JobError) as raised:
            check_deadline(came, 2**62)
        assert raised.value.code is ErrorCode.DEADLINE_EXCEEDED
