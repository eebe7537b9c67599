"""A server of models without models: it reads a block font, and fails when a test wants it to.

Invariant: it has the same names, types, limits and manifests as a real one, so a worker cannot tell it apart by asking.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from worker.domain.errors import ErrorCode, JobError
from worker.domain.manifest import (
    DetectionThresholds,
    ModelManifest,
    ModelRole,
    TileShapes,
    dictionary_digest,
)
from worker.domain.model_set import DEFAULT_SET, served_name
from worker.ports import Clock, InferenceRequest, ModelDescription, Tensor, TensorSpec
from worker.testing.block_font import DICTIONARY, STRIDE_PIXELS, find_blocks, is_upside_down, read_blocks

LINE_HEIGHT_PIXELS: Final = 48
DEFAULT_BUCKETS: Final = (96, 192, 320, 640, 1280)
_DTYPES: Final = {"UINT8": np.uint8, "INT32": np.int32, "FP32": np.float32}
_NO_DIGEST: Final = "0" * 64
_LINE: Final = TensorSpec("line", "UINT8", (LINE_HEIGHT_PIXELS, -1, 3))
_UPSIDE_DOWN: Final = TensorSpec("upside_down", "FP32", (1,))
Distortion = Callable[[ModelRole, dict[str, Tensor]], dict[str, Tensor]]
"""Changes the answer of a model of a role, or raises JobError."""
_STEPS: Final = (TensorSpec("token", "INT32", (-1, 1)), TensorSpec("confidence", "FP32", (-1, 1)))


@dataclass(frozen=True, slots=True)
class InferenceCall:
    """A request that the fake was sent; `shapes` are those of its inputs, by name."""

    model: str
    shapes: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    timeout_seconds: float
    request_id: str


class FakeBackend:
    """An `InferenceBackend` that reads a block font.

    `models` is what it serves, and may be changed. `calls` lists the requests. While `broken` holds an error every
    request and description raises it, and the server is not ready; `fail` scripts the next requests one by one. With a
    clock, each request takes `latency_seconds`, and that of a model set of `set_latency_seconds` so much more.
    `distort` changes the answers of a model set, or raises.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        latency_seconds: float = 0.0,
        max_batch_size: int = 8,
        buckets: Sequence[int] = DEFAULT_BUCKETS,
        reads_by_ensemble: bool = False,
    ) -> None:
        self.models: dict[str, ModelDescription] = fake_models(
            max_batch_size, buckets, reads_by_ensemble=reads_by_ensemble
        )
        self.calls: list[InferenceCall] = []
        self.broken: JobError | None = None
        self.latency_seconds = latency_seconds
        self.set_latency_seconds: dict[str, float] = {}
        self.distort: dict[str, Distortion] = {}
        self.closed = False
        self._clock = clock
        self._script: deque[JobError | None] = deque()

    def fail(self, *errors: JobError | None) -> None:
        """Let the next requests raise these, in order; None lets one through."""
        self._script.extend(errors)

    def lines_sent(self, role: ModelRole) -> list[int]:
        """Return how many items each request to the models of a role held."""
        return [
            next(iter(call.shapes.values()))[0]
            for call in self.calls
            if call.model == role.value or call.model.startswith(f"{role.value}_w")
        ]

    async def ready(self) -> bool:
        """Say whether nothing is broken."""
        return self.broken is None and not self.closed

    async def describe(self, model: str) -> ModelDescription | None:
        """Return what is in `models`. Raises `broken`."""
        if self.broken is not None:
            raise self.broken
        return self.models.get(model)

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Read the block font, or raise what the script or `broken` says."""
        shapes = {name: tensor.shape for name, tensor in request.inputs.items()}
        outputs = tuple(request.outputs)
        self.calls.append(InferenceCall(request.model, shapes, outputs, timeout_seconds, request.request_id))
        name, _, model_set = request.model.partition(".")
        seconds = self.latency_seconds + self.set_latency_seconds.get(model_set, 0.0)
        if self._clock is not None and seconds:
            await self._clock.sleep(seconds)
        if self.closed:
            raise _unavailable("The connection to Triton has been closed here")
        error = self.broken or (self._script.popleft() if self._script else None)
        if error is not None:
            raise error
        self._check(request.model, request.inputs, outputs)
        served = self.models[request.model].version
        if request.version not in {"", served}:
            raise JobError(
                ErrorCode.MODELS_CHANGED,
                f"Triton has version {served} of {request.model} and not {request.version}.",
            )
        role = ModelRole(name.partition("_w")[0])
        answer = _answer(role, request.inputs)
        if model_set in self.distort:
            answer = self.distort[model_set](role, answer)
        return {name: answer[name] for name in outputs}

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _check(self, model: str, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> None:
        """Refuse what the real server refuses."""
        description = self.models.get(model)
        if description is None:
            raise _unavailable(f"Triton knows no model {model}")
        unknown = set(outputs) - {spec.name for spec in description.outputs}
        if unknown:
            raise _rejected(f"{model} was asked for the outputs {sorted(unknown)}")
        if {spec.name for spec in description.inputs} != set(inputs):
            raise _rejected(f"{model} was given the inputs {sorted(inputs)}")
        wrong = [spec.name for spec in description.inputs if _DTYPES[spec.datatype] != inputs[spec.name].dtype]
        if wrong:
            raise _rejected(f"{model} was given the inputs {wrong} in another type")
        if model.startswith(ModelRole.READER) and {spec.name for spec in description.outputs} != set(outputs):
            raise _rejected(f"{model}: unexpected deadlock, at least one output is not set")
        batch = next(iter(inputs.values())).shape[0]
        if not 1 <= batch <= description.max_batch_size:
            raise _rejected(f"{model} was sent a batch of {batch}, its limit is {description.max_batch_size}")


def fake_models(
    max_batch_size: int = 8,
    buckets: Sequence[int] = DEFAULT_BUCKETS,
    *,
    reads_by_ensemble: bool = False,
    model_set: str = DEFAULT_SET,
) -> dict[str, ModelDescription]:
    """Return descriptions of all models that a worker needs, each bucket a model of its own, by the names of a set."""
    image = TensorSpec("image", "UINT8", (-1, -1, 3))
    probability = TensorSpec("probability", "UINT8", (-1, -1))
    detector = _manifest(ModelRole.DETECTOR, max_batch_size, buckets)
    orientation = _manifest(ModelRole.ORIENTATION, max_batch_size, buckets)
    models = [
        _description(detector, "text_detector", (image,), (probability,)),
        _description(orientation, "line_orientation", (_LINE,), (_UPSIDE_DOWN,)),
    ]
    recognizer = _manifest(ModelRole.RECOGNIZER, max_batch_size, buckets)
    if reads_by_ensemble:
        recognizer = recognizer.model_copy(update={"reading": "ensemble"})
    reader = _manifest(ModelRole.READER, max_batch_size, buckets)
    for width in buckets:
        name = _bucket_models(ModelRole.RECOGNIZER, buckets)[width]
        models.append(_description(recognizer, name, (_LINE, _UPSIDE_DOWN), _STEPS))
        name = _bucket_models(ModelRole.READER, buckets)[width]
        models.append(_description(reader, name, (_LINE,), (*_STEPS, _UPSIDE_DOWN)))
    if model_set:
        models = [_named(model, model_set) for model in models]
    return {model.name: model for model in models}


def _named(model: ModelDescription, model_set: str) -> ModelDescription:
    """Return a model as one of a set: it has another name, and so have the models of its buckets."""
    manifest = ModelManifest.model_validate_json(model.parameters["manifest"])
    if manifest.buckets:
        buckets = {width: served_name(name, model_set) for width, name in manifest.buckets.items()}
        manifest = manifest.model_copy(update={"buckets": buckets})
    manifest = manifest.model_copy(update={"version": manifest.number})
    parameters = {**model.parameters, "manifest": manifest.to_json()}
    name = served_name(model.name, model_set)
    return replace(model, name=name, version=manifest.number, parameters=parameters)


def _manifest(role: ModelRole, max_batch_size: int, buckets: Sequence[int]) -> ModelManifest:
    reads = role in {ModelRole.RECOGNIZER, ModelRole.READER}
    return ModelManifest(
        role=role,
        source="block font",
        license="Apache-2.0",
        source_sha256=_NO_DIGEST,
        precision="fp32",
        device="cpu",
        max_batch_size=max_batch_size,
        tile_shapes=TileShapes() if role is ModelRole.DETECTOR else None,
        # Blocks are found exactly, so they need not grow.
        detection=DetectionThresholds(unclip_ratio=0, dilate=False) if role is ModelRole.DETECTOR else None,
        line_height=None if role is ModelRole.DETECTOR else LINE_HEIGHT_PIXELS,
        pad_value=None if role is ModelRole.DETECTOR else 255,
        stride=STRIDE_PIXELS if reads else None,
        buckets=_bucket_models(role, buckets) if reads else None,
        alternatives=1 if reads else None,
        dictionary_sha256=dictionary_digest(DICTIONARY) if reads else None,
        content_sha256=_NO_DIGEST,
    )


def _bucket_models(role: ModelRole, buckets: Sequence[int]) -> dict[int, str]:
    widest = max(buckets)
    return {width: role.value if width == widest else f"{role.value}_w{width}" for width in buckets}


def _description(
    manifest: ModelManifest, name: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> ModelDescription:
    parameters = {"manifest": manifest.model_copy(update={"version": manifest.number}).to_json()}
    if manifest.role is ModelRole.RECOGNIZER:
        parameters["dictionary"] = json.dumps(DICTIONARY)
    return ModelDescription(name, manifest.number, manifest.max_batch_size, inputs, outputs, parameters)


def _answer(role: ModelRole, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    pixels = np.asarray(next(iter(inputs.values())), dtype=np.uint8)
    if role is ModelRole.DETECTOR:
        return {"probability": find_blocks(pixels)}
    upside_down = np.asarray(inputs.get("upside_down", is_upside_down(pixels)), dtype=np.float32)
    if role is ModelRole.ORIENTATION:
        return {"upside_down": upside_down}
    tokens, confidences = read_blocks(pixels, upside_down)
    return {"token": tokens, "confidence": confidences, "upside_down": upside_down}


def _rejected(message: str) -> JobError:
    return JobError(ErrorCode.INFERENCE_REJECTED, f"{message}.")


def _unavailable(message: str) -> JobError:
    return JobError(ErrorCode.INFERENCE_UNAVAILABLE, f"{message}.")
