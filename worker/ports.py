"""What the worker needs from outside. Each port has at most five methods, a real adapter and a fake in `testing`.

All methods and all listeners are called on the event loop's thread; an adapter hides threads of its own.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import Stage
from worker.domain.events import Event
from worker.domain.records import ClusterDescription, CommitPoint, OutgoingRecord, Record, TopicPartition
from worker.domain.result import LabelText
from worker.domain.uri import PictureUri

Tensor = NDArray[np.uint8] | NDArray[np.int32] | NDArray[np.float32]


class SourceListener(Protocol):
    """Receives records and partitions from a `RecordSource`."""

    def received(self, records: Sequence[Record]) -> None:
        """Take records, in offset order for each partition."""

    async def assigned(self, partitions: Mapping[TopicPartition, CommitPoint]) -> Mapping[TopicPartition, CommitPoint]:
        """Take over partitions, each with its committed position, or with where the group begins if it has none.

        Return what the source commits before it delivers the first record of these partitions.
        """

    async def revoked(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, CommitPoint]:
        """Finish or cancel the jobs of these partitions, and return what the source commits for them."""

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Cancel the jobs of these partitions: another member has them already, and a commit would be refused."""

    def failed(self, error: BaseException, /) -> None:
        """Note that the source has ended with an error."""


