"""Reads pictures with the models that Triton serves now.

Invariant: a text is returned only if the models that read it, from the first request to the last, are those that its
pipeline was made for. Three things ensure it. A build gives each model a version made from its content, and every
request names the version that must answer. The served models are compared with the pipeline's at a regular interval,
and when they may have changed; if they did, the pictures under way are read again. If a model's version says nothing of
its content, the models are compared once more before the text is returned.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter
from typing import Protocol

from worker.domain.errors import ErrorCode, JobError, ServerMismatchError
from worker.domain.image import ImageHeader
from worker.domain.model_set import DEFAULT_SET
from worker.domain.result import ModelUsed
from worker.pipeline.models import ModelSet, load_models
from worker.pipeline.pipeline import PictureReading, Pipeline
from worker.ports import InferenceBackend


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """A picture to read, the key that decides which models read it, and the time that an attempt has.

    `deadline_seconds` is the time until the job's own deadline, None where it has none.
    """

    key: bytes
    picture: bytes
    header: ImageHeader
    timeout_seconds: float
    request_id: str
    deadline_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ReadingSource:
    """Who reads a picture: the models, the name of their set, and the id of the rollout that runs, if one does.

    `identity` names all but the picture that decides how it reads; None where that cannot be named.
    """

    models_used: Mapping[str, ModelUsed]
    model_set: str
    identity: str | None = None
    rollout: str | None = None


@dataclass(frozen=True, slots=True)
class RoutedReading:
    """What a picture says, and who read it."""

    reading: PictureReading
    source: ReadingSource


class PictureReader(Protocol):
    """Reads pictures with the models of a server."""

    @property
    def models_used(self) -> Mapping[str, ModelUsed]:
        """The models in use; empty before the server was asked."""

    @property
    def model_set(self) -> str:
        """The set of the models in use."""

    def header(self, picture: bytes) -> ImageHeader:
        """Read the picture's header. Raises JobError."""

    def source(self, key: bytes) -> ReadingSource:
        """Return who would read a picture of this key now."""

    async def read(self, request: PictureRequest) -> RoutedReading:
        """Read a picture. Raises JobError."""


@dataclass(slots=True)
class _ServedModels:
    """A pipeline, the models that it was made for, and the timers that cancel its readings."""

    models: ModelSet
    pipeline: Pipeline
    identity: str | None = None
    readings: set[asyncio.Timeout] = field(default_factory=set)

    async def read(
        self, picture: bytes, header: ImageHeader, *, timeout_seconds: float, request_id: str
    ) -> PictureReading:
        """Read a picture. Raises JobError, MODELS_CHANGED where the reading was canceled."""
        cancel_scope = asyncio.timeout(None)
        self.readings.add(cancel_scope)
        try:
            async with cancel_scope:
                return await self.pipeline.process(
                    picture, header, timeout_seconds=timeout_seconds, request_id=request_id
                )
        except TimeoutError as error:
            if cancel_scope.expired():
                raise _models_changed() from error
            raise
        finally:
            self.readings.discard(cancel_scope)

    def cancel_readings(self) -> None:
        """Cancel all readings: their texts must not be published."""
        now = asyncio.get_running_loop().time()
        for picture in self.readings:
            picture.reschedule(now)


