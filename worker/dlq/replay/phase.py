"""One phase of a replay: letters in, records and positions out, in transactions.

Invariant: a letter's record and the position behind it are committed together, in the order of its partition. So a
process that goes on from the committed positions takes every letter exactly once, however the one before it ended.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from worker.adapters.kafka.offline.replay_writer import REPLAY_NAMES
from worker.dlq.letter import DeadLetter
from worker.dlq.payload import Fetch, PayloadMissingError, original_job
from worker.dlq.replay.counts import ReplayCounts
from worker.dlq.replay.plan import LetterOutcome, ReplayPhase, ReplayPlan
from worker.dlq.replay.rate_limit import RateLimit
from worker.dlq.replay.rewrite import RoutedRecord, parked_record, replay_record
from worker.domain.records import CommitPoint, Coordinate, OutgoingRecord, Record, TopicPartition

# Short, so that the rate is even and the end prompt.
_TRANSACTION_SECONDS = 0.25
_MAX_RECORDS = 2000
_MAX_BYTES = 32 * 1024 * 1024
_READ_RECORDS = 500
_READ_SECONDS = 0.1
_MAX_NOTICES = 10

Positions = Mapping[TopicPartition, CommitPoint]


class LetterReader(Protocol):
    """The dead-letter topic from the committed positions to the plan's ends."""

    @property
    def finished(self) -> bool:
        """Whether every partition was read to its end."""

    def read(self, max_records: int, timeout_seconds: float) -> list[Record]:
        """Return the next records, in the order of each partition."""

    def check_topics(self) -> None:
        """Raise BrokerError unless all that was read so far stood on the topic that was there at the start."""


class Writer(Protocol):
    """Where transactions go."""

    def commit(
        self, records: Sequence[tuple[OutgoingRecord, int | None]], positions: Mapping[str, Positions], /
    ) -> None:
        """Write records, and positions by group, all or nothing. Raises FencedError, BrokerError."""


@dataclass(frozen=True, slots=True)
class StoppableClock:
    """A monotonic clock whose `wait` ends early, with True, as soon as the replay is asked to stop."""

    monotonic: Callable[[], float]
    wait: Callable[[float], bool]
    is_stopped: Callable[[], bool]


@dataclass(slots=True)
class _Batch:
    """What goes in one transaction."""

    routed: list[RoutedRecord] = field(default_factory=list)
    size_bytes: int = 0
    letters: int = 0

    def add(self, routed: RoutedRecord | None) -> None:
        self.letters += 1
        if routed is not None:
            self.routed.append(routed)
            self.size_bytes += routed.record.size_bytes

    @property
    def is_full(self) -> bool:
        return self.letters >= _MAX_RECORDS or self.size_bytes >= _MAX_BYTES


class PhaseReplay:
    """Takes the letters of one phase.

    `counts` say what was done before, by partition, and are brought up to date; `replayed_origins` are the origins of
    the jobs that this object replayed, `notices` sentences on letters whose payload is gone.
    """

    def __init__(
        self,
        plan: ReplayPlan,
        phase: ReplayPhase,
        *,
        reader: LetterReader,
        writer: Writer,
        fetch: Fetch,
        parked_partitions: int,
        rate_limit: RateLimit,
        timing: StoppableClock,
        counts: dict[TopicPartition, ReplayCounts],
        advance: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._phase = phase
        self._reader = reader
        self._writer = writer
        self._fetch = fetch
        self._parked_partitions = parked_partitions
        self._rate_limit = rate_limit
        self._timing = timing
        self._counts = counts
        self._advance = advance
        self._unhandled: deque[DeadLetter] = deque()
        self._reached: dict[TopicPartition, int] = {}
        self.replayed_origins: set[Coordinate] = set()
        self.notices: list[str] = []

    def run(self) -> bool:
        """Take letters to the end, and return whether it was reached; False where the replay was stopped before.

        Raises FencedError where another process has taken the run over, and BrokerError, too where the letters' topic
        was made anew meanwhile.
        """
        while not self._timing.is_stopped():
            began = self._timing.monotonic()
            batch = self._gather(until=began + _TRANSACTION_SECONDS)
            ended = self._reader.finished and not self._unhandled
            if ended:
                self._reached = {TopicPartition(self._plan.topic, p): end for p, end in self._plan.claim.ends.items()}
            self._commit(batch)
            if ended:
                return True
            self._keep_rate(began, batch)
        return False

    def _gather(self, until: float) -> _Batch:
        """Take the letters that may go now."""
        batch = _Batch()
        while not batch.is_full and not self._timing.is_stopped():
            left_seconds = until - self._timing.monotonic()
            if left_seconds <= 0:
                break
            if not self._unhandled:
                self._read(min(left_seconds, _READ_SECONDS))
            if not self._unhandled:
                if self._reader.finished:
                    break
                continue
            letter = self._unhandled[0]
            if self._is_due_here(letter):
                due = self._rate_limit.due(self._timing.monotonic())
                if due is not None and batch.letters >= due:
                    break
                batch.add(self._written_for(letter))
            self._unhandled.popleft()
            self._reached[letter.record.topic_partition] = letter.record.coordinate.offset + 1
        return batch

    def _read(self, timeout_seconds: float) -> None:
        self._unhandled.extend(DeadLetter.of(record) for record in self._reader.read(_READ_RECORDS, timeout_seconds))

    def _is_due_here(self, letter: DeadLetter) -> bool:
        return self._plan.takes(letter) and self._plan.phase(letter) is self._phase

    def _written_for(self, letter: DeadLetter) -> RoutedRecord | None:
        """Return what is to be written for a letter, and count it."""
        plan = self._plan
        outcome, routed = LetterOutcome.REPLAYED, None
        if plan.is_parked(letter):
            outcome = LetterOutcome.PARKED
            routed = parked_record(letter, plan.run_id, plan.parked_topic, self._parked_partitions)
        else:
            try:
                routed = replay_record(letter, original_job(letter, self._fetch), plan.run_id, plan.target_of(letter))
                self.replayed_origins.add(letter.derived.origin)
            except PayloadMissingError as error:
                outcome = LetterOutcome.UNAVAILABLE
                self.notices.extend([str(error)] if len(self.notices) < _MAX_NOTICES else [])
        self._counts.setdefault(letter.record.topic_partition, ReplayCounts()).add(outcome, letter.code)
        return routed

    def _commit(self, batch: _Batch) -> None:
        if not self._reached:
            return
        points = {
            partition: CommitPoint(offset, self._counts.get(partition, ReplayCounts()).metadata())
            for partition, offset in self._reached.items()
        }
        records = [(routed.record, routed.partition) for routed in batch.routed]
        self._reader.check_topics()
        self._writer.commit(records, {group_id(self._plan.run_id, self._phase): points})
        self._reached = {}
        self._rate_limit.spend(batch.letters)
        self._advance(batch.letters)

    def _keep_rate(self, began: float, batch: _Batch) -> None:
        """Wait until the next transaction may begin, where there is a rate to keep."""
        now = self._timing.monotonic()
        if self._rate_limit.due(now) is not None and self._unhandled and not batch.is_full:
            self._timing.wait(max(began + _TRANSACTION_SECONDS - now, self._rate_limit.next_in(now)))


def group_id(run_id: str, phase: ReplayPhase) -> str:
    """Return the consumer group that holds a phase's positions."""
    return f"{REPLAY_NAMES}{run_id}-{phase}"
