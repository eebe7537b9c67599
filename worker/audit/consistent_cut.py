"""The cut of a live system that an audit covers: what a group says is done, and ends below which its outcomes are.

Invariant: for every input record that `positions` calls done, whatever the worker wrote before it said so lies below
`ends` and can be read up to there, unless `gaps` says why not. That holds because of the order of the questions:

1. the jobs' last stable offsets: later jobs are not of this cut;
2. the group's positions;
3. the high watermarks of all topics. A position is committed only after its outcomes were acknowledged, so
   these stand below. The last stable offset would not do: any transaction that is open, a stranger's too, holds it
   below records that were acknowledged, and the end of a worker's own transaction reaches the group's positions and
   its outcomes at different moments;
4. then wait until the last stable offsets have reached these high watermarks, because readers see no further.

A position that names another topic id than the topic has, or that lies above the topic's end, was committed on a former
topic of that name: it says nothing of the present records, and workers begin them anew
(`domain/start_position.py`). The ids are asked for first of all; that they are the same at the end is the reader's to
see.

What was removed is asked for last of all, once everything was read (`find_removals`). What an earlier audit has read
before it was removed is no gap.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, TopicPartition
from worker.domain.start_position import LogBounds, ResetReason, start_position
from worker.settings import TopicSettings

_ASK_AGAIN_SECONDS: Final = 0.2
_SHOWN_PARTITIONS: Final = 3


@dataclass(frozen=True, slots=True)
class Gap:
    """Why records of a topic cannot be read any more, or not yet, in a sentence."""

    topic: str
    sentence: str


@dataclass(frozen=True, slots=True)
class ConsistentCut:
    """What a group says is done, and the end of each partition that belongs to the cut.

    `topic_ids` tells which topics of their names these are. `former` names the partitions on which the group's position
    counts as none, and why.
    """

    positions: Mapping[TopicPartition, CommitPoint]
    ends: Mapping[TopicPartition, int]
    gaps: tuple[Gap, ...] = ()
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[TopicPartition, ResetReason] = field(default_factory=dict)

    @property
    def topics(self) -> list[str]:
        """The topics that exist."""
        return sorted({partition.topic for partition in self.ends})


class GroupView(Protocol):
    """Questions to a cluster about one group; each answer is of the moment of the question. All raise BrokerError."""

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        """Return the partitions of those of the topics that exist."""

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Return the id of each topic; empty where the broker tells none, or there is no topic."""

    def ends(self, partitions: Collection[TopicPartition], *, stable: bool) -> Mapping[TopicPartition, int]:
        """Return last stable offsets, or high watermarks."""

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, CommitPoint]:
        """Return what the group has committed; partitions without a position are left out."""

    def lows(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return low watermarks."""

    def compacted(self, topics: Collection[str]) -> Collection[str]:
        """Return those of the topics that Kafka compacts."""


class _Clock(Protocol):
    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


def input_topics(topics: TopicSettings) -> tuple[str, ...]:
    """Return the topics that workers read."""
    return (topics.jobs, *topics.retry_topics, topics.replay_topic)


def outcome_topics(topics: TopicSettings) -> tuple[str, ...]:
    """Return all topics but that of the jobs: where the outcomes of a record may be."""
    return (*input_topics(topics)[1:], topics.results, topics.dead_letters, topics.parked_topic)


def take_cut(view: GroupView, topics: TopicSettings, *, settle_seconds: float, clock: _Clock = time) -> ConsistentCut:
    """Return the cut through the topics of a group; topics that do not exist count as empty.

    Waits at most `settle_seconds` for open transactions. Raises BrokerError, too where there is no topic of jobs or
    results.
    """
    topic_ids = view.topic_ids((topics.jobs, *outcome_topics(topics)))
    job_ends = view.ends(view.partitions([topics.jobs]), stable=True)
    positions = view.positions(view.partitions(input_topics(topics)))
    highs = view.ends([*job_ends, *view.partitions(outcome_topics(topics))], stable=False)
    ends = {partition: end for partition, end in highs.items() if partition not in job_ends}
    known = {partition.topic for partition in (*job_ends, *ends)}
    missing = [topic for topic in (topics.jobs, topics.results) if topic not in known]
    if missing:
        raise BrokerError(f"Kafka has no topic {' and no topic '.join(missing)}; check LABELWIRE_TOPICS__*.")
    stable = _stable(view, ends, clock.monotonic() + settle_seconds, clock)
    reached = {partition: min(end, stable[partition]) for partition, end in ends.items()}
    gaps = tuple(_hidden(partition, at, ends[partition]) for partition, at in reached.items() if at < ends[partition])
    starts = {
        partition: start_position(point, LogBounds(0, highs.get(partition, 0), topic_ids.get(partition.topic, "")))
        for partition, point in positions.items()
    }
    valid = {partition: found.point for partition, found in starts.items() if found.reset is None}
    former = {partition: found.reset for partition, found in starts.items() if found.reset is not None}
    return ConsistentCut(valid, {**job_ends, **reached}, gaps, topic_ids, former)


def _stable(
    view: GroupView, ends: Mapping[TopicPartition, int], deadline: float, clock: _Clock
) -> dict[TopicPartition, int]:
    """Return the last stable offsets, once they have reached the ends or time is over."""
    stable: dict[TopicPartition, int] = {}
    while True:
        waiting = [partition for partition, end in ends.items() if stable.get(partition, -1) < end]
        stable |= view.ends(waiting, stable=True)
        if all(stable[partition] >= end for partition, end in ends.items()) or clock.monotonic() > deadline:
            return stable
        clock.sleep(_ASK_AGAIN_SECONDS)


def _hidden(partition: TopicPartition, stable: int, end: int) -> Gap:
    return Gap(
        partition.topic,
        f"An open transaction on {partition} hides the records from offset {stable} up to {end}; wait until it ends, or"
        " abort it with kafka-transactions.sh, and audit again.",
    )


@dataclass(frozen=True, slots=True)
class Removals:
    """The low watermarks, and a gap for each topic that lost records which nobody had accounted for."""

    lows: Mapping[TopicPartition, int] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()


def find_removals(
    view: GroupView, topics: Collection[str], starts: Mapping[TopicPartition, int] | None = None
) -> Removals:
    """Return what the topics lost by retention, by hand or by compaction, from `starts` on. Raises BrokerError."""
    lows, compacted = view.lows(view.partitions(topics)), view.compacted(topics)
    gaps = tuple(gap for topic in topics for gap in _gaps(topic, lows, starts or {}, compacted))
    return Removals(lows, gaps)


def _gaps(
    topic: str, lows: Mapping[TopicPartition, int], starts: Mapping[TopicPartition, int], compacted: Collection[str]
) -> list[Gap]:
    moved = [(p, low) for p, low in lows.items() if p.topic == topic and low > starts.get(p, 0)]
    gaps = []
    if moved:
        shown = ", ".join(f"{partition} below offset {low}" for partition, low in moved[:_SHOWN_PARTITIONS])
        more = f" and {len(moved) - _SHOWN_PARTITIONS} more" if len(moved) > _SHOWN_PARTITIONS else ""
        sentence = (
            f"Retention removed records of {topic} ({shown}{more}), so what they would show cannot be proved; audit"
            " before the retention time is over."
        )
        gaps.append(Gap(topic, sentence))
    if topic in compacted:
        sentence = (
            f"{topic} is compacted: later records of a key remove earlier ones; set its cleanup.policy to delete."
        )
        gaps.append(Gap(topic, sentence))
    return gaps
