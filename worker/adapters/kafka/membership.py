"""How a worker is a member of its group: the protocol that it speaks, and librdkafka's options for it.

KIP-848 groups (`consumer`) came with Kafka 4.0. On an older broker librdkafka waits for ever; on one that has them
switched off it fails. Programs get neither in a documented way: the first shows in what librdkafka logs of the broker's
API, the second in the message of its fatal error.
"""

import logging
import re
from collections.abc import Callable, Collection
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException, Producer

from worker.adapters.kafka.secret_options import RedactingLogger
from worker.settings import KafkaSettings

_LOGGER = logging.getLogger(__name__)
_QUEUED_KIBIBYTES = 16 * 1024
# Assigns each topic's partitions by themselves. The broker's default, `uniform`, assigns those of all topics in one
# sequence: of two workers one may then get all jobs, and the other the retry topics, where there is nothing to do.
_ASSIGNOR = "range"
_PROBE_SECONDS = 5.0
_ANY_API = "  ApiKey "
_HEARTBEAT_API = re.compile(r"ApiKey ConsumerGroupHeartbeat \(68\) Versions \d+\.\.(\d+)")
_MIN_HEARTBEAT_VERSION = 1
_UNSUPPORTED = frozenset(
    {
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001 - librdkafka's own name
    }
)

# These end the membership, but not for good: a person may grant the right again.
_DENIED = frozenset({KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED})

GroupProtocol = Literal["consumer", "classic"]


class Membership:
    """The group protocol that a worker uses now."""

    def __init__(self, settings: KafkaSettings, probe: Callable[[KafkaSettings], bool | None]) -> None:
        self._settings = settings
        self._probe = probe
        self._protocol = group_protocols(settings)[0]
        self._instance_taken = False

    def options(self) -> dict[str, Any]:
        """Return librdkafka's options."""
        return consumer_options(self._settings, self._protocol)

    def choose_protocol(self, wait: Callable[[], bool]) -> bool:
        """Ask the broker which protocol it has, if the settings leave that open, and say whether `options` changed.

        `wait` is called while the broker does not answer; it says whether to ask again.
        """
        if self._settings.group_protocol != "auto":
            return False
        while (has_it := self._probe(self._settings)) is None and wait():
            pass
        return has_it is False and self._fall_back()

    def should_rejoin_after(self, error: KafkaError) -> bool:
        """Say whether a fatal error, before any partition was assigned, is a reason to join again with `options`."""
        if self._settings.group_protocol == "auto" and self._protocol == "consumer" and _is(error, _UNSUPPORTED):
            return self._fall_back()
        if not _is(error, {KafkaError.UNRELEASED_INSTANCE_ID}):
            return False
        if not self._instance_taken:
            identity = self._settings.group_instance_id
            _LOGGER.warning(
                "Another process has the group.instance.id %s; this worker joins once that process has ended", identity
            )
        self._instance_taken = True
        return True

    def _fall_back(self) -> bool:
        _LOGGER.info("The broker has no KIP-848 groups; this worker uses the classic protocol.")
        self._protocol = "classic"
        return True


def is_fatal(error: KafkaError) -> bool:
    """Say whether an error ends its client, a consumer with its membership or a producer."""
    return bool(error.fatal()) or error.code() == KafkaError._FATAL  # noqa: SLF001 - librdkafka's own name


def is_denied(error: KafkaError) -> bool:
    """Say whether an error means that this client may not be a member, or not read what it subscribes to."""
    return _is(error, _DENIED)


def is_group_denied(error: KafkaError) -> bool:
    """Say whether an error means that this client may not be a member of its group."""
    return _is(error, {KafkaError.GROUP_AUTHORIZATION_FAILED})


def _is(error: KafkaError, codes: frozenset[int] | set[int]) -> bool:
    # A consumer's fatal error has the code _FATAL; the code behind it is only in its message.
    message = error.str()
    return error.code() in codes or any(message.startswith(f"Fatal error: {KafkaError(code).str()}") for code in codes)


def has_consumer_protocol(settings: KafkaSettings) -> bool | None:
    """Say whether the broker has KIP-848 groups in the version that librdkafka speaks; None if none answers."""
    lines = api_lines(settings)
    return None if lines is None else reports_consumer_protocol(lines)


def api_lines(settings: KafkaSettings) -> list[str] | None:
    """Return what librdkafka logs of a broker's API; None if no broker answers."""
    collector = _LogCollector()
    logger = logging.Logger("probe")  # noqa: LOG001 - only the collector gets its lines
    logger.addHandler(collector)
    options = {**settings.client_options(), "bootstrap.servers": settings.bootstrap_servers}
    client = Producer({**options, "debug": "feature", "logger": logger})
    try:
        client.cluster_id(_PROBE_SECONDS)
    except KafkaException as error:
        _LOGGER.warning("Kafka did not say which group protocols it has and is asked again: %s", error.args[0].str())
        return None
    client.poll(0)  # hands the log on
    return collector.lines


def reports_consumer_protocol(lines: Collection[str]) -> bool:
    """Say whether these lines name KIP-848 groups; True also if they name no API at all, which proves nothing."""
    found = [int(match.group(1)) for line in lines if (match := _HEARTBEAT_API.search(line))]
    if not any(_ANY_API in line for line in lines):
        return True
    return max(found, default=-1) >= _MIN_HEARTBEAT_VERSION


class _LogCollector(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(record.getMessage())


def group_protocols(settings: KafkaSettings) -> tuple[GroupProtocol, ...]:
    """Return the protocols that the settings allow, the preferred one first."""
    return ("consumer", "classic") if settings.group_protocol == "auto" else (settings.group_protocol,)


def consumer_options(settings: KafkaSettings, protocol: GroupProtocol = "consumer") -> dict[str, Any]:
    """Return librdkafka's options for a member of the group; those that the worker depends on override the settings."""
    options: dict[str, Any] = {
        "client.id": "labelwire",
        "queued.max.messages.kbytes": _QUEUED_KIBIBYTES,
        **settings.client_options(),
        "bootstrap.servers": settings.bootstrap_servers,
        "group.id": settings.group_id,
        "group.protocol": protocol,
        # Partitions are always assigned with a position. Only one that the log has lost meanwhile
        # falls under this setting, and no record may be skipped then.
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "max.poll.interval.ms": int(settings.max_poll_interval_seconds * 1000),
        "logger": RedactingLogger(_LOGGER, settings.client_options()),
    }
    if protocol == "classic":
        options["partition.assignment.strategy"] = "cooperative-sticky"
    else:
        options["group.remote.assignor"] = _ASSIGNOR
    if settings.group_instance_id is not None:
        options["group.instance.id"] = settings.group_instance_id
    return options
