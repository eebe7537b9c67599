"""Reads pictures with the models that Triton serves now.

Invariant: a text is returned only if the models that read it, from the first request to the last, are those that its
pipeline was made for. Three things hold it. A build numbers each model by its content, and every request names the
number that must answer. The server's models are compared with the pipeline's at a regular interval, and whenever there
is a sign that they may have changed; where they have, the pictures under way are given up and read again. And where a
model's number says nothing of its content, they are compared once more before the text is returned.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from worker.domain.errors import ErrorCode, JobError, ServerMismatchError
from worker.domain.image import ImageHeader
from worker.domain.result import ModelUsed
from worker.pipeline.models import ModelSet, load_models
from worker.pipeline.pipeline import PictureReading, Pipeline
from worker.ports import InferenceBackend


@dataclass(slots=True)
class _Serving:
    """A pipeline, the models that it was made for, and the pictures that it reads."""

    models: ModelSet
    pipeline: Pipeline
    reading: set[asyncio.Timeout] = field(default_factory=set)

    async def read(
        self, picture: bytes, header: ImageHeader, *, timeout_seconds: float, request_id: str
    ) -> PictureReading:
        """Read a picture. Raises JobError, MODELS_CHANGED where it was given up."""
        until_given_up = asyncio.timeout(None)
        self.reading.add(until_given_up)
        try:
            async with until_given_up:
                return await self.pipeline.process(
                    picture, header, timeout_seconds=timeout_seconds, request_id=request_id
                )
        except TimeoutError as error:
            if until_given_up.expired():
                raise _models_changed() from error
            raise
        finally:
            self.reading.discard(until_given_up)

    def give_up(self) -> None:
        """End what is being read: nothing of it may be published."""
        now = asyncio.get_running_loop().time()
        for picture in self.reading:
            picture.reschedule(now)


class ModelClient:
    """Follows the server's models."""

    def __init__(
        self,
        backend: InferenceBackend,
        make_pipeline: Callable[[ModelSet], Pipeline],
        read_header: Callable[[bytes], ImageHeader],
    ) -> None:
        self._backend = backend
        self._make_pipeline = make_pipeline
        self._read_header = read_header
        self._serving: _Serving | None = None
        # Counted, because there may be another sign while the server is asked because of an earlier one.
        self._signs_of_change = 1
        self._signs_answered = 0
        # Else an answer that was long on its way could be taken for newer than one that was asked for later.
        self._one_at_a_time = asyncio.Lock()

    @property
    def stale(self) -> bool:
        """Whether the server has to be asked for its models before the next picture."""
        return self._signs_of_change > self._signs_answered

    def invalidate(self) -> None:
        """Have the server asked for its models before the next picture, and before any text is returned."""
        self._signs_of_change += 1

    def header(self, picture: bytes) -> ImageHeader:
        """Read what the picture claims to be. Raises JobError."""
        return self._read_header(picture)

    async def refresh(self) -> None:
        """Ask the server for its models; if they changed, give up what is being read and make a pipeline for them.

        Raises ServerMismatchError if they do not fit, JobError INFERENCE_UNAVAILABLE if the server does not answer.
        """
        async with self._one_at_a_time:
            await self._ask()

    async def _ask(self) -> None:
        signs = self._signs_of_change
        models = await load_models(self._backend, self._serving.models if self._serving else None)
        if self._serving is None or models != self._serving.models:
            former, self._serving = self._serving, _Serving(models, self._make_pipeline(models))
            if former is not None:
                former.give_up()
        self._signs_answered = max(self._signs_answered, signs)

    async def process(
        self,
        picture: bytes,
        header: ImageHeader,
        *,
        timeout_seconds: float,
        request_id: str,
    ) -> PictureReading:
        """Read a picture. Raises JobError, MODELS_CHANGED where the server's models changed meanwhile."""
        serving = await self._current()
        try:
            reading = await serving.read(picture, header, timeout_seconds=timeout_seconds, request_id=request_id)
        except JobError as error:
            if error.code in {ErrorCode.INFERENCE_UNAVAILABLE, ErrorCode.MODELS_CHANGED}:
                self.invalidate()
            if error.code is ErrorCode.INFERENCE_REJECTED:
                self.invalidate()
                if await self._current() is not serving:
                    raise _models_changed() from error
            raise
        if not serving.models.identified:
            self.invalidate()
        if await self._current() is not serving:
            raise _models_changed()
        return reading

    async def _current(self) -> _Serving:
        if self.stale:
            try:
                async with self._one_at_a_time:
                    if self.stale:  # one answer serves all who waited for it
                        await self._ask()
            except ServerMismatchError as error:
                raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, str(error)) from error
        if self._serving is None:
            raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton was not asked for its models yet.")
        return self._serving

    @property
    def models_used(self) -> Mapping[str, ModelUsed]:
        """The models, for the result; empty before the server was asked."""
        return self._serving.models.used if self._serving else {}


def _models_changed() -> JobError:
    message = "Triton's models changed while the picture was read; it is read again."
    return JobError(ErrorCode.MODELS_CHANGED, message)
