"""Describes and creates topics.

Errors of librdkafka leave this module as BrokerError. Describing a topic never creates it.
"""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports them without saying so
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from worker.adapters.kafka.admin_lifetime import kept
from worker.adapters.kafka.call_timeout import all_done
from worker.adapters.kafka.diagnosis import ErrorLog, explain, refused_topic
from worker.adapters.kafka.mock_cluster import MOCK_CLUSTER_PREFIX
from worker.adapters.kafka.secret_options import RedactingLogger
from worker.domain.errors import BrokerError
from worker.domain.records import ClusterDescription, TopicLimits

_LOGGER = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 5.0
_DONE_SECONDS = 2 * _TIMEOUT_SECONDS
_PROBE_SECONDS = 2.0
_LISTING_SECONDS = 0.05
_SLICE_SECONDS = 0.5
QUIET: Final = logging.Logger("quiet", logging.CRITICAL + 1)  # noqa: LOG001 - what it logs is dropped


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create; `configs` are Kafka's topic configs, as `max.message.bytes`."""

    name: str
    partitions: int
    configs: Mapping[str, str] = field(default_factory=dict)
    replication_factor: int = -1


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as it is; `max_message_bytes` is None if the broker does not say."""

    name: str
    partitions: int
    max_message_bytes: int | None


def is_reachable(bootstrap_servers: str, client_options: Mapping[str, str] | None = None) -> bool:
    """Whether a broker answers within two seconds."""
    client = admin_client(bootstrap_servers, client_options)
    try:
        return bool(client.list_topics(timeout=_PROBE_SECONDS).brokers)
    except KafkaException:
        return False


def create_topics(
    bootstrap_servers: str, topics: Iterable[TopicSpec], client_options: Mapping[str, str] | None = None
) -> None:
    """Create the topics that do not exist; those that do are left as they are.

    librdkafka's mock cluster cannot create topics on request; each has four partitions there.
    Raises BrokerError that names the topic, and the right that is missing.
    """
    client = admin_client(bootstrap_servers, client_options)
    wanted = list(topics)
    with translated(bootstrap_servers, client_options):
        if is_mock(client.list_topics(timeout=_TIMEOUT_SECONDS).cluster_id):
            for topic in wanted:
                client.list_topics(topic.name, timeout=_TIMEOUT_SECONDS)
            return
        requests = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=topic.replication_factor,
                config=dict(topic.configs),
            )
            for topic in wanted
        ]
        if not requests:
            return
        refusals = _create(client, requests)
        # librdkafka gave up the connection to a bootstrap address for one to the broker that it found behind it.
        if any(error.code() == KafkaError._DESTROY_BROKER for error in refusals.values()):  # noqa: SLF001
            refusals = _create(client, requests)
        for name, error in refusals.items():
            raise BrokerError(refused_topic(error, bootstrap_servers, client_options or {}, "Create", name))
        _wait_until_known(client, {topic.name for topic in wanted})


def _create(client: AdminClient, requests: list[NewTopic]) -> dict[str, KafkaError]:
    """Create topics, and return why some were not created; one that exists is as good."""
    outcomes = client.create_topics(requests, operation_timeout=_TIMEOUT_SECONDS, request_timeout=_TIMEOUT_SECONDS)
    refusals = {}
    for name, outcome in all_done(_DONE_SECONDS, outcomes).items():
        try:
            outcome.result()
        except KafkaException as error:
            if _code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                refusals[name] = error.args[0]
    return refusals


def _wait_until_known(client: AdminClient, names: set[str]) -> None:
    """Wait until the broker lists the topics: the controller has them a moment before the brokers do."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while missing := names - client.list_topics(timeout=_TIMEOUT_SECONDS).topics.keys():
        if time.monotonic() > deadline:
            raise BrokerError(
                f"The broker created the topics {', '.join(sorted(missing))}, but does not list them; try again."
            )
        time.sleep(_LISTING_SECONDS)


def describe_topics(
    bootstrap_servers: str,
    names: Iterable[str],
    client_options: Mapping[str, str] | None = None,
    *,
    timeout_seconds: float = _TIMEOUT_SECONDS,
) -> dict[str, TopicDescription]:
    """Describe those of the topics that exist, by name.

    Raises BrokerError.
    """
    return _describe(bootstrap_servers, names, client_options, timeout_seconds)[1]


