"""Accounting for every job: from the records of all topics to the report."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from worker.audit.consistent_cut import ConsistentCut, Gap, outcome_topics
from worker.audit.entries import AfterCut, Classifier, UnknownRecord, UnreadableResult
from worker.audit.ledger import Ledger
from worker.audit.report import AuditReport, Offender
from worker.audit.verdict import AuditEntry, JobHistory, JobState, RecordKind
from worker.domain.records import Coordinate, Record
from worker.settings import TopicSettings

_NAMED_STATES = {
    JobState.LOST: "lost: the group is done with it, and it has no outcome",
    JobState.UNVERIFIABLE: "unverifiable: records that would show its outcome were removed",
    JobState.PENDING: "pending",
}
_DEDUP = "two identities: its results have different ids, so readers keep both"
_CONTRADICTORY = "contradictory: both completed and dead-lettered or parked in one replay generation"
_MISMATCHED = "mismatched: a result of another picture, job id or options"
_CONFLICTING = "conflicting: results with one id hold different texts"
_UNREADABLE = "unreadable: a record on the result topic that holds no result"


@dataclass(slots=True)
class _Offenders:
    """The offenders to name in the report: at most `limit` for each problem."""

    limit: int
    named: dict[str, list[Offender]] = field(default_factory=dict)

    def note(self, problem: str, origin: Coordinate, records: Collection[Coordinate]) -> None:
        listed = self.named.setdefault(problem, [])
        if len(listed) < self.limit:
            listed.append(Offender(problem, origin, tuple(records)))

    def all(self) -> tuple[Offender, ...]:
        return tuple(offender for listed in self.named.values() for offender in listed)


def account(
    records: Iterable[Record],
    cut: ConsistentCut,
    topics: TopicSettings,
    *,
    find_gaps: Callable[[], Iterable[Gap]] = tuple,
    offenders: int = 20,
) -> AuditReport:
    """Account for every job among the records up to a cut.

    `find_gaps` is asked once all records were read: what is removed meanwhile must count as removed.
    """
    began, named, passed = time.monotonic(), _Offenders(offenders), Counter[str]()
    with Ledger() as ledger:
        _enter(records, Classifier(topics, cut), ledger, named, passed)
        gaps = (*cut.gaps, *find_gaps())
        outcomes = outcome_topics(topics)
        tally = _judge(ledger, named, outcomes_have_gaps=any(gap.topic in outcomes for gap in gaps))
        conflicting, conflicts = ledger.conflicts(offenders)
        for conflict in conflicts:
            named.note(_CONFLICTING, conflict.origin, conflict.records)
        counts, copies = ledger.counts(), ledger.dead_letter_copies()
    return AuditReport(
        jobs=sum(tally[state] for state in JobState),
        completed=tally[JobState.COMPLETED],
        dead_lettered=tally[JobState.DEAD_LETTERED],
        parked=tally[JobState.PARKED],
        pending=tally[JobState.PENDING],
        lost=tally[JobState.LOST],
        unverifiable=tally[JobState.UNVERIFIABLE],
        result_records=counts[RecordKind.RESULT],
        duplicates=tally["duplicates"],
        duplicates_after_dedup=tally[_DEDUP],
        conflicting=conflicting,
        mismatched=tally[_MISMATCHED],
        contradictory=tally[_CONTRADICTORY],
        unreadable=passed["unreadable"],
        dead_letter_records=counts[RecordKind.DEAD_LETTER],
        duplicate_dead_letters=copies,
        parked_records=counts[RecordKind.PARKED],
        retries=counts[RecordKind.RETRY],
        replays=counts[RecordKind.REPLAY],
        strangers=passed["strangers"],
        former=tally["former"],
        records=passed["records"],
        seconds=time.monotonic() - began,
        gaps=tuple(gap.sentence for gap in gaps),
        offenders=named.all(),
    )


def _enter(
    records: Iterable[Record], classifier: Classifier, ledger: Ledger, named: _Offenders, passed: Counter[str]
) -> None:
    for record in records:
        passed["records"] += 1
        match classifier.classify(record):
            case AuditEntry() as entry:
                ledger.add(entry)
            case UnreadableResult(origin, at):
                passed["unreadable"] += 1
                named.note(_UNREADABLE, origin, [at])
            case UnknownRecord():
                passed["strangers"] += 1
            case AfterCut():
                passed["later"] += 1


def _judge(ledger: Ledger, named: _Offenders, *, outcomes_have_gaps: bool) -> Counter[str]:
    tally = Counter[str]()
    for history in ledger.histories():
        if history.is_former and not history.is_rooted:
            tally["former"] += history.records
            continue
        state = history.state(outcomes_have_gaps=outcomes_have_gaps)
        tally[state] += 1
        if state in _NAMED_STATES:
            named.note(_NAMED_STATES[state], history.origin, history.evidence)
        if history.results:
            _compare_results(history, tally, named)
    return tally


def _compare_results(history: JobHistory, tally: Counter[str], named: _Offenders) -> None:
    tally["duplicates"] += history.results - 1
    extra = len(history.result_identities) - 1
    if extra:
        tally[_DEDUP] += extra
        named.note(_DEDUP, history.origin, history.result_identities.values())
    if history.is_contradictory:
        tally[_CONTRADICTORY] += 1
        named.note(_CONTRADICTORY, history.origin, history.evidence)
    if history.mismatched:
        tally[_MISMATCHED] += 1
        named.note(_MISMATCHED, history.origin, history.mismatched)
