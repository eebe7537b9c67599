"""Accounting for every job: from the records of all topics to the report."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from worker.audit.consistent_cut import ConsistentCut, Removals, outcome_topics
from worker.audit.entries import AfterCut, Classifier, UnknownRecord
from worker.audit.ledger import Ledger
from worker.audit.report import AuditReport, Offender
from worker.audit.state import AuditState, temporary_state
from worker.audit.verdict import AuditEntry, JobHistory, JobState, RecordKind
from worker.domain.records import Coordinate, Record, TopicPartition
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


@dataclass(slots=True)
class _Judged:
    """Counts of the jobs, those to be forgotten by their state, and which audit read the oldest open one."""

    tally: Counter[str] = field(default_factory=Counter)
    forgotten: Counter[JobState] = field(default_factory=Counter)
    oldest_open: int | None = None


def account(
    records: Iterable[Record],
    cut: ConsistentCut,
    topics: TopicSettings,
    *,
    find_removals: Callable[[], Removals] = Removals,
    offenders: int = 20,
    state: AuditState | None = None,
    until_ms: int = 0,
) -> AuditReport:
    """Account for every job among the records up to a cut, and among those that a state has kept of earlier ones.

    `find_removals` is asked once all records were read: what is removed meanwhile must count as removed. `until_ms` is
    when the cut was begun, in epoch milliseconds.
    """
    began, named = time.monotonic(), _Offenders(offenders)
    with contextlib.ExitStack() as stack:
        state = state or stack.enter_context(temporary_state())
        ledger, classifier = state.ledger(), Classifier(topics, cut)
        ledger.readmit(cut.ends)
        passed = _enter(records, classifier, ledger)
        removals = find_removals()
        gaps = (*cut.gaps, *state.gaps, *removals.gaps)
        has_gaps = any(gap.topic in outcome_topics(topics) for gap in gaps)
        forgettable = _Forgettable(state.oldest_to_keep(until_ms), removals.lows)
        judged = _judge(ledger, classifier, state, named, forgettable, outcomes_have_gaps=has_gaps)
        judged.tally[_CONFLICTING] = _find_conflicts(ledger, named)
        for unreadable in ledger.unreadable(offenders):
            named.note(_UNREADABLE, unreadable.origin, [unreadable.at])
        counts, copies = ledger.counts(), ledger.dead_letter_copies()
        state.save(
            ledger,
            cut,
            removals,
            until_ms,
            counted=passed,
            forgotten=judged.forgotten,
            oldest_open=judged.oldest_open,
        )
        return replace(
            _report(judged.tally, counts, state.totals()),
            duplicate_dead_letters=copies,
            records_read=passed["records"],
            seconds=time.monotonic() - began,
            since_ms=state.since_ms,
            until_ms=until_ms,
            gaps=tuple(dict.fromkeys(gap.sentence for gap in gaps)),
            offenders=named.all(),
            state=state.summary(ledger, until_ms, judged.oldest_open),
        )


def _report(tally: Counter[str], counts: Mapping[RecordKind, int], totals: Counter[str]) -> AuditReport:
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
        conflicting=tally[_CONFLICTING],
        mismatched=tally[_MISMATCHED],
        contradictory=tally[_CONTRADICTORY],
        unreadable=counts[RecordKind.UNREADABLE],
        dead_letter_records=counts[RecordKind.DEAD_LETTER],
        duplicate_dead_letters=0,
        parked_records=counts[RecordKind.PARKED],
        retries=counts[RecordKind.RETRY],
        replays=counts[RecordKind.REPLAY],
        strangers=totals["strangers"],
        former=tally["former"],
        late=tally["late"],
        records=totals["records"],
        seconds=0.0,
    )


def _find_conflicts(ledger: Ledger, named: _Offenders) -> int:
    conflicting, conflicts = ledger.conflicts(named.limit)
    for conflict in conflicts:
        named.note(_CONFLICTING, conflict.origin, conflict.records)
    return conflicting


def _enter(records: Iterable[Record], classifier: Classifier, ledger: Ledger) -> Counter[str]:
    passed = Counter[str]()
    for record in records:
        passed["records"] += 1
        match classifier.classify(record):
            case AuditEntry() as entry:
                ledger.add(entry)
            case UnknownRecord():
                passed["strangers"] += 1
            case AfterCut(entry):
                ledger.defer(entry)
    return passed


@dataclass(frozen=True, slots=True)
class _Forgettable:
    """Says which jobs no later audit needs: the rules are in `state.py`."""

    oldest_to_keep: int
    lows: Mapping[TopicPartition, int]

    def __call__(self, history: JobHistory, job_state: JobState | None) -> bool:
        """Say so of a job; one without a state is not counted."""
        if history.last_audit >= self.oldest_to_keep or job_state is JobState.PENDING:
            return False
        letter = history.dead_letter if job_state is JobState.DEAD_LETTERED else None
        return letter is None or letter.offset < self.lows.get(TopicPartition(letter.topic, letter.partition), 0)


def _judge(
    ledger: Ledger,
    classifier: Classifier,
    state: AuditState,
    named: _Offenders,
    forgettable: _Forgettable,
    *,
    outcomes_have_gaps: bool,
) -> _Judged:
    judged = _Judged()
    tally = judged.tally
    for history in ledger.histories(classifier.is_done, state.covers):
        if history.is_detached and not history.is_rooted:
            tally["former" if history.former_ms else "late"] += history.records
            if forgettable(history, None):
                ledger.forget(history)
            continue
        job_state = history.state(outcomes_have_gaps=outcomes_have_gaps)
        tally[job_state] += 1
        if job_state in _NAMED_STATES:
            named.note(_NAMED_STATES[job_state], history.origin, history.evidence)
        if history.results:
            _compare_results(history, tally, named)
        if job_state is JobState.PENDING:
            judged.oldest_open = min(history.opened_by, judged.oldest_open or history.opened_by)
        if forgettable(history, job_state):
            ledger.forget(history)
            judged.forgotten[job_state] += 1
    return judged


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
