"""Triton model configurations: the committed text, completed by what only a build knows.

Invariant: a config is never edited as text; it is parsed as Triton's own protobuf, changed there, and printed.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from pydantic import ValidationError
from tritonclient.grpc import model_config_pb2

from worker.domain.errors import LabelwireError
from worker.domain.manifest import ModelManifest
from worker.models.model_card import LINE_HEIGHT_PIXELS
from worker.models.rewriting import STRIDE_PIXELS

# Generated code without types.
ModelConfig = Any
_Warmup = Any


class ConfigError(LabelwireError):
    """A committed model configuration is absent or is not a Triton configuration."""


def read_config(path: Path) -> ModelConfig:
    """Return the configuration in a file. Raises ConfigError if it is absent or does not parse."""
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, text_format.ParseError) as error:
        raise ConfigError(f"{path} is not a Triton model configuration ({error}): mend or restore it") from error


def read_manifest(repository: Path, name: str) -> ModelManifest:
    """Return what a model in a built repository says of itself. Raises ConfigError if it says nothing."""
    path = repository / name / "config.pbtxt"
    try:
        return ModelManifest.model_validate_json(read_config(path).parameters["manifest"].string_value)
    except ValidationError as error:
        raise ConfigError(
            f"{path} holds no manifest: build the repository anew with `labelwire models build`"
        ) from error


def write_config(config: ModelConfig, path: Path) -> None:
    """Print a configuration to a file; characters outside ASCII become octal escapes."""
    path.write_text(text_format.MessageToString(config, as_utf8=False), encoding="ascii")


def set_parameter(config: ModelConfig, name: str, value: str) -> None:
    """Set one parameter of a configuration."""
    config.parameters[name].string_value = value


def set_static_shapes(config: ModelConfig, shapes: Sequence[tuple[int, ...]]) -> None:
    """Let the python backend keep a graph of fixed sizes for each of these shapes of a row, without the batch."""
    set_parameter(config, "static_shapes", json.dumps(shapes))


def add_manifest(config: ModelConfig, manifest: ModelManifest, dictionary: Sequence[str] | None) -> None:
    """Add the manifest and, for a recognizer, the dictionary to a configuration's parameters."""
    set_parameter(config, "manifest", manifest.to_json())
    if dictionary is not None:
        set_parameter(config, "dictionary", json.dumps(list(dictionary), ensure_ascii=False, separators=(",", ":")))


def content_digest(config: ModelConfig, folder: Path) -> str:
    """Return the hex SHA-256 of a configuration and the files of its model, without folders that a server left."""
    state = hashlib.sha256(config.SerializeToString(deterministic=True))
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        state.update(path.name.encode())
        with path.open("rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def serve_version(config: ModelConfig, number: int) -> None:
    """Let Triton serve this version and no other, should a folder of another one be left beside it."""
    config.version_policy.specific.versions[:] = [number]


def fix_tile(config: ModelConfig, tile: tuple[int, int]) -> None:
    """Let a detector take tiles of one (height, width) in pixels only."""
    for tensor in (*config.input, *config.output):
        tensor.dims[:2] = tile


def fix_width(config: ModelConfig, width_pixels: int, stride_pixels: int = STRIDE_PIXELS) -> None:
    """Let a line model take lines of one width only, with a step for every `stride_pixels`."""
    for tensor in config.input:
        if tensor.name == "line":
            tensor.dims[1] = width_pixels
    for tensor in config.output:
        if tensor.name in {"token", "confidence"}:
            tensor.dims[0] = width_pixels // stride_pixels


def set_alternatives(config: ModelConfig, alternatives: int) -> None:
    """Set how many classes a recognizer or reader returns for each step."""
    for tensor in config.output:
        if tensor.name in {"token", "confidence"}:
            tensor.dims[1] = alternatives


def warm_up_tiles(config: ModelConfig, tiles: Iterable[tuple[int, int]], batches: Iterable[int]) -> None:
    """Let the detector run once at each tile shape (height, width) and batch size before it is ready."""
    for height, width in tiles:
        for batch in batches:
            warmup = config.model_warmup.add(name=f"tile_{height}x{width}_batch_{batch}", batch_size=batch)
            _add_zeros(warmup, "image", model_config_pb2.TYPE_UINT8, (height, width, 3))


def warm_up_lines(config: ModelConfig, widths: Iterable[int], batches: Iterable[int]) -> None:
    """Let a line model run once at each width and batch size before it is ready."""
    takes_side = any(tensor.name == "upside_down" for tensor in config.input)
    for width in widths:
        for batch in batches:
            warmup = config.model_warmup.add(name=f"line_{width}_batch_{batch}", batch_size=batch)
            _add_zeros(warmup, "line", model_config_pb2.TYPE_UINT8, (LINE_HEIGHT_PIXELS, width, 3))
            if takes_side:
                _add_zeros(warmup, "upside_down", model_config_pb2.TYPE_FP32, (1,))


def _add_zeros(warmup: _Warmup, name: str, data_type: int, dims: Sequence[int]) -> None:
    tensor = warmup.inputs[name]
    tensor.data_type = data_type
    tensor.dims.extend(dims)
    tensor.zero_data = True
