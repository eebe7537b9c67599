"""The topics of a deployment: the one place that says how each of them has to be.

What creates topics, what compares them with a broker's (`topic_plan.py`) and the documents all follow this module.

Invariant: what a topic passes on fits where it goes. A record grows by its headers on the way from the jobs over
retries or a replay to the dead letters, and from there to the parked ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from worker.adapters.kafka.admin import TopicSpec
from worker.picture_settings import MEBIBYTE
from worker.settings import TopicSettings

MAX_MESSAGE_BYTES: Final = "max.message.bytes"
CLEANUP_POLICY: Final = "cleanup.policy"
RETENTION_MS: Final = "retention.ms"
MIN_INSYNC_REPLICAS: Final = "min.insync.replicas"

DEFAULT_PARTITIONS: Final = 8
DEFAULT_MAX_MESSAGE_BYTES: Final = 16 * MEBIBYTE
# Ample for the headers that one step adds: a dead letter's longest is a message of 1,000 characters.
_HEADERS_BYTES = 64 * 1024
_MAX_RESULT_BYTES = 16 * MEBIBYTE
DAY_MS: Final = 24 * 3600 * 1000
# Jobs wait on their topics while Triton is away, and an outage may last over a weekend.
_OUTAGE_DAYS: Final = 3
# Dead letters wait for a person, who may be on holiday.
_LETTER_DAYS: Final = 14
# Kafka's own default is 1: then an acknowledged record is lost with the one broker that has it.
_REPLICAS_FOR_TWO_IN_SYNC: Final = 3


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """How a topic has to be.

    `configs` are Kafka's topic configs with the values that they must have, `floors` those with the least values.
    `partitions` is the least number of partitions, or the only one where it is `single`. A topic that is `keyed` gets
    more of them only if a person asks for it: its readers may count on the partition of a key.
    """

    name: str
    partitions: int
    configs: Mapping[str, str]
    floors: Mapping[str, int] = field(default_factory=dict)
    single: bool = False
    keyed: bool = False

    def spec(self, replication_factor: int = -1) -> TopicSpec:
        """Return what to create. Retention is left to the broker, whose own may be longer than the least one."""
        sizes = {name: str(least) for name, least in self.floors.items() if name == MAX_MESSAGE_BYTES}
        return TopicSpec(self.name, self.partitions, {**sizes, **self.configs}, replication_factor)

    def floors_with(self, replicas: int) -> dict[str, int]:
        """Return the least values of configs for a topic with so many replicas."""
        return {**self.floors, MIN_INSYNC_REPLICAS: 2 if replicas >= _REPLICAS_FOR_TWO_IN_SYNC else 1}


def wanted_topics(
    topics: TopicSettings,
    partitions: int,
    max_message_bytes: int,
    *,
    longest_delay_seconds: float = 0.0,
    letter_retention_days: int | None = None,
) -> list[WantedTopic]:
    """Return every topic that the worker and its tools read or write.

    `max_message_bytes` is what the topic of jobs takes. All have the same number of partitions, so that a key finds its
    order again after a retry or a replay. The replays' audit records and the rollouts' state have one, for one order,
    and are compacted: the last record of a run or of a state holds all of it. `letter_retention_days` is how long dead
    and parked letters are kept; two weeks at least if it is None.
    """
    jobs, passed_on = max_message_bytes, max_message_bytes + _HEADERS_BYTES
    dead_letters, parked = passed_on + _HEADERS_BYTES, passed_on + 2 * _HEADERS_BYTES
    results = max(min(jobs, _MAX_RESULT_BYTES), topics.min_result_bytes)
    waiting = {RETENTION_MS: _OUTAGE_DAYS * DAY_MS + round(longest_delay_seconds * 1000)}
    # Compaction would take a job when the next one of its key comes.
    deleting, letters = {CLEANUP_POLICY: "delete"}, {CLEANUP_POLICY: "delete"}
    letter_time: dict[str, int] = {RETENTION_MS: _LETTER_DAYS * DAY_MS}
    if letter_retention_days is not None:
        letters, letter_time = {**letters, RETENTION_MS: str(letter_retention_days * DAY_MS)}, {}
    return [
        WantedTopic(topics.jobs, partitions, deleting, {MAX_MESSAGE_BYTES: jobs, **waiting}, keyed=True),
        WantedTopic(topics.results, partitions, deleting, {MAX_MESSAGE_BYTES: results}, keyed=True),
        WantedTopic(topics.dead_letters, partitions, letters, {MAX_MESSAGE_BYTES: dead_letters, **letter_time}),
        *(
            WantedTopic(name, partitions, deleting, {MAX_MESSAGE_BYTES: passed_on, **waiting})
            for name in (*topics.retry_topics, topics.replay_topic)
        ),
        WantedTopic(topics.parked_topic, partitions, letters, {MAX_MESSAGE_BYTES: parked, **letter_time}),
        *(
            WantedTopic(name, 1, {CLEANUP_POLICY: "compact"}, single=True)
            for name in (topics.replay_runs_topic, topics.rollouts_topic)
        ),
    ]


def topic_specs(topics: TopicSettings, partitions: int, max_message_bytes: int) -> list[TopicSpec]:
    """Return what to create for `wanted_topics`."""
    return [wanted.spec() for wanted in wanted_topics(topics, partitions, max_message_bytes)]