class RecordSource(Protocol):
    """A subscription to topics as a member of a consumer group.

    A record of a retry topic is delivered once it is due (`due_at_ms`); until then it holds up later records of its own
    partition alone, and takes no memory.
    """

    async def start(self, listener: SourceListener) -> None:
        """Join the group and begin to deliver. Raises BrokerError if the source cannot even try."""

    def allow(self, total_records: int, paused: Collection[TopicPartition]) -> None:
        """Let the source deliver until it has delivered `total_records` since its start, none of them of `paused`."""

    def commit(self, points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Commit soon. A later call may replace an earlier one; a commit that failed is repeated by the next."""

    def alive(self) -> bool:
        """Say whether the source still polls its broker as it must to stay in the group."""

    async def close(self) -> None:
        """Give back all partitions, after a last call of the listener's `revoked`, and leave the group."""


class RecordSink(Protocol):
    """Writes records."""

    async def send(self, record: OutgoingRecord) -> None:
        """Return once the broker has acknowledged the record.

        Raises JobError RESULT_TOO_LARGE where the record is over a size limit, and BROKER_UNAVAILABLE else.
        """

    async def describe(self, topics: Collection[str]) -> ClusterDescription:
        """Return the cluster's name and each topic's limits. Raises BrokerError if the broker does not answer."""

    async def close(self) -> None:
        """Wait a bounded time for what is under way, and close."""


class ClusterAccess(Protocol):
    """Whether the worker's user may use its topics and its group, and can use them now."""

    async def obstacle(self, reads: Collection[str], writes: Collection[str]) -> str:
        """Return in a sentence why the worker cannot use these topics or its group; empty if no reason is known.

        A topic that does not exist is no reason here. Raises BrokerError where the broker does not answer.
        """


class FencedError(Exception):
    """Another member of the group has taken over; nothing of the transaction was written."""


class TransactionalSink(Protocol):
    """Writes records together with the group's positions, all or nothing."""

    async def commit(self, records: Sequence[OutgoingRecord], points: Mapping[TopicPartition, CommitPoint]) -> None:
        """Write records and positions in one transaction, and return once it is committed.

        On an error nothing was written. Raises JobError RESULT_TOO_LARGE where a record is over a size limit and
        BROKER_UNAVAILABLE where the transaction may be tried again, FencedError where the positions are no longer
        this member's to commit.
        """

    async def describe(self, topics: Collection[str]) -> ClusterDescription:
        """Return the cluster's name and each topic's limits. Raises BrokerError if the broker does not answer."""

    async def close(self) -> None:
        """Abort what is under way, and close."""


class Isolation(Protocol):
    """Reads records that may crash their process, without harm to the worker."""

    async def read(self, record: Record, attempt: int, model_set: str) -> LabelText:
        """Read the job of a record in a child process, with the models of a set.

        Raises JobError: what reading it here would raise, or POISON where the child ended by a signal three times.
        """

    async def close(self) -> None:
        """End the child process, if there is one."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model; `shape` has -1 where a dimension is free, and no batch dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServingCapacity:
    """How a server runs a model: `instances` at once, each of which gains by batches of up to `batch_rows` rows.

    On a CPU a batch takes as long as its rows one by one, so `batch_rows` is 1 there.
    """

    instances: int
    batch_rows: int


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model as its server describes it. `parameters` are the strings of its config.

    `capacity` is None where the server does not say it, and for an ensemble. It says nothing of what the model reads:
    servers with more and with fewer instances serve the same model.
    """

    name: str
    version: str
    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: Mapping[str, str]
    capacity: ServingCapacity | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One request to a model; all tensors have a leading batch dimension.

    Only the model's version `version` may answer; "" takes whichever is served. `request_id` names it in the server's
    logs. With `hides_failures` a failure of the model itself may be hidden by sending the request again.
    """

    model: str
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    version: str = ""
    request_id: str = ""
    hides_failures: bool = True


class InferenceBackend(Protocol):
    """A server of models."""

    async def ready(self) -> bool:
        """Say whether the server answers and calls itself ready; never raises."""

    async def describe(self, model: str) -> ModelDescription | None:
        """Return a model's description, None if the server has no such model. Raises JobError INFERENCE_UNAVAILABLE."""

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Run one request.

        Raises JobError MODELS_CHANGED where the server has other versions of the model than the one that may answer,
        else INFERENCE_REJECTED, INFERENCE_FAILED, INFERENCE_OVERLOADED or INFERENCE_UNAVAILABLE.
        """

    async def close(self) -> None:
        """Close the connections."""


class InferenceAccess(Protocol):
    """Why a server of models cannot be used."""

    def obstacle(self) -> str:
        """Return in a sentence why no server was ready when that was last asked; empty if one was."""


class BlobStore(Protocol):
    """Fetches pictures that jobs name by URI."""

    async def fetch(self, uri: PictureUri, reserve_memory: Callable[[int], Awaitable[None]]) -> bytes:
        """Return the bytes at a URI.

        `reserve_memory` is awaited, before any byte is kept, with how many may come; again for each new try. Its time
        does not count for the store's timeout. Raises JobError URI_FORBIDDEN (also where nothing is asked),
        URI_NOT_FOUND, URI_UNAVAILABLE, IMAGE_TOO_LARGE, or IMAGE_UNSUPPORTED for bytes that come compressed.
        """

    async def close(self) -> None:
        """Close the connections."""


class ControlListener(Protocol):
    """Receives what stands in a `ControlLog`."""

    def received(self, key: str, value: bytes) -> None:
        """Take a record, in the order of the log."""

    def reached_end(self) -> None:
        """Note that all that stood in the log when it was opened, or when its loss was noticed, has been received.

        Called as well where there is no such log: it is empty then.
        """

    def reset(self) -> None:
        """Forget everything received: the log was made anew, and is received from its beginning."""

    def failed(self, reason: str) -> None:
        """Note, in a sentence, why the log cannot be read before its end was reached; it is tried again."""


class ControlLog(Protocol):
    """A compacted log with one order for all, which every worker reads whole."""

    async def start(self, listener: ControlListener) -> None:
        """Begin to read, and return at once."""

    async def append(self, key: str, value: bytes) -> None:
        """Return once the record is acknowledged. Raises BrokerError where it is not."""

    async def close(self) -> None:
        """Stop reading."""


class ResultCache(Protocol):
    """Keeps readings by key for a while, as bytes; it may forget any of them at any time."""

    async def get(self, key: str) -> bytes | None:
        """Return what was put under a key, None if nothing is there.

        Raises CacheError where the cache does not answer in time or refuses, and RejectedEntryError for an entry that
        no worker put there or that is over the size limit. Nothing over that limit is read into memory.
        """

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value under a key, in place of what was there. Raises CacheError."""

    async def close(self) -> None:
        """Close the connections."""


class Clock(Protocol):
    """The only source of the time."""

    def epoch_ms(self) -> int:
        """Return the time of day in epoch milliseconds."""

    def monotonic(self) -> float:
        """Return seconds that never run back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class EventSink(Protocol):
    """Turns events into log lines and metrics."""

    def emit(self, event: Event) -> None:
        """Take an event; never raises and never blocks."""


class Tracer(Protocol):
    """Follows sampled jobs on their way, as a trace of spans for each.

    What happens in the block of a method belongs to the block around it, also in tasks that begin there. Stages may be
    followed on any thread. A tracer raises nothing of its own, and never waits for who receives the traces.
    """

    def process(self, record: Record) -> AbstractContextManager[None]:
        """Follow a record from here to its outcome, in a trace that is linked with the record's producer."""

    def stage(self, stage: Stage) -> AbstractContextManager[None]:
        """Follow a stage of the job."""

    def infer(self, request: InferenceRequest) -> AbstractContextManager[Mapping[str, str]]:
        """Follow a request to the server of models, and give the headers that continue the trace there."""

    def send(self, topic: str) -> AbstractContextManager[str]:
        """Follow a record until it is acknowledged, and give its `traceparent`; empty if the job is not sampled."""


class _Untraced:
    """The `Tracer` that follows nothing."""

    def process(self, record: Record) -> AbstractContextManager[None]:  # noqa: ARG002
        """Follow nothing."""
        return nullcontext()

    def stage(self, stage: Stage) -> AbstractContextManager[None]:  # noqa: ARG002
        """Follow nothing."""
        return nullcontext()

    def infer(self, request: InferenceRequest) -> AbstractContextManager[Mapping[str, str]]:  # noqa: ARG002
        """Follow nothing, and give no headers."""
        return nullcontext({})

    def send(self, topic: str) -> AbstractContextManager[str]:  # noqa: ARG002
        """Follow nothing."""
        return nullcontext("")


UNTRACED = _Untraced()
