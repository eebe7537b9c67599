"""Dead letters: the bytes as received, and what went wrong."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.records import COORDINATE, any_headers, named, record
from worker.domain.dead_letter import DEAD_LETTER_VERSION, Failure, dead_letter, stack_hash
from worker.domain.errors import ErrorCode, JobError
from worker.domain.headers import ATTEMPT, DEAD_LETTER_PREFIX, JOB_ID
from worker.domain.records import Coordinate, Headers, OutgoingRecord, Record

FAILURE = Failure(
    error=JobError(ErrorCode.IMAGE_CORRUPT, "The picture is damaged."),
    job_id="job",
    attempt=2,
    first_failed_at_ms=10,
    failed_at_ms=20,
    cluster_id="cluster",
    group_id="group",
    worker_version="1.2.3",
    model_version="text_detector:1",
)


def reading(letter: OutgoingRecord) -> dict[str, str]:
    """Return the dead letter's own headers, each of which must come once."""
    own = tuple((name, value) for name, value in letter.headers if name.startswith(DEAD_LETTER_PREFIX))
    return {name.removeprefix(DEAD_LETTER_PREFIX): value.decode() for name, value in named(own).items()}


def test_all_headers_of_the_contract_are_there() -> None:
    letter = dead_letter(record(b"value"), FAILURE, "dlq", None)
    told = reading(letter)
    assert len(told.pop("id")) == 32
    assert told.pop("error.stack-hash")
    assert told == {
        "version": DEAD_LETTER_VERSION,
        "source.cluster": "cluster",
        "source.topic": "label-images",
        "source.partition": "3",
        "source.offset": "41",
        "source.timestamp": "1700000000000",
        "group": "group",
        "error.class": "JobError",
        "error.code": "IMAGE_CORRUPT",
        "error.stage": "decode",
        "error.message": "The picture is damaged.",
        "disposition": "permanent",
        "attempt": "2",
        "first-failed-at": "10",
        "failed-at": "20",
        "replay.count": "0",
        "replay.run-id": "",
        "payload.sha256": hashlib.sha256(b"value").hexdigest(),
        "payload.size": "5",
        "payload.mode": "inline",
        "worker.version": "1.2.3",
        "model.version": "text_detector:1",
    }
    assert dict(letter.headers)[JOB_ID] == b"job"
    assert dict(letter.headers)[ATTEMPT] == b"2"
    assert dict(letter.headers)["labelwire.origin.offset"] == b"41"


@given(st.none() | st.binary(), st.none() | st.binary(), any_headers)
def test_key_value_and_the_producers_headers_stay_byte_for_byte(
    key: bytes | None, value: bytes | None, headers: Headers
) -> None:
    letter = dead_letter(Record(COORDINATE, key, value, headers, 0), FAILURE, "dlq", None)
    assert (letter.topic, letter.key, letter.value) == ("dlq", key, value)
    producers = tuple(pair for pair in headers if not pair[0].startswith("labelwire."))
    assert tuple(pair for pair in letter.headers if not pair[0].startswith("labelwire.")) == producers
    assert reading(letter)["payload.size"] == str(len(value or b""))


@given(any_headers)
def test_a_dead_letter_of_a_dead_letter_has_one_set_of_headers(headers: Headers) -> None:
    first = dead_letter(Record(COORDINATE, None, b"v", headers, 0), FAILURE, "dlq", None)
    replayed = Record(Coordinate("label-images.replay", 0, 7), first.key, first.value, first.headers, 0)
    second = dead_letter(replayed, replace(FAILURE, attempt=3), "dlq", None)
    told = reading(second)
    assert (told["source.topic"], told["source.offset"], told["attempt"]) == ("label-images.replay", "7", "3")
    assert named(tuple(pair for pair in second.headers if pair[0].startswith("labelwire.origin.")))
    assert sum(name == JOB_ID for name, _ in second.headers) == 1


def test_the_id_is_the_same_when_it_is_written_twice_and_another_for_another_record() -> None:
    later = replace(FAILURE, failed_at_ms=99, attempt=5, worker_version="2")
    first, again = (reading(dead_letter(record(), failure, "dlq", None))["id"] for failure in (FAILURE, later))
    moved = replace(record(), coordinate=COORDINATE._replace(offset=42))
    assert first == again
    assert reading(dead_letter(moved, FAILURE, "dlq", None))["id"] != first


@pytest.mark.parametrize("headers_bytes", [0, 5000])
def test_over_the_limit_the_payload_stays_where_it_stands(headers_bytes: int) -> None:
    large = record(b"v" * 10_000, ("own", b"h" * headers_bytes))
    whole = dead_letter(large, FAILURE, "dlq", None)
    assert dead_letter(large, FAILURE, "dlq", whole.size_bytes) == whole
    letter = dead_letter(large, FAILURE, "dlq", whole.size_bytes - 1)
    assert letter.value is None
    assert letter.key == b"key"
    told = reading(letter)
    assert (told["payload.mode"], told["payload.size"]) == ("reference", "10000")
    assert told["payload.sha256"] == hashlib.sha256(large.value or b"").hexdigest()
    assert dict(letter.headers)["own"] == b"h" * headers_bytes


def test_where_even_the_headers_are_too_much_they_stay_behind_as_well() -> None:
    large = record(b"v", ("own", b"h" * 50_000), key=b"k" * 50_000)
    letter = dead_letter(large, replace(FAILURE, job_id="j" * 50_000), "dlq", 20_000)
    assert letter.size_bytes <= 20_000
    assert letter.key is None
    told = reading(letter)
    assert (told["payload.mode"], told["source.topic"], told["source.offset"]) == ("reference", "label-images", "41")
    assert dict(letter.headers)[JOB_ID] == b"j" * 512


def test_a_message_is_cut_and_a_cause_is_named() -> None:
    error = JobError(ErrorCode.INTERNAL, "m" * 5000)
    error.__cause__ = ValueError("text off a label")
    told = reading(dead_letter(record(), replace(FAILURE, error=error), "dlq", None))
    assert len(told["error.message"]) == 1000
    assert told["error.class"] == "ValueError"
    assert "label" not in "".join(told.values()).replace("label-images", "")


def failing() -> None:
    raise JobError(ErrorCode.IMAGE_CORRUPT, "one")


def failing_elsewhere() -> None:
    raise JobError(ErrorCode.IMAGE_CORRUPT, "other")


def raised_by(failing: Callable[[], None]) -> JobError:
    with pytest.raises(JobError) as raised:
        failing()
    return raised.value


def test_a_stack_hash_tells_places_apart() -> None:
    assert stack_hash(raised_by(failing)) == stack_hash(raised_by(failing))
    assert stack_hash(raised_by(failing)) != stack_hash(raised_by(failing_elsewhere))
