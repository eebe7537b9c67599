"""One type for each thing that happens. Events become log lines and metrics; the stages hold no counters.

No event carries text read off a label, a record's key or its value.
"""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.circuit import CircuitState
from worker.domain.errors import ErrorCode, Stage
from worker.domain.records import Coordinate, TopicPartition
from worker.domain.start_position import ResetReason


class JobOutcome(StrEnum):
    """How a record ends, as metrics and logs name it."""

    COMPLETED = "completed"
    RETRIED = "retried"
    DEAD_LETTERED = "dead_lettered"


class PartitionChange(StrEnum):
    """How partitions come and go."""

    ASSIGNED = "assigned"
    REVOKED = "revoked"
    LOST = "lost"


class RetryReason(StrEnum):
    """Why a request to Triton is sent again.

    The client sends it again for what one status tells; the guard for what the client gave up, which are the last two
    and `overloaded`.
    """

    UNREACHABLE = "unreachable"
    STOPPING = "stopping"
    NO_VERSION = "no_version"
    CHANGED = "changed"
    OVERLOADED = "overloaded"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    OTHER = "other"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobFinished:
    """A job has its result or dead letter on the broker. `age_seconds` runs from the record's timestamp."""

    job_id: str
    coordinate: Coordinate
    outcome: JobOutcome
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
    """A job failed for a reason that may pass, and will be tried again: in place, or from the named retry topic."""

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
    """A request to Triton is sent again, for one of `RetryReason`."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class CircuitChanged:
    """The state of a model's circuit changed."""

    model: str
    state: CircuitState


@dataclass(frozen=True, slots=True)
class InflightLimitChanged:
    """The limit of requests to Triton in flight changed."""

    limit: int


@dataclass(frozen=True, slots=True)
class PartitionsChanged:
    """Partitions came or went."""

    kind: PartitionChange
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class InflightChanged:
    """How much is under way now, and how many small jobs would keep the models busy."""

    jobs: int
    pixels: int
    wanted_jobs: int


@dataclass(frozen=True, slots=True)
class LagObserved:
    """How many records of a partition the worker has not taken yet, up to the log's end."""

    partition: TopicPartition
    lag: int


@dataclass(frozen=True, slots=True)
class ReadinessChanged:
    """The worker became ready, or not, and why in a sentence; `unmet` names the conditions that are not met."""

    ready: bool
    reason: str
    unmet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeadLettersWaiting:
    """So many jobs wait for their dead letters, and for how long; `loud` if this is to be logged as a warning."""

    waiting: int
    seconds: float
    limit_per_minute: int
    loud: bool


@dataclass(frozen=True, slots=True)
class RecordsPolled:
    """A poll brought records of a topic; `producers` are the `traceparent` headers of those that have one."""

    topic: str
    count: int
    producers: tuple[str, ...]
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """A commit was refused; the next one repeats it."""

    reason: str


@dataclass(frozen=True, slots=True)
class PositionReset:
    """A partition is read from another offset than the committed one, and why."""

    partition: TopicPartition
    reason: ResetReason
    from_offset: int
    to_offset: int


@dataclass(frozen=True, slots=True)
class RolloutChanged:
    """A rollout began, went on or ended. `share` is the part of the jobs that the candidate reads, 0 to 1."""

    rollout: str
    mode: str
    phase: str
    candidate: str
    in_use: str
    share: float
    reason: str


@dataclass(frozen=True, slots=True)
class CandidateRead:
    """A rollout's candidate was to read a job, and what came of it: one of `CandidateResult`."""

    result: str
    model_set: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReadingFinished:
    """A picture was read, by the models in use or by a candidate (`arm`), in so many seconds."""

    arm: str
    duration_seconds: float


class CacheResult(StrEnum):
    """How a question to the cache of readings ended.

    `error`: the cache failed, or is not asked because it failed before. `rejected`: the entry is not what a worker put
    there, or a reading is too large to be kept.
    """

    HIT = "hit"
    MISS = "miss"
    ERROR = "error"
    REJECTED = "rejected"


class CacheOperation(StrEnum):
    """What the cache of readings is asked for."""

    GET = "get"
    PUT = "put"


@dataclass(frozen=True, slots=True)
class CacheRequestFinished:
    """A request to the cache of readings ended; `result` is None where a reading was kept.

    `rejection` says why an entry was rejected, where that is to be logged as a warning.
    """

    operation: CacheOperation
    result: CacheResult | None
    duration_seconds: float
    rejection: str = ""


@dataclass(frozen=True, slots=True)
class CacheCircuitChanged:
    """The cache of readings is left alone for an operation, or used for it again; `reason` is the failure, if any."""

    operation: CacheOperation
    state: CircuitState
    reason: str


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
    | RecordsPolled
    | ReadinessChanged
    | DeadLettersWaiting
    | CommitFailed
    | PositionReset
    | RolloutChanged
    | CandidateRead
    | ReadingFinished
    | CacheRequestFinished
    | CacheCircuitChanged
)
