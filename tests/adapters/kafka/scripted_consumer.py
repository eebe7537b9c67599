"""librdkafka's consumer as a script: what a poll brings, what it calls back, and what the coordinator answers."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, Uuid
from confluent_kafka import TopicPartition as KafkaPartition

from worker.adapters.kafka.topic_ids import TopicIds
from worker.settings import KafkaSettings

TOPIC = "jobs"

# librdkafka's own names.
TIMED_OUT = KafkaError._TIMED_OUT  # noqa: SLF001
TRANSPORT = KafkaError._TRANSPORT  # noqa: SLF001
FATAL = KafkaError._FATAL  # noqa: SLF001
ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class Brought:
    """A message that a poll brings, of partition 0 unless said otherwise."""

    at: int
    of: int = 0
    problem: KafkaError | None = None

    def error(self) -> KafkaError | None:
        return self.problem

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self.of

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return b"x"

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return (1, 1000)


class ScriptedTopics:
    """librdkafka's admin client as a script, for what is asked about topics.

    `topic_id` is that of every topic, `partitions` how many each has, `ends` high watermarks. While `problem` is set it
    is what every topic's description ends with. `asked` counts the descriptions.
    """

    def __init__(self) -> None:
        self.topic_id = Uuid(0, 1)
        self.partitions = 2
        self.high_watermark = 10
        self.problem: KafkaError | None = None
        self.asked = 0

    def made_for(self, _settings: KafkaSettings) -> TopicIds:
        return TopicIds(lambda: self)  # type: ignore[arg-type, return-value]  # it stands in for a class of C

    def list_topics(self, *, timeout: float) -> SimpleNamespace:
        assert timeout > 0
        return SimpleNamespace(cluster_id="scripted")

    def describe_topics(self, topics: TopicCollection, *, request_timeout: float) -> dict[str, Future[SimpleNamespace]]:
        assert request_timeout > 0
        self.asked += 1
        return {name: self._described() for name in topics.topic_names}

    def _described(self) -> Future[SimpleNamespace]:
        future: Future[SimpleNamespace] = Future()
        if self.problem is not None:
            future.set_exception(KafkaException(self.problem))
        else:
            future.set_result(SimpleNamespace(topic_id=self.topic_id, partitions=[None] * self.partitions))
        return future

    def list_offsets(
        self, asked: Collection[KafkaPartition], *, isolation_level: IsolationLevel, request_timeout: float
    ) -> dict[KafkaPartition, Future[SimpleNamespace]]:
        assert isolation_level is IsolationLevel.READ_UNCOMMITTED
        assert request_timeout > 0
        future: Future[SimpleNamespace] = Future()
        future.set_result(SimpleNamespace(offset=self.high_watermark))
        return dict.fromkeys(asked, future)


Step = Callable[["ScriptedConsumer"], Brought | None]


@dataclass(frozen=True, slots=True)
class Told:
    """What the coordinator tells of partition 0: a position, or an error."""

    offset: int
    error: KafkaError | None = None
    topic: str = TOPIC
    partition: int = 0
    metadata: str | None = None


def refused(code: int) -> KafkaException:
    """Return what librdkafka raises."""
    return KafkaException(KafkaError(code))


def fatal(code: int) -> KafkaError:
    """Return what a poll brings after a fatal error: which one it is stands in its words alone."""
    return KafkaError(FATAL, f"Fatal error: {KafkaError(code).str()}: what led to it")


class ScriptedConsumer:
    """Stands in for `confluent_kafka.Consumer`.

    `polls` and `consumes` are steps, taken one at each call; a step may call a rebalance back. `answers` are what
    `committed` returns or raises, `watermarks` what is told of a partition's ends (None: no answer in time).
    `refusals` are what commits raise, one by one, and `late_refusals` what the callback says of asynchronous ones;
    None lets one through. `commits` lists partition, offset and metadata of what was taken, `begun_at` where
    partitions were assigned, `sought` what was sought since. `topics` is what the broker tells about topics.
    """

    def __init__(self) -> None:
        self.polls: deque[Step] = deque()
        self.consumes: deque[Step] = deque()
        self.answers: deque[list[Told] | KafkaException] = deque()
        self.watermarks: deque[tuple[int, int] | None] = deque()
        self.refusals: deque[KafkaException | None] = deque()
        self.late_refusals: deque[KafkaError | None] = deque()
        self.commits: list[tuple[int, int, str | None]] = []
        self.begun_at: dict[int, int] = {}
        self.sought: list[tuple[int, int]] = []
        self.seek_refusals: deque[KafkaException] = deque()
        self.topics = ScriptedTopics()
        self.on_close: Step = lambda _: None
        self.closed = False
        self.idle = threading.Event()
        self._reports: list[tuple[KafkaError | None, list[KafkaPartition]]] = []

    def made_with(self, options: dict[str, Any]) -> Any:  # noqa: ANN401 - it stands in for a class of C
        self.options = options
        return self

    def subscribe(self, _topics: list[str], **callbacks: Callable[..., None]) -> None:
        self._callbacks = callbacks

    def rebalance(self, kind: str, *partitions: int) -> None:
        """Call `on_assign`, `on_revoke` or `on_lost` back."""
        self._callbacks[kind](self, [KafkaPartition(TOPIC, partition) for partition in partitions])

    def poll(self, timeout: float) -> Brought | None:
        reports, self._reports = self._reports, []
        for error, partitions in reports:
            self.options["on_commit"](error, partitions)
        if self.polls:
            return self.polls.popleft()(self)
        self.idle.set()
        threading.Event().wait(min(timeout, 0.01))
        return None

    def consume(self, _count: int, _timeout: float) -> list[Brought]:
        brought = self.consumes.popleft()(self) if self.consumes else None
        return [brought] if brought else []

    def committed(self, partitions: list[KafkaPartition], *, timeout: float) -> Sequence[KafkaPartition | Told]:
        assert timeout > 0
        answer = self.answers.popleft() if self.answers else partitions
        if isinstance(answer, KafkaException):
            raise answer
        return answer

    def commit(self, *, offsets: list[KafkaPartition], asynchronous: bool) -> list[KafkaPartition] | None:
        refusal = self.refusals.popleft() if self.refusals else None
        if refusal is not None:
            raise refusal
        self.commits += [(part.partition, part.offset, part.metadata) for part in offsets]
        if asynchronous:
            self._reports.append((self.late_refusals.popleft() if self.late_refusals else None, offsets))
            return None
        return offsets

    def incremental_assign(self, partitions: list[KafkaPartition]) -> None:
        self.begun_at.update({part.partition: part.offset for part in partitions})

    def incremental_unassign(self, _partitions: list[KafkaPartition]) -> None:
        """The script brings what it brings."""

    def seek(self, partition: KafkaPartition) -> None:
        if self.seek_refusals:
            raise self.seek_refusals.popleft()
        self.sought.append((partition.partition, partition.offset))

    def position(self, partitions: list[KafkaPartition]) -> list[KafkaPartition]:
        return [KafkaPartition(part.topic, part.partition, 3) for part in partitions]

    def get_watermark_offsets(
        self, _partition: KafkaPartition, *, timeout: float = 0, cached: bool = False
    ) -> tuple[int, int] | None:
        if cached:
            return (0, 10)
        assert timeout > 0
        return self.watermarks.popleft() if self.watermarks else (0, 100)

    def memberid(self) -> str:
        return "member"

    def consumer_group_metadata(self) -> object:
        return self

    def pause(self, _partitions: list[KafkaPartition]) -> None:
        """Nothing is prefetched here."""

    def resume(self, _partitions: list[KafkaPartition]) -> None:
        """Nothing is prefetched here."""

    def close(self) -> None:
        self.on_close(self)
        self.closed = True
