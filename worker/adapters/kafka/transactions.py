"""Records and the group's positions in Kafka transactions.

Invariants: one call at a time touches the producer, and one transaction is under way at a time; `commit` returns or
raises only once the transaction's end is known. If a connection breaks, the broker is asked until it answers.

The group's metadata are taken when `commit` is called, on the event loop: a member that has lost its partitions since
is then refused by the broker, as it must be.
"""

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.adapters.kafka.admin import describe_cluster
from worker.adapters.kafka.call_timeout import CallTimeoutError, call_within
from worker.adapters.kafka.commits import kafka_offsets
from worker.adapters.kafka.diagnosis import missing_right
from worker.adapters.kafka.offline.standalone import standalone_consumer
from worker.adapters.kafka.positions import RetryingQueries
from worker.adapters.kafka.sink import producer_options, too_large
from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.records import ClusterDescription, CommitPoint, OutgoingRecord, TopicPartition
from worker.ports import FencedError
from worker.settings import KafkaSettings

_LOGGER = logging.getLogger(__name__)
_ANSWER_SECONDS = 5.0
_HANGS_SECONDS = 1.5 * _ANSWER_SECONDS
_RETRY_SECONDS = 0.5
_FULL_QUEUE_SECONDS = 0.05
_MAX_END_QUERIES = 3

# What the group's coordinator says to a member that is none any more, or that the group has moved on without.
_FENCED = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
    }
)


# The binding loses a fatal error that comes while it calls back, and raises SystemError in its place.
_FAILURES = (KafkaException, CallTimeoutError, SystemError)


class _EndUnknownError(Exception):
    """Whether the transaction was committed cannot be learnt from its producer any more."""


