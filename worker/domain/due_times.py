"""When a record of a retry topic is due."""

from worker.domain.headers import DerivedHeaders
from worker.domain.records import Record


def due_at_ms(record: Record, max_delay_seconds: float) -> int:
    """Return when a record is due, in epoch milliseconds; its own timestamp if no header says.

    Another producer may have written any time into the header, so no record is due later than `max_delay_seconds` after
    its own timestamp.
    """
    said_ms = DerivedHeaders.of(record).due_at_ms
    if said_ms is None:
        return record.timestamp_ms
    return min(said_ms, record.timestamp_ms + round(max_delay_seconds * 1000))
