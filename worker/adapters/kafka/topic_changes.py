"""Asks a broker what its topics are, and changes them as a plan says.

Invariant: nothing is changed but what the plan names. Errors of librdkafka leave this module as BrokerError, in one
sentence that names the topic, and the right that is missing.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from worker.adapters.kafka.admin import connected, create_topics, is_mock, translated
from worker.adapters.kafka.call_timeout import all_done
from worker.adapters.kafka.diagnosis import missing_right, refused_topic
from worker.adapters.kafka.permissions import described_topics
from worker.adapters.kafka.topic_plan import (
    PARTITIONS,
    PresentTopic,
    TopicOptions,
    TopicsPlan,
    plan_topics,
    topic_names,
)
from worker.adapters.kafka.topics import MAX_MESSAGE_BYTES
from worker.domain.errors import BrokerError
from worker.settings import Settings

_ANSWER_SECONDS: Final = 10.0
_DONE_SECONDS: Final = 2 * _ANSWER_SECONDS
_SHOWN_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.1
_REQUEST_LIMIT: Final = "socket.request.max.bytes"
_DENIED: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


class TopicChanges:
    """The topics of a deployment on its broker. All methods raise BrokerError."""

    def __init__(self, settings: Settings, options: TopicOptions) -> None:
        self._settings = settings
        self._options = options
        self._servers = settings.kafka.bootstrap_servers
        self._client_options = settings.kafka.client_options()

    def plan(self) -> TopicsPlan:
        """Ask the broker, and say what would change."""
        return self._plan("Describe", "DescribeConfigs")

    def _plan(self, operation: str, config_operation: str) -> TopicsPlan:
        """Plan; the operations are those to name where a topic or its configs may not be described."""
        client = connected(self._servers, self._client_options, timeout_seconds=_ANSWER_SECONDS)
        with translated(self._servers, self._client_options):
            present = self._present(client, operation, config_operation)
            plan = plan_topics(self._settings, self._options, present)
            self._check_size(client, plan)
        return plan

    def apply(self, changing: Callable[[str], None]) -> TopicsPlan:
        """Create and change what the plan says, and return the plan after it; `changing` is told each topic's name.

        Topics that are created get what depends on the broker's defaults in a second step.
        """
        plan = self._create(self._plan_changes(), changing)
        client = connected(self._servers, self._client_options, timeout_seconds=_ANSWER_SECONDS)
        for topic in plan.changed:
            changing(topic.wanted.name)
            values = {each.name: each.value for each in topic.changes}
            partitions = values.pop(PARTITIONS, None)
            with translated(self._servers, self._client_options):
                if partitions is not None:
                    self._add_partitions(client, topic.wanted.name, int(partitions))
                if values:
                    self._set_configs(client, topic.wanted.name, values)
        return self._settled(lambda after: after.is_done)

    def _plan_changes(self) -> TopicsPlan:
        # Who may alter may describe, so these are the rights that are missing for what follows.
        return self._plan("Alter", "AlterConfigs")

    def _create(self, plan: TopicsPlan, changing: Callable[[str], None]) -> TopicsPlan:
        if not plan.missing:
            return plan
        for topic in plan.missing:
            changing(topic.wanted.name)
            create_topics(self._servers, [topic.wanted.spec(plan.replication_factor)], self._client_options)
        return self._settled(lambda after: not after.missing)

    def _settled(self, is_settled: Callable[[TopicsPlan], bool]) -> TopicsPlan:
        """Return the plan once the broker shows what was changed: its controller knows that a moment earlier."""
        deadline = time.monotonic() + _SHOWN_SECONDS
        while not is_settled(plan := self._plan_changes()):
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"Kafka at {self._servers} took the changes, but does not show them; run `labelwire topics plan`"
                    " later to see whether it does."
                )
            time.sleep(_PAUSE_SECONDS)
        return plan

    def _present(self, client: AdminClient, operation: str, config_operation: str) -> dict[str, PresentTopic | None]:
        names = topic_names(self._settings)
        if is_mock(client.list_topics(timeout=_ANSWER_SECONDS).cluster_id):
            raise BrokerError(
                f"Kafka at {self._servers} is librdkafka's mock cluster, whose topics cannot be planned: they come into"
                " being by their first use."
            )
        described = described_topics(client, names)
        for name, found in described.items():
            if isinstance(found, KafkaError):
                raise BrokerError(missing_right(self._client_options, operation, "topic", name))
        names = [name for name, found in described.items() if found is not None]
        configs = self._configs(client, names, config_operation)
        return {
            name: found
            and PresentTopic(len(found.partitions), min(len(each.replicas) for each in found.partitions), configs[name])
            for name, found in described.items()
        }

    def _check_size(self, client: AdminClient, plan: TopicsPlan) -> None:
        """Raise BrokerError where the largest message is over what a broker takes in one request."""
        size = max(topic.wanted.floors.get(MAX_MESSAGE_BYTES, 0) for topic in plan.topics)
        brokers = client.list_topics(timeout=_ANSWER_SECONDS).brokers
        resources = [ConfigResource(ResourceType.BROKER, str(identity)) for identity in brokers]
        asked = client.describe_configs(resources, request_timeout=_ANSWER_SECONDS)
        for resource, outcome in all_done(_DONE_SECONDS, asked).items():
            try:
                limit = int(outcome.result()[_REQUEST_LIMIT].value)
            except KafkaException as error:
                if error.args[0].code() not in _DENIED:
                    raise
                return  # who may not see the limit is told by the broker when it is reached
            if size > limit:
                asked_for = self._options.max_message_bytes or 0
                jobs = next(each.present for each in plan.topics if each.wanted.name == self._settings.topics.jobs)
                is_asked = jobs is None or asked_for > int(jobs.configs[MAX_MESSAGE_BYTES])
                lower = (
                    "--max-message-bytes" if is_asked else f"{MAX_MESSAGE_BYTES} of topic {self._settings.topics.jobs}"
                )
                raise BrokerError(
                    f"Messages of {size} bytes are over {_REQUEST_LIMIT}={limit} of broker {resource.name}: lower"
                    f" {lower}, or raise the limit on the brokers."
                )

    def _configs(self, client: AdminClient, names: Collection[str], operation: str) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        asked = client.describe_configs(
            [ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=_ANSWER_SECONDS
        )
        found = {}
        for resource, outcome in all_done(_DONE_SECONDS, asked).items():
            with self._naming(operation, resource.name):
                found[resource.name] = {name: str(entry.value) for name, entry in outcome.result().items()}
        return found

    def _add_partitions(self, client: AdminClient, name: str, partitions: int) -> None:
        ask = partial(client.create_partitions, [NewPartitions(name, partitions)], request_timeout=_ANSWER_SECONDS)
        self._done(ask(), "Alter", name)

    def _set_configs(self, client: AdminClient, name: str, values: Mapping[str, str]) -> None:
        entries = [
            ConfigEntry(config, value, incremental_operation=AlterConfigOpType.SET) for config, value in values.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        asked = client.incremental_alter_configs([resource], request_timeout=_ANSWER_SECONDS)
        self._done(asked, "AlterConfigs", name)

    def _done(self, asked: "Mapping[Any, Future[Any]]", operation: str, name: str) -> None:
        for outcome in all_done(_DONE_SECONDS, asked).values():
            with self._naming(operation, name):
                outcome.result()

    @contextlib.contextmanager
    def _naming(self, operation: str, name: str) -> Iterator[None]:
        """Say which topic the broker refuses to change, and which right is missing, in an error."""
        try:
            yield
        except KafkaException as error:
            raise BrokerError(
                refused_topic(error.args[0], self._servers, self._client_options, operation, name)
            ) from error
