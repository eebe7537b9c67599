"""Writing replayed records together with the positions of what was read, in transactions.

Invariant: a record is on its topic for `read_committed` readers exactly if the position behind its dead letter is
committed. Opening a writer ends what an earlier writer of the same run had under way, and fences that one: it can
write no more. Errors of librdkafka leave this module as BrokerError, or as FencedError.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka.call_timeout import CallTimeoutError, call_within
from worker.adapters.kafka.diagnosis import explain, missing_right
from worker.adapters.kafka.offline.standalone import standalone_consumer
from worker.adapters.kafka.permissions import is_group_refused
from worker.adapters.kafka.positions import committed_positions
from worker.adapters.kafka.sink import producer_options
from worker.adapters.kafka.transient import retry_transient
from worker.domain.errors import BrokerError
from worker.domain.records import CommitPoint, OutgoingRecord, TopicPartition
from worker.ports import FencedError
from worker.settings import KafkaSettings

_ANSWER_SECONDS = 30.0
_LEAVE_SECONDS = 5.0
_AGAIN_SECONDS = 0.5
_FULL_QUEUE_SECONDS = 0.5
_HANGS_SECONDS = 150.0  # longer than what is tried again
_GIVE_UP_SECONDS = 120.0
# A process that stands still for longer loses its transaction, and is fenced.
_TRANSACTION_SECONDS = 60.0
_FENCED = (
    KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own names
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.TRANSACTION_COORDINATOR_FENCED,
)
# The names of all runs' groups and transactional ids begin so, and the rights on them are granted for this prefix.
REPLAY_NAMES: Final = "labelwire-replay-"
_DENIED = (
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
)
_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)
_ANY_PARTITION = -1
_LOGGER = logging.getLogger(__name__)

# Records, each with its partition, or None to leave that to the producer.
Outgoing = Sequence[tuple[OutgoingRecord, int | None]]
Positions = Mapping[TopicPartition, CommitPoint]


class ReplayWriter:
    """A transactional producer and the consumer groups whose positions it commits; a context manager.

    Entering it raises BrokerError where the broker does not answer.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str, groups: Iterable[str]) -> None:
        self._settings = settings
        self._bootstrap_servers = settings.bootstrap_servers
        self._producer = Producer({**producer_options(settings), **_transactional(transactional_id)})
        # Each stands for a group that nobody is a member of. Positions of an open transaction are waited for.
        self._members = {
            group: standalone_consumer(settings.bootstrap_servers, settings.client_options(), group_id=group)
            for group in groups
        }
        self._refusals: list[KafkaError] = []

    def __enter__(self) -> Self:
        try:
            self._until_answered(self._producer.init_transactions, _ANSWER_SECONDS)
        except KafkaException as error:
            self.close()
            raise self._translated(error) from error
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; an open transaction is aborted, so that readers do not wait for it."""
        with contextlib.suppress(KafkaException):  # there is none under way, or the broker ends it in a minute
            self._producer.abort_transaction(_LEAVE_SECONDS)
        for member in self._members.values():
            member.close()

    def committed(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, CommitPoint]:
        """Return the group's positions, where it has any. Raises BrokerError."""
        asked = list(partitions)
        if asked and is_group_refused(self._settings, asked[0].topic, group):
            raise BrokerError(self._missing_right("group"))
        ask = partial(committed_positions, self._members[group], asked, timeout_seconds=_ANSWER_SECONDS)
        try:
            return retry_transient(ask, timeout_seconds=_GIVE_UP_SECONDS, pause_seconds=_AGAIN_SECONDS)
        except KafkaException as error:
            raise self._translated(error) from error

    def commit(self, records: Outgoing, positions: Mapping[str, Positions]) -> None:
        """Write records, and positions by group, in one transaction; all of it or nothing.

        Raises FencedError where another writer of the run was opened, BrokerError where the broker refuses a record or
        does not answer for two minutes.
        """
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        while True:
            try:
                self._try(records, positions)
            except (KafkaException, SystemError) as error:
                if isinstance(error, KafkaException) and error.args[0].code() in _DENIED:
                    raise self._translated(error) from error  # closing aborts it
                # The binding may lose a fatal error that comes while it calls back; aborting tells which it was.
                self._abort()
                self._raise_if_final(error, final=time.monotonic() > deadline)
                time.sleep(_AGAIN_SECONDS)
            else:
                return

    def _try(self, records: Outgoing, positions: Mapping[str, Positions]) -> None:
        self._refusals.clear()
        self._producer.begin_transaction()
        for record, partition in records:
            self._produce(record, partition)
        self._producer.flush(_ANSWER_SECONDS)
        if self._refusals:
            raise KafkaException(self._refusals[0])
        for group, points in positions.items():
            offsets = [KafkaPartition(*partition, point.offset, point.metadata) for partition, point in points.items()]
            metadata = self._members[group].consumer_group_metadata()
            self._send_offsets(offsets, metadata)
        self._until_answered(self._producer.commit_transaction, _ANSWER_SECONDS)

    def _send_offsets(self, offsets: list[KafkaPartition], metadata: object) -> None:
        send = self._producer.send_offsets_to_transaction
        try:
            call_within(_HANGS_SECONDS, self._until_answered, send, offsets, metadata, _ANSWER_SECONDS)
        except CallTimeoutError as error:
            raise BrokerError(
                f"Kafka at {self._bootstrap_servers} did not take the replay's positions within {_HANGS_SECONDS:g} s;"
                " nothing of this step was written, so resume the run."
            ) from error

    def _produce(self, record: OutgoingRecord, partition: int | None) -> None:
        while True:
            try:
                self._producer.produce(
                    *(record.topic, record.value, record.key),
                    partition=_ANY_PARTITION if partition is None else partition,
                    headers=list(record.headers),
                    on_delivery=self._report,
                )
            except BufferError:
                self._producer.poll(_FULL_QUEUE_SECONDS)
            else:
                self._producer.poll(0)
                return

    def _report(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._refusals.append(error)

    def _abort(self) -> None:
        """End a transaction that failed. Raises FencedError or BrokerError where the producer can no longer be used."""
        try:
            self._until_answered(self._producer.abort_transaction, _ANSWER_SECONDS)
        except KafkaException as error:
            raise self._translated(error) from error

    def _raise_if_final(self, error: KafkaException | SystemError, *, final: bool) -> None:
        """Raise the error of an aborted transaction unless the transaction is to be tried again."""
        if isinstance(error, SystemError):
            if final:
                raise error
        elif final or error.args[0].code() in _TOO_LARGE:
            raise self._translated(error) from error
        _LOGGER.warning("Kafka aborted a transaction, which is tried again: %s", error.args[0])

    def _until_answered(self, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - whatever it returns
        """Repeat a call until the broker answers: librdkafka continues the same operation."""
        return retry_transient(
            partial(call, *arguments), timeout_seconds=_GIVE_UP_SECONDS, pause_seconds=_AGAIN_SECONDS
        )

    def _translated(self, error: KafkaException) -> FencedError | BrokerError:
        reason: KafkaError = error.args[0]
        if reason.code() in _FENCED:
            return FencedError(reason.str())
        if reason.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            return BrokerError(self._missing_right("transactional id"))
        if reason.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return BrokerError(self._missing_right("group"))
        if reason.code() in _TOO_LARGE:
            return BrokerError(
                f"Kafka at {self._bootstrap_servers} refused a record as too large; raise the max.message.bytes of the "
                "topics that the replay writes to."
            )
        return BrokerError(explain(reason, self._bootstrap_servers, self._settings.client_options()))

    def _missing_right(self, kind: str) -> str:
        operation = "Write" if kind == "transactional id" else "Read"
        return missing_right(self._settings.client_options(), operation, kind, REPLAY_NAMES, is_prefix=True)


def _transactional(transactional_id: str) -> dict[str, Any]:
    milliseconds = int(_TRANSACTION_SECONDS * 1000)
    return {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": milliseconds,
        "delivery.timeout.ms": milliseconds,
    }
