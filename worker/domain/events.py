"""One type for each thing that happens. An event yields the log line and the metrics; the stages hold no counters.

No event carries text read off a label, a record's key or its value.
"""

from dataclasses import dataclass

from worker.domain.circuit import CircuitState
from worker.domain.errors import ErrorCode, Stage
from worker.domain.records import Coordinate, TopicPartition
from worker.domain.starts import Reset


@dataclass(frozen=True, slots=True)
class JobFinished:
    """A job has its result or dead letter on the broker. `age_seconds` runs from the record's timestamp."""

    job_id: str
    coordinate: Coordinate
    outcome: str
    error_code: ErrorCode | None
    lane: str
    duration_seconds: float
    age_seconds: float | None
    confidences: tuple[float, ...]
    recognizer_version: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StageFinished:
    """One stage of one job took this long."""

    stage: Stage
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class JobDeadLettered:
    """A job was given up, and why; `raised_at` is the file, line and function that the error came from."""

    job_id: str
    coordinate: Coordinate
    error_code: ErrorCode
    stage: Stage
    message: str
    raised_at: str


@dataclass(frozen=True, slots=True)
class JobRetried:
    """A job failed for a reason that may pass, and will be tried again: in place, or off the topic that is named."""

    job_id: str
    coordinate: Coordinate
    error_code: ErrorCode
    message: str
    attempt: int
    delay_seconds: float
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class ReaderCrashed:
    """The child process that read a record alone ended, for the `count`th time: how, as `signal SIGSEGV`."""

    coordinate: Coordinate
    how: str
    count: int


@dataclass(frozen=True, slots=True)
class InferenceFinished:
    """A request to Triton ended, with its gRPC status."""

    model: str
    version: str
    grpc_code: str
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class InferenceRetried:
    """A request to Triton is sent again."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class CircuitChanged:
    """From now on requests to a model pass, or only a probe does, or nothing."""

    model: str
    state: CircuitState


@dataclass(frozen=True, slots=True)
class InflightLimitChanged:
    """From now on so many requests to Triton may be under way at once."""

    limit: int


@dataclass(frozen=True, slots=True)
class PartitionsChanged:
    """Partitions came or went: `kind` is assigned, revoked or lost."""

    kind: str
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class InflightChanged:
    """How much is under way now."""

    jobs: int
    pixels: int


@dataclass(frozen=True, slots=True)
class LagObserved:
    """How far behind the log's end the committed position of a partition is, in records."""

    partition: TopicPartition
    lag: int


@dataclass(frozen=True, slots=True)
class ReadinessChanged:
    """The worker became ready, or not, and why in a sentence."""

    ready: bool
    reason: str


@dataclass(frozen=True, slots=True)
class DeadLettersWaiting:
    """So many jobs wait for their dead letter, which takes so long at the limit; `loud` where a person should hear."""

    waiting: int
    seconds: float
    limit_per_minute: int
    loud: bool


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """A commit was refused; the next one repeats it."""

    reason: str


@dataclass(frozen=True, slots=True)
class PositionReset:
    """A partition is not read on from the offset that was committed, and why."""

    partition: TopicPartition
    reason: Reset
    from_offset: int
    to_offset: int


Event = (
    JobFinished
    | StageFinished
    | JobDeadLettered
    | JobRetried
    | ReaderCrashed
    | InferenceFinished
    | InferenceRetried
    | CircuitChanged
    | InflightLimitChanged
    | PartitionsChanged
    | InflightChanged
    | LagObserved
    | ReadinessChanged
    | DeadLettersWaiting
    | CommitFailed
    | PositionReset
)
