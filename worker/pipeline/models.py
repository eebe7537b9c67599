"""The models of a server, as far as this worker understands them.

Invariant: nothing is guessed. Names, types, ranks and the dictionary's digest are compared with what each model says of
itself, and a server that differs is refused with one sentence that says how.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeVar

from pydantic import ValidationError

from worker.domain.errors import ServerMismatchError
from worker.domain.manifest import (
    MANIFEST_SCHEMA,
    DetectionThresholds,
    Device,
    ModelManifest,
    ModelRole,
    TileShapes,
    dictionary_digest,
)
from worker.domain.model_set import DEFAULT_SET, served_name
from worker.domain.result import ModelUsed
from worker.ports import InferenceBackend, ModelDescription, TensorSpec

IMAGE: Final = "image"
PROBABILITY: Final = "probability"
LINE: Final = "line"
UPSIDE_DOWN: Final = "upside_down"
TOKEN: Final = "token"  # noqa: S105 - a tensor's name
CONFIDENCE: Final = "confidence"

_Value = TypeVar("_Value")

_FREE: Final = -1
_REBUILD: Final = "build the repository anew with `labelwire models build`"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model by its name and version on the server, and how many items one request may hold."""

    name: str
    max_batch_size: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class LineShape:
    """What a recognizer takes.

    Lines are `height` pixels high and padded with the gray `pad_value` to one of `bucket_widths`, which ascend; there
    is one CTC step for every `stride` pixels.
    """

    height: int
    pad_value: int
    stride: int
    bucket_widths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelSet:
    """The models of one server that fit together.

    `recognizers` maps each bucket's width in pixels to its model, and `readers` to the ensemble that classifies and
    reads in one request; there are none unless the repository is to be read that way. `used` tells a result's reader
    what was at work, by role. Index 0 of `dictionary` is the CTC blank. `identified` says that each model's version was
    made from its content, so that an answer of that version can come from no other model. `devices` are those that the
    models were built for. `descriptions` are what all of this was made from.
    """

    detector: ServedModel
    tile_shapes: TileShapes
    thresholds: DetectionThresholds
    line: LineShape
    orientation: ServedModel
    recognizers: Mapping[int, ServedModel]
    readers: Mapping[int, ServedModel]
    dictionary: tuple[str, ...]
    used: Mapping[str, ModelUsed]
    identified: bool
    devices: frozenset[Device]
    descriptions: tuple[ModelDescription, ...]


@dataclass(frozen=True, slots=True)
class _Described:
    """A model whose manifest was read and whose role is right."""

    description: ModelDescription
    manifest: ModelManifest

    @property
    def served(self) -> ServedModel:
        return ServedModel(self.description.name, self.description.max_batch_size, self.description.version)

    @property
    def used(self) -> ModelUsed:
        return ModelUsed(
            version=self.description.version, digest=self.manifest.source_sha256, precision=self.manifest.precision
        )


