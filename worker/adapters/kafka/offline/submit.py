"""Writing one batch of records, outside any worker.

Errors of librdkafka leave this module as BrokerError.
"""

from collections.abc import Callable, Iterable, Mapping

from worker.adapters.kafka.offline.topic_writer import TopicWriter
from worker.domain.records import OutgoingRecord


def submit(
    bootstrap_servers: str,
    records: Iterable[OutgoingRecord],
    client_options: Mapping[str, str] | None = None,
    on_delivered: Callable[[], None] | None = None,
) -> int:
    """Write records and return how many; all of them are acknowledged then.

    `on_delivered` is called for each one. Raises BrokerError if any is not acknowledged within a minute.
    """
    with TopicWriter(bootstrap_servers, client_options) as writer:
        return writer.write(records, on_delivered)
