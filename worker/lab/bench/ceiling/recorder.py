"""Records what the models answer for a set of pictures, as the worker's own pipeline asks them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker.adapters.clock import SystemClock
from worker.adapters.triton.client import TritonBackend
from worker.adapters.triton.recording import RowRecorder
from worker.domain.events import Event
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import load_models, with_line_widths
from worker.pipeline.options import ImageLimits, PipelineOptions
from worker.pipeline.pipeline import Pipeline
from worker.ports import InferenceBackend, InferenceRequest, ModelDescription, Tensor
from worker.settings import TritonSettings

_PICTURE_SECONDS = 300.0


class AnswerRecorder:
    """An `InferenceBackend` that passes requests on, and keeps the models and what each row was answered."""

    def __init__(self, inner: InferenceBackend) -> None:
        self._inner = inner
        self.models: dict[str, ModelDescription] = {}
        self.rows = RowRecorder()

    async def ready(self) -> bool:
        """Ask the inner backend."""
        return await self._inner.ready()

    async def describe(self, model: str) -> ModelDescription | None:
        """Ask the inner backend and keep the description."""
        description = await self._inner.describe(model)
        if description is not None:
            self.models[model] = description
        return description

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Pass the request on and keep its answer. Raises JobError, RecordingError."""
        answer = await self._inner.infer(request, timeout_seconds=timeout_seconds)
        self.rows.add(request, answer)
        return answer

    async def close(self) -> None:
        """Close the inner backend."""
        await self._inner.close()


async def record_answers(
    backend: InferenceBackend,
    pictures: Sequence[bytes],
    options: PipelineOptions,
    folder: Path,
    on_picture: Callable[[], None],
) -> int:
    """Read each picture once, write the recording, and return its rows. Raises JobError, RecordingError."""
    recorder, clock = AnswerRecorder(backend), SystemClock()
    models = with_line_widths(await load_models(recorder), options.line_widths)
    with ThreadPoolExecutor(1) as executor:
        pipeline = Pipeline(recorder, models, executor, clock, options)
        for number, picture in enumerate(pictures):
            header = read_header(picture, ImageLimits())
            await pipeline.process(picture, header, timeout_seconds=_PICTURE_SECONDS, request_id=str(number))
            on_picture()
    recorder.rows.write(folder, recorder.models.values())
    return recorder.rows.count


def record_from(
    url: str, pictures: Sequence[bytes], options: PipelineOptions, folder: Path, on_picture: Callable[[], None]
) -> int:
    """Record against the server at `url`, as `record_answers`."""

    async def work() -> int:
        backend = TritonBackend(TritonSettings(url=url), _SilentSink(), SystemClock())
        try:
            return await record_answers(backend, pictures, options, folder, on_picture)
        finally:
            await backend.close()

    return asyncio.run(work())


class _SilentSink:
    """Hears nothing: a recording has no logs and no metrics."""

    def emit(self, event: Event) -> None:
        """Drop the event."""
