"""The circuits of one server's models, and how they close again.

Invariants: while a circuit is not closed no job's request goes to its model; a task of this module asks the server
whether it is back, so that recovery needs no job that waits and costs no job an attempt; who waits is let through when
the circuit closes, or gets an error where the server has no such model any more.

A probe is a request with one blank row, of a shape that the model was sent before: a picture that breaks the server
cannot keep a circuit open, and cannot be broken by it.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from worker.domain.circuit import Circuit, CircuitPolicy, CircuitState
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import CircuitChanged
from worker.ports import Clock, EventSink, InferenceBackend, InferenceRequest

# How often a server that is away is asked whether it is ready: a small request, and a connection attempt at most.
_LOOK_SECONDS: Final = 0.2
_PROBE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class BlankRequest:
    """A request with one row of zeros in the shapes of another, to any version of its model."""

    model: str
    inputs: Mapping[str, tuple[tuple[int, ...], np.dtype[np.generic]]]
    outputs: tuple[str, ...]

    @classmethod
    def like(cls, request: InferenceRequest) -> "BlankRequest":
        """Return the blank twin of a request, without its tensors."""
        inputs = {name: ((1, *tensor.shape[1:]), tensor.dtype) for name, tensor in request.inputs.items()}
        return cls(request.model, inputs, tuple(request.outputs))

    def probe(self) -> InferenceRequest:
        """Return the request itself."""
        tensors = {name: np.zeros(shape, dtype) for name, (shape, dtype) in self.inputs.items()}
        return InferenceRequest(self.model, tensors, self.outputs, request_id="probe")


@dataclass(slots=True)
class _Guarded:
    """One model. `closed` is set while requests may pass; `gone` says that the server has it no more."""

    model: str
    circuit: Circuit
    blank: BlankRequest
    announced: CircuitState = CircuitState.CLOSED
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    gone: JobError | None = None


class Circuits:
    """One circuit a model. `changed` is called after every change of a state."""

    def __init__(
        self,
        backend: InferenceBackend,
        policy: CircuitPolicy,
        clock: Clock,
        event_sink: EventSink,
        chance: random.Random,
        changed: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._policy = policy
        self._clock = clock
        self._events = event_sink
        self._chance = chance
        self._changed = changed
        self._guarded: dict[str, _Guarded] = {}
        self._recovery: asyncio.Task[None] | None = None
        self._shut = False

    @property
    def is_open(self) -> bool:
        """Whether any circuit is not closed."""
        return any(not guarded.circuit.is_closed for guarded in self._guarded.values())

    def passes(self, model: str) -> bool:
        """Say whether a request to this model may be sent now."""
        guarded = self._guarded.get(model)
        return guarded is None or guarded.circuit.is_closed

    async def until_passes(self, model: str) -> None:
        """Wait until a request to this model may be sent. Raises JobError if the model is gone, or all is closed."""
        guarded = self._guarded.get(model)
        if guarded is None:
            return
        await guarded.closed.wait()
        if guarded.gone is not None:
            raise guarded.gone

    def succeeded(self, model: str, blank: Callable[[], BlankRequest]) -> None:
        """Note that a request was answered."""
        guarded = self._guarded.get(model) or self._begin(model, blank())
        guarded.circuit.succeeded()

    def failed(self, model: str, blank: Callable[[], BlankRequest]) -> None:
        """Note that a request failed for a reason that may be the server's."""
        guarded = self._guarded.get(model) or self._begin(model, blank())
        guarded.circuit.failed(self._clock.monotonic(), self._chance.random())
        self._announce(guarded)
        self._recover_if_needed()

    def probe_now(self) -> None:
        """End the cooldowns: there is a sign that the server is back."""
        for guarded in self._guarded.values():
            guarded.circuit.probe_now(self._clock.monotonic())

    async def close(self) -> None:
        """Stop probing, and let those who wait go on to a backend that is closed."""
        self._shut = True
        if (recovery := self._recovery) is not None:
            recovery.cancel()
            await asyncio.wait([recovery])
        for guarded in self._guarded.values():
            guarded.closed.set()
        self._guarded = {}

    def _begin(self, model: str, blank: BlankRequest) -> _Guarded:
        guarded = self._guarded[model] = _Guarded(model, Circuit(self._policy), blank)
        guarded.closed.set()
        return guarded

    def _announce(self, guarded: _Guarded) -> None:
        state = guarded.circuit.state
        if state is guarded.announced:
            return
        guarded.announced = state
        if guarded.circuit.is_closed:
            guarded.closed.set()
        else:
            guarded.closed.clear()
        self._events.emit(CircuitChanged(guarded.model, state))
        self._changed()

    # Recovery.

    def _recover_if_needed(self) -> None:
        if self.is_open and self._recovery is None and not self._shut:
            # The job that met the failure lends neither its lane nor its name in the logs.
            self._recovery = asyncio.create_task(self._recover(), context=contextvars.Context())
            self._recovery.add_done_callback(self._recovery_ended)

    async def _recover(self) -> None:
        was_ready = True
        while self.is_open:
            await self._clock.sleep(_LOOK_SECONDS)
            is_ready = await self._backend.ready()
            if is_ready and not was_ready:
                self.probe_now()
            was_ready = is_ready
            if is_ready:
                async with asyncio.TaskGroup() as probes:
                    for guarded in list(self._guarded.values()):
                        probes.create_task(self._probe(guarded))

    def _recovery_ended(self, task: asyncio.Task[None]) -> None:
        self._recovery = None
        if not task.cancelled() and (error := task.exception()) is not None:
            # A defect of ours must not leave a circuit open for ever.
            context = {"message": "The recovery of Triton's circuits failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
        self._recover_if_needed()

    async def _probe(self, guarded: _Guarded) -> None:
        circuit = guarded.circuit
        while circuit.begin_probe(self._clock.monotonic()):
            self._announce(guarded)
            try:
                await self._send_blank(guarded)
            except JobError as error:
                circuit.probe_failed(self._clock.monotonic(), self._chance.random())
                if await self._is_gone(guarded.model, error):
                    self._let_go(guarded, error)
                    return
            except BaseException:
                circuit.probe_given_up()
                raise
            else:
                circuit.probe_succeeded()
            self._announce(guarded)

    async def _send_blank(self, guarded: _Guarded) -> None:
        try:
            await self._backend.infer(guarded.blank.probe(), timeout_seconds=_PROBE_SECONDS)
        except JobError as error:
            # A refusal is an answer; the model takes other shapes now, and its circuit is not there to judge that.
            if error.code is not ErrorCode.INFERENCE_REJECTED:
                raise

    async def _is_gone(self, model: str, error: JobError) -> bool:
        if error.code is not ErrorCode.INFERENCE_UNAVAILABLE:
            return False
        try:
            return await self._backend.describe(model) is None
        except JobError:
            return False  # the server does not answer: nothing is known about its models

    def _let_go(self, guarded: _Guarded, error: JobError) -> None:
        """End the watch over a model that the server has no more."""
        del self._guarded[guarded.model]
        guarded.gone = error
        guarded.closed.set()
        self._events.emit(CircuitChanged(guarded.model, CircuitState.CLOSED))
        self._changed()
