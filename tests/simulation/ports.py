"""A worker's doors to the simulated world: the fakes, with the weather of the moment in between."""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.jobs import is_poison
from tests.simulation.judge import Judge
from tests.simulation.scenario import Tuning
from tests.simulation.trace import Trace
from tests.simulation.virtual_time import VirtualExecutor, VirtualTimeLoop
from worker.domain import events
from worker.domain.errors import ErrorCode, JobError, Stage
from worker.domain.records import ClusterDescription, CommitPoint, OutgoingRecord, Record, TopicPartition
from worker.ports import FencedError, InferenceRequest, ModelDescription, Tensor
from worker.testing.backend import FakeBackend
from worker.testing.sink import MemorySink
from worker.testing.transactions import MemoryTransactions

_SHOWN = (
    "coordinate",
    "outcome",
    "error_code",
    "attempt",
    "topic",
    "delay_seconds",
    "message",
    "kind",
    "ready",
    "reason",
)
_WIDEST = 100
_GIVEN_UP_SECONDS = 2.0
_QUIET = (events.StageFinished, events.InferenceFinished)


# The fake reads the same pictures in all runs: what it answered once is its answer.
_answers: dict[tuple[str, bytes], Mapping[str, Tensor]] = {}


@dataclass(slots=True)
class Weather:
    """How the world is now. Shares are probabilities, from 0 to 1."""

    chance: random.Random
    inference_seconds: float
    ack_seconds: float
    work_seconds: float
    sends_refused: float = 0.0
    acks_lost: float = 0.0
    triton: dict[ErrorCode, float] = field(default_factory=dict)
    metadata_garbled: bool = False
    ambushes: dict[str, Callable[[], object]] = field(default_factory=dict)

    @classmethod
    def of(cls, tuning: Tuning, chance: random.Random) -> "Weather":
        """Return the weather of a calm day."""
        return cls(chance, tuning.inference_seconds, tuning.ack_seconds, tuning.work_seconds)

    def draw(self, seconds: float) -> float:
        """Return a time around `seconds`."""
        return seconds * self.chance.uniform(0.5, 1.5)

    def sends(self, worker: str) -> None:
        """Let happen what waits for a worker to be in the middle of a send."""
        ambush = self.ambushes.pop(worker, None)
        if ambush is not None:
            ambush()

    def happens(self, share: float) -> bool:
        """Draw whether something happens that happens so often."""
        return share > 0 and self.chance.random() < share


