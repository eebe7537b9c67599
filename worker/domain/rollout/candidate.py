"""What can come of a job that a candidate is to read: closed lists, for metrics and logs."""

from enum import StrEnum


class CandidateResult(StrEnum):
    """What came of a job that a candidate was to read."""

    AGREED = "agreed"
    DIFFERED = "differed"
    BLANK = "blank"
    READ = "read"
    FAILED = "failed"
    UNDECIDED = "undecided"
    DROPPED = "dropped"


class Arm(StrEnum):
    """Who read a picture."""

    IN_USE = "in_use"
    CANDIDATE = "candidate"
