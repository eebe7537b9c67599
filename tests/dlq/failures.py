"""Dead letters for the tests, written as the worker writes them."""

from worker.domain.dead_letter import Failure, dead_letter
from worker.domain.errors import ErrorCode, JobError
from worker.domain.records import Coordinate, Headers, OutgoingRecord, Record

FAILED_AT_MS = 1_700_000_100_000
ORIGIN = Coordinate("label-images", 3, 41)


def received(
    key: bytes | None = b"key",
    value: bytes | None = b"picture",
    headers: Headers = (),
    coordinate: Coordinate = ORIGIN,
) -> Record:
    """Return a record as the worker received it."""
    return Record(coordinate, key, value, headers, 1_700_000_000_000)


def written(
    record: Record,
    code: ErrorCode = ErrorCode.IMAGE_CORRUPT,
    *,
    topic: str = "label-images.dlq",
    failed_at_ms: int = FAILED_AT_MS,
    max_message_bytes: int | None = None,
    cluster_id: str = "cluster",
    message: str = "The picture ends early.",
) -> OutgoingRecord:
    """Return the dead letter that the worker would write."""
    failure = Failure(
        JobError(code, message), "job-1", 1, failed_at_ms, failed_at_ms, cluster_id, "labelwire", "1.0", "7"
    )
    return dead_letter(record, failure, topic, max_message_bytes)


def stands(outgoing: OutgoingRecord, partition: int = 0, offset: int = 5) -> Record:
    """Return what a reader of the dead-letter topic gets."""
    return Record(
        Coordinate(outgoing.topic, partition, offset), outgoing.key, outgoing.value, outgoing.headers, FAILED_AT_MS + 7
    )
