"""A consumer group's member as a `RecordSource`.

One thread alone touches the consumer: in librdkafka's Python binding every call on a consumer waits for a running
`poll`, so polls are short and wishes (commits, pauses, the end) wait in fields that the thread looks at between polls.

Invariants: the listener is called on the event loop's thread only, in the order of what happened; no record of a
partition is handed over before its `assigned` has returned, nor after its `revoked` was asked.

Back-pressure: while nothing may be delivered the thread first holds, because a pause throws the prefetched queue away
(0.5 to 0.8 s until the next record), and pauses only when that lasts.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka.messages import to_record
from worker.domain.errors import BrokerError
from worker.domain.events import CommitFailed, Event, LagObserved
from worker.domain.records import CommitPoint, TopicPartition
from worker.ports import Clock, EventSink, SourceListener
from worker.settings import KafkaSettings

_LOGGER = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_HOLD_SECONDS = 1.0
_HOLD_STEP_SECONDS = 0.05
_COMMITTED_SECONDS = 10.0
_REPEAT_SECONDS = 1.0
_ASK_AGAIN_SECONDS = 0.5
_LAG_INTERVAL_SECONDS = 5.0
_QUEUED_KIBIBYTES = 16 * 1024
_MOST_AT_ONCE = 500

# What the group's coordinator says when a commit meets a rebalance; the next owner begins at the last commit.
_EXPECTED_COMMIT_ERRORS = frozenset(
    {
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._NO_OFFSET,  # noqa: SLF001 - librdkafka's own name
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001 - librdkafka's own name
    }
)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the loop wants of the thread. Replaced whole, so that no lock is needed."""

    allowed_total: int = 0
    paused: frozenset[TopicPartition] = frozenset()


