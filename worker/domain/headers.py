"""The headers `labelwire.*` of every record that is derived from a job, so that the job can be followed.

Times are epoch milliseconds. Values of unknown shape are ignored: a producer may have written anything.
"""

from dataclasses import dataclass, replace

from worker.domain.records import Coordinate, Headers, Record

JOB_ID = "labelwire.job-id"
ATTEMPT = "labelwire.attempt"
DUE_AT = "labelwire.due-at"
FIRST_FAILED_AT = "labelwire.first-failed-at"
ORIGIN_TOPIC = "labelwire.origin.topic"
ORIGIN_PARTITION = "labelwire.origin.partition"
ORIGIN_OFFSET = "labelwire.origin.offset"
ORIGIN_TIMESTAMP = "labelwire.origin.timestamp"
REPLAY_COUNT = "labelwire.replay.count"
REPLAY_RUN_ID = "labelwire.replay.run-id"
# On results alone: the set of models that read it, and the rollout that decided so.
MODEL_SET = "labelwire.model-set"
ROLLOUT = "labelwire.rollout"
DEAD_LETTER_PREFIX = "labelwire.dlq."
# W3C Trace Context: on a job its producer's, on a result that of the span that sent it. A retry and a dead letter keep
# the producer's, and name the attempt that wrote them in a header of their own.
TRACE_PARENT = "traceparent"
TRACE_STATE = "tracestate"
ATTEMPT_TRACE_PARENT = "labelwire.traceparent"
DEAD_LETTER_TRACE_PARENT = DEAD_LETTER_PREFIX + TRACE_PARENT

_MAX_TOPIC_CHARACTERS = 249  # Kafka's own limit
_MAX_RUN_ID_CHARACTERS = 256
_MAX_DIGITS = 19  # of a 64-bit number; int() of very long texts is slow


@dataclass(frozen=True, slots=True)
class DerivedHeaders:
    """What a record's headers say of its job: its id if it has one, its origin, its attempts and its replays.

    `attempt` counts the attempts that were made; `due_at_ms` is when the next one is, and
    `first_failed_at_ms` when the first one failed, on a retry topic alone.
    """

    job_id: str | None
    attempt: int
    origin: Coordinate
    origin_timestamp_ms: int
    replay_count: int
    replay_run_id: str | None
    due_at_ms: int | None = None
    first_failed_at_ms: int | None = None

    @classmethod
    def of(cls, record: Record) -> "DerivedHeaders":
        """Read a record's headers; one that has none is its own origin, before its first attempt."""
        partition, offset = _number(record, ORIGIN_PARTITION), _number(record, ORIGIN_OFFSET)
        topic, run_id = record.header(ORIGIN_TOPIC), record.header(REPLAY_RUN_ID)
        if topic is not None and not 0 < len(topic) <= _MAX_TOPIC_CHARACTERS:
            topic = None
        known = topic is not None and partition is not None and offset is not None
        return cls(
            job_id=record.header(JOB_ID),
            attempt=_number(record, ATTEMPT) or 0,
            origin=Coordinate(topic, partition, offset) if known else record.coordinate,  # type: ignore[arg-type]
            origin_timestamp_ms=(_number(record, ORIGIN_TIMESTAMP) if known else None) or record.timestamp_ms,
            replay_count=_number(record, REPLAY_COUNT) or 0,
            replay_run_id=run_id if run_id is not None and len(run_id) <= _MAX_RUN_ID_CHARACTERS else None,
            due_at_ms=_number(record, DUE_AT),
            first_failed_at_ms=_number(record, FIRST_FAILED_AT),
        )

    def without_retry(self) -> "DerivedHeaders":
        """Return the same without what only a retry carries, for a record that is not tried again."""
        return replace(self, due_at_ms=None, first_failed_at_ms=None)

    def onto(self, received: Headers) -> Headers:
        """Return the received headers with these in place of any earlier ones of the same names."""
        own: list[tuple[str, bytes]] = [
            (ATTEMPT, _text(self.attempt)),
            (ORIGIN_TOPIC, _text(self.origin.topic)),
            (ORIGIN_PARTITION, _text(self.origin.partition)),
            (ORIGIN_OFFSET, _text(self.origin.offset)),
            (ORIGIN_TIMESTAMP, _text(self.origin_timestamp_ms)),
            (REPLAY_COUNT, _text(self.replay_count)),
        ]
        if self.job_id is not None:
            own.insert(0, (JOB_ID, _text(self.job_id)))
        if self.replay_run_id is not None:
            own.append((REPLAY_RUN_ID, _text(self.replay_run_id)))
        if self.due_at_ms is not None:
            own.append((DUE_AT, _text(self.due_at_ms)))
        if self.first_failed_at_ms is not None:
            own.append((FIRST_FAILED_AT, _text(self.first_failed_at_ms)))
        names = {DUE_AT, FIRST_FAILED_AT, *(name for name, _ in own)}
        return tuple((name, value) for name, value in received if name not in names) + tuple(own)


def without_dead_letter_headers(headers: Headers) -> Headers:
    """Return the headers without those that a dead letter adds to the record that it was received as."""
    return tuple((name, value) for name, value in headers if not name.startswith(DEAD_LETTER_PREFIX))


def with_trace_parent(headers: Headers, name: str, trace_parent: str) -> Headers:
    """Return the headers with this trace context under `name`, in place of what belongs to an earlier span."""
    stale = {name, ATTEMPT_TRACE_PARENT} | ({TRACE_STATE} if name == TRACE_PARENT else set())
    kept = tuple((key, value) for key, value in headers if key.lower() not in stale)
    return (*kept, (name, trace_parent.encode()))


def _number(record: Record, name: str) -> int | None:
    text = record.header(name)
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def _text(value: object) -> bytes:
    return str(value).encode("utf-8", "replace")
