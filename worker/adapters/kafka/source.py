"""A consumer group's member as a `RecordSource`.

One thread alone touches the consumer: in librdkafka's Python binding every call on a consumer waits for a running
`poll`, so polls are short and demand (commits, pauses, the end) wait in fields that the thread looks at between polls.

Invariants: the listener is called on the event loop's thread only, in the order of what happened; no record of a
partition is handed over before its `assigned` has returned, nor after its `revoked` was asked.

Back-pressure: while nothing may be delivered the thread first holds, because a pause throws the prefetched queue away
(0.5 to 0.8 s until the next record), and pauses only when that lasts. A partition of a retry topic whose next record
is not due is paused, and the consumer goes back to that record when it is.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka.commits import Commits
from worker.adapters.kafka.delays import Delays
from worker.adapters.kafka.lag_watch import LagWatch
from worker.adapters.kafka.membership import Membership, has_consumer_protocol, is_denied, is_fatal, is_group_denied
from worker.adapters.kafka.messages import to_record
from worker.adapters.kafka.positions import Positions
from worker.adapters.kafka.topic_ids import TopicIds, topic_ids_of
from worker.adapters.kafka.topic_watch import TopicWatch
from worker.domain.errors import BrokerError
from worker.domain.events import Event, LagObserved, RecordsPolled
from worker.domain.headers import TRACE_PARENT
from worker.domain.records import CommitPoint, Record, TopicPartition
from worker.ports import Clock, EventSink, SourceListener
from worker.settings import KafkaSettings

_LOGGER = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_PAUSE_AFTER_SECONDS = 1.0
_WAIT_STEP_SECONDS = 0.05
_RETRY_SECONDS = 0.5
_MAX_AT_ONCE = 500
_MAX_DELAY_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Demand:
    """What the event loop wants of the thread. It is replaced as a whole, so no lock is needed."""

    allowed_total: int = 0
    paused: frozenset[TopicPartition] = frozenset()


class KafkaSource:
    """Consumes topics as a member of a group.

    A record of `delayed_topics` waits until it is due, `max_delay_seconds` after its timestamp at the latest.
    `tells_membership` says whether anybody reads `group_metadata`, which wakes the event loop after every poll.
    Where partitions are assigned while nothing may be delivered, one record of them may come over the allowance.
    """

    def __init__(  # noqa: PLR0913 - what its tests replace is a parameter
        self,
        settings: KafkaSettings,
        topics: Sequence[str],
        *,
        delayed_topics: Collection[str] = (),
        max_delay_seconds: float = _MAX_DELAY_SECONDS,
        drain_seconds: float,
        clock: Clock,
        event_sink: EventSink,
        tells_membership: bool = True,
        make_consumer: Callable[[dict[str, Any]], Consumer] = Consumer,
        probe: Callable[[KafkaSettings], bool | None] = has_consumer_protocol,
        topic_ids: Callable[[KafkaSettings], TopicIds] = topic_ids_of,
    ) -> None:
        self._settings = settings
        self._topics = tuple(topics)
        self._drain_seconds = drain_seconds
        self._tells_membership = tells_membership
        self._clock = clock
        self._events = event_sink
        self._make_consumer = make_consumer
        self._membership = Membership(settings, probe)
        self._group_metadata: object | None = None
        self._demand = _Demand()
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._commits = Commits(clock, self._emit)
        self._delays = Delays(delayed_topics, max_delay_seconds, clock)
        self._topic_ids = topic_ids(settings)
        self._positions = Positions(
            settings.start_from, self._topics, self._topic_ids, self._wait_before_retry, self._emit
        )
        self._watch = TopicWatch(self._topic_ids, clock)
        self._lag = LagWatch(self._topic_ids, clock)
        self._to_seek: dict[TopicPartition, int] = {}
        self._delivered = 0
        self._paused: set[TopicPartition] = set()
        self._assigned: set[TopicPartition] = set()
        self._ended_meanwhile: set[TopicPartition] = set()
        self._blocked_since: float | None = None
        self._polled_at: float | None = None
        self._is_group_denied = False

    # The port, on the loop's thread.

    async def start(self, listener: SourceListener) -> None:
        """Join the group. Raises BrokerError if librdkafka refuses the options."""
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._consumer = self._new_consumer()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._polled_at = self._clock.monotonic()
        threading.Thread(target=self._run, name="kafka", daemon=True).start()

    def allow(self, total_records: int, paused: Collection[TopicPartition]) -> None:
        """Let the source deliver up to `total_records` since its start, none of them of `paused`."""
        self._demand = _Demand(total_records, frozenset(paused))
        self._woken.set()

    def commit(self, points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Commit soon."""
        self._commits.request(points)
        self._woken.set()

    def alive(self) -> bool:
        """Say whether the thread polled lately; true before the start and after the end."""
        polled_at = self._polled_at
        if polled_at is None:
            return True
        return self._clock.monotonic() - polled_at < self._settings.max_poll_interval_seconds

    @property
    def is_group_denied(self) -> bool:
        """Whether Kafka refuses this worker as a member of its group, or refuses its commits."""
        return self._is_group_denied or self._commits.is_group_denied

    @property
    def group_metadata(self) -> object | None:
        """What librdkafka's transactions need of the membership; None before there is one, or if it is not told.

        It changes on the event loop's thread, in order with the listener's calls: until the listener is told of the
        loss of its partitions, this is the metadata of the membership in which it had them.
        """
        return self._group_metadata

    async def close(self) -> None:
        """Hand back all partitions, leave the group, and raise what ended the thread, if anything did."""
        self._closing.set()
        self._woken.set()
        if hasattr(self, "_ended"):
            await self._ended

    # The thread.

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            if self._membership.choose_protocol(self._wait_before_retry):
                self._remake_consumer()
            self._subscribe()
            while not self._closing.is_set():
                self._poll_once()
        except BaseException as error:  # noqa: BLE001 - handed to the loop, which raises it in close()
            failure = error
        finally:
            failure = self._leave() or failure
            self._loop.call_soon_threadsafe(self._end, failure)

    def _new_consumer(self) -> Consumer:
        try:
            return self._make_consumer({**self._membership.options(), "on_commit": self._commits.reported})
        except (KafkaException, ValueError) as error:
            raise BrokerError(
                f"librdkafka refuses the consumer's options: {error}; check LABELWIRE_KAFKA__CLIENT__*."
            ) from error

    def _remake_consumer(self) -> None:
        self._consumer.close()  # calls on_lost for its partitions
        self._consumer = self._new_consumer()

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            list(self._topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _leave(self) -> BaseException | None:
        try:
            self._commits.flush(self._consumer, asynchronous=False)
            self._consumer.close()  # calls on_revoke for what is still assigned
            self._topic_ids.close()
        except Exception as error:  # noqa: BLE001 - handed to the loop, which raises it in close()
            return error
        return None

    def _end(self, failure: BaseException | None) -> None:
        self._polled_at = None
        if failure is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(failure)
            self._listener.failed(failure)

    def _poll_once(self) -> None:
        self._polled_at = self._clock.monotonic()
        self._restart_recreated()
        self._commits.flush(self._consumer, asynchronous=True)
        demand = self._demand
        free = demand.allowed_total - self._delivered
        if free > 0:
            self._blocked_since = None
            self._end_waits(demand.paused)
            self._reconcile_pauses(demand.paused.union(self._delays.waiting))
            self._take_messages(self._consumer.poll(_POLL_SECONDS), free)
        elif self._waits_before_pausing():
            self._woken.wait(_WAIT_STEP_SECONDS)
            self._woken.clear()
        else:
            self._reconcile_pauses(frozenset(self._assigned))
            # What librdkafka had already handed on is taken all the same: a few records over the allowance.
            self._take_messages(self._consumer.poll(_POLL_SECONDS), 1)
        if self._tells_membership:
            self._publish_membership()
        self._observe_lag()

    def _publish_membership(self) -> None:
        # With the metadata of no member the broker would take any position.
        member = self._consumer.memberid() if self._assigned else ""
        if member:
            metadata = self._consumer.consumer_group_metadata()
            if self._consumer.memberid() == member:
                self._loop.call_soon_threadsafe(self._set_membership, metadata)

    def _set_membership(self, metadata: object) -> None:
        self._group_metadata = metadata

    def _waits_before_pausing(self) -> bool:
        """Say whether to wait before partitions are paused; meanwhile nothing is polled, and no rebalance runs."""
        now = self._clock.monotonic()
        if self._blocked_since is None:
            self._blocked_since = now
        return now - self._blocked_since < _PAUSE_AFTER_SECONDS

    def _take_messages(self, first: Message | None, free: int) -> None:
        if first is None:
            return
        # consume() waits its whole time for a full batch, so it only collects what is there. It may rebalance, too.
        self._ended_meanwhile.clear()
        rest = self._consumer.consume(min(free, _MAX_AT_ONCE) - 1, 0) if free > 1 else []
        came_too_late = TopicPartition(first.topic() or "", first.partition() or 0) in self._ended_meanwhile
        records = []
        for message in rest if came_too_late else (first, *rest):
            error = message.error()
            if error is None:
                if TopicPartition(message.topic() or "", message.partition() or 0) not in self._to_seek:
                    records.append(to_record(message))
            else:
                self._handle_error(error)
        due = self._delays.take_due(records)
        if due:
            self._delivered += len(due)
            self._note_poll(due)
            self._loop.call_soon_threadsafe(self._listener.received, due)

    def _note_poll(self, records: Sequence[Record]) -> None:
        seconds = self._clock.monotonic() - (self._polled_at or 0.0)
        by_topic: dict[str, list[Record]] = {}
        for record in records:
            by_topic.setdefault(record.coordinate.topic, []).append(record)
        for topic, polled in by_topic.items():
            producers = tuple(filter(None, (record.header(TRACE_PARENT) for record in polled)))
            self._emit(RecordsPolled(topic, len(polled), producers, seconds))

    def _handle_error(self, error: KafkaError) -> None:
        if is_group_denied(error):
            self._is_group_denied = True
        if not is_fatal(error):
            _LOGGER.warning("Kafka: %s", error.str())
        elif is_denied(error):
            _LOGGER.warning("Kafka ended this worker's membership; it joins the group again: %s", error.str())
            self._wait_before_retry()
            self._remake_consumer()
            self._subscribe()
        elif not self._assigned and self._membership.should_rejoin_after(error):
            self._wait_before_retry()
            self._remake_consumer()
            self._subscribe()
        else:
            raise BrokerError(f"Kafka ended this worker's membership of its group: {error.str()}; it ends.")

    def _end_waits(self, paused: Collection[TopicPartition]) -> None:
        for partition, offset in self._delays.expired().items():
            if partition in paused:
                continue
            if self._try_seek(partition, offset):
                self._delays.finish(partition)

    # Topics that were deleted and created again.

    def _restart_recreated(self) -> None:
        recreated = self._watch.recreated()
        if recreated:
            # What runs on the former topics ends; nothing of it is committed, because it would count for the new ones.
            self._call_listener(self._listener.revoked(recreated))
            self._commits.take_out(recreated)
            self._forget(self._consumer, set(recreated))
            there = [partition for partition, is_there in recreated.items() if is_there]
            points = self._positions.beginnings(self._consumer, self._former_positions(there))
            if points is None:  # the worker ends
                return
            self._mark(self._consumer, points, self._call_listener(self._listener.assigned(points)))
            self._to_seek |= {partition: point.offset for partition, point in points.items()}
        for partition, offset in list(self._to_seek.items()):
            if self._try_seek(partition, offset):
                del self._to_seek[partition]

    def _former_positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        positions = self._consumer.position(_kafka_partitions(partitions))
        return {_partition(position): max(0, position.offset) for position in positions}

    def _try_seek(self, partition: TopicPartition, offset: int) -> bool:
        try:
            self._consumer.seek(KafkaPartition(*partition, offset))
        except KafkaException as error:
            _LOGGER.warning("Seeking to an offset failed and is tried again: %s", error.args[0].str())
            return False
        return True

    def _mark(
        self,
        consumer: Consumer,
        points: Mapping[TopicPartition, CommitPoint],
        marks: Mapping[TopicPartition, CommitPoint],
    ) -> None:
        if points:
            self._is_group_denied = self._commits.is_group_denied = False
        self._assigned |= points.keys()
        self._watch.hold(points)
        self._lag.hold(points)
        self._commits.mark(consumer, marks)

    def _reconcile_pauses(self, requested: frozenset[TopicPartition]) -> None:
        to_pause = (requested & self._assigned) - self._paused
        # Never resume what is not paused: librdkafka would go back to where the last pause or assignment was.
        to_resume = self._paused - requested
        if to_pause:
            self._consumer.pause(_kafka_partitions(to_pause))
        if to_resume:
            self._consumer.resume(_kafka_partitions(to_resume))
        self._paused = (self._paused | to_pause) - to_resume

    # Rebalances: librdkafka calls these on the thread, from inside poll() and close().

    def _on_assign(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        points = self._positions.of(consumer, [_partition(partition) for partition in partitions])
        if points is None:  # the worker ends: librdkafka assigns them itself, and close() hands them back
            return
        self._mark(consumer, points, self._call_listener(self._listener.assigned(points)))
        consumer.incremental_assign([KafkaPartition(*partition, point.offset) for partition, point in points.items()])

    def _wait_before_retry(self) -> bool:
        self._polled_at = self._clock.monotonic()
        return not self._closing.wait(_RETRY_SECONDS)

    def _on_revoke(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        ended = {_partition(p) for p in partitions}
        points = self._call_listener(self._listener.revoked(ended))
        self._commits.send(consumer, {**self._commits.take_out(ended), **points}, asynchronous=False)
        self._forget(consumer, ended)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        ended = {_partition(p) for p in partitions}
        self._loop.call_soon_threadsafe(self._listener.lost, ended)
        self._commits.take_out(ended)
        self._forget(consumer, ended)
        consumer.incremental_unassign(partitions)

    def _forget(self, consumer: Consumer, partitions: set[TopicPartition]) -> None:
        if self._paused & partitions:  # librdkafka would still have them paused when they come back
            consumer.resume(_kafka_partitions(self._paused & partitions))
        self._assigned -= partitions
        self._paused -= partitions
        self._delays.forget(partitions)
        self._watch.release(partitions)
        self._lag.release(partitions)
        for partition in partitions:
            self._to_seek.pop(partition, None)
        self._ended_meanwhile |= partitions
        self._commits.forget(partitions)

    def _call_listener(self, answering: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever the listener returns
        # The margin is for the loop to answer; the listener bounds its own drain.
        answer = asyncio.run_coroutine_threadsafe(answering, self._loop)
        try:
            return answer.result(self._drain_seconds + 10)
        except (FutureTimeoutError, FutureCancelledError) as error:
            raise BrokerError("The worker ends, because its event loop did not answer a rebalance in time.") from error

    def _observe_lag(self) -> None:
        ends = self._lag.ends()
        for position in self._consumer.position(_kafka_partitions(ends)) if ends else ():
            partition = _partition(position)
            consumed = position.offset if position.offset >= 0 else self._lag.begun_at(partition)
            stands_at = self._delays.position(partition, consumed)
            self._emit(LagObserved(partition, max(0, ends[partition] - stands_at)))

    def _emit(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._events.emit, event)


def _partition(partition: KafkaPartition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)


def _kafka_partitions(partitions: Collection[TopicPartition]) -> list[KafkaPartition]:
    return [KafkaPartition(partition.topic, partition.partition) for partition in partitions]
