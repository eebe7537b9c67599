"""Protects Triton: a circuit for each model, an adaptive limit of requests in flight, and two lanes.

Invariants: an error that is the server's fault reaches the caller only when the request's working time is over. Working
time is paused while a circuit is open or the server is overloaded, so an outage costs no job an attempt. A request that
is canceled while it waits gives back whatever it held. Requests to models that can be done without are sent once, and
their failures hold up no other request.
"""

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

import numpy as np

from worker.domain.circuit import CircuitPolicy
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import InferenceRetried, InflightLimitChanged
from worker.domain.inflight import InflightLimit
from worker.ports import Clock, EventSink, InferenceBackend, InferenceRequest, ModelDescription, Tensor
from worker.runtime.admission import CURRENT_LANE, Lane
from worker.runtime.circuits import BlankRequest, Circuits
from worker.runtime.request_slots import LaneShares, RequestSlots
from worker.runtime.work_ahead import WorkAhead
from worker.runtime.working_time import WorkingTime
from worker.settings import TritonSettings

_RESEND_INITIAL_SECONDS: Final = 0.1
_RESEND_MAX_SECONDS: Final = 1.0
_SLOW_DOWN_INITIAL_SECONDS: Final = 0.25
_SLOW_DOWN_MAX_SECONDS: Final = 4.0
# The server counts as overloaded for this long after its last sign of overload.
_OVERLOAD_SECONDS: Final = 5.0
# While small requests wait or run, a large request is sent in chunks of this size: 2,560 columns of lines of 48 pixels,
# some 80 ms of a CPU core. A tile is one row and cannot be split.
_CHUNK_BYTES: Final = 2560 * 48 * 3
# Circuits close one after another: for so long after an outage one of them may still be open.
_RECOVERY_SECONDS: Final = 10.0
_SERVER_FAULTS: Final = frozenset(
    {ErrorCode.INFERENCE_UNAVAILABLE, ErrorCode.INFERENCE_FAILED, ErrorCode.INFERENCE_OVERLOADED}
)


_Send = Callable[[InferenceRequest], Awaitable[Mapping[str, Tensor]]]


class OpenListener(Protocol):
    """Called when a circuit opens, and when all circuits are closed again."""

    def __call__(self, *, is_open: bool) -> None:
        """Learn whether any circuit is open."""


class PauseListener(Protocol):
    """Called when the working time is paused and when it resumes."""

    def __call__(self, *, paused: bool) -> None:
        """Learn whether the working time is paused."""


