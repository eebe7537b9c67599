"""The requests of one page, under one deadline."""

import asyncio
import contextlib
import copy
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from worker.domain.errors import ErrorCode, JobError
from worker.pipeline.models import ServedModel
from worker.ports import Clock, InferenceBackend, InferenceRequest, Tensor

_Result = TypeVar("_Result")


class PageRequests:
    """Sends the requests of one page; each gets the time that the page has left."""

    def __init__(self, backend: InferenceBackend, clock: Clock, *, timeout_seconds: float, request_id: str) -> None:
        self._backend = backend
        self._clock = clock
        self._deadline_seconds = clock.monotonic() + timeout_seconds
        self._request_id = request_id
        self._slots: asyncio.Semaphore | None = None

    def at_most(self, count: int) -> "PageRequests":
        """Return the same, with at most `count` of its own requests under way at once.

        A large page has hundreds: sent all at once they would outwait the server's queue, and fill memory meanwhile.
        """
        limited = copy.copy(self)
        limited._slots = asyncio.Semaphore(count)  # noqa: SLF001 - a copy of this
        return limited

    async def infer(
        self, model: ServedModel, inputs: Mapping[str, Tensor], outputs: Sequence[str]
    ) -> Mapping[str, Tensor]:
        """Run one request, which no other version of the model may answer.

        Raises JobError of the backend, or INFERENCE_FAILED if no time is left.
        """
        async with self._slots or contextlib.nullcontext():
            return await self._infer(model, inputs, outputs)

    async def _infer(
        self, model: ServedModel, inputs: Mapping[str, Tensor], outputs: Sequence[str]
    ) -> Mapping[str, Tensor]:
        left_seconds = self._deadline_seconds - self._clock.monotonic()
        if left_seconds <= 0:
            raise JobError(ErrorCode.INFERENCE_FAILED, f"The attempt's time was over before {model.name} was asked.")
        request = InferenceRequest(model.name, inputs, outputs, model.version, self._request_id)
        return await self._backend.infer(request, timeout_seconds=left_seconds)


async def gather_results(work: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """Await all at once and return their results in order; the first failure ends the others and is raised itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(piece) for piece in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]