class ModelClient:
    """Keeps a pipeline for the models of a set that the server has now."""

    def __init__(
        self,
        backend: InferenceBackend,
        make_pipeline: Callable[[ModelSet], Pipeline],
        read_header: Callable[[bytes], ImageHeader],
        options_identity: str | None = None,
        model_set: str = DEFAULT_SET,
    ) -> None:
        self._backend = backend
        self.model_set = model_set
        self._make_pipeline = make_pipeline
        self._read_header = read_header
        self._options_identity = options_identity
        self._served: _ServedModels | None = None
        # Counted, because another one may come while the server is asked because of an earlier one.
        self._invalidations = 1
        self._invalidations_handled = 0
        # One question at a time: a late answer to an older one must not replace the answer to a newer one.
        self._lock = asyncio.Lock()

    @property
    def stale(self) -> bool:
        """Whether the server has to be asked for its models before the next picture."""
        return self._invalidations > self._invalidations_handled

    def invalidate(self) -> None:
        """Note that the models may have changed: ask Triton before the next picture and before a text is returned."""
        self._invalidations += 1

    def header(self, picture: bytes) -> ImageHeader:
        """Read the picture's header. Raises JobError."""
        return self._read_header(picture)

    async def refresh(self) -> None:
        """Ask the server for its models; if they changed, cancel all readings and make a pipeline for the new ones.

        Raises ServerMismatchError if they do not fit, JobError INFERENCE_UNAVAILABLE if the server does not answer.
        """
        async with self._lock:
            await self._load()

    def cancel_readings(self) -> None:
        """Cancel all readings, which end as MODELS_CHANGED: others read these pictures."""
        if self._served is not None:
            self._served.cancel_readings()

    async def _load(self) -> None:
        invalidations = self._invalidations
        models = await load_models(self._backend, self._served.models if self._served else None, self.model_set)
        if self._served is None or models != self._served.models:
            identity = _identity(models, self._options_identity)
            former, self._served = self._served, _ServedModels(models, self._make_pipeline(models), identity)
            if former is not None:
                former.cancel_readings()
        self._invalidations_handled = max(self._invalidations_handled, invalidations)

    async def process(
        self,
        picture: bytes,
        header: ImageHeader,
        *,
        timeout_seconds: float,
        request_id: str,
    ) -> PictureReading:
        """Read a picture. Raises JobError, MODELS_CHANGED where the server's models changed meanwhile."""
        served = await self._current()
        try:
            reading = await served.read(picture, header, timeout_seconds=timeout_seconds, request_id=request_id)
        except JobError as error:
            if error.code in {ErrorCode.INFERENCE_UNAVAILABLE, ErrorCode.MODELS_CHANGED}:
                self.invalidate()
            if error.code is ErrorCode.INFERENCE_REJECTED:
                self.invalidate()
                if await self._current() is not served:
                    raise _models_changed() from error
            raise
        if not served.models.identified:
            self.invalidate()
        if await self._current() is not served:
            raise _models_changed()
        return reading

    async def read(self, request: PictureRequest) -> RoutedReading:
        """Read a picture. Raises JobError, MODELS_CHANGED where the server's models changed meanwhile."""
        reading = await self.process(
            request.picture, request.header, timeout_seconds=request.timeout_seconds, request_id=request.request_id
        )
        return RoutedReading(reading, self.source(request.key))

    def source(self, _key: bytes) -> ReadingSource:
        """Return who would read a picture now, whatever its key."""
        return ReadingSource(self.models_used, self.model_set, self.identity)

    async def _current(self) -> _ServedModels:
        if self.stale:
            try:
                async with self._lock:
                    if self.stale:  # one answer serves all who waited for it
                        await self._load()
            except ServerMismatchError as error:
                raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, str(error)) from error
        if self._served is None:
            raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton was not asked for its models yet.")
        return self._served

    @property
    def identity(self) -> str | None:
        """What names all that decides how a picture reads now, as 64 hexadecimal digits.

        None where the models' versions say nothing of their content, where the options have no name, and while the
        server has to be asked for its models.
        """
        return None if self._served is None or self.stale else self._served.identity

    @property
    def models_used(self) -> Mapping[str, ModelUsed]:
        """The models, for the result; empty before the server was asked."""
        return self._served.models.used if self._served else {}


def _identity(models: ModelSet, options_identity: str | None) -> str | None:
    """Name the options, and the models by all that they say of themselves, which holds the digests of their content."""
    if options_identity is None or not models.identified:
        return None
    described = sorted(
        (asdict(replace(model, parameters=dict(model.parameters), capacity=None)) for model in models.descriptions),
        key=itemgetter("name"),
    )
    named = json.dumps([options_identity, described], sort_keys=True)
    return hashlib.sha256(named.encode()).hexdigest()


def _models_changed() -> JobError:
    message = "Triton's models changed while the picture was read; it is read again."
    return JobError(ErrorCode.MODELS_CHANGED, message)