async def load_models(
    backend: InferenceBackend, former: ModelSet | None = None, model_set: str = DEFAULT_SET
) -> ModelSet:
    """Ask the server for the models of a set and return those that a page needs; others may be absent.

    Where every model says of itself what it said when `former` was loaded, that is returned: manifests and dictionaries
    are parsed and checked only where they changed.

    Raises ServerMismatchError, with a sentence on what differs, if this worker cannot use them; JobError
    INFERENCE_UNAVAILABLE if the server does not answer.
    """
    if former is not None and await _unchanged(backend, former):
        return former
    detector = await _describe(backend, served_name(ModelRole.DETECTOR, model_set), ModelRole.DETECTOR)
    orientation = await _describe(backend, served_name(ModelRole.ORIENTATION, model_set), ModelRole.ORIENTATION)
    recognizers = await _describe_buckets(backend, ModelRole.RECOGNIZER, model_set)
    main = recognizers[max(recognizers)]
    by_ensemble = main.manifest.reading == "ensemble"
    readers = await _describe_buckets(backend, ModelRole.READER, model_set) if by_ensemble else {}
    if readers and readers.keys() != recognizers.keys():
        raise ServerMismatchError(
            f"{ModelRole.READER} takes lines of {', '.join(map(str, sorted(readers)))} pixels, but "
            f"{ModelRole.RECOGNIZER} of {', '.join(map(str, sorted(recognizers)))}: {_REBUILD}."
        )
    _check_lines_agree(main, [orientation, *recognizers.values(), *readers.values()])
    used = {part.manifest.role.value: part.used for part in (detector, orientation, main)}
    every = (detector, orientation, *recognizers.values(), *readers.values())
    return ModelSet(
        detector=detector.served,
        tile_shapes=_present(detector.manifest.tile_shapes),
        thresholds=_present(detector.manifest.detection),
        line=_line_shape(main.manifest, tuple(sorted(recognizers))),
        orientation=orientation.served,
        recognizers=MappingProxyType({width: model.served for width, model in recognizers.items()}),
        readers=MappingProxyType({width: model.served for width, model in readers.items()}),
        dictionary=_dictionary(main),
        used=MappingProxyType(used),
        identified=all(part.manifest.identifies(part.description.version) for part in every),
        devices=frozenset(part.manifest.device for part in every),
        descriptions=tuple({part.description.name: part.description for part in every}.values()),
    )


def with_line_widths(models: ModelSet, widths: Collection[int]) -> ModelSet:
    """Return the models, used with lines of these widths in pixels alone; all that they take if none are named.

    Raises ServerMismatchError for a width that the server's recognizer does not take.
    """
    foreign = sorted(set(widths) - set(models.line.bucket_widths))
    if foreign:
        raise ServerMismatchError(
            f"The server's recognizer takes no lines {foreign[0]} pixels wide, as the setting line_widths wants: name "
            f"some of {', '.join(map(str, models.line.bucket_widths))}."
        )
    chosen = tuple(width for width in models.line.bucket_widths if not widths or width in widths)
    return replace(models, line=replace(models.line, bucket_widths=chosen))


def check_device(models: ModelSet, device: Device) -> None:
    """Raise ServerMismatchError if a model was built for another device than the one that is to serve."""
    foreign = models.devices - {device}
    if foreign:
        raise ServerMismatchError(
            f"The server's models were built for a {', '.join(sorted(foreign))}, but LABELWIRE_TRITON__DEVICE says it "
            f"has a {device}: serve a repository of `labelwire models build --profile onnx --device {device}`."
        )


async def _unchanged(backend: InferenceBackend, former: ModelSet) -> bool:
    for description in former.descriptions:
        if await backend.describe(description.name) != description:
            return False
    return True


async def _describe(backend: InferenceBackend, name: str, role: ModelRole) -> _Described:
    description = await backend.describe(name)
    if description is None:
        raise ServerMismatchError(f"Triton has no model {name}: {_REBUILD}, and serve that.")
    described = _Described(description, _manifest(description))
    if described.manifest.role is not role:
        raise ServerMismatchError(f"The manifest of {name} says it is a {described.manifest.role}, not a {role}.")
    _check_signature(described)
    if description.max_batch_size < 1:
        raise ServerMismatchError(f"{name} does not batch (max_batch_size {description.max_batch_size}): {_REBUILD}.")
    return described


async def _describe_buckets(backend: InferenceBackend, role: ModelRole, model_set: str) -> dict[int, _Described]:
    main = await _describe(backend, served_name(role, model_set), role)
    buckets = main.manifest.buckets
    if not buckets or min(buckets) < 1:
        raise ServerMismatchError(f"The manifest of {role} names no line widths (buckets {buckets}): {_REBUILD}.")
    by_name = {main.description.name: main}
    for name in buckets.values():
        if name not in by_name:
            by_name[name] = await _describe(backend, name, role)
    return {width: by_name[name] for width, name in buckets.items()}


def _manifest(description: ModelDescription) -> ModelManifest:
    text = description.parameters.get("manifest")
    if text is None:
        raise ServerMismatchError(
            f"{description.name} has no parameter `manifest`, so it is no model of Labelwire's: {_REBUILD}."
        )
    try:
        return ModelManifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ServerMismatchError(
            f"The manifest of {description.name} is not one of {MANIFEST_SCHEMA} ({place}: {first['msg']}): "
            f"{_REBUILD}, or run the worker that fits it."
        ) from error


