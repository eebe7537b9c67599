"""The `InferenceBackend` on Triton's gRPC.

Invariant: every request ends within its time in arrays, in a `JobError`, or in our own cancellation; no gRPC error
leaves this package. One backend holds one long-lived channel on one event loop: new channels leak.

A request is sent again a few times within a second, to meet a sound connection or another server behind the same name.
Whether and when to try longer, and how many requests are under way, is not decided here.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from worker.adapters.triton.channel import connect, credentials
from worker.adapters.triton.describe import description, served_version
from worker.adapters.triton.translate import (
    CHANGED,
    UNFIT,
    StopSending,
    classify,
    decide,
    full_jitter,
    is_precise,
    job_error,
    obstacle,
    status_and_text,
)
from worker.adapters.triton.wire import AnswerError, decode, encode, parse
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import InferenceFinished, InferenceRetried
from worker.ports import UNTRACED, Clock, EventSink, InferenceRequest, ModelDescription, Tensor, Tracer
from worker.settings import TritonSettings

_READY_SECONDS: Final = 2.0
_DESCRIBE_SECONDS: Final = 10.0
_MAX_MISMATCHES: Final = 8
_PRECISE_SECONDS: Final = 15.0
# If the first server hangs, time is left to ask another one.
_FIRST_SHARE: Final = 2 / 3
# Triton must be the one to say that a request waited too long: that is overload, and a late answer is a failure.
_QUEUE_SHARE: Final = 1 / 2
_INFER_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"

_Call = Callable[..., Awaitable[Any]]


class _Connection:
    """A channel with the calls that are made on it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self.channel = channel
        self.server_ready: _Call = stub.ServerReady
        self.model_metadata: _Call = stub.ModelMetadata
        self.model_config: _Call = stub.ModelConfig
        # Bytes to bytes: `wire` serializes, and its errors do not vanish in gRPC's logger.
        self.model_infer: _Call = channel.unary_unary(_INFER_METHOD)


