"""The job inside a dead letter, or behind it."""

from dataclasses import replace

import pytest

from worker.dlq.letter import DeadLetter
from worker.dlq.payload import PayloadMissingError, original_job
from worker.domain.dead_letter import Failure, dead_letter
from worker.domain.errors import ErrorCode, JobError
from worker.domain.headers import ATTEMPT, DEAD_LETTER_PREFIX
from worker.domain.records import Coordinate, Headers, Record

SOURCE = Coordinate("label-images", 3, 41)
AT = Coordinate("label-images.dlq", 0, 7)
JOB = Record(SOURCE, b"key", b"picture" * 200, (("content-type", b"image/png"), ("odd", b"\xff\0")), 1_700_000_000_000)
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


def letter(*, max_message_bytes: int | None = None) -> DeadLetter:
    """Return the dead letter of `JOB` as it stands on its topic."""
    written = dead_letter(JOB, FAILURE, AT.topic, max_message_bytes)
    return DeadLetter.of(Record(AT, written.key, written.value, written.headers, 1_700_000_001_000))


def with_header(record: Record, name: str, value: bytes) -> Record:
    """Return the record with one of the dead letter's own headers changed."""
    full = DEAD_LETTER_PREFIX + name
    return replace(record, headers=(*((key, old) for key, old in record.headers if key != full), (full, value)))


def nowhere(coordinate: Coordinate) -> Record | None:
    raise AssertionError(f"{coordinate} was asked for")


def producers(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if not name.startswith("labelwire."))


def test_an_inline_letter_holds_its_job() -> None:
    job = original_job(letter(), nowhere)

    assert (job.key, job.value, producers(job.headers)) == (JOB.key, JOB.value, JOB.headers)
    assert not [name for name, _ in job.headers if name.startswith(DEAD_LETTER_PREFIX)]


def test_a_reference_is_fetched_back_with_its_way_up_to_now() -> None:
    reference = letter(max_message_bytes=1500)
    assert reference.is_reference
    assert reference.record.value is None
    asked: list[Coordinate] = []

    job = original_job(reference, lambda place: asked.append(place) or JOB)  # type: ignore[func-returns-value]

    assert asked == [SOURCE]
    assert (job.key, job.value, producers(job.headers)) == (JOB.key, JOB.value, JOB.headers)
    assert dict(job.headers)[ATTEMPT] == b"2"


def test_key_and_headers_that_stayed_behind_come_back_too() -> None:
    bare = letter(max_message_bytes=1)
    assert (bare.record.key, producers(bare.record.headers)) == (None, ())

    job = original_job(bare, lambda _: JOB)

    assert (job.key, job.value, producers(job.headers)) == (JOB.key, JOB.value, JOB.headers)


def test_what_retention_took_is_said() -> None:
    with pytest.raises(PayloadMissingError, match=r"label-images/3/41 and is no longer there: retention removed it"):
        original_job(letter(max_message_bytes=1500), lambda _: None)


def test_another_record_in_the_place_is_refused() -> None:
    with pytest.raises(PayloadMissingError, match="another record is now"):
        original_job(letter(max_message_bytes=1500), lambda _: replace(JOB, value=b"other"))


def test_an_inline_payload_that_was_changed_is_refused() -> None:
    with pytest.raises(PayloadMissingError, match="does not match its sha256: it was changed on the way"):
        original_job(DeadLetter.of(replace(letter().record, value=b"other")), nowhere)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source.topic", b"../etc"),
        ("source.topic", b""),
        ("source.topic", b"a\0b"),
        ("source.partition", b"-1"),
        ("source.offset", b"9" * 19),
        ("source.offset", "²".encode()),
    ],
)
def test_a_source_that_is_nonsense_is_none(name: str, value: bytes) -> None:
    forged = DeadLetter.of(with_header(letter(max_message_bytes=1500).record, name, value))

    assert forged.source is None
    with pytest.raises(PayloadMissingError, match="does not say where"):
        original_job(forged, nowhere)


def test_a_record_that_is_no_dead_letter_is_its_own_job() -> None:
    assert original_job(DeadLetter.of(JOB), nowhere).value == JOB.value
