"""The circuits of one server's models, and how they close again.

Invariants: while a circuit is not closed, no request of a job goes to its model. A task of this module probes the
server, so recovery needs no job and costs no job an attempt. Requests that wait pass when the circuit closes, or fail
when the server has no such model any more.

A probe is a request with one blank row, in shapes that the model was sent before. So a picture that crashes the server
cannot keep a circuit open.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from worker.domain.circuit import Circuit, CircuitPolicy, CircuitState
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import CircuitChanged
from worker.ports import Clock, EventSink, InferenceBackend, InferenceRequest

# How often a server that is away is asked whether it is ready: this costs a small request, or a connection attempt.
_READY_POLL_SECONDS: Final = 0.2
_PROBE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class BlankRequest:
    """A request with one row of zeros in the shapes of another, to any version of its model."""

    model: str
    inputs: Mapping[str, tuple[tuple[int, ...], np.dtype[np.generic]]]
    outputs: tuple[str, ...]

    @classmethod
    def like(cls, request: InferenceRequest) -> "BlankRequest":
        """Return a blank request in the shapes of this one."""
        inputs = {name: ((1, *tensor.shape[1:]), tensor.dtype) for name, tensor in request.inputs.items()}
        return cls(request.model, inputs, tuple(request.outputs))

    def probe(self) -> InferenceRequest:
        """Return the request with tensors of zeros."""
        tensors = {name: np.zeros(shape, dtype) for name, (shape, dtype) in self.inputs.items()}
        return InferenceRequest(self.model, tensors, self.outputs, request_id="probe")


@dataclass(slots=True)
class _ModelCircuit:
    """One model. `closed` is set while requests may pass; `missing` says that the server has it no more.

    An `optional` model can be done without: requests to it do not wait for its circuit, and no other work does.
    """

    model: str
    circuit: Circuit
    blank: BlankRequest
    announced: CircuitState = CircuitState.CLOSED
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    missing: JobError | None = None
    optional: bool = False


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
        self._models: dict[str, _ModelCircuit] = {}
        self._recovery: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether the circuit of any model is not closed that cannot be done without."""
        return any(not entry.circuit.is_closed for entry in self._models.values() if not entry.optional)

    def allows(self, model: str) -> bool:
        """Say whether a request to this model may be sent now."""
        entry = self._models.get(model)
        return entry is None or entry.circuit.is_closed

    async def wait_until_allowed(self, model: str) -> None:
        """Wait until a request to this model may be sent. Raises JobError if the model is missing, or all is closed."""
        entry = self._models.get(model)
        if entry is None:
            return
        await entry.closed.wait()
        if entry.missing is not None:
            raise entry.missing

    def succeeded(self, model: str, blank: Callable[[], BlankRequest], *, optional: bool = False) -> None:
        """Note that a request was answered."""
        self._entry(model, blank, optional=optional).circuit.succeeded()

    def failed(self, model: str, blank: Callable[[], BlankRequest], *, optional: bool = False) -> None:
        """Note that a request failed for a reason that may be the server's."""
        entry = self._entry(model, blank, optional=optional)
        entry.circuit.failed(self._clock.monotonic(), self._chance.random())
        self._announce(entry)
        self._recover_if_needed()

    def probe_now(self) -> None:
        """End the cooldowns: there is a sign that the server is back."""
        for entry in self._models.values():
            entry.circuit.probe_now(self._clock.monotonic())

    async def close(self) -> None:
        """Stop probing, and let waiting requests pass, to a backend that is closed."""
        self._closed = True
        if (recovery := self._recovery) is not None:
            recovery.cancel()
            await asyncio.wait([recovery])
        for entry in self._models.values():
            entry.closed.set()
        self._models = {}

    def forget_optional(self) -> None:
        """Forget the models that can be done without: nobody uses them any more."""
        self._forget([entry for entry in self._models.values() if entry.optional])

    def forget_all(self) -> None:
        """Forget all models: others are in use now. Requests that wait pass."""
        self._forget(list(self._models.values()))

    def _forget(self, entries: Sequence[_ModelCircuit]) -> None:
        for entry in entries:
            del self._models[entry.model]
            entry.closed.set()
            if entry.announced is not CircuitState.CLOSED:
                self._events.emit(CircuitChanged(entry.model, CircuitState.CLOSED))
        self._changed()

    def _entry(self, model: str, blank: Callable[[], BlankRequest], *, optional: bool) -> _ModelCircuit:
        entry = self._models.get(model) or self._track(model, blank())
        entry.optional = optional
        return entry

    def _track(self, model: str, blank: BlankRequest) -> _ModelCircuit:
        entry = self._models[model] = _ModelCircuit(model, Circuit(self._policy), blank)
        entry.closed.set()
        return entry

    def _announce(self, entry: _ModelCircuit) -> None:
        state = entry.circuit.state
        if state is entry.announced:
            return
        entry.announced = state
        if entry.circuit.is_closed:
            entry.closed.set()
        else:
            entry.closed.clear()
        self._events.emit(CircuitChanged(entry.model, state))
        self._changed()

    # Recovery.

    @property
    def _any_open(self) -> bool:
        return any(not entry.circuit.is_closed for entry in self._models.values())

    def _recover_if_needed(self) -> None:
        if self._any_open and self._recovery is None and not self._closed:
            # A context of its own: the task has neither the lane nor the log fields of the job whose request failed.
            self._recovery = asyncio.create_task(self._recover(), context=contextvars.Context())
            self._recovery.add_done_callback(self._recovery_ended)

    async def _recover(self) -> None:
        was_ready = True
        while self._any_open:
            await self._clock.sleep(_READY_POLL_SECONDS)
            is_ready = await self._backend.ready()
            if is_ready and not was_ready:
                self.probe_now()
            was_ready = is_ready
            if is_ready:
                async with asyncio.TaskGroup() as probes:
                    for entry in list(self._models.values()):
                        probes.create_task(self._probe(entry))

    def _recovery_ended(self, task: asyncio.Task[None]) -> None:
        self._recovery = None
        if not task.cancelled() and (error := task.exception()) is not None:
            # A defect in the recovery must not leave a circuit open for ever.
            context = {"message": "The recovery of Triton's circuits failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
        self._recover_if_needed()

    async def _probe(self, entry: _ModelCircuit) -> None:
        circuit = entry.circuit
        while self._is_tracked(entry) and circuit.begin_probe(self._clock.monotonic()):
            self._announce(entry)
            try:
                await self._send_blank(entry)
            except JobError as error:
                circuit.probe_failed(self._clock.monotonic(), self._chance.random())
                if await self._is_missing(entry.model, error) and self._is_tracked(entry):
                    self._drop_missing_model(entry, error)
                    return
            except BaseException:
                circuit.probe_given_up()
                raise
            else:
                circuit.probe_succeeded()
            if self._is_tracked(entry):
                self._announce(entry)

    def _is_tracked(self, entry: _ModelCircuit) -> bool:
        """Whether the entry is still that of its model: it may have been forgotten while a probe was under way."""
        return self._models.get(entry.model) is entry

    async def _send_blank(self, entry: _ModelCircuit) -> None:
        try:
            await self._backend.infer(entry.blank.probe(), timeout_seconds=_PROBE_SECONDS)
        except JobError as error:
            # A refusal is an answer: the model takes other shapes now, which is no reason to keep its circuit open.
            if error.code is not ErrorCode.INFERENCE_REJECTED:
                raise

    async def _is_missing(self, model: str, error: JobError) -> bool:
        if error.code is not ErrorCode.INFERENCE_UNAVAILABLE:
            return False
        try:
            return await self._backend.describe(model) is None
        except JobError:
            return False  # the server does not answer: nothing is known about its models

    def _drop_missing_model(self, entry: _ModelCircuit, error: JobError) -> None:
        """Forget a model that the server does not have any more, and fail the requests that wait for it."""
        del self._models[entry.model]
        entry.missing = error
        entry.closed.set()
        self._events.emit(CircuitChanged(entry.model, CircuitState.CLOSED))
        self._changed()
