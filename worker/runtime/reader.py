"""Reads pictures with the models that Triton serves now.

Invariant: after a doubt (Triton was away, or refused a request) the models are looked at again before the next picture
is read, so that no picture is read by a pipeline made for other models, and no job is condemned for them.
"""

from collections.abc import Callable, Mapping

from worker.domain.errors import ErrorCode, JobError, ServerMismatchError
from worker.domain.image import ImageHeader
from worker.domain.result import ModelUsed
from worker.pipeline.models import ModelSet, load_models
from worker.pipeline.pipeline import PictureReading, Pipeline
from worker.ports import InferenceBackend


class ModelReader:
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
        self._models: ModelSet | None = None
        self._pipeline: Pipeline | None = None
        # Counted, because a doubt may arise while the models are looked at for an earlier one.
        self._doubts = 1
        self._settled_doubts = 0

    @property
    def doubtful(self) -> bool:
        """Whether the models have to be looked at before the next picture."""
        return self._doubts > self._settled_doubts

    def doubt(self) -> None:
        """Have the models looked at before the next picture."""
        self._doubts += 1

    def header(self, picture: bytes) -> ImageHeader:
        """Read what the picture claims to be. Raises JobError."""
        return self._read_header(picture)

    async def look(self) -> None:
        """Look at the server's models, and make a pipeline for them if they changed.

        Raises ServerMismatchError if they do not fit, JobError INFERENCE_UNAVAILABLE if the server does not answer.
        """
        doubts = self._doubts
        models = await load_models(self._backend)
        if models != self._models:
            self._models, self._pipeline = models, self._make_pipeline(models)
        self._settled_doubts = max(self._settled_doubts, doubts)

    async def process(
        self,
        picture: bytes,
        header: ImageHeader,
        *,
        timeout_seconds: float,
        request_id: str,
    ) -> PictureReading:
        """Read a picture. Raises JobError."""
        pipeline = await self._trusted_pipeline()
        try:
            reading = await pipeline.process(picture, header, timeout_seconds=timeout_seconds, request_id=request_id)
        except JobError as error:
            if error.code is ErrorCode.INFERENCE_UNAVAILABLE:
                self.doubt()
            if error.code is ErrorCode.INFERENCE_REJECTED:
                await self._blame_changed_models(pipeline, error)
            raise
        # Requests wait out an outage, and the server may come back with another dictionary.
        if self.doubtful and await self._trusted_pipeline() is not pipeline:
            raise _models_changed()
        return reading

    async def _trusted_pipeline(self) -> Pipeline:
        if self.doubtful:
            try:
                await self.look()
            except ServerMismatchError as error:
                raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, str(error)) from error
        if self._pipeline is None:
            raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton's models were not looked at yet.")
        return self._pipeline

    async def _blame_changed_models(self, used: Pipeline, refusal: JobError) -> None:
        self.doubt()
        if await self._trusted_pipeline() is not used:
            raise _models_changed() from refusal

    @property
    def models_used(self) -> Mapping[str, ModelUsed]:
        """The models, for the result; empty before the first look."""
        return self._models.used if self._models else {}


def _models_changed() -> JobError:
    message = "Triton's models changed while the picture was read; it is read again."
    return JobError(ErrorCode.INFERENCE_UNAVAILABLE, message)
