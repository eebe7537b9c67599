"""A member of a group that stops in the middle of a transaction, to be killed there.

`python killed_transaction.py BOOTSTRAP GROUP JOBS RESULTS`: it says "written" once the records and the positions of the
transaction are with the broker, and never commits.
"""

import asyncio
import sys
import time
from collections.abc import Collection, Mapping, Sequence

from confluent_kafka import Producer

from worker.adapters.clock import SystemClock
from worker.adapters.kafka.source import KafkaSource
from worker.adapters.kafka.transactions import KafkaTransactions
from worker.domain.records import CommitPoint, OutgoingRecord, Record, TopicPartition
from worker.settings import KafkaSettings
from worker.testing.events import RecordedEvents


class Hanging(Producer):
    """Never comes to the end of a transaction."""

    def commit_transaction(self, _timeout: float = 0) -> None:
        sys.stdout.write("written\n")
        sys.stdout.flush()
        time.sleep(600)


class Holder:
    """Waits for its partitions."""

    def __init__(self) -> None:
        self.assigned_partitions = asyncio.Event()

    def received(self, records: Sequence[Record]) -> None:
        """Leave them."""

    async def assigned(self, partitions: Mapping[TopicPartition, CommitPoint]) -> Mapping[TopicPartition, CommitPoint]:
        self.assigned_partitions.set()
        return {partition: CommitPoint(point.offset, "begun") for partition, point in partitions.items()}

    async def revoked(self, _partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, CommitPoint]:
        return {}

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """It is killed anyway."""

    def failed(self, error: BaseException, /) -> None:
        raise error


async def main(bootstrap_servers: str, group_id: str, jobs: str, results: str) -> None:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers, group_id=group_id, transaction_timeout_seconds=3)
    source = KafkaSource(settings, [jobs], drain_seconds=1, clock=SystemClock(), event_sink=RecordedEvents())
    holder = Holder()
    await source.start(holder)
    source.allow(10, ())
    await holder.assigned_partitions.wait()
    while source.group_metadata is None:  # noqa: ASYNC110 - the source does not say
        await asyncio.sleep(0.05)
    transactions = KafkaTransactions(settings, lambda: source.group_metadata, Hanging)
    records = [OutgoingRecord(results, b"key", b"of the killed", ())]
    await transactions.commit(records, {TopicPartition(jobs, 0): CommitPoint(3, "of the killed")})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
