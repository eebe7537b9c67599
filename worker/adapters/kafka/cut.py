"""Where a live system is cut for looking at it: what a group says is done, and ends behind which its outcomes stand.

Invariant: for every input record that `positions` calls done, whatever the worker wrote before it said so lies below
`ends` and can be read up to there, unless `gaps` says why not. That holds because of the order of the questions:

1. the jobs' last stable offsets: later jobs are not of this cut;
2. the group's positions;
3. the high watermarks of all outcome topics. A position is committed only after its outcomes were acknowledged, so
   these stand below. The last stable offset would not do: any transaction that is open, a stranger's too, holds it
   below records that were acknowledged, and the end of a worker's own transaction reaches the group's positions and
   its outcomes at different moments;
4. then wait until the last stable offsets have reached these high watermarks, because readers see no further.

Errors of librdkafka leave this module as BrokerError.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from worker.adapters.kafka.admin import admin_client, is_mock, translated
from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, TopicPartition

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_ANSWER_SECONDS: Final = 15.0
_ASK_AGAIN_SECONDS: Final = 0.2
_SHOWN_PARTITIONS: Final = 3
_NOT_ALLOWED: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
# librdkafka does not mark these as retriable where an admin client gets them.
_PASSING: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Gap:
    """Why records of a topic cannot be read any more, or not yet, in a sentence."""

    topic: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Cut:
    """What a group says is done, and the end of each partition that belongs to the cut."""

    positions: Mapping[TopicPartition, CommitPoint]
    ends: Mapping[TopicPartition, int]
    gaps: tuple[Gap, ...] = ()

    @property
    def topics(self) -> list[str]:
        """The topics that exist."""
        return sorted({partition.topic for partition in self.ends})


def take_cut(
    bootstrap_servers: str,
    group_id: str,
    client_options: Mapping[str, str] | None = None,
    *,
    jobs: str,
    retries: Collection[str],
    outcomes: Collection[str],
    settle_seconds: float = 60.0,
) -> Cut:
    """Cut through the topics of a group: its `jobs`, its `retries` (all other inputs) and its other `outcomes`.

    Topics that do not exist are left out. Waits at most `settle_seconds` for open transactions. Raises BrokerError.
    """
    client = admin_client(bootstrap_servers, client_options)
    with translated(bootstrap_servers):
        job_ends = _offsets(client, _partitions(client, [jobs]), _LATEST, IsolationLevel.READ_COMMITTED)
        positions = _positions(client, group_id, [*job_ends, *_partitions(client, retries)])
        others = _partitions(client, [*retries, *outcomes])
        ends = _offsets(client, others, _LATEST, IsolationLevel.READ_UNCOMMITTED)
        stable = _stable(client, ends, time.monotonic() + settle_seconds)
    reached = {partition: min(end, stable[partition]) for partition, end in ends.items()}
    gaps = tuple(_hidden(partition, at, ends[partition]) for partition, at in reached.items() if at < ends[partition])
    return Cut(positions, {**job_ends, **reached}, gaps)


def find_removals(
    bootstrap_servers: str, topics: Collection[str], client_options: Mapping[str, str] | None = None
) -> tuple[Gap, ...]:
    """Say of which topics records were removed, by retention, by hand or by compaction. Raises BrokerError."""
    client = admin_client(bootstrap_servers, client_options)
    with translated(bootstrap_servers):
        lows = _offsets(client, _partitions(client, topics), _EARLIEST, IsolationLevel.READ_COMMITTED)
        compacted = _compacted(client, topics)
    return tuple(gap for topic in topics for gap in _removals(topic, lows, compacted))


def _partitions(client: AdminClient, topics: Collection[str]) -> list[TopicPartition]:
    # Asked for all topics, because asking for one by name may create it.
    known = client.list_topics(timeout=_ANSWER_SECONDS).topics
    return [TopicPartition(topic, number) for topic in topics if topic in known for number in known[topic].partitions]


def _offsets(
    client: AdminClient, partitions: Collection[TopicPartition], spec: OffsetSpec, isolation: IsolationLevel
) -> dict[TopicPartition, int]:
    if not partitions:
        return {}
    asked = {KafkaPartition(partition.topic, partition.partition): spec for partition in partitions}

    def ask() -> dict[TopicPartition, int]:
        answers = client.list_offsets(asked, isolation_level=isolation, request_timeout=_ANSWER_SECONDS)
        return {
            TopicPartition(partition.topic, partition.partition): answer.result().offset
            for partition, answer in answers.items()
        }

    return _answered(ask)


def _answered(ask: Callable[[], _Answer]) -> _Answer:
    """Ask again where the broker is about to know: a leader or coordinator moves, or a topic is new."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise
        time.sleep(_ASK_AGAIN_SECONDS)


