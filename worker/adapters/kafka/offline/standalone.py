"""Consumers that are members of no group: they read what they are assigned, or ask what a group has committed.

Invariants: every consumer that reads offline is made here, so two of them differ only in what a parameter names. None
of them commits or joins the group whose id it carries, so options about membership that the settings pass through are
left out. Errors of librdkafka leave this module as BrokerError.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException

from worker.adapters.kafka.diagnosis import explain
from worker.adapters.kafka.secret_options import RedactingLogger
from worker.domain.errors import BrokerError

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
_READERS: Final = "labelwire-reader"
_MEMBERSHIP: Final = "group."
_LOGGER = logging.getLogger(__name__)
_SHORT_QUEUE_BACKOFF_MS: Final = 10

IsolationLevel = Literal["read_committed", "read_uncommitted"]


def concerns_group(error: KafkaError) -> bool:
    """Say whether an error is about the group whose id a reader carries; a reader is no member, and needs no right."""
    return bool(error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED)


def standalone_consumer(
    bootstrap_servers: str,
    client_options: Mapping[str, str] | None,
    *,
    group_id: str = _READERS,
    isolation_level: IsolationLevel = "read_committed",
    lost_offset: Literal["earliest", "error"] = "earliest",
    tells_ends: bool = False,
    max_fetch_bytes: int = MAX_MESSAGE_BYTES,
    max_queued_kibibytes: int | None = None,
    min_queued_messages: int | None = None,
    logger: logging.Logger = _LOGGER,
) -> Consumer:
    """Return a consumer that is a member of no group. Raises BrokerError where librdkafka refuses an option.

    `group_id` matters to who asks what a group has committed. With `read_committed` such a question waits for the end
    of open transactions, and a reader sees no record of a transaction that is open or was aborted. `lost_offset` says
    what follows when the log no longer has the offset to read: its earliest one, or an error. With `tells_ends` the end
    of a partition is told as well. `max_fetch_bytes` is what one fetch may bring of a partition; the two bounds on the
    queue are librdkafka's own where they are None.
    """
    passed_on = {name: value for name, value in (client_options or {}).items() if not name.startswith(_MEMBERSHIP)}
    options: dict[str, Any] = {
        **passed_on,
        "bootstrap.servers": bootstrap_servers,
        "group.id": group_id,
        "enable.auto.commit": False,
        "isolation.level": isolation_level,
        "auto.offset.reset": lost_offset,
        "enable.partition.eof": tells_ends,
        "fetch.message.max.bytes": max_fetch_bytes,
        "logger": RedactingLogger(logger, client_options or {}),
    }
    if max_queued_kibibytes is not None:
        options["queued.max.messages.kbytes"] = max_queued_kibibytes
    if min_queued_messages is not None:
        options["queued.min.messages"] = min_queued_messages
        # With a queue that a single message fills, librdkafka would wait a second before it fetches the next.
        options["fetch.queue.backoff.ms"] = _SHORT_QUEUE_BACKOFF_MS
    try:
        return Consumer(options)
    except KafkaException as error:
        raise BrokerError(explain(error.args[0], bootstrap_servers, client_options or {})) from error
