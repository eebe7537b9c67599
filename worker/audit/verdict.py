"""What became of a job: the rules, applied to its records on all topics.

The unit is the origin's coordinate. Of its records only those of the newest replay generation decide, because each
replay begins the job anew:

| in the newest generation                               | the job is                          |
| ------------------------------------------------------ | ----------------------------------- |
| (its own record was not seen)                          | unverifiable                        |
| results, neither dead letter nor parked                | completed                           |
| parked, no result                                      | parked                              |
| dead letters, neither result nor parked                | dead-lettered                       |
| results, and dead letters or parked                    | as the latest of them says; and     |
|                                                        | contradictory                       |
| none of these, an input that the group has not done    | pending                             |
| none of these, all inputs done, outcomes have gaps     | unverifiable                        |
| none of these, all inputs done, outcomes have no gaps  | lost                                |

Inputs are records on the topics of jobs, retries and replays; a retry needs no row of its own, because it is an input
again. The table is whole: a newest generation without result, dead letter and parked record has an input, or there
would be no such generation. An origin that is on no audited topic has no record of its own to be seen: any input
stands for it.

A topic that was deleted and created again has other jobs at the same coordinates. A record that names another timestamp
of its origin than the record there has belongs to a former job. The topic of a former job is no longer audited, so any
input stands for the job itself, and its outcomes say nothing about the job that is there now. The same holds for a job
that an earlier audit has accounted for and forgotten since: what comes of it later is `late`, and if it is begun again,
the input stands for the job.
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple

from worker.domain.records import Coordinate


class RecordKind(IntEnum):
    """What a record is, by its topic. Inputs come first; results after all inputs."""

    JOB = 0
    RETRY = 1
    REPLAY = 2
    RESULT = 3
    DEAD_LETTER = 4
    PARKED = 5
    UNREADABLE = 6  # on the topic of results, and none

    @property
    def is_input(self) -> bool:
        """Whether workers read such records."""
        return self <= RecordKind.REPLAY


class JobState(StrEnum):
    """What became of a job."""

    COMPLETED = "completed"
    DEAD_LETTERED = "dead_lettered"
    PARKED = "parked"
    PENDING = "pending"
    LOST = "lost"
    UNVERIFIABLE = "unverifiable"


_STATES = {
    RecordKind.RESULT: JobState.COMPLETED,
    RecordKind.DEAD_LETTER: JobState.DEAD_LETTERED,
    RecordKind.PARKED: JobState.PARKED,
}


class AuditEntry(NamedTuple):
    """What the audit keeps of a record.

    `is_root` says that the record is its own origin, or stands for one that is on no audited topic; `done` that the
    group's positions have passed an input. `origin_timestamp_ms` is that of the job's own record, 0 if it is not told.
    Digests are None where a record has none: `identity` is a result's id, or
    the id that a result of this job must have, or a dead letter's; `reading` covers what was read, `models` with what.
    `audit` is the number of the audit that read it.
    """

    origin: Coordinate
    generation: int
    kind: RecordKind
    is_root: bool
    done: bool
    attempt: int
    at: Coordinate
    timestamp_ms: int
    origin_timestamp_ms: int = 0
    identity: bytes | None = None
    reading: bytes | None = None
    models: bytes | None = None
    audit: int = 0


class JobHistory:
    """All that was seen of one job, in constant memory but for its distinct identities; entries come in any order.

    `former_ms` is when the job was written if another one stands at its origin now, else 0. `is_forgotten` says that an
    earlier audit has accounted for the job at this origin. `records` counts what was seen. Of the audits that saw it,
    `last_audit` is the last one's number, and `opened_by` that of the first one which saw the newest generation.
    """

    def __init__(self, origin: Coordinate, *, former_ms: int = 0, is_forgotten: bool = False) -> None:
        self.origin = origin
        self.former_ms = former_ms
        self.is_detached = former_ms > 0 or is_forgotten
        self.records = 0
        self.opened_by = self.last_audit = 0
        self.is_rooted = False
        self.generation = -1
        self.expected_identity: bytes | None = None
        self.results = 0
        self.result_identities: dict[bytes, Coordinate] = {}
        self._latest: dict[RecordKind, AuditEntry] = {}
        self._open: AuditEntry | None = None
        self._last_done: AuditEntry | None = None

    def take(self, entry: AuditEntry) -> None:
        """Note one record of the job."""
        self.last_audit = max(self.last_audit, entry.audit)
        self.records += 1
        if entry.is_root or (self.is_detached and entry.kind.is_input):
            self.is_rooted = True
            self.expected_identity = entry.identity or self.expected_identity
        if entry.kind is RecordKind.RESULT:
            self.results += 1
            self.result_identities.setdefault(entry.identity or b"", entry.at)
        if entry.generation > self.generation:
            self.generation, self.opened_by = entry.generation, entry.audit
            self._latest, self._open, self._last_done = {}, None, None
        if entry.generation == self.generation:
            self.opened_by = min(self.opened_by, entry.audit)
            self._take_newest(entry)

    def _take_newest(self, entry: AuditEntry) -> None:
        if not entry.kind.is_input:
            self._latest[entry.kind] = _later(self._latest.get(entry.kind), entry)
        elif entry.done:
            self._last_done = _later(self._last_done, entry)
        else:
            self._open = _later(self._open, entry)

    @property
    def dead_letter(self) -> Coordinate | None:
        """The last dead letter of the newest generation."""
        letter = self._latest.get(RecordKind.DEAD_LETTER)
        return letter.at if letter else None

    @property
    def is_contradictory(self) -> bool:
        """Whether the newest generation has a result and was also dead-lettered or parked."""
        return RecordKind.RESULT in self._latest and len(self._latest) > 1

    @property
    def mismatched(self) -> list[Coordinate]:
        """Results of another picture or job than this one; empty where the job does not say what it expects."""
        if self.expected_identity is None:
            return []
        return [at for identity, at in self.result_identities.items() if identity != self.expected_identity]

    def state(self, *, outcomes_have_gaps: bool) -> JobState:
        """Decide by the table above."""
        if not self.is_rooted:
            return JobState.UNVERIFIABLE
        if self.is_contradictory:
            return _STATES[max(self._latest.values(), key=_order).kind]
        for kind in (RecordKind.RESULT, RecordKind.PARKED, RecordKind.DEAD_LETTER):
            if kind in self._latest:
                return _STATES[kind]
        if self._open is not None:
            return JobState.PENDING
        return JobState.UNVERIFIABLE if outcomes_have_gaps else JobState.LOST

    @property
    def evidence(self) -> tuple[Coordinate, ...]:
        """The records that show the state: how the newest generation ended, else the last that workers were given."""
        ends = sorted(self._latest.values(), key=_order)
        if ends:
            return tuple(entry.at for entry in ends)
        last = self._open or self._last_done
        return (last.at,) if last else ()


def _later(known: AuditEntry | None, entry: AuditEntry) -> AuditEntry:
    return entry if known is None or _order(entry) > _order(known) else known


def _order(entry: AuditEntry) -> tuple[int, int]:
    # Topics have no order among them but time; attempts settle what falls into one millisecond.
    return (entry.timestamp_ms, entry.attempt)