class KafkaSource:
    """Consumes one topic as a member of a group.

    Where partitions are assigned while nothing may be delivered, one record of them may come over the allowance.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        *,
        drain_seconds: float,
        clock: Clock,
        event_sink: EventSink,
        make_consumer: Callable[[dict[str, Any]], Consumer] = Consumer,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._drain_seconds = drain_seconds
        self._clock = clock
        self._events = event_sink
        self._make_consumer = make_consumer
        self._wishes = _Wishes()
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._commits: dict[TopicPartition, CommitPoint] = {}
        self._commits_lock = threading.Lock()
        self._sent: dict[TopicPartition, CommitPoint] = {}
        self._refused: dict[TopicPartition, CommitPoint] = {}
        self._refused_at = 0.0
        self._delivered = 0
        self._paused: set[TopicPartition] = set()
        self._assigned: set[TopicPartition] = set()
        self._ended_meanwhile: set[TopicPartition] = set()
        self._held_since: float | None = None
        self._polled_at: float | None = None
        self._lag_observed_at = clock.monotonic()

    # The port, on the loop's thread.

    async def start(self, listener: SourceListener) -> None:
        """Join the group. Raises BrokerError if librdkafka refuses the options."""
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        options = {**consumer_options(self._settings), "on_commit": self._on_commit}
        try:
            self._consumer = self._make_consumer(options)
        except (KafkaException, ValueError) as error:
            raise BrokerError(f"librdkafka refuses the consumer's options: {error}") from error
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._polled_at = self._clock.monotonic()
        threading.Thread(target=self._run, name="kafka", daemon=True).start()

    def allow(self, total_records: int, paused: Collection[TopicPartition]) -> None:
        """Let the source deliver up to `total_records` since its start, none of them of `paused`."""
        self._wishes = _Wishes(total_records, frozenset(paused))
        self._woken.set()

    def commit(self, points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Commit soon."""
        with self._commits_lock:
            self._commits.update(points)
        self._woken.set()

    def alive(self) -> bool:
        """Say whether the thread polled lately; true before the start and after the end."""
        polled_at = self._polled_at
        if polled_at is None:
            return True
        return self._clock.monotonic() - polled_at < self._settings.max_poll_interval_seconds

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
            self._consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._closing.is_set():
                self._turn()
        except BaseException as error:  # noqa: BLE001 - handed to the loop, which raises it in close()
            failure = error
        finally:
            failure = self._leave() or failure
            self._loop.call_soon_threadsafe(self._end, failure)

    def _leave(self) -> BaseException | None:
        try:
            self._flush_commits(asynchronous=False)
            self._consumer.close()  # calls on_revoke for what is still assigned
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

    def _turn(self) -> None:
        self._polled_at = self._clock.monotonic()
        self._flush_commits(asynchronous=True)
        wishes = self._wishes
        room = wishes.allowed_total - self._delivered
        if room > 0:
            self._held_since = None
            self._reconcile_pauses(wishes.paused)
            self._take(self._consumer.poll(_POLL_SECONDS), room)
        elif self._hold():
            self._woken.wait(_HOLD_STEP_SECONDS)
            self._woken.clear()
        else:
            self._reconcile_pauses(frozenset(self._assigned))
            # What librdkafka had already handed on is taken all the same: a few records over the allowance.
            self._take(self._consumer.poll(_POLL_SECONDS), 1)
        self._observe_lag()

    def _hold(self) -> bool:
        """Say whether to wait without a pause still; polls, and so rebalances, wait with it."""
        now = self._clock.monotonic()
        if self._held_since is None:
            self._held_since = now
        return now - self._held_since < _HOLD_SECONDS

    def _take(self, first: Message | None, room: int) -> None:
        if first is None:
            return
        # consume() waits its whole time for a full batch, so it only collects what is there. It may rebalance, too.
        self._ended_meanwhile.clear()
        rest = self._consumer.consume(min(room, _MOST_AT_ONCE) - 1, 0) if room > 1 else []
        came_too_late = TopicPartition(first.topic() or "", first.partition() or 0) in self._ended_meanwhile
        records = []
        for message in rest if came_too_late else (first, *rest):
            error = message.error()
            if error is None:
                records.append(to_record(message))
            elif error.fatal():
                raise BrokerError(f"Kafka ended this worker's membership: {error.str()}")
            else:
                _LOGGER.warning("Kafka: %s", error.str())
        if records:
            self._delivered += len(records)
            self._loop.call_soon_threadsafe(self._listener.received, records)

    def _reconcile_pauses(self, wished: frozenset[TopicPartition]) -> None:
        to_pause = (wished & self._assigned) - self._paused
        to_resume = self._paused - wished
        if to_pause:
            self._consumer.pause(_kafka_partitions(to_pause))
        if to_resume:
            self._consumer.resume(_kafka_partitions(to_resume))
        self._paused = (self._paused | to_pause) - to_resume

    # Rebalances: librdkafka calls these on the thread, from inside poll() and close().

    def _on_assign(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        committed = self._committed(consumer, partitions) if partitions else []
        if committed is None:  # the worker ends: librdkafka assigns them itself, and close() hands them back
            return
        positions = {
            _partition(p): CommitPoint(p.offset, p.metadata or "") if p.offset >= 0 else None for p in committed
        }
        self._ask(self._listener.assigned(positions))
        self._assigned |= positions.keys()
        consumer.incremental_assign(committed)

    def _committed(self, consumer: Consumer, partitions: list[KafkaPartition]) -> list[KafkaPartition] | None:
        """Ask until the broker answers: to begin elsewhere would repeat or lose records. None if the worker ends."""
        while not self._closing.is_set():
            try:
                found: list[KafkaPartition] = consumer.committed(partitions, timeout=_COMMITTED_SECONDS)
                error = next((partition.error for partition in found if partition.error), None)
            except KafkaException as failure:
                error = failure.args[0]
            if error is None:
                return found
            if error.fatal():
                raise BrokerError(f"Kafka does not tell what was committed: {error.str()}")
            _LOGGER.warning("Kafka does not tell what was committed, asked again: %s", error.str())
            self._polled_at = self._clock.monotonic()
            self._closing.wait(_ASK_AGAIN_SECONDS)
        return None

    def _on_revoke(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        ended = {_partition(p) for p in partitions}
        points = self._ask(self._listener.revoked(ended))
        self._commit({**self._pending(ended), **points}, asynchronous=False)
        self._forget(ended)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        ended = {_partition(p) for p in partitions}
        self._loop.call_soon_threadsafe(self._listener.lost, ended)
        self._pending(ended)
        self._forget(ended)
        consumer.incremental_unassign(partitions)

    def _pending(self, ended: set[TopicPartition]) -> dict[TopicPartition, CommitPoint]:
        """Take out what waits to be committed for partitions that end."""
        with self._commits_lock:
            wishes = {partition: self._commits.pop(partition) for partition in ended & self._commits.keys()}
        refused = {partition: self._refused.pop(partition) for partition in ended & self._refused.keys()}
        return {**refused, **wishes}

    def _forget(self, partitions: set[TopicPartition]) -> None:
        self._assigned -= partitions
        self._paused -= partitions
        self._ended_meanwhile |= partitions
        for partition in partitions:
            self._sent.pop(partition, None)

    def _ask(self, answering: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever the listener returns
        # The margin is for the loop to answer; the listener bounds its own drain.
        answer = asyncio.run_coroutine_threadsafe(answering, self._loop)
        try:
            return answer.result(self._drain_seconds + 10)
        except (FutureTimeoutError, FutureCancelledError) as error:
            raise BrokerError("The event loop did not answer a rebalance in time; the worker ends.") from error

    # Commits and lag.

    def _flush_commits(self, *, asynchronous: bool) -> None:
        with self._commits_lock:
            points, self._commits = self._commits, {}
        if self._refused and self._clock.monotonic() - self._refused_at >= _REPEAT_SECONDS:
            refused, self._refused = self._refused, {}
            points = {**refused, **points}
        self._commit(points, asynchronous=asynchronous)

    def _commit(self, points: Mapping[TopicPartition, CommitPoint], *, asynchronous: bool) -> None:
        offsets = [
            KafkaPartition(partition.topic, partition.partition, point.offset, point.metadata)
            for partition, point in points.items()
        ]
        if not offsets:
            return
        self._sent.update(points)
        for partition in points:
            self._refused.pop(partition, None)  # overtaken
        try:
            if asynchronous:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            else:
                self._on_commit(None, self._consumer.commit(offsets=offsets, asynchronous=False))
        except KafkaException as error:
            self._on_commit(error.args[0], offsets)

    def _on_commit(self, error: KafkaError | None, partitions: list[KafkaPartition]) -> None:
        """Take librdkafka's report: what was refused is committed again soon, unless something newer was sent."""
        problems = [problem for partition in partitions if (problem := error or partition.error)]
        if not problems:
            return
        self._commit_failed(problems[0])
        self._refused_at = self._clock.monotonic()
        for partition in partitions:
            key = _partition(partition)
            sent = self._sent.get(key)
            if (error or partition.error) and sent is not None and sent.offset == partition.offset:
                self._refused[key] = sent

    def _commit_failed(self, error: KafkaError) -> None:
        if error.code() not in _EXPECTED_COMMIT_ERRORS and not error.retriable():
            _LOGGER.warning("Kafka refused a commit: %s", error.str())
        self._emit(CommitFailed(error.str()))

    def _observe_lag(self) -> None:
        now = self._clock.monotonic()
        if now - self._lag_observed_at < _LAG_INTERVAL_SECONDS:
            return
        self._lag_observed_at = now
        for position in self._consumer.position(_kafka_partitions(self._assigned)):
            _, high = self._consumer.get_watermark_offsets(position, cached=True)
            if position.offset >= 0 and high >= 0:
                self._emit(LagObserved(_partition(position), max(0, high - position.offset)))

    def _emit(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._events.emit, event)


def consumer_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the options of librdkafka for a member of the group; what is passed through comes first."""
    options: dict[str, Any] = {
        "client.id": "labelwire",
        "queued.max.messages.kbytes": _QUEUED_KIBIBYTES,
        **settings.client_options(),
        "bootstrap.servers": settings.bootstrap_servers,
        "group.id": settings.group_id,
        "group.protocol": settings.group_protocol,
        "auto.offset.reset": settings.start_from,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "max.poll.interval.ms": int(settings.max_poll_interval_seconds * 1000),
        "logger": _LOGGER,
    }
    if settings.group_protocol == "classic":
        options["partition.assignment.strategy"] = "cooperative-sticky"
    return options


def _partition(partition: KafkaPartition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)


def _kafka_partitions(partitions: Collection[TopicPartition]) -> list[KafkaPartition]:
    return [KafkaPartition(partition.topic, partition.partition) for partition in partitions]
