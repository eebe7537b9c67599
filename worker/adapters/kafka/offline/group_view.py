"""What a group has committed and where its topics begin and end, asked without joining the group.

Errors of librdkafka leave this module as BrokerError; what passes by itself is asked again. Nothing here makes a topic
by looking at it.
"""

from collections.abc import Callable, Collection
from typing import Final, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from worker.adapters.kafka.admin import connected, is_mock, translated
from worker.adapters.kafka.call_timeout import all_done
from worker.adapters.kafka.diagnosis import missing_right
from worker.adapters.kafka.offline.standalone import standalone_consumer
from worker.adapters.kafka.permissions import denied, is_group_refused
from worker.adapters.kafka.positions import committed_positions
from worker.adapters.kafka.topic_ids import TopicIds
from worker.adapters.kafka.transient import is_transient, retry_transient
from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, TopicPartition
from worker.settings import KafkaSettings

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_ANSWER_SECONDS: Final = 15.0
_DONE_SECONDS: Final = 2 * _ANSWER_SECONDS
_ASK_AGAIN_SECONDS: Final = 0.2
_NOT_ALLOWED: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
_Answer = TypeVar("_Answer")


class KafkaGroupView:
    """A real cluster, and the group of the settings."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client = connected(settings.bootstrap_servers, settings.client_options(), timeout_seconds=_ANSWER_SECONDS)
        self._topic_ids = TopicIds(lambda: self._client)

    def cluster_id(self) -> str:
        """Return the id of the cluster."""
        return str(self._answered(lambda: self._client.list_topics(timeout=_ANSWER_SECONDS).cluster_id))

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        """Return the partitions of those of the topics that exist."""
        # Asked for all topics, because asking for one by name may create it.
        known = self._answered(lambda: self._client.list_topics(timeout=_ANSWER_SECONDS).topics)
        for topic in topics:
            if topic not in known:
                self._refuse_where_denied(topic)
        return [TopicPartition(topic, n) for topic in topics if topic in known for n in known[topic].partitions]

    def _refuse_where_denied(self, topic: str) -> None:
        if reason := denied(self._settings.bootstrap_servers, self._settings.client_options(), topic):
            raise BrokerError(reason)

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the id of each topic; empty where the broker tells none, or there is no topic."""
        return self._answered(lambda: self._topic_ids.of(topics))

    def ends(self, partitions: Collection[TopicPartition], *, stable: bool) -> dict[TopicPartition, int]:
        """Return last stable offsets, or high watermarks."""
        isolation = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
        return self._answered(lambda: self._offsets(partitions, _LATEST, isolation))

    def lows(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return low watermarks."""
        return self._answered(lambda: self._offsets(partitions, _EARLIEST, IsolationLevel.READ_UNCOMMITTED))

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, CommitPoint]:
        """Return what the group has committed; partitions without a position are left out."""
        asked = list(partitions)
        if asked and is_group_refused(self._settings, asked[0].topic):
            group = self._settings.group_id
            raise BrokerError(missing_right(self._settings.client_options(), "Describe", "group", group))
        return self._answered(lambda: self._committed(asked))

    def compacted(self, topics: Collection[str]) -> set[str]:
        """Return those of the topics that Kafka compacts; one whose config may not be read is taken not to be."""
        return self._answered(lambda: self._compacted(topics))

    def _offsets(
        self, partitions: Collection[TopicPartition], spec: OffsetSpec, isolation: IsolationLevel
    ) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        asked = {KafkaPartition(partition.topic, partition.partition): spec for partition in partitions}
        answers = self._client.list_offsets(asked, isolation_level=isolation, request_timeout=_ANSWER_SECONDS)
        return {
            TopicPartition(partition.topic, partition.partition): answer.result().offset
            for partition, answer in all_done(_DONE_SECONDS, answers).items()
        }

    def _committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, CommitPoint]:
        # Not by the admin client: while the coordinator is elsewhere that ends the process (librdkafka issue 5040).
        consumer = standalone_consumer(
            self._settings.bootstrap_servers,
            self._settings.client_options(),
            group_id=self._settings.group_id,
            isolation_level="read_uncommitted",  # else it would wait for the end of every transaction
        )
        try:
            return committed_positions(consumer, partitions, timeout_seconds=_ANSWER_SECONDS)
        finally:
            consumer.close()

    def _compacted(self, topics: Collection[str]) -> set[str]:
        listed = self._client.list_topics(timeout=_ANSWER_SECONDS)
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics if topic in listed.topics]
        if is_mock(listed.cluster_id) or not resources:
            return set()
        compacted = set()
        asked = self._client.describe_configs(resources, request_timeout=_ANSWER_SECONDS)
        for resource, answer in all_done(_DONE_SECONDS, asked).items():
            try:
                policy = answer.result()["cleanup.policy"].value
            except KafkaException as error:
                if error.args[0].code() not in _NOT_ALLOWED:
                    raise
                continue
            if "compact" in policy:
                compacted.add(resource.name)
        return compacted

    def _answered(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask, and ask again while a leader or the coordinator moves, or a topic is new."""
        with translated(self._settings.bootstrap_servers):
            return retry_transient(
                ask, timeout_seconds=_ANSWER_SECONDS, pause_seconds=_ASK_AGAIN_SECONDS, passes=_passes
            )


def _passes(error: KafkaError) -> bool:
    # A topic that was created a moment ago is not known to every broker.
    return is_transient(error) or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
