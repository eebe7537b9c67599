"""One phase of a replay: letters in, records and positions out, in transactions.

Invariant: a letter's fate and the position behind it are committed together, in the order of its partition. So whoever
goes on from the committed positions, after an end of any kind, takes every letter exactly once.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

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
    """The time, and a way to let it pass that ends early, with True, where the replay is to stop."""

    monotonic: Callable[[], float]
    wait: Callable[[float], bool]
    is_stopped: Callable[[], bool]


@dataclass(slots=True)
class _Batch:
    """What goes in one transaction."""

    placed: list[RoutedRecord] = field(default_factory=list)
    size_bytes: int = 0
    letters: int = 0

    def add(self, placed: RoutedRecord | None) -> None:
        self.letters += 1
        if placed is not None:
            self.placed.append(placed)
            self.size_bytes += placed.record.size_bytes

    @property
    def is_full(self) -> bool:
        return self.letters >= _MAX_RECORDS or self.size_bytes >= _MAX_BYTES


class PhaseReplay:
    """Takes the letters of one phase.

    `tallies` say what was done before, by partition, and are brought up to date; `replayed_origins` are the origins of
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
        pace: RateLimit,
        timing: StoppableClock,
        tallies: dict[TopicPartition, ReplayCounts],
        advance: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._phase = phase
        self._reader = reader
        self._writer = writer
        self._fetch = fetch
        self._parked_partitions = parked_partitions
        self._pace = pace
        self._timing = timing
        self._tallies = tallies
        self._advance = advance
        self._pending: deque[DeadLetter] = deque()
        self._moved: dict[TopicPartition, int] = {}
        self.replayed_origins: set[Coordinate] = set()
        self.notices: list[str] = []

    def run(self) -> bool:
        """Take letters to the end, and return whether it was reached; False where the replay was stopped before.

        Raises FencedError where another process has taken the run over, and BrokerError, too where the letters' topic
        was made anew meanwhile.
        """
        while not self._timing.is_stopped():
            began = self._timing.monotonic()
            batch = self._gathered(until=began + _TRANSACTION_SECONDS)
            ended = self._reader.finished and not self._pending
            if ended:
                self._moved = {TopicPartition(self._plan.topic, p): end for p, end in self._plan.claim.ends.items()}
            self._commit(batch)
            if ended:
                return True
            self._rest(began, batch)
        return False

    def _gathered(self, until: float) -> _Batch:
        """Take the letters that may go now."""
        batch = _Batch()
        while not batch.is_full and not self._timing.is_stopped():
            left_seconds = until - self._timing.monotonic()
            if left_seconds <= 0:
                break
            if not self._pending:
                self._read(min(left_seconds, _READ_SECONDS))
            if not self._pending:
                if self._reader.finished:
                    break
                continue
            letter = self._pending[0]
            if self._concerns(letter):
                due = self._pace.due(self._timing.monotonic())
                if due is not None and batch.letters >= due:
                    break
                batch.add(self._taken(letter))
            self._pending.popleft()
            self._moved[letter.record.topic_partition] = letter.record.coordinate.offset + 1
        return batch

    def _read(self, timeout_seconds: float) -> None:
        self._pending.extend(DeadLetter.of(record) for record in self._reader.read(_READ_RECORDS, timeout_seconds))

    def _concerns(self, letter: DeadLetter) -> bool:
        return self._plan.takes(letter) and self._plan.phase(letter) is self._phase

    def _taken(self, letter: DeadLetter) -> RoutedRecord | None:
        """Return what is to be written for a letter, and count it."""
        plan = self._plan
        fate, placed = LetterOutcome.REPLAYED, None
        if plan.is_parked(letter):
            fate, placed = (
                LetterOutcome.PARKED,
                parked_record(letter, plan.run_id, plan.parked_topic, self._parked_partitions),
            )
        else:
            try:
                placed = replay_record(letter, original_job(letter, self._fetch), plan.run_id, plan.target_of(letter))
                self.replayed_origins.add(letter.derived.origin)
            except PayloadMissingError as error:
                fate = LetterOutcome.UNAVAILABLE
                self.notices.extend([str(error)] if len(self.notices) < _MAX_NOTICES else [])
        self._tallies.setdefault(letter.record.topic_partition, ReplayCounts()).add(fate, letter.code)
        return placed

    def _commit(self, batch: _Batch) -> None:
        if not self._moved:
            return
        points = {
            partition: CommitPoint(offset, self._tallies.get(partition, ReplayCounts()).metadata())
            for partition, offset in self._moved.items()
        }
        records = [(placed.record, placed.partition) for placed in batch.placed]
        self._reader.check_topics()
        self._writer.commit(records, {group_id(self._plan.run_id, self._phase): points})
        self._moved = {}
        self._pace.spend(batch.letters)
        self._advance(batch.letters)

    def _rest(self, began: float, batch: _Batch) -> None:
        """Wait for the next transaction's turn, where there is a rate to keep."""
        now = self._timing.monotonic()
        if self._pace.due(now) is not None and self._pending and not batch.is_full:
            self._timing.wait(max(began + _TRANSACTION_SECONDS - now, self._pace.next_in(now)))


def group_id(run_id: str, phase: ReplayPhase) -> str:
    """Return the consumer group that holds a phase's positions."""
    return f"labelwire-replay-{run_id}-{phase}"