class KafkaTransactions:
    """A transactional producer, which is replaced when it fails for good.

    `group_metadata` returns the consumer's group metadata, None before it is a member.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        group_metadata: Callable[[], object | None],
        make_producer: Callable[[dict[str, Any]], Producer] = Producer,
    ) -> None:
        self._settings = settings
        self._group_metadata = group_metadata
        self._make_producer = make_producer
        # A successor with the same id would fence this one; each process has its own, and a producer that was made
        # anew ends what the one before it has left open.
        self._options = transaction_options(settings, f"{transactional_id_prefix(settings)}{uuid.uuid4()}")
        self._producer: Producer | None = None
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-transactions")

    async def commit(self, records: Sequence[OutgoingRecord], points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Write records and positions in one transaction, and return once it is committed.

        On an error nothing was written. Raises JobError RESULT_TOO_LARGE and BROKER_UNAVAILABLE, and FencedError.
        """
        metadata = self._group_metadata()
        if metadata is None:
            raise _unavailable("this worker is not a member of its group yet")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._commit, tuple(records), dict(points), metadata)

    async def describe(self, topics: Collection[str]) -> ClusterDescription:
        """Return the cluster's name and each topic's limits. Raises BrokerError if the broker does not answer."""
        return await asyncio.to_thread(
            describe_cluster, self._settings.bootstrap_servers, topics, self._settings.client_options()
        )

    async def close(self) -> None:
        """Wait for what is under way, which gives up soon where the broker does not answer, and close."""
        self._closing.set()
        await asyncio.to_thread(self._thread.shutdown)
        self._producer = None

    # The thread.

    def _commit(
        self, records: Sequence[OutgoingRecord], points: Mapping[TopicPartition, CommitPoint], metadata: object
    ) -> None:
        try:
            producer = self._ready()
            producer.begin_transaction()
            self._write(producer, records)
            offsets = kafka_offsets(points)
            call_within(_HANGS_SECONDS, producer.send_offsets_to_transaction, offsets, metadata, _ANSWER_SECONDS)
            self._end(producer)
        except KafkaException as error:
            self._failed(error.args[0])
            raise self._translated(error.args[0]) from error
        except (CallTimeoutError, SystemError) as error:
            self._replace(str(error))
            raise _unavailable("the producer did not answer, or failed for good") from error
        except _EndUnknownError as error:
            self._replace(str(error))
            if not self._is_ready_again() or not self._was_committed(points):
                raise _unavailable("the transaction's end was not acknowledged") from error
        except Exception as error:
            self._replace(str(error))
            raise

    def _ready(self) -> Producer:
        """Return a producer with no transaction under way."""
        if self._producer is None:
            producer = self._make_producer(self._options)
            # Waits for the end of what an earlier one has left.
            call_within(_HANGS_SECONDS, producer.init_transactions, _ANSWER_SECONDS)
            self._producer = producer
        return self._producer

    def _replace(self, reason: str) -> None:
        """Let go of the producer. Its successor, which has its name, fences it and ends what it has left open."""
        if self._producer is not None:
            _LOGGER.warning("The transactional producer is replaced: %s", reason)
        self._producer = None

    def _is_ready_again(self) -> bool:
        """Make a new producer, which ends what the last one left open; False if the worker ends before."""
        while True:
            try:
                self._ready()
            except _FAILURES as error:
                _LOGGER.warning("Kafka did not accept a new transactional producer and is asked again: %s", error)
                if not self._wait():
                    return False
            else:
                return True

    def _write(self, producer: Producer, records: Sequence[OutgoingRecord]) -> None:
        refusals: list[KafkaError] = []

        def report(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                refusals.append(error)

        for record in records:
            while not _produced(producer, record, report):
                producer.poll(_FULL_QUEUE_SECONDS)
        left = producer.flush(self._settings.transaction_timeout_seconds)
        # One that is too large takes others with it, whose reports say less.
        refusals.sort(key=lambda error: not too_large(error))
        if refusals or left:
            raise KafkaException(refusals[0] if refusals else KafkaError(KafkaError.REQUEST_TIMED_OUT))

    def _end(self, producer: Producer) -> None:
        """Commit, and ask again a few times until the coordinator says how that ended."""
        for _ in range(_MAX_END_QUERIES):
            try:
                call_within(_HANGS_SECONDS, producer.commit_transaction, _ANSWER_SECONDS)
            except KafkaException as failure:
                error = failure.args[0]
                if error.txn_requires_abort():
                    raise
                if not error.retriable() or self._closing.is_set():
                    raise _EndUnknownError(error.str()) from failure
                _LOGGER.warning(
                    "Kafka did not acknowledge the end of a transaction and is asked again: %s", error.str()
                )
                self._wait()
            except (CallTimeoutError, SystemError) as failure:
                raise _EndUnknownError(str(failure)) from failure
            else:
                return
        # The same producer may get no answer ever again, although the coordinator is back and answers others.
        raise _EndUnknownError("the coordinator did not answer")

    def _failed(self, error: KafkaError) -> None:
        """Leave no transaction open."""
        if self._producer is None:
            return
        if error.fatal():
            self._replace(error.str())
            return
        try:
            call_within(_HANGS_SECONDS, self._producer.abort_transaction, _ANSWER_SECONDS)
        except _FAILURES as failure:
            self._replace(str(failure))
        if too_large(error):
            self._replace("a refused record leaves a gap in the sequence numbers, at which the next would fail")

    def _was_committed(self, points: Mapping[TopicPartition, CommitPoint]) -> bool:
        """Say whether the group has these positions; the broker answers once open transactions have ended.

        The points of each transaction differ from those before: at least one more offset is done.
        """
        kafka = self._settings
        consumer = standalone_consumer(kafka.bootstrap_servers, kafka.client_options(), group_id=kafka.group_id)
        try:
            found = RetryingQueries(self._wait).committed(consumer, points)
        finally:
            consumer.close()
        return found == points

    def _translated(self, error: KafkaError) -> Exception:
        if error.code() in _FENCED:
            return FencedError(f"Another member of the group has these partitions now: {error.str()}")
        if too_large(error):
            message = "A record of the transaction is larger than its topic takes; raise max.message.bytes."
            return JobError(ErrorCode.RESULT_TOO_LARGE, message)
        if error.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            prefix, options = transactional_id_prefix(self._settings), self._settings.client_options()
            sentence = missing_right(options, "Write", "transactional id", prefix, is_prefix=True)
            return JobError(ErrorCode.BROKER_UNAVAILABLE, sentence, stage=Stage.PUBLISH)
        return _unavailable(error.str())

    def _wait(self) -> bool:
        return not self._closing.wait(_RETRY_SECONDS)


def transactional_id_prefix(settings: KafkaSettings) -> str:
    """Return what the transactional id of each worker begins with."""
    return f"{settings.group_id}-"


def transaction_options(settings: KafkaSettings, transactional_id: str) -> dict[str, Any]:
    """Return the options of librdkafka for a transactional producer; what is passed through comes first."""
    timeout_ms = int(settings.transaction_timeout_seconds * 1000)
    return {
        **producer_options(settings),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": timeout_ms,
        # Neither may be longer than the transaction.
        "message.timeout.ms": timeout_ms,
        "socket.timeout.ms": timeout_ms,
    }


def _produced(producer: Producer, record: OutgoingRecord, report: Callable[[KafkaError | None, Message], None]) -> bool:
    """Hand the record to librdkafka; False if its queue is full."""
    try:
        producer.produce(record.topic, record.value, record.key, headers=list(record.headers), on_delivery=report)
    except BufferError:
        return False
    return True


def _unavailable(reason: str) -> JobError:
    message = f"Kafka did not commit a transaction: {reason}; it is tried again."
    return JobError(ErrorCode.BROKER_UNAVAILABLE, message, stage=Stage.PUBLISH)
