"""Whether a worker may use its topics and its group, and can use them now; asked before any work and during it.

Invariant: what the broker does not say (it has no authorizer, or is too old) is no obstacle.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from worker.adapters.kafka.admin import QUIET, connected, is_mock, topic_configs, translated
from worker.adapters.kafka.call_timeout import all_done
from worker.adapters.kafka.diagnosis import missing_right
from worker.adapters.kafka.membership import is_group_denied
from worker.adapters.kafka.offline.standalone import standalone_consumer
from worker.domain.errors import BrokerError
from worker.settings import KafkaSettings

_ANSWER_SECONDS = 5.0
_DONE_SECONDS = 2 * _ANSWER_SECONDS
_SLICE_SECONDS = 0.5
_PAUSE_SECONDS = 0.05


class KafkaAccess:
    """A `ClusterAccess` that asks with the worker's own user."""

    def __init__(self, settings: KafkaSettings, is_group_denied: Callable[[], bool] = lambda: False) -> None:
        """Ask about the settings' group too; `is_group_denied` says whether a member was refused there."""
        self._settings = settings
        self._is_group_denied = is_group_denied

    async def obstacle(self, reads: Collection[str], writes: Collection[str]) -> str:
        """Return in a sentence why the worker cannot use its topics or its group; empty if no reason is known.

        Raises BrokerError, with the cause, where the broker does not answer.
        """
        return await asyncio.to_thread(self._obstacle, reads, writes)

    def _obstacle(self, reads: Collection[str], writes: Collection[str]) -> str:
        servers, options = self._settings.bootstrap_servers, self._settings.client_options()
        client = connected(servers, options)
        with translated(servers, options):
            if is_mock(client.list_topics(timeout=_ANSWER_SECONDS).cluster_id):
                return ""
            found = described_topics(client, {*reads, *writes})
            return (
                _missing_topic_right(options, found, reads, writes)
                or self._missing_group_right(next(iter(reads)))
                or _no_leaders({name: found[name] for name in reads if found[name] is not None})
                or _too_few_replicas(client, {name: found[name] for name in writes if found[name] is not None})
            )

    def _missing_group_right(self, topic: str) -> str:
        """Ask for a committed position, because the admin client must not be asked about groups.

        librdkafka ends the process where a group's coordinator comes back after an admin request to it has timed out
        (its issue 3663, seen with 2.16). Who may describe the group but not read it, is told a position all the same;
        that shows when a member is refused.
        """
        settings = self._settings
        lacks = self._is_group_denied() or is_group_refused(settings, topic)
        return missing_right(settings.client_options(), "Read", "group", settings.group_id) if lacks else ""


def check_topic_rights(settings: KafkaSettings, reads: Collection[str] = (), writes: Collection[str] = ()) -> None:
    """Raise BrokerError that names the first right on these topics which is missing; absent topics are passed over."""
    servers, options = settings.bootstrap_servers, settings.client_options()
    client = connected(servers, options)
    with translated(servers, options):
        if is_mock(client.list_topics(timeout=_ANSWER_SECONDS).cluster_id):
            return
        found = described_topics(client, {*reads, *writes})
    if sentence := _missing_topic_right(options, found, reads, writes):
        raise BrokerError(sentence)


def denied(bootstrap_servers: str, client_options: Mapping[str, str] | None, topic: str) -> str:
    """Return in a sentence that a topic may not be described; empty if it may be, or does not exist."""
    options = client_options or {}
    client = connected(bootstrap_servers, options)
    with translated(bootstrap_servers, options):
        found = (
            {} if is_mock(client.list_topics(timeout=_ANSWER_SECONDS).cluster_id) else described_topics(client, [topic])
        )
    return missing_right(options, "Read", "topic", topic) if isinstance(found.get(topic), KafkaError) else ""


def described_topics(client: AdminClient, names: Collection[str]) -> dict[str, Any]:
    """Describe topics: None for one that does not exist, a KafkaError for one that may not be described.

    Raises KafkaException; use it inside `translated`.
    """
    asked = client.describe_topics(
        TopicCollection(list(names)), include_authorized_operations=True, request_timeout=_ANSWER_SECONDS
    )
    found: dict[str, Any] = {}
    for name, outcome in all_done(_DONE_SECONDS, asked).items():
        try:
            found[name] = outcome.result()
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() not in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART):
                raise
            found[name] = reason if reason.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED else None
    return found


def _missing_topic_right(
    options: Mapping[str, str], found: Mapping[str, Any], reads: Collection[str], writes: Collection[str]
) -> str:
    for names, operation in ((reads, "Read"), (writes, "Write")):
        for name in names:
            topic = found[name]
            if isinstance(topic, KafkaError) or (topic is not None and _lacks(topic, operation)):
                return missing_right(options, operation, "topic", name)
    return ""


def is_group_refused(settings: KafkaSettings, topic: str, group_id: str | None = None) -> bool:
    """Say whether the broker refuses to tell a group's position, the settings' one unless another is given.

    False if it tells it, or nobody answers in time.
    """
    consumer = standalone_consumer(
        settings.bootstrap_servers,
        settings.client_options(),
        group_id=group_id or settings.group_id,
        isolation_level="read_uncommitted",
        logger=QUIET,
    )
    deadline = time.monotonic() + _ANSWER_SECONDS
    try:
        while time.monotonic() < deadline:
            try:
                consumer.committed([TopicPartition(topic, 0)], timeout=_SLICE_SECONDS)
            except KafkaException as failure:
                # That the coordinator may not be asked for is told to who polls; who asks for a position only waits.
                message = consumer.poll(0)
                reported = [failure.args[0], message.error() if message else None]
                if any(error and is_group_denied(error) for error in reported):
                    return True
                time.sleep(_PAUSE_SECONDS)  # any other error comes from the coordinator, which may be moving
            else:
                return False
    finally:
        consumer.close()
    return False


def _lacks(described: Any, operation: str) -> bool:  # noqa: ANN401 - librdkafka's descriptions have no common type
    allowed = {allowed.name for allowed in described.authorized_operations or ()}
    return bool(allowed) and not allowed & {operation.upper(), "ALL"}


def _no_leaders(topics: Mapping[str, Any]) -> str:
    """Say which topic has no leader at all. While some of its partitions have one, their jobs go on."""
    for name, topic in topics.items():
        if not any(_has_leader(partition) for partition in topic.partitions):
            return (
                f"No partition of topic {name} has a leader, so nothing can be read: see which of its brokers is down."
            )
    return ""


def _has_leader(partition: Any) -> bool:  # noqa: ANN401 - librdkafka's type has no public name
    return partition.leader is not None and partition.leader.id >= 0


def _too_few_replicas(client: AdminClient, topics: Mapping[str, Any]) -> str:
    """Say which partition has no leader, or fewer replicas in sync than a write needs (if that config may be read)."""
    needed = topic_configs(client, topics, "min.insync.replicas")
    for name, topic in topics.items():
        for partition in topic.partitions:
            if not _has_leader(partition):
                return f"Partition {partition.id} of topic {name} has no leader: see which of its brokers is down."
            # Kafka asks for no more replicas than a partition has.
            least = min(int(needed.get(name, 0)), len(partition.replicas))
            if len(partition.isr) < least:
                return (
                    f"Partition {partition.id} of topic {name} has {len(partition.isr)} replicas in sync and needs"
                    f" {least} (its min.insync.replicas), so nothing can be written: see which of its brokers is down."
                )
    return ""
