"""How a record ends: in exactly one of these."""

from dataclasses import dataclass

from worker.domain.errors import JobError
from worker.domain.result import LabelText


@dataclass(frozen=True, slots=True)
class Completed:
    """The job has a result."""

    result: LabelText


@dataclass(frozen=True, slots=True)
class Retried:
    """The job is on a retry topic, to be tried again when it is due."""

    error: JobError


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """The job was given up."""

    error: JobError


Outcome = Completed | Retried | DeadLettered
