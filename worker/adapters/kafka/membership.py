"""How a worker is a member of its group, in librdkafka's options."""

import logging
from typing import Any, Literal

from worker.settings import KafkaSettings

_LOGGER = logging.getLogger(__name__)
_QUEUED_KIBIBYTES = 16 * 1024

GroupProtocol = Literal["consumer", "classic"]


def consumer_options(settings: KafkaSettings, protocol: GroupProtocol | None = None) -> dict[str, Any]:
    """Return the options of librdkafka for a member of the group; what is passed through comes first.

    `protocol` is the one to speak where the settings leave it to the broker.
    """
    if protocol is None:
        protocol = "classic" if settings.group_protocol == "classic" else "consumer"
    options: dict[str, Any] = {
        "client.id": "labelwire",
        "queued.max.messages.kbytes": _QUEUED_KIBIBYTES,
        **settings.client_options(),
        "bootstrap.servers": settings.bootstrap_servers,
        "group.id": settings.group_id,
        "group.protocol": protocol,
        "auto.offset.reset": settings.start_from,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "max.poll.interval.ms": int(settings.max_poll_interval_seconds * 1000),
        "logger": _LOGGER,
    }
    if protocol == "classic":
        options["partition.assignment.strategy"] = "cooperative-sticky"
    if settings.group_instance_id is not None:
        options["group.instance.id"] = settings.group_instance_id
    return options