class SimulatedSink:
    """A `RecordSink` whose records are under way for a time, and whose acknowledgements may be lost.

    A record is under way by itself: it is written even where whoever sent it has been stopped meanwhile.
    """

    def __init__(self, name: str, inner: MemorySink, weather: Weather, judge: Judge, trace: Trace) -> None:
        self._name = name
        self._inner = inner
        self._weather = weather
        self._judge = judge
        self._trace = trace
        self._under_way: set[asyncio.Task[None]] = set()

    async def send(self, record: OutgoingRecord) -> None:
        """Send a record on its way, and return once it is acknowledged. Raises JobError."""
        self._judge.sending(self._name, record)
        task = asyncio.get_running_loop().create_task(self._carry(record))
        self._under_way.add(task)
        task.add_done_callback(self._arrived)
        await asyncio.shield(task)
        self._judge.acknowledged(self._name, record)

    async def _carry(self, record: OutgoingRecord) -> None:
        weather = self._weather
        await asyncio.sleep(weather.draw(weather.ack_seconds) / 2)
        weather.sends(self._name)
        if weather.happens(weather.sends_refused):
            self._trace.note(self._name, "refused", record.topic)
            raise JobError(ErrorCode.BROKER_UNAVAILABLE, "The broker did not take it.", stage=Stage.PUBLISH)
        await self._inner.send(record)
        if weather.happens(weather.acks_lost):
            self._trace.note(self._name, "ack lost", record.topic)
            self._judge.excuse("an acknowledgement was lost")
            await asyncio.sleep(_GIVEN_UP_SECONDS)
            raise JobError(ErrorCode.BROKER_UNAVAILABLE, "No acknowledgement came.", stage=Stage.PUBLISH)
        await asyncio.sleep(weather.draw(weather.ack_seconds) / 2)

    def _arrived(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever sent it may be gone

    async def describe(self, topics: Collection[str]) -> ClusterDescription:
        """Describe topics. Raises BrokerError while the broker is away."""
        await asyncio.sleep(self._weather.draw(0.01))
        return await self._inner.describe(topics)

    async def close(self) -> None:
        """Nothing is kept open."""


class SimulatedTransactions:
    """A `TransactionalSink` whose transactions take time, and are refused in bad weather.

    A transaction is under way by itself: it may come to be where whoever began it has been stopped meanwhile. It
    belongs to the generation of the group that it was begun in, which `generation` tells: one that ends in a later
    generation is fenced, even where its partitions have come back to the same member.
    """

    def __init__(
        self,
        name: str,
        inner: MemoryTransactions,
        generation: Callable[[TopicPartition], int],
        weather: Weather,
        judge: Judge,
        trace: Trace,
    ) -> None:
        self._name = name
        self._inner = inner
        self._generation = generation
        self._weather = weather
        self._judge = judge
        self._trace = trace

    async def commit(self, records: Sequence[OutgoingRecord], points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Write all, or nothing. Raises JobError and FencedError."""
        for record in records:
            self._judge.sending(self._name, record)
        await asyncio.shield(asyncio.get_running_loop().create_task(self._carry(records, points)))

    async def _carry(self, records: Sequence[OutgoingRecord], points: Mapping[TopicPartition, CommitPoint]) -> None:
        weather, generations = self._weather, [self._generation(partition) for partition in points]
        await asyncio.sleep(weather.draw(weather.ack_seconds) / 2)
        weather.sends(self._name)
        await asyncio.sleep(0)
        if generations != [self._generation(partition) for partition in points]:
            self._trace.note(self._name, "fenced", *points)
            raise FencedError("The group has moved on.")
        if weather.happens(weather.sends_refused):
            self._trace.note(self._name, "aborted", *points)
            raise JobError(ErrorCode.BROKER_UNAVAILABLE, "The transaction was aborted.", stage=Stage.PUBLISH)
        try:
            await self._inner.commit(records, points)
        except FencedError:
            self._trace.note(self._name, "fenced", *points)
            raise
        await asyncio.sleep(weather.draw(weather.ack_seconds) / 2)

    async def describe(self, topics: Collection[str]) -> ClusterDescription:
        """Describe topics. Raises BrokerError while the broker is away."""
        await asyncio.sleep(self._weather.draw(0.01))
        return await self._inner.describe(topics)

    async def close(self) -> None:
        """Nothing is kept open."""


class SimulatedBackend:
    """A worker's connection to the one Triton."""

    def __init__(self, name: str, triton: FakeBackend, weather: Weather, trace: Trace) -> None:
        self._name = name
        self._triton = triton
        self._weather = weather
        self._trace = trace

    async def ready(self) -> bool:
        """Say whether Triton is up."""
        await asyncio.sleep(self._weather.draw(0.002))
        return ErrorCode.INFERENCE_UNAVAILABLE not in self._weather.triton and await self._triton.ready()

    async def describe(self, model: str) -> ModelDescription | None:
        """Describe a model. Raises JobError INFERENCE_UNAVAILABLE while Triton is down."""
        if ErrorCode.INFERENCE_UNAVAILABLE in self._weather.triton:
            raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton is down.")
        return await self._triton.describe(model)

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Read the block font, in the weather of the moment."""
        needed_seconds = self._weather.draw(self._weather.inference_seconds)
        await asyncio.sleep(min(needed_seconds, timeout_seconds))
        if needed_seconds > timeout_seconds:
            raise JobError(ErrorCode.INFERENCE_FAILED, "Triton took too long.")
        for code, share in self._weather.triton.items():
            if self._weather.happens(share):
                self._trace.note(self._name, "inference failed", code)
                raise JobError(code, "The weather is bad.")
        if request.request_id.startswith("rejected"):
            raise JobError(ErrorCode.INFERENCE_REJECTED, "Triton does not take this picture.")
        if request.request_id.startswith("cursed"):
            raise JobError(ErrorCode.INFERENCE_FAILED, "Triton always fails on this picture.")
        asked = (request.model, b"".join(tensor.tobytes() for tensor in request.inputs.values()))
        if asked not in _answers:
            _answers[asked] = await self._triton.infer(request, timeout_seconds=timeout_seconds)
        return _answers[asked]

    async def close(self) -> None:
        """Nothing is kept open."""


class SimulatedExecutor(VirtualExecutor):
    """An executor that tells the judge which record's job is begun; a deadly one ends the process by `crash`.

    Without `crash` it is the executor of a child process, which survives in the fake.
    """

    def __init__(
        self, name: str, loop: VirtualTimeLoop, weather: Weather, judge: Judge, crash: Callable[[], None] | None
    ) -> None:
        super().__init__(loop, lambda: weather.draw(weather.work_seconds))
        self._name = name
        self._judge = judge
        self._crash = crash

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":  # noqa: ANN401
        """Do the work later."""
        for argument in args:
            if isinstance(argument, Record):
                self._judge.begun(self._name, argument)
                if self._crash is not None and is_poison(argument):
                    return super().submit(self._crash)
        return super().submit(work, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class Brief:
    """An event as one line of a trace shows it."""

    event: events.Event

    def __str__(self) -> str:
        shown = [getattr(self.event, name, None) for name in _SHOWN]
        return " ".join(str(value)[:_WIDEST] for value in shown if value not in {None, ""})


class SimulatedEvents:
    """An `EventSink` that leads into the trace and to the judge."""

    def __init__(self, name: str, judge: Judge, trace: Trace) -> None:
        self._name = name
        self._judge = judge
        self._trace = trace

    def emit(self, event: events.Event) -> None:
        """Take an event."""
        if isinstance(event, events.InflightChanged):
            self._judge.in_flight(self._name, event.jobs, event.pixels)
        elif not isinstance(event, _QUIET):
            self._trace.note(self._name, type(event).__name__, Brief(event))