class TritonGuard:
    """An `InferenceBackend` before another one.

    `working_time` is a clock that is paused while the server is away or overloaded. Budgets are measured with it.
    """

    def __init__(
        self,
        backend: InferenceBackend,
        settings: TritonSettings,
        clock: Clock,
        event_sink: EventSink,
        *,
        chance: random.Random | None = None,
        shares: LaneShares = LaneShares(),  # noqa: B008 - frozen
        work: WorkAhead | None = None,
    ) -> None:
        self._backend = backend
        self._work = work or WorkAhead(1)
        self._clock = clock
        self._events = event_sink
        # Seeded from the process's random numbers, so that a simulation that seeds those can be repeated exactly.
        self._chance = chance or random.Random(random.getrandbits(64))  # noqa: S311 - jitter is no secret
        self.working_time = WorkingTime(clock)
        self._limit = InflightLimit(settings.max_inflight_requests)
        self._slots = RequestSlots(self._limit, clock, shares)
        policy = CircuitPolicy(
            failures=settings.circuit_failures,
            cooldown_seconds=settings.circuit_cooldown_seconds,
            max_cooldown_seconds=settings.circuit_max_cooldown_seconds,
        )
        self._circuits = Circuits(backend, policy, clock, event_sink, self._chance, self._circuits_changed)
        self._open_listeners: list[OpenListener] = []
        self._pause_listeners: list[PauseListener] = []
        self._was_open = self._paused = False
        self._backoff_until = float("-inf")
        self._overloads = 0
        self._overloaded_at: float | None = None
        self._troubles = 0
        self._times_forgotten = 0
        self._closed_at = float("-inf")
        self._announced_limit: int | None = None
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether the circuit of any model is open, so that no new work should be begun."""
        return self._circuits.is_open

    @property
    def is_recovering(self) -> bool:
        """Whether a circuit is open, or was a moment ago: models that can be done without may be back later."""
        return self.is_open or self._clock.monotonic() - self._closed_at < _RECOVERY_SECONDS

    @property
    def limit(self) -> int:
        """How many requests may be under way now."""
        return self._limit.limit

    @property
    def troubles(self) -> int:
        """How often the server failed a request to a model that cannot be done without."""
        return self._troubles

    def optional_models(self) -> "OptionalModels":
        """Return the server for requests to models that can be done without."""
        return OptionalModels(self, self._times_forgotten)

    def forget_optional_models(self) -> None:
        """Forget the circuits of such models: nobody uses them any more, and those who still do change none."""
        self._times_forgotten += 1
        self._circuits.forget_optional()

    def forget_models(self) -> None:
        """Forget all circuits: other models are in use now, and one that fails is found again."""
        self._times_forgotten += 1
        self._circuits.forget_all()

    def on_open(self, listener: OpenListener) -> None:
        """Have `listener(is_open=…)` called whenever `is_open` changes."""
        self._open_listeners.append(listener)

    def on_pause(self, listener: PauseListener) -> None:
        """Have `listener(paused=…)` called when the working time is paused, and when it resumes."""
        self._pause_listeners.append(listener)

    def probe_now(self) -> None:
        """Probe now instead of waiting for the cooldown: there is a sign that the server is back."""
        self._circuits.probe_now()

    async def ready(self) -> bool:
        """Say whether the server answers and calls itself ready; never raises."""
        return await self._backend.ready()

    async def describe(self, model: str) -> ModelDescription | None:
        """Return a model's description, None if the server has no such model. Raises JobError INFERENCE_UNAVAILABLE."""
        description = await self._backend.describe(model)
        self._work.described(model, description)
        return description

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Run one request, which has `timeout_seconds` of working time.

        Raises JobError MODELS_CHANGED, INFERENCE_REJECTED, INFERENCE_FAILED, INFERENCE_OVERLOADED or
        INFERENCE_UNAVAILABLE.
        """
        deadline = self.working_time.monotonic() + timeout_seconds
        lane = CURRENT_LANE.get()
        with self._work.asking():
            return await self._in_chunks(request, lane, partial(self._answer, lane=lane, deadline=deadline))

    async def infer_once(
        self, request: InferenceRequest, *, timeout_seconds: float, times_forgotten: int
    ) -> Mapping[str, Tensor]:
        """Run one request to a model that can be done without: it waits for no circuit and is sent once.

        `times_forgotten` says how often such models had been forgotten when this one came into use.

        Raises JobError as `infer`, INFERENCE_UNAVAILABLE while the model's circuit is open or where time is over.
        """
        lane = CURRENT_LANE.get()
        deadline = self._clock.monotonic() + timeout_seconds
        send = partial(self._answer_once, lane=lane, deadline=deadline, times_forgotten=times_forgotten)
        with self._work.asking():
            return await self._in_chunks(request, lane, send)

    async def close(self) -> None:
        """Close the server's connections; requests that wait end as INFERENCE_UNAVAILABLE."""
        self._closed = True
        await self._backend.close()
        await self._circuits.close()

    async def _in_chunks(self, request: InferenceRequest, lane: Lane, send: _Send) -> Mapping[str, Tensor]:
        answers = [await send(chunk) for chunk in self._chunks(request, lane)]
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in request.outputs}

    def _chunks(self, request: InferenceRequest, lane: Lane) -> Iterator[InferenceRequest]:
        """Yield the request in chunks; whether small requests wait is asked again before each of them is cut."""
        rows = len(next(iter(request.inputs.values())))
        row_bytes = sum(tensor.nbytes for tensor in request.inputs.values()) // max(1, rows)
        start = 0
        while start < rows:
            stop = rows
            if lane is not Lane.SMALL and self._slots.has_small_requests:
                stop = min(stop, start + max(1, _CHUNK_BYTES // max(1, row_bytes)))
            rows_of_chunk = {name: tensor[start:stop] for name, tensor in request.inputs.items()}
            yield request if stop - start == rows else replace(request, inputs=rows_of_chunk)
            start = stop

    async def _answer(self, request: InferenceRequest, lane: Lane, deadline: float) -> Mapping[str, Tensor]:
        """Send a request until it is answered or its `deadline`, in working time, is over."""
        failures = 0
        while True:
            await self._wait_until_sendable(request.model)
            try:
                async with self._slots.slot(lane):
                    if not self._is_sendable(request.model):
                        continue  # a circuit opened while this request waited for its slot
                    return await self._ask(request, deadline)
            except JobError as error:
                pause_seconds = self._pause_after(request.model, error, failures)
                left_seconds = deadline - self.working_time.monotonic()
                if pause_seconds is None or left_seconds <= pause_seconds:
                    raise
                reason = str(error.code).removeprefix("INFERENCE_").lower()
                self._events.emit(InferenceRetried(request.model, reason))
            failures += 1
            await self._clock.sleep(pause_seconds)

    async def _answer_once(
        self, request: InferenceRequest, lane: Lane, deadline: float, times_forgotten: int
    ) -> Mapping[str, Tensor]:
        if not self._circuits.allows(request.model):
            message = f"{request.model} fails; it is tried again in the background."
            raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, message)
        async with self._slots.slot(lane):
            left_seconds = deadline - self._clock.monotonic()
            if left_seconds <= 0:
                message = f"No slot for a request to {request.model} was free in time."
                raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, message)
            blank = partial(BlankRequest.like, request)
            sent_at = self._clock.monotonic()
            try:
                shown = replace(request, hides_failures=False)
                answer = await self._backend.infer(shown, timeout_seconds=left_seconds)
            except JobError as error:
                # By now the model may be in use, or nobody's.
                if error.code in _SERVER_FAULTS and times_forgotten == self._times_forgotten:
                    self._circuits.failed(request.model, blank, optional=True)
                raise
            if times_forgotten == self._times_forgotten:
                self._circuits.succeeded(request.model, blank, optional=True)
            self._work.answered(request, self._clock.monotonic() - sent_at)
            return answer

    def _is_sendable(self, model: str) -> bool:
        return self._circuits.allows(model) and self._clock.monotonic() >= self._backoff_until

    async def _wait_until_sendable(self, model: str) -> None:
        while not self._is_sendable(model):
            await self._circuits.wait_until_allowed(model)
            left_seconds = self._backoff_until - self._clock.monotonic()
            if left_seconds > 0:
                await self._clock.sleep(left_seconds)

    def _pause_after(self, model: str, error: JobError, failures: int) -> float | None:
        """Return the seconds after which a request is sent again, None if it is not."""
        if self._closed:
            return None
        if error.code is ErrorCode.INFERENCE_OVERLOADED:
            return 0.0  # all requests pause
        allowed = self._circuits.allows(model)
        if error.code is ErrorCode.INFERENCE_FAILED:
            # With the circuit open it is the server that fails and not this picture.
            return None if allowed else 0.0
        if error.code is not ErrorCode.INFERENCE_UNAVAILABLE:
            return None
        longest = min(_RESEND_MAX_SECONDS, _RESEND_INITIAL_SECONDS * 2.0 ** min(failures, 16))
        return self._jittered(longest) if allowed else 0.0

    async def _ask(self, request: InferenceRequest, deadline: float) -> Mapping[str, Tensor]:
        left_seconds = deadline - self.working_time.monotonic()
        if left_seconds <= 0:
            raise JobError(
                ErrorCode.INFERENCE_OVERLOADED,
                f"No slot for a request to {request.model} was free in time, of {self._limit.limit} in flight at once; "
                "give Triton more capacity, or raise LABELWIRE_RUNTIME__ATTEMPT_SECONDS.",
            )
        sent_at = self._clock.monotonic()
        try:
            answer = await self._backend.infer(request, timeout_seconds=left_seconds)
        except JobError as error:
            self._note_failure(request, error, sent_at)
            raise
        self._note_success(request, sent_at)
        return answer

    def _note_success(self, request: InferenceRequest, sent_at: float) -> None:
        self._overloads = 0
        self._limit.succeeded(sent_at)
        self._work.answered(request, self._clock.monotonic() - sent_at)
        self._announce_limit()
        self._circuits.succeeded(request.model, partial(BlankRequest.like, request))
        if self._overloaded_at is not None and self._clock.monotonic() - self._overloaded_at >= _OVERLOAD_SECONDS:
            self._overloaded_at = None
            self._update_working_time()

    def _note_failure(self, request: InferenceRequest, error: JobError, sent_at: float) -> None:
        blank = partial(BlankRequest.like, request)
        self._troubles += error.code in _SERVER_FAULTS
        if error.code is ErrorCode.INFERENCE_OVERLOADED:
            was_at_floor = self._limit.at_floor
            if self._slow_down(sent_at) and was_at_floor:
                self._circuits.failed(request.model, blank)  # nothing is left to slow down
        elif error.code in {ErrorCode.INFERENCE_UNAVAILABLE, ErrorCode.INFERENCE_FAILED}:
            self._circuits.failed(request.model, blank)
        else:
            self._circuits.succeeded(request.model, blank)  # a refusal is an answer

    def _slow_down(self, sent_at: float) -> bool:
        now = self._clock.monotonic()
        if not self._limit.overloaded(sent_at, now):
            return False
        self._announce_limit()
        longest = min(_SLOW_DOWN_MAX_SECONDS, _SLOW_DOWN_INITIAL_SECONDS * 2.0 ** min(self._overloads, 16))
        self._overloads += 1
        self._backoff_until = now + self._jittered(longest)
        self._overloaded_at = now
        self._update_working_time()
        return True

    def _announce_limit(self) -> None:
        if self._limit.limit != self._announced_limit:
            self._announced_limit = self._limit.limit
            self._events.emit(InflightLimitChanged(self._limit.limit))

    def _jittered(self, longest_seconds: float) -> float:
        return longest_seconds * (0.5 + self._chance.random() / 2)

    def _circuits_changed(self) -> None:
        self._update_working_time()
        is_open = self._circuits.is_open
        if is_open is not self._was_open:
            self._was_open = is_open
            if not is_open:
                self._closed_at = self._clock.monotonic()
            for listener in self._open_listeners:
                listener(is_open=is_open)

    def _update_working_time(self) -> None:
        paused = self._circuits.is_open or self._overloaded_at is not None
        if paused is self._paused:
            return
        self._paused = paused
        if paused:
            self.working_time.pause()
        else:
            self.working_time.resume()
        for listener in self._pause_listeners:
            listener(paused=paused)


class OptionalModels:
    """The `InferenceBackend` of models that can be done without, as a rollout's candidate."""

    def __init__(self, guard: TritonGuard, times_forgotten: int) -> None:
        self._guard = guard
        self._times_forgotten = times_forgotten

    async def ready(self) -> bool:
        """Say whether the server answers and calls itself ready; never raises."""
        return await self._guard.ready()

    async def describe(self, model: str) -> ModelDescription | None:
        """Return a model's description, None if the server has no such model. Raises JobError INFERENCE_UNAVAILABLE."""
        return await self._guard.describe(model)

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Run one request, once. Raises JobError."""
        return await self._guard.infer_once(
            request, timeout_seconds=timeout_seconds, times_forgotten=self._times_forgotten
        )

    async def close(self) -> None:
        """Do nothing: the server is the guard's to close."""
