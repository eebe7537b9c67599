"""The topics of a deployment.

Invariant: what a topic passes on fits where it goes. A record grows by its headers on the way from the jobs over
retries or a replay to the dead letters, and from there to the parked ones.
"""

from worker.adapters.kafka.admin import TopicSpec
from worker.picture_settings import MEBIBYTE
from worker.settings import TopicSettings

# Ample for the headers that one step adds: a dead letter's longest is a message of 1,000 characters.
_HEADERS_BYTES = 64 * 1024
_MAX_RESULT_BYTES = 16 * MEBIBYTE
_FOR_EVER = {"retention.ms": "-1"}


def topic_specs(topics: TopicSettings, partitions: int, max_message_bytes: int) -> list[TopicSpec]:
    """Return every topic that the worker and its tools read or write.

    `max_message_bytes` is what the topic of jobs takes. All have the same number of partitions, so that a key finds its
    order again after a retry or a replay. The replays' audit records have one partition and are kept; the rollouts'
    state has one, for one order, and is compacted.
    """
    jobs, passed_on = max_message_bytes, max_message_bytes + _HEADERS_BYTES
    dead_letters, parked = passed_on + _HEADERS_BYTES, passed_on + 2 * _HEADERS_BYTES
    results = max(min(jobs, _MAX_RESULT_BYTES), topics.min_result_bytes)
    limits = {
        topics.jobs: jobs,
        topics.results: results,
        topics.dead_letters: dead_letters,
        **dict.fromkeys((*topics.retry_topics, topics.replay_topic), passed_on),
        topics.parked_topic: parked,
    }
    specs = [TopicSpec(name, partitions, {"max.message.bytes": str(limit)}) for name, limit in limits.items()]
    return [
        *specs,
        TopicSpec(topics.replay_runs_topic, 1, _FOR_EVER),
        TopicSpec(topics.rollouts_topic, 1, {"cleanup.policy": "compact"}),
    ]
