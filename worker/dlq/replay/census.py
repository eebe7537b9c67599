"""The census of the dead letters before a replay: which ones it would take, and whether its targets can hold them.

Invariant: every letter that the plan takes is counted here once, and nothing is written before `check_targets` has
passed.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from worker.dlq.inspect.statistics import ErrorOccurrence, Statistics
from worker.dlq.letter import DeadLetter
from worker.dlq.payload import OriginalJob
from worker.dlq.replay.canary import CanarySketch
from worker.dlq.replay.plan import ReplayError, ReplayPlan
from worker.dlq.replay.rewrite import parked_record, replay_record
from worker.domain.records import ClusterDescription, Coordinate, Record


@dataclass(slots=True)
class TargetNeeds:
    """What one topic must be able to take; each with a letter that needs it."""

    partitions: int
    partitions_for: Coordinate
    size_bytes: int
    size_for: Coordinate


@dataclass(slots=True)
class Census:
    """The letters that a plan takes, counted. `taken` counts by run those that match but are left to earlier runs."""

    plan: ReplayPlan
    statistics: Statistics = field(default_factory=Statistics)
    counts: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    parked: int = 0
    references: int = 0
    needs: dict[str, TargetNeeds] = field(default_factory=dict)

    def add(self, record: Record, sketch: CanarySketch) -> None:
        """Count a record of the dead-letter topic, if the plan takes it."""
        letter = DeadLetter.of(record)
        if not self.plan.claim.covers(letter):
            return
        earlier = next((claim for claim in self.plan.earlier if claim.covers(letter)), None)
        if earlier is not None:
            self.taken[earlier.run_id] += 1
            return
        self.counts[letter.code] += 1
        self.statistics.add(ErrorOccurrence.of(letter))
        self.references += letter.is_reference
        if self.plan.is_parked(letter):
            self.parked += 1
        else:
            sketch.add(letter)
        self._note_needs(letter)

    def _note_needs(self, letter: DeadLetter) -> None:
        plan, at = self.plan, letter.record.coordinate
        topic = plan.target_of(letter)
        if plan.is_parked(letter):
            partitions, size_bytes = 1, parked_record(letter, plan.run_id, topic, 1).record.size_bytes
        else:
            self._check_way_back(letter)
            as_received = OriginalJob(letter.record.key, letter.record.value, letter.received_headers)
            left_behind = letter.payload_size_bytes if letter.is_reference else 0
            size_bytes = replay_record(letter, as_received, plan.run_id, topic).record.size_bytes + left_behind
            partitions = letter.derived.origin.partition + 1
        known = self.needs.setdefault(topic, TargetNeeds(partitions, at, size_bytes, at))
        if partitions > known.partitions:
            known.partitions, known.partitions_for = partitions, at
        if size_bytes > known.size_bytes:
            known.size_bytes, known.size_for = size_bytes, at

    def _check_way_back(self, letter: DeadLetter) -> None:
        if self.plan.target is not None:
            return
        if not letter.has_origin:
            raise ReplayError(
                f"The dead letter {letter.record.coordinate} does not say where its job came from, so it cannot go "
                "back there; replay without --to-origin, or leave this letter out with a filter such as --code."
            )
        if letter.derived.origin.topic == self.plan.topic:
            raise ReplayError(
                f"The dead letter {letter.record.coordinate} says that its job came from the dead-letter topic "
                f"{self.plan.topic} itself, which is never a target; replay it without --to-origin."
            )

    @property
    def letters(self) -> int:
        """How many letters the plan takes."""
        return self.counts.total()


def take_census(plan: ReplayPlan, records: Iterable[Record], *, canary: bool) -> tuple[ReplayPlan, Census]:
    """Count all records up to the plan's ends, and return the plan complete, with the census."""
    census, sketch = Census(plan), CanarySketch(plan.run_id)
    for record in records:
        census.add(record, sketch)
    keys = sketch.choose() if canary else frozenset()
    return replace(plan, canary_keys=keys, counts=dict(census.counts)), census


def limit_plan(plan: ReplayPlan, records: Iterable[Record], limit: int) -> ReplayPlan:
    """Return the plan with ends that leave it the `limit` oldest of its letters.

    Partitions are cut, so that the letters of each are taken in their order. Memory grows with the limit alone.
    """
    oldest: list[tuple[int, int, int]] = []  # a heap of the negated, so that the newest is its first
    latest_ms: dict[int, int] = {}
    for record in records:
        _, partition, offset = record.coordinate
        latest_ms[partition] = max(latest_ms.get(partition, 0), record.timestamp_ms)
        if plan.takes(DeadLetter.of(record)):
            heapq.heappush(oldest, (-latest_ms[partition], -partition, -offset))
            if len(oldest) > limit:
                heapq.heappop(oldest)
    if not oldest:
        return plan
    ends = dict(plan.claim.starts)
    for _, partition, offset in oldest:
        ends[-partition] = max(ends[-partition], 1 - offset)
    return replace(plan, claim=replace(plan.claim, ends=ends))


def check_targets(plan: ReplayPlan, census: Census, cluster: ClusterDescription) -> None:
    """Raise ReplayError where the plan takes nothing, or a topic cannot hold what it would get."""
    if not census.letters:
        raise ReplayError(_nothing_matches(plan, census.taken))
    for topic, needs in census.needs.items():
        limits = cluster.topics.get(topic)
        if limits is None:
            raise ReplayError(
                f"The topic {topic} does not exist; create it with {needs.partitions} partitions or more."
            )
        if limits.partitions < needs.partitions:
            raise ReplayError(
                f"The topic {topic} has {limits.partitions} partitions, too few to keep the order of keys: the job of "
                f"the dead letter {needs.partitions_for} came from partition {needs.partitions - 1}; "
                f"give the topic {needs.partitions} partitions."
            )
        if limits.max_message_bytes is not None and limits.max_message_bytes < needs.size_bytes:
            raise ReplayError(
                f"The topic {topic} takes records of {limits.max_message_bytes} bytes, and the dead letter "
                f"{needs.size_for} needs {needs.size_bytes}; raise the topic's max.message.bytes."
            )


def _nothing_matches(plan: ReplayPlan, taken: Mapping[str, int]) -> str:
    if not taken:
        return f"No dead letter on {plan.topic} matches the filter; `labelwire dlq stats` shows what is there."
    runs = ", ".join(f"{run_id} ({count})" for run_id, count in sorted(taken.items()))
    return (
        f"All {sum(taken.values())} matching dead letters on {plan.topic} belong to earlier replays: {runs}; "
        "--resume RUN-ID continues an unfinished one, --again replays these letters once more."
    )