class TritonBackend:
    """Triton, or several of them behind one name.

    Use it on one event loop. The arrays that it returns are read-only.
    """

    def __init__(
        self,
        settings: TritonSettings,
        events: EventSink,
        clock: Clock,
        *,
        tracer: Tracer = UNTRACED,
        chance: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._events = events
        self._clock = clock
        self._tracer = tracer
        self._chance = chance or random.Random()  # noqa: S311 - jitter is no secret
        self._credentials = credentials(settings)
        self._open: _Connection | None = None
        self._closed = False
        self._obstacle = ""
        self._precise_until = -math.inf

    async def ready(self) -> bool:
        """Say whether a server answers and calls itself ready; never raises."""
        if self._closed:
            return False
        request = service_pb2.ServerReadyRequest()
        try:
            answer = await self._uncancelled(self._connection().server_ready(request, timeout=_READY_SECONDS))
        except grpc.aio.AioRpcError as error:
            self._note(error)
            return False
        except JobError as error:
            self._obstacle = error.message
            return False
        waits = f"Triton at {self._settings.url} is not ready: see in its log which model it loads, or cannot load."
        self._obstacle = "" if answer.ready else waits
        return bool(answer.ready)

    def obstacle(self) -> str:
        """Return in a sentence why no server was ready when that was last asked; empty if one was."""
        return self._obstacle

    def _note(self, error: grpc.aio.AioRpcError) -> None:
        """Keep why the server does not answer.

        Of several addresses behind a name, gRPC tells the error of one, and of another one the next time. That nobody
        listens at one says less than what is wrong with the certificate of another.
        """
        now = self._clock.monotonic()
        if is_precise(error, self._settings):
            self._precise_until = now + _PRECISE_SECONDS
        elif now < self._precise_until:
            return
        self._obstacle = obstacle(error, self._settings)

    async def describe(self, model: str) -> ModelDescription | None:
        """Return a model's description, None if the server has no such model. Raises JobError INFERENCE_UNAVAILABLE."""
        try:
            return await self._description(model)
        except grpc.aio.AioRpcError as error:
            status, text = status_and_text(error)
            if status is grpc.StatusCode.NOT_FOUND and classify(status, text) is UNFIT:
                return None
            failure = job_error(error, settings=self._settings, model=model)
            raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, failure.message) from error

    async def _description(self, model: str) -> ModelDescription:
        """Ask for metadata and config of one version: behind one name, another server may answer the second question.

        With metadata of one model and config of another, texts would be spelled with the wrong dictionary.
        """
        connection, request = self._connection(), service_pb2.ModelMetadataRequest(name=model)
        mismatches = 0
        while True:
            if mismatches % 2 == 0:  # the second question is asked twice, to meet both of two servers that take turns
                metadata = await self._uncancelled(connection.model_metadata(request, timeout=_DESCRIBE_SECONDS))
            of_version = service_pb2.ModelConfigRequest(name=model, version=served_version(metadata))
            try:
                config = await self._uncancelled(connection.model_config(of_version, timeout=_DESCRIBE_SECONDS))
            except grpc.aio.AioRpcError as error:
                mismatches += 1
                if classify(*status_and_text(error)) is not CHANGED or mismatches == _MAX_MISMATCHES:
                    raise
            else:
                return description(metadata, config.config)

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Run one request within `timeout_seconds`, repetitions included, and never longer than the setting.

        Raises JobError MODELS_CHANGED where the server has other versions of the model than the one that may answer,
        else INFERENCE_REJECTED, INFERENCE_FAILED, INFERENCE_OVERLOADED or INFERENCE_UNAVAILABLE.
        """
        longest_seconds = min(timeout_seconds, self._settings.request_timeout_seconds)
        with self._tracer.infer(request) as trace_headers:
            return await self._infer(request, self._clock.monotonic() + longest_seconds, tuple(trace_headers.items()))

    async def _infer(
        self, request: InferenceRequest, deadline: float, metadata: Sequence[tuple[str, str]]
    ) -> Mapping[str, Tensor]:
        try:
            response = await self._send_until(request, deadline, metadata)
            if request.version and response.model_version != request.version:
                raise JobError(
                    ErrorCode.MODELS_CHANGED,
                    f"Triton at {self._settings.url} answered by version {response.model_version} of {request.model} "
                    f"instead of version {request.version}; the picture is read again with the models served now.",
                )
            return decode(response, request.outputs)
        except AnswerError as error:
            raise JobError(
                ErrorCode.INFERENCE_FAILED, f"Triton at {self._settings.url} answered for {request.model}, but {error}."
            ) from error

    async def close(self) -> None:
        """Close the connections; requests under way end as INFERENCE_UNAVAILABLE."""
        self._closed = True
        if self._open is not None:
            await self._open.channel.close()

    async def _send_until(self, request: InferenceRequest, deadline: float, metadata: Sequence[tuple[str, str]]) -> Any:  # noqa: ANN401 - protobuf's class is untyped
        failures: Counter[str] = Counter()
        while True:
            remaining_seconds = deadline - self._clock.monotonic()
            try:
                return await self._send(request, remaining_seconds * (1 if failures else _FIRST_SHARE), metadata)
            except grpc.aio.AioRpcError as error:
                status, text = status_and_text(error)
                reason = classify(status, text).reason
                failures[reason] += 1
                action = decide(status, text, failures[reason])
                is_shown = not request.hides_failures and action.fault.code is ErrorCode.INFERENCE_FAILED
                if isinstance(action, StopSending) or is_shown:
                    raise job_error(error, settings=self._settings, model=request.model) from error
                pause_seconds = full_jitter(action.longest_delay_seconds, self._chance)
                if self._clock.monotonic() + pause_seconds >= deadline:
                    raise job_error(error, settings=self._settings, model=request.model) from error
            self._events.emit(InferenceRetried(request.model, reason))
            await self._clock.sleep(pause_seconds)

    async def _send(
        self, request: InferenceRequest, timeout_seconds: float, metadata: Sequence[tuple[str, str]]
    ) -> Any:  # noqa: ANN401
        payload = encode(request, max(1, int(timeout_seconds * _QUEUE_SHARE * 1_000_000)))
        started, code, version = self._clock.monotonic(), grpc.StatusCode.CANCELLED, ""
        try:
            call = self._connection().model_infer(payload, timeout=timeout_seconds, metadata=metadata)
            answer = await self._uncancelled(call)
            response = parse(answer)
            code, version = grpc.StatusCode.OK, response.model_version
        except grpc.aio.AioRpcError as error:
            code = error.code()
            raise
        finally:
            duration_seconds = self._clock.monotonic() - started
            self._events.emit(InferenceFinished(request.model, version, code.name, duration_seconds))
        return response

    def _connection(self) -> _Connection:
        if self._closed:
            raise self._closed_error()
        if self._open is None:
            # Not in the constructor: a channel belongs to the loop that runs when it is opened.
            self._open = _Connection(connect(self._settings, self._credentials))
        return self._open

    async def _uncancelled(self, call: Awaitable[Any]) -> Any:  # noqa: ANN401
        """Await a call; `close` cancels those under way, which must not look as if their task were cancelled."""
        try:
            return await call
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise self._closed_error() from error
            raise

    def _closed_error(self) -> JobError:
        return JobError(
            ErrorCode.INFERENCE_UNAVAILABLE, f"This worker has closed its connection to Triton at {self._settings.url}."
        )