def _positions(
    client: AdminClient, group_id: str, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, CommitPoint]:
    if not partitions:
        return {}
    asked = [KafkaPartition(partition.topic, partition.partition) for partition in partitions]
    request = ConsumerGroupTopicPartitions(group_id, asked)

    def ask() -> dict[TopicPartition, CommitPoint]:
        answers = client.list_consumer_group_offsets([request], request_timeout=_ANSWER_SECONDS)
        found = answers[group_id].result().topic_partitions
        for partition in found:
            if partition.error:
                raise KafkaException(partition.error)
        return {
            TopicPartition(partition.topic, partition.partition): CommitPoint(
                partition.offset, partition.metadata or ""
            )
            for partition in found
            if partition.offset >= 0
        }

    return _answered(ask)


def _stable(client: AdminClient, ends: Mapping[TopicPartition, int], deadline: float) -> dict[TopicPartition, int]:
    """Return the last stable offsets, once they have reached the ends or time is over."""
    stable: dict[TopicPartition, int] = {}
    while True:
        waiting = [partition for partition, end in ends.items() if stable.get(partition, -1) < end]
        stable |= _offsets(client, waiting, _LATEST, IsolationLevel.READ_COMMITTED)
        if all(stable[partition] >= end for partition, end in ends.items()) or time.monotonic() > deadline:
            return stable
        time.sleep(_ASK_AGAIN_SECONDS)


def _hidden(partition: TopicPartition, stable: int, end: int) -> Gap:
    return Gap(
        partition.topic,
        f"A transaction is open on {partition} from offset {stable} on and hides what stands up to {end};"
        " wait until it ends, or end it with kafka-transactions.sh, and audit again.",
    )


def _compacted(client: AdminClient, topics: Collection[str]) -> set[str]:
    """Return the topics that Kafka compacts; a topic whose config may not be read is taken not to be."""
    listed = client.list_topics(timeout=_ANSWER_SECONDS)
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics if topic in listed.topics]
    if is_mock(listed.cluster_id) or not resources:
        return set()
    compacted = set()
    for resource, answer in client.describe_configs(resources, request_timeout=_ANSWER_SECONDS).items():
        try:
            policy = answer.result()["cleanup.policy"].value
        except KafkaException as error:
            if error.args[0].code() not in _NOT_ALLOWED:
                raise
            continue
        if "compact" in policy:
            compacted.add(resource.name)
    return compacted


def _removals(topic: str, lows: Mapping[TopicPartition, int], compacted: Collection[str]) -> list[Gap]:
    moved = [(partition, low) for partition, low in lows.items() if partition.topic == topic and low > 0]
    gaps = []
    if moved:
        shown = ", ".join(f"{partition} below offset {low}" for partition, low in moved[:_SHOWN_PARTITIONS])
        more = f" and {len(moved) - _SHOWN_PARTITIONS} more" if len(moved) > _SHOWN_PARTITIONS else ""
        gaps.append(
            Gap(
                topic,
                f"Records of {topic} were removed by its retention ({shown}{more}): what they would show cannot be"
                " proved; audit before the retention time is over.",
            )
        )
    if topic in compacted:
        gaps.append(
            Gap(
                topic,
                f"{topic} is compacted, so that later records of a key remove earlier ones;"
                " set its cleanup.policy to delete.",
            )
        )
    return gaps


def require_topics(cut: Cut, bootstrap_servers: str, topics: Collection[str]) -> None:
    """Raise BrokerError where one of these topics does not exist."""
    missing = [topic for topic in topics if topic not in cut.topics]
    if missing:
        raise BrokerError(f"Kafka at {bootstrap_servers} has no topic {', '.join(missing)}; nothing can be audited.")