def describe_cluster(
    bootstrap_servers: str, names: Iterable[str], client_options: Mapping[str, str] | None = None
) -> ClusterDescription:
    """Return the cluster's name and the limits of the named topics, None for one that does not exist.

    Raises BrokerError.
    """
    cluster_id, found = _describe(bootstrap_servers, names, client_options, _TIMEOUT_SECONDS)
    limits = {name: TopicLimits(topic.partitions, topic.max_message_bytes) for name, topic in found.items()}
    return ClusterDescription(cluster_id, {name: limits.get(name) for name in names})


def _describe(
    bootstrap_servers: str, names: Iterable[str], client_options: Mapping[str, str] | None, timeout_seconds: float
) -> tuple[str, dict[str, TopicDescription]]:
    client = connected(bootstrap_servers, client_options, timeout_seconds=timeout_seconds)
    with translated(bootstrap_servers, client_options):
        metadata = client.list_topics(timeout=timeout_seconds)
        found = {name: metadata.topics[name] for name in names if name in metadata.topics}
        sizes = {} if is_mock(metadata.cluster_id) else topic_configs(client, found, "max.message.bytes")
    limits = {name: int(size) for name, size in sizes.items()}
    topics = {name: TopicDescription(name, len(topic.partitions), limits.get(name)) for name, topic in found.items()}
    return metadata.cluster_id or "", topics


def connected(
    bootstrap_servers: str,
    client_options: Mapping[str, str] | None = None,
    *,
    timeout_seconds: float = _TIMEOUT_SECONDS,
) -> AdminClient:
    """Return a client to which the broker has answered.

    Raises BrokerError that names what is wrong: the address, the user, the certificate.
    """
    options = client_options or {}
    errors = ErrorLog()
    # The BrokerError says the cause; librdkafka would log it twice a second.
    client = _admin_client(bootstrap_servers, {**options, "error_cb": errors}, QUIET)
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            client.list_topics(timeout=_SLICE_SECONDS)
        except KafkaException as failure:
            client.poll(0)  # hands the errors on
            error = errors.cause or failure.args[0]
            if errors.is_lasting or time.monotonic() > deadline:
                raise BrokerError(explain(error, bootstrap_servers, options)) from failure
            time.sleep(_LISTING_SECONDS)
        else:
            return client


def admin_client(bootstrap_servers: str, client_options: Mapping[str, str] | None) -> AdminClient:
    """Return a client; use it inside `translated`. Raises BrokerError."""
    return _admin_client(bootstrap_servers, client_options or {})


def _admin_client(
    bootstrap_servers: str, client_options: Mapping[str, Any], logger: logging.Logger = _LOGGER
) -> AdminClient:
    options: dict[str, Any] = {**client_options, "bootstrap.servers": bootstrap_servers}
    with translated(bootstrap_servers, client_options):
        return kept(AdminClient(options, logger=RedactingLogger(logger, options)))


def is_mock(cluster_id: str | None) -> bool:
    """Whether this is librdkafka's mock cluster, which knows no configs."""
    return (cluster_id or "").startswith(MOCK_CLUSTER_PREFIX)


def topic_configs(client: AdminClient, names: Iterable[str], config: str) -> dict[str, str]:
    """Return each topic's value of a config; topics whose config may not be read are left out."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    values = {}
    asked = client.describe_configs(resources, request_timeout=_TIMEOUT_SECONDS)
    for resource, outcome in all_done(_DONE_SECONDS, asked).items():
        try:
            values[resource.name] = str(outcome.result()[config].value)
        except KafkaException as error:
            if _code(error) not in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
                raise
    return values


@contextlib.contextmanager
def translated(bootstrap_servers: str, client_options: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Turn errors of librdkafka into BrokerError."""
    try:
        yield
    except KafkaException as error:
        reason = error.args[0]
        if not isinstance(reason, KafkaError):
            raise BrokerError(f"Kafka at {bootstrap_servers}: {reason}.") from error
        raise BrokerError(explain(reason, bootstrap_servers, client_options or {})) from error


def _code(error: KafkaException) -> int:
    return int(error.args[0].code())
