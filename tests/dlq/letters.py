"""Dead letters for the tests."""

from dataclasses import replace

from worker.domain.dead_letter import Failure, dead_letter
from worker.domain.errors import ErrorCode, JobError
from worker.domain.records import CONTENT_TYPE_HEADER, JOB_ID_HEADER, Coordinate, OutgoingRecord, Record

JOBS = "label-images"
LETTERS = "label-images.dlq"
NOW_MS = 1_700_000_000_000
MESSAGE = "The picture is damaged: send it again."

FAILURE = Failure(
    error=JobError(ErrorCode.IMAGE_CORRUPT, MESSAGE),
    job_id="parcel",
    attempt=2,
    first_failed_at_ms=NOW_MS - 5000,
    failed_at_ms=NOW_MS,
    cluster_id="cluster",
    group_id="group",
    worker_version="1.2.3",
    model_version="text_detector:1",
)


def job(
    number: int, value: bytes | None = b"picture", *headers: tuple[str, bytes], key: bytes | None = b"key"
) -> Record:
    """Return the job `parcel-<number>` as it was received; further headers come after its own."""
    own = ((CONTENT_TYPE_HEADER, b"image/png"), (JOB_ID_HEADER, f"parcel-{number}".encode()))
    return Record(Coordinate(JOBS, 0, number), key, value, (*own, *headers), NOW_MS)


def written(
    received: Record,
    *,
    code: ErrorCode = ErrorCode.IMAGE_CORRUPT,
    message: str = MESSAGE,
    at_ms: int = NOW_MS,
    topic: str = LETTERS,
    max_message_bytes: int | None = None,
) -> OutgoingRecord:
    """Return the dead letter of a job, to be written."""
    job_id = received.header(JOB_ID_HEADER) or ""
    error = JobError(code, message)
    failure = replace(FAILURE, error=error, job_id=job_id, failed_at_ms=at_ms, first_failed_at_ms=at_ms - 5000)
    return dead_letter(received, failure, topic, max_message_bytes)


def standing(outgoing: OutgoingRecord, offset: int, *, partition: int = 0, at_ms: int = NOW_MS) -> Record:
    """Return a record as it stands on its topic."""
    place = Coordinate(outgoing.topic, partition, offset)
    return Record(place, outgoing.key, outgoing.value, outgoing.headers, at_ms)