def _check_signature(model: _Described) -> None:
    height = model.manifest.line_height or _FREE
    alternatives = model.manifest.alternatives or _FREE
    line = TensorSpec(LINE, "UINT8", (height, _FREE, 3))
    upside_down = TensorSpec(UPSIDE_DOWN, "FP32", (1,))
    steps = (
        TensorSpec(TOKEN, "INT32", (_FREE, alternatives)),
        TensorSpec(CONFIDENCE, "FP32", (_FREE, alternatives)),
    )
    inputs, outputs = {
        ModelRole.DETECTOR: (
            (TensorSpec(IMAGE, "UINT8", (_FREE, _FREE, 3)),),
            (TensorSpec(PROBABILITY, "UINT8", (_FREE, _FREE)),),
        ),
        ModelRole.ORIENTATION: ((line,), (upside_down,)),
        ModelRole.RECOGNIZER: ((line, upside_down), steps),
        ModelRole.READER: ((line,), (*steps, upside_down)),
    }[model.manifest.role]
    _check_tensors(model.description.name, "input", inputs, model.description.inputs)
    _check_tensors(model.description.name, "output", outputs, model.description.outputs)


def _check_tensors(model: str, kind: str, expected: tuple[TensorSpec, ...], served: tuple[TensorSpec, ...]) -> None:
    by_name = {spec.name: spec for spec in served}
    wanted = [spec.name for spec in expected]
    if set(by_name) != set(wanted):
        raise ServerMismatchError(
            f"{model} has the {kind}s {_listed(by_name)} instead of {_listed(wanted)}: {_REBUILD}."
        )
    for spec in expected:
        found = by_name[spec.name]
        if found.datatype != spec.datatype or not _fits(found.shape, spec.shape):
            raise ServerMismatchError(
                f"The {kind} {spec.name} of {model} is {found.datatype} {list(found.shape)} instead of {spec.datatype} "
                f"{list(spec.shape)}, where -1 is any: {_REBUILD}."
            )


def _fits(served: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(served) == len(expected) and all(
        _FREE in (have, want) or have == want for have, want in zip(served, expected, strict=True)
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _check_lines_agree(main: _Described, others: list[_Described]) -> None:
    """All line models must see the same lines, and all recognizers must speak the same dictionary."""
    for other in others:
        for name in ("line_height", "pad_value", "stride", "alternatives", "dictionary_sha256"):
            have, want = getattr(other.manifest, name), getattr(main.manifest, name)
            if have not in (None, want):
                raise ServerMismatchError(
                    f"{other.description.name} has {name} {have}, but {main.description.name} has {want}: {_REBUILD}."
                )


def _line_shape(manifest: ModelManifest, widths: tuple[int, ...]) -> LineShape:
    return LineShape(_present(manifest.line_height), _present(manifest.pad_value), _present(manifest.stride), widths)


def _dictionary(recognizer: _Described) -> tuple[str, ...]:
    name, text = recognizer.description.name, recognizer.description.parameters.get("dictionary")
    if text is None:
        raise ServerMismatchError(f"{name} has no parameter `dictionary`: {_REBUILD}.")
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise ServerMismatchError(f"The dictionary of {name} is not JSON ({error}): {_REBUILD}.") from error
    if not isinstance(entries, list) or len(entries) < 2 or not all(isinstance(entry, str) for entry in entries):  # noqa: PLR2004 - the blank and one character
        raise ServerMismatchError(f"The dictionary of {name} is not an array of a blank and characters: {_REBUILD}.")
    if dictionary_digest(entries) != recognizer.manifest.dictionary_sha256:
        raise ServerMismatchError(
            f"The dictionary of {name} ({len(entries)} entries) has another digest than its manifest says: {_REBUILD}."
        )
    return tuple(entries)


def _present(value: _Value | None) -> _Value:
    if value is None:
        raise AssertionError("the manifest's own validation lets no such value be absent")
    return value
