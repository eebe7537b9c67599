"""What every test on a real Kafka asks for first, and what several do to its topics."""

import os
import time
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without saying so

from worker.domain.errors import LocalStackError
from worker.local.stack import provision_kafka

_ANSWER_SECONDS = 20.0
_LISTING_SECONDS = 0.02


def demand_real_kafka() -> None:
    """Fetch Kafka if it is missing; where it cannot be had, skip the test, or fail it in CI."""
    try:
        provision_kafka()
    except LocalStackError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has to run on a real Kafka: {error}")
        pytest.skip(f"no real Kafka here: {error}")


def create_topic(
    admin: AdminClient,
    topic: str,
    partitions: int,
    configs: Mapping[str, str] | None = None,
    **placement: Any,  # noqa: ANN401 - as NewTopic takes it
) -> None:
    """Create a topic, as soon as an earlier one of its name is gone, and wait until the broker lists it.

    It has one replica, unless a `replication_factor` or a `replica_assignment` is given.
    """
    deadline = time.monotonic() + _ANSWER_SECONDS
    _wait_until(admin, topic, listed=False, deadline=deadline)
    new = NewTopic(topic, partitions, config=dict(configs or {}), **(placement or {"replication_factor": 1}))
    try:
        admin.create_topics([new])[topic].result(_ANSWER_SECONDS)
    except KafkaException as error:
        # A new client may drop its first connection while it learns the broker's address.
        if error.args[0].code() != KafkaError._DESTROY_BROKER:  # noqa: SLF001 - librdkafka's own name
            raise
        admin.create_topics([new])[topic].result(_ANSWER_SECONDS)
    _wait_until(admin, topic, listed=True, deadline=deadline)


def recreate_topic(
    admin: AdminClient,
    topic: str,
    partitions: int,
    configs: Mapping[str, str] | None = None,
    **placement: Any,  # noqa: ANN401 - as NewTopic takes it
) -> None:
    """Delete a topic and create it again at once."""
    admin.delete_topics([topic])[topic].result(_ANSWER_SECONDS)
    create_topic(admin, topic, partitions, configs, **placement)


def _wait_until(admin: AdminClient, topic: str, *, listed: bool, deadline: float) -> None:
    while (topic in admin.list_topics(timeout=_ANSWER_SECONDS).topics) is not listed and time.monotonic() < deadline:
        time.sleep(_LISTING_SECONDS)
