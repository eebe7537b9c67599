"""The report of an audit.

Invariant: `jobs` is the sum of `completed`, `dead_lettered`, `parked`, `pending`, `lost` and `unverifiable`, so every
job is counted under exactly one of them.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from worker.audit.state import StateSummary
from worker.domain.records import Coordinate
from worker.reporting.formats import moment

_DAY_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Offender:
    """A job with a problem: the problem, the job's origin, and the records that show it."""

    problem: str
    origin: Coordinate
    records: tuple[Coordinate, ...]

    def __str__(self) -> str:
        shown = ", ".join(str(record) for record in self.records)
        return f"{self.problem}: job {self.origin}" + (f" (see {shown})" if shown else "")


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The count of every job up to the cut, by what became of it, and those to look at by name.

    `duplicates` are result records beyond the first of their job, which readers drop by `result_id`;
    `duplicates_after_dedup` are those that they cannot drop. `conflicting` counts result ids under which two readings
    differ, `mismatched` jobs with a result for something else than they hold, `contradictory` jobs that one replay
    generation both completed and gave up. `unreadable` are records on the result topic that hold no result, and
    `strangers` those that name no job; `former` counts records of jobs which were deleted with their topic, and in
    whose places others stand now. `gaps` says in sentences what was removed or hidden, so that it proves nothing.
    """

    jobs: int
    completed: int
    dead_lettered: int
    parked: int
    pending: int
    lost: int
    unverifiable: int
    result_records: int
    duplicates: int
    duplicates_after_dedup: int
    conflicting: int
    mismatched: int
    contradictory: int
    unreadable: int
    dead_letter_records: int
    duplicate_dead_letters: int
    parked_records: int
    retries: int
    replays: int
    strangers: int
    former: int
    records: int
    seconds: float
    late: int = 0
    records_read: int = 0
    since_ms: int | None = None
    until_ms: int = 0
    gaps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    offenders: tuple[Offender, ...] = ()
    state: StateSummary | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is lost or wrong, and nothing that would show it is missing; jobs may be pending."""
        wrong = self.lost + self.unverifiable + self.conflicting + self.mismatched + self.contradictory
        return wrong + self.duplicates_after_dedup + self.unreadable == 0 and not self.gaps

    def lines(self) -> list[tuple[int, str]]:
        """Return each count with what it counts: jobs first, then what is wrong where anything is, then records."""
        wrong = [
            (self.conflicting, "result ids with different texts"),
            (self.mismatched, "jobs with a result of another picture, job id or options"),
            (self.contradictory, "jobs both completed and dead-lettered or parked"),
            (self.duplicates_after_dedup, "extra results that readers cannot drop by result id"),
            (self.unreadable, "records on the result topic that hold no result"),
        ]
        return [
            (self.jobs, "jobs"),
            (self.completed, "completed"),
            (self.dead_lettered, "dead-lettered"),
            (self.parked, "parked"),
            (self.pending, "pending"),
            (self.unverifiable, "unverifiable"),
            (self.lost, "lost"),
            *((count, what) for count, what in wrong if count),
            (self.result_records, f"results, {self.duplicates} of them repeats"),
            (self.dead_letter_records, f"dead letters, {self.duplicate_dead_letters} of them repeats"),
            (self.retries, "retries"),
            (self.replays, "replays"),
        ]

    def verdict(self) -> str:
        """Return the result in a sentence."""
        read = f"({self.records_read} records in {self.seconds:.1f} s)"
        if not self.is_sound:
            return f"It is not proved that every job has exactly one outcome {read}."
        if self.pending:
            return f"No job is lost so far; pending: {self.pending} {read}."
        return f"Every job has exactly one outcome {read}."

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON, coordinates as topic/partition/offset."""
        shown = asdict(self)
        since_ms, until_ms = shown.pop("since_ms"), shown.pop("until_ms")
        shown |= {"since": None if since_ms is None else _utc(since_ms), "until": _utc(until_ms)}
        shown["seconds"] = round(self.seconds, 3)
        shown["sound"] = self.is_sound
        shown["offenders"] = [
            {"problem": o.problem, "origin": str(o.origin), "records": [str(record) for record in o.records]}
            for o in self.offenders
        ]
        if self.state is not None:
            opened_ms = self.state.open_since_ms
            shown["state"] = {
                "folder": self.state.folder,
                "began": _utc(self.state.began_ms),
                "audits": self.state.audits,
                "horizon_days": self.state.horizon_seconds / _DAY_SECONDS,
                "kept_records": self.state.kept_records,
                "size_bytes": self.state.size_bytes,
                "forgotten": dict(self.state.forgotten),
                "open_since": None if opened_ms is None else _utc(opened_ms),
            }
        return shown

    def span(self) -> list[str]:
        """Return which time the audit covers, and what its state keeps and has forgotten, in sentences."""
        if self.state is None:
            return []
        sentences = [
            f"Read {self.records_read} records that came up to {moment(self.until_ms)}, since "
            + ("the beginning of the topics." if self.since_ms is None else f"the audit of {moment(self.since_ms)}.")
        ]
        if self.state.open_since_ms is not None:
            sentences.append(f"The oldest pending job is open since the audit of {moment(self.state.open_since_ms)}.")
        forgotten = [f"{jobs} {state.replace('_', '-')}" for state, jobs in self.state.forgotten.items() if jobs]
        if forgotten:
            sentences.append(
                f"Not counted below: jobs untouched for {self.state.horizon_seconds / _DAY_SECONDS:g} days, which the"
                f" state has forgotten ({', '.join(forgotten)}); repeats of their results are no longer found."
            )
        return sentences


def _utc(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
