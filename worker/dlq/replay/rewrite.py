"""From a dead letter to the record that replays it.

Invariant: key, value and the producer's headers are those that the worker received, byte for byte; only headers of
the name `labelwire.*` change.
"""

from dataclasses import dataclass, replace

from worker.dlq.letter import DeadLetter
from worker.dlq.payload import OriginalJob
from worker.domain.records import OutgoingRecord


@dataclass(frozen=True, slots=True)
class RoutedRecord:
    """A record and the partition that it is written to."""

    record: OutgoingRecord
    partition: int


def replay_record(letter: DeadLetter, original: OriginalJob, run_id: str, topic: str) -> RoutedRecord:
    """Return the letter's job as it goes to `topic`: before its first attempt, one replay on.

    It goes to the partition of the same number as its origin's, which keeps the order of a key whatever partitioner
    its producer had.
    """
    derived = replace(
        letter.derived,
        attempt=0,
        due_at_ms=None,
        replay_count=letter.derived.replay_count + 1,
        replay_run_id=run_id,
    )
    record = OutgoingRecord(topic, original.key, original.value, derived.onto(original.headers))
    return RoutedRecord(record, letter.derived.origin.partition)


def parked_record(letter: DeadLetter, run_id: str, topic: str, partitions: int) -> RoutedRecord:
    """Return the whole letter as it is parked, with the id of the run that parks it."""
    headers = replace(letter.derived, replay_run_id=run_id).onto(letter.record.headers)
    record = OutgoingRecord(topic, letter.record.key, letter.record.value, headers)
    return RoutedRecord(record, letter.derived.origin.partition % partitions)
