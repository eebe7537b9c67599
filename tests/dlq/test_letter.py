import hashlib

from hypothesis import given
from hypothesis import strategies as st

from tests.dlq.failures import FAILED_AT_MS, received, stands, written
from tests.domain.records import any_headers
from worker.dlq.letter import UNKNOWN_CODE, UNKNOWN_STAGE, DeadLetter
from worker.domain.errors import ErrorCode
from worker.domain.headers import DEAD_LETTER_PREFIX
from worker.domain.records import Coordinate, Headers, Record

VALUE = b"x" * 500
NAMES = st.sampled_from(
    ["id", "error.code", "error.stage", "failed-at", "payload.size", "payload.mode", "source.topic", "attempt"]
)


def test_a_letter_tells_what_the_worker_wrote() -> None:
    record = received(value=VALUE, headers=(("content-type", b"image/jpeg"),))

    letter = DeadLetter.of(stands(written(record)))

    assert (letter.code, letter.stage, letter.disposition) == ("IMAGE_CORRUPT", "decode", "permanent")
    assert letter.message == "The picture ends early."
    assert (letter.failed_at_ms, letter.first_failed_at_ms, letter.attempt) == (FAILED_AT_MS, FAILED_AT_MS, 1)
    assert letter.source == letter.derived.origin == Coordinate("label-images", 3, 41)
    assert (letter.derived.job_id, letter.derived.replay_count) == ("job-1", 0)
    assert letter.payload_sha256 == hashlib.sha256(VALUE).hexdigest()
    assert (letter.payload_size_bytes, letter.is_reference, letter.has_origin) == (500, False, True)
    assert (letter.worker_version, letter.model_version, letter.source_cluster) == ("1.0", "7", "cluster")


def test_a_letter_over_the_size_limit_is_a_reference() -> None:
    letter = DeadLetter.of(stands(written(received(value=bytes(10_000)), max_message_bytes=5_000)))

    assert letter.is_reference
    assert letter.record.value is None
    assert letter.payload_size_bytes == 10_000


def test_the_fingerprint_tells_codes_apart_and_joins_the_same_failure() -> None:
    one, same, other = (
        DeadLetter.of(stands(written(received(value=value), code)))
        for value, code in (
            (b"1", ErrorCode.IMAGE_CORRUPT),
            (b"2", ErrorCode.IMAGE_CORRUPT),
            (b"3", ErrorCode.JOB_INVALID),
        )
    )

    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert len(one.fingerprint) == 8


def test_a_foreign_record_is_a_letter_of_unknown_code() -> None:
    letter = DeadLetter.of(received(headers=(("who", b"knows"),)))

    assert (letter.code, letter.stage, letter.message) == (UNKNOWN_CODE, UNKNOWN_STAGE, "")
    assert letter.id == "label-images/3/41"
    assert (letter.failed_at_ms, letter.payload_size_bytes) == (1_700_000_000_000, len(b"picture"))
    assert not letter.has_origin


@given(
    any_headers,
    st.lists(
        st.tuples(NAMES.map(DEAD_LETTER_PREFIX.__add__), st.binary(max_size=30) | st.just(b"9" * 5000)), max_size=8
    ),
    st.none() | st.binary(max_size=20),
)
def test_any_record_can_be_read(headers: Headers, own: list[tuple[str, bytes]], value: bytes | None) -> None:
    letter = DeadLetter.of(Record(Coordinate("dlq", 0, 9), None, value, (*headers, *own), 12))

    assert letter.code
    assert letter.failed_at_ms < 10**19
    assert letter.record.headers == (*headers, *own)
