"""The closed list of what can go wrong with a job, and the exceptions that carry it.

LabelwireError               a sentence for a person: what, where, which value, what to do
├── SettingsError            a setting is wrong; commands exit 2
├── JobError                 one job failed; its code gives the stage and the disposition
├── ServerMismatchError      Triton answers, but does not serve models this worker understands
├── BrokerError              Kafka cannot be reached, or its topics do not fit
├── CacheError               the cache of readings cannot be used now; never the fault of a job
├── RejectedEntryError       what the cache holds is not a reading that a worker put there, or is too large
├── ExpositionError          a page of metrics cannot be had, or is none
└── LocalStackError          the embedded broker or server could not be provided
"""

from enum import Enum, StrEnum
from typing import Self


class Stage(StrEnum):
    """A step of processing a job, in order."""

    CONSUME = "consume"
    FETCH = "fetch"
    CACHE = "cache"
    ADMIT = "admit"
    DECODE = "decode"
    CHECK = "check"
    SURVEY = "survey"
    TILE = "tile"
    DETECT = "detect"
    STITCH = "stitch"
    CROP = "crop"
    READ = "read"
    BARCODES = "barcodes"
    ASSEMBLE = "assemble"
    EXTRACT = "extract"
    PUBLISH = "publish"


class Disposition(StrEnum):
    """What an error means for its job.

    `permanent`: the job itself is wrong, and each attempt would fail. `retry`: this job may succeed later.
    `systemic`: the job is not at fault; a server that it needs is away.
    """

    PERMANENT = "permanent"
    RETRY = "retry"
    SYSTEMIC = "systemic"


class ErrorCode(Enum):
    """Every way in which a job can fail. The value is what stands in headers, logs and metrics."""

    stage: Stage
    disposition: Disposition

    JOB_INVALID = "JOB_INVALID", Stage.CONSUME, Disposition.PERMANENT
    URI_FORBIDDEN = "URI_FORBIDDEN", Stage.CONSUME, Disposition.PERMANENT
    URI_NOT_FOUND = "URI_NOT_FOUND", Stage.FETCH, Disposition.PERMANENT
    URI_UNAVAILABLE = "URI_UNAVAILABLE", Stage.FETCH, Disposition.RETRY
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED", Stage.ADMIT, Disposition.PERMANENT
    IMAGE_CORRUPT = "IMAGE_CORRUPT", Stage.DECODE, Disposition.PERMANENT
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE", Stage.ADMIT, Disposition.PERMANENT
    IMAGE_UNSUPPORTED = "IMAGE_UNSUPPORTED", Stage.DECODE, Disposition.PERMANENT
    IMAGE_QUALITY_POOR = "IMAGE_QUALITY_POOR", Stage.CHECK, Disposition.PERMANENT
    INFERENCE_REJECTED = "INFERENCE_REJECTED", Stage.READ, Disposition.PERMANENT
    INFERENCE_FAILED = "INFERENCE_FAILED", Stage.READ, Disposition.RETRY
    INFERENCE_UNAVAILABLE = "INFERENCE_UNAVAILABLE", Stage.READ, Disposition.SYSTEMIC
    INFERENCE_OVERLOADED = "INFERENCE_OVERLOADED", Stage.READ, Disposition.SYSTEMIC
    # Triton serves other models than those that the picture's pipeline was made for; the job is read again.
    MODELS_CHANGED = "MODELS_CHANGED", Stage.READ, Disposition.SYSTEMIC
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE", Stage.PUBLISH, Disposition.PERMANENT
    BROKER_UNAVAILABLE = "BROKER_UNAVAILABLE", Stage.PUBLISH, Disposition.SYSTEMIC
    ATTEMPT_TIMED_OUT = "ATTEMPT_TIMED_OUT", Stage.READ, Disposition.RETRY
    MEMORY_EXHAUSTED = "MEMORY_EXHAUSTED", Stage.DECODE, Disposition.SYSTEMIC
    # The process itself has no descriptors, threads, disk or memory left, wherever that was noticed.
    RESOURCES_EXHAUSTED = "RESOURCES_EXHAUSTED", Stage.ADMIT, Disposition.SYSTEMIC
    # The picture crashed the process that read it, three times, alone in a child process.
    POISON = "POISON", Stage.DECODE, Disposition.PERMANENT
    # A defect of ours: the code is deterministic, so trying again would only hold up the partition.
    INTERNAL = "INTERNAL", Stage.ASSEMBLE, Disposition.PERMANENT

    def __new__(cls, value: str, stage: Stage, disposition: Disposition) -> Self:
        """Make a member whose value is the code alone."""
        member = object.__new__(cls)
        member._value_ = value
        member.stage = stage
        member.disposition = disposition
        return member

    def __str__(self) -> str:
        return str(self.value)


class LabelwireError(Exception):
    """An error whose message is one sentence for a person."""


class SettingsError(LabelwireError):
    """A setting is unknown, wrong or missing."""


class ServerMismatchError(LabelwireError):
    """Triton answers, but its models are not those that this worker can use."""


class BrokerError(LabelwireError):
    """The broker cannot be reached, or its topics do not fit."""


class RolloutError(LabelwireError):
    """A rollout cannot be begun, ended or read."""


class CacheError(LabelwireError):
    """The cache of readings does not answer, or refuses."""


class RejectedEntryError(LabelwireError):
    """An entry of the cache of readings is not what a worker put there, or is larger than entries may be."""


class ExpositionError(LabelwireError):
    """A page of metrics does not answer, or is not in Prometheus' text format."""


class LocalStackError(LabelwireError):
    """The embedded broker or Triton could not be provided."""


class JobError(LabelwireError):
    """One job failed.

    `stage` is where it failed, the code's own stage unless said otherwise. The message never holds text read
    off a label.
    """

    def __init__(self, code: ErrorCode, message: str, *, stage: Stage | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.stage = stage or code.stage

    @property
    def disposition(self) -> Disposition:
        """What this means for the job."""
        return self.code.disposition
