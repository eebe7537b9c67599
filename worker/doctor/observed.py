"""A backend that notes what it was asked, so that requests can be set beside what their server says of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.ports import Clock, InferenceBackend, InferenceRequest, ModelDescription, Tensor


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request that was answered: `items` of one `shape` each, from `start` to `end` in seconds of the clock."""

    model: str
    shape: tuple[int, ...]
    items: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long the client waited."""
        return self.end - self.start


class ObservedBackend:
    """An `InferenceBackend` that hands everything on to another one."""

    def __init__(self, backend: InferenceBackend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._sent: list[SentRequest] = []

    def take(self) -> list[SentRequest]:
        """Return what was answered since the last call, in the order of the answers."""
        taken, self._sent = self._sent, []
        return taken

    async def ready(self) -> bool:
        """Say whether the server answers and calls itself ready; never raises."""
        return await self._backend.ready()

    async def describe(self, model: str) -> ModelDescription | None:
        """Return a model's description, None if the server has no such model. Raises JobError INFERENCE_UNAVAILABLE."""
        return await self._backend.describe(model)

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Run one request. Raises what the other backend raises, and notes nothing then."""
        start = self._clock.monotonic()
        answer = await self._backend.infer(request, timeout_seconds=timeout_seconds)
        items, *shape = max((tensor.shape for tensor in request.inputs.values()), key=len)
        self._sent.append(SentRequest(request.model, tuple(shape), items, start, self._clock.monotonic()))
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._backend.close()


def seconds_under_way(requests: list[SentRequest]) -> float:
    """Return for how long at least one of the requests was under way."""
    total, until = 0.0, float("-inf")
    for request in sorted(requests, key=lambda one: one.start):
        total += max(0.0, request.end - max(request.start, until))
        until = max(until, request.end)
    return total
