"""The ids (KIP-516) and partitions of topics.

A topic that was deleted and created again has the same name and another id.

librdkafka's mock cluster and brokers before Kafka 2.8 have no ids; there every id is empty. Errors of librdkafka leave
this module untranslated: its callers use librdkafka themselves.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, Uuid
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # re-exported without saying so

from worker.adapters.kafka.admin_lifetime import kept
from worker.adapters.kafka.call_timeout import all_done
from worker.adapters.kafka.mock_cluster import MOCK_CLUSTER_PREFIX
from worker.adapters.kafka.secret_options import RedactingLogger
from worker.domain.records import TopicPartition
from worker.settings import KafkaSettings

_LOGGER = logging.getLogger(__name__)
_AskedT = TypeVar("_AskedT")
_ANSWER_SECONDS = 5.0
_DONE_SECONDS = 2 * _ANSWER_SECONDS
_NO_ID = str(Uuid(0, 0))
_NOT_TOLD = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # it is deleted, or may not be described
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001 - librdkafka's own name
    }
)
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class TopicFound(NamedTuple):
    """A topic that exists: its id, empty if the broker has none, and its number of partitions."""

    topic_id: str
    partitions: int


class TopicIds:
    """Asks for ids. For one thread at a time; made without a connection: `make_client` makes it once it is needed."""

    def __init__(self, make_client: Callable[[], AdminClient]) -> None:
        self._make_client = make_client
        self._made: AdminClient | None = None
        self._tells: bool | None = None
        self._asked: Mapping[str, Future[Any]] = {}

    def of(self, topics: Collection[str]) -> dict[str, str]:
        """Return the id of each topic; empty for one without. Raises KafkaException."""
        if self._tells is None:
            cluster_id = self._client.list_topics(timeout=_ANSWER_SECONDS).cluster_id or ""
            self._tells = not cluster_id.startswith(MOCK_CLUSTER_PREFIX)
        if not self._tells or not topics:
            return dict.fromkeys(topics, "")
        found = self._results(self._done(self._describe(topics)))
        return {topic: each.topic_id if each else "" for topic, each in found.items()}

    def partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        """Return the partitions of those of the topics that exist. Raises KafkaException.

        Not asked of the consumer: inside a rebalance its `list_topics` ends the process, because the binding then has
        lost the call of `poll` that it is in.
        """
        known = self._client.list_topics(timeout=_ANSWER_SECONDS).topics  # asked by name, a topic may be created
        return [
            TopicPartition(topic, number) for topic in topics if topic in known for number in known[topic].partitions
        ]

    def ask(self, topics: Collection[str]) -> None:
        """Ask without waiting, and forget an earlier question. Nothing is asked if the broker has no ids."""
        # Also where `of` had no answer, so that it is not known whether the broker has ids.
        self._asked = {} if self._tells is False or not topics else self._describe(topics)

    @property
    def is_asked(self) -> bool:
        """Whether the answer to `ask` is still to be taken."""
        return bool(self._asked)

    def answer(self) -> dict[str, TopicFound] | None:
        """Return the answer to `ask`, with those topics that exist; None where there is none yet, or no more.

        Raises KafkaException where the broker refused to say.
        """
        if not self._asked or not all(future.done() for future in self._asked.values()):
            return None
        asked, self._asked = self._asked, {}
        found = self._results(asked)
        return {topic: each for topic, each in found.items() if each is not None}

    def forget(self) -> None:
        """Ignore the answer to the last question."""
        self._asked = {}

    def close(self) -> None:
        """Let go of the client, if there is one; the next question makes another."""
        self._asked, self._made = {}, None

    def high_watermark(self, partition: TopicPartition) -> int:
        """Return the offset after the last record that is written. Raises KafkaException."""
        (answer,) = self._done(self.ask_high_watermarks([partition])).values()
        return int(answer.result().offset)

    def ask_high_watermarks(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Future[Any]]:
        """Ask for the offset after the last record of each, without waiting: each answer has an `offset`."""
        asked = {KafkaPartition(*partition): _LATEST for partition in partitions}
        answers: Mapping[KafkaPartition, Future[Any]] = self._client.list_offsets(
            asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_ANSWER_SECONDS
        )
        return {TopicPartition(told.topic, told.partition): answer for told, answer in answers.items()}

    def _results(self, asked: "Mapping[str, Future[Any]]") -> dict[str, TopicFound | None]:
        """Return what was found. A client that found nothing out is replaced.

        It may wait for a broker that it takes for the controller long after that broker is gone, at the cost of a core.
        """
        try:
            return {topic: _found(future) for topic, future in asked.items()}
        except KafkaException:
            self.close()
            raise

    def _done(self, asked: Mapping[_AskedT, Future[Any]]) -> Mapping[_AskedT, Future[Any]]:
        """Wait for answers. A client that gives none is not asked again: another takes its place."""
        try:
            return all_done(_DONE_SECONDS, asked)
        except KafkaException:
            self.close()
            raise

    def _describe(self, topics: Collection[str]) -> Mapping[str, Future[Any]]:
        described: Mapping[str, Future[Any]] = self._client.describe_topics(
            TopicCollection(sorted(topics)), request_timeout=_ANSWER_SECONDS
        )
        return described

    @property
    def _client(self) -> AdminClient:
        if self._made is None:
            self._made = self._make_client()
        return self._made


def topic_ids_of(settings: KafkaSettings) -> TopicIds:
    """Return what asks the settings' cluster."""
    options: dict[str, Any] = {**settings.client_options(), "bootstrap.servers": settings.bootstrap_servers}
    return TopicIds(lambda: kept(AdminClient(options, logger=RedactingLogger(_LOGGER, options))))


def _found(future: "Future[Any]") -> TopicFound | None:
    try:
        described = future.result()
    except KafkaException as error:
        if error.args[0].code() in _NOT_TOLD:
            return None
        raise
    topic_id = str(described.topic_id)
    return TopicFound("" if topic_id == _NO_ID else topic_id, len(described.partitions))
