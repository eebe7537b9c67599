"""What a Triton said, in files: its models, and what they made of each row.

Invariant: a row's answer is found by the row's content alone, so that requests are answered in whatever batches their
rows come. That holds because no model's answer for a row depends on the rows beside it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from google.protobuf import proto
from tritonclient.grpc import model_config_pb2, service_pb2

from worker.adapters.triton.wire import datatype_of
from worker.domain.errors import LabelwireError
from worker.ports import InferenceRequest, ModelDescription, Tensor, TensorSpec

_MODELS: Final = "models.bin"
_ROWS: Final = "rows.bin"
_SAMPLED_BYTES: Final = 4096


class RecordingError(LabelwireError):
    """A recording that contradicts itself, or is not there."""


class RowRecorder:
    """Keeps what each row was answered, each row once."""

    def __init__(self) -> None:
        self._rows: dict[bytes, Any] = {}

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def add(self, request: InferenceRequest, answer: Mapping[str, Tensor]) -> None:
        """Keep a request's rows. Raises RecordingError if a row has got another answer before."""
        for number, key in enumerate(row_keys(request.model, list(request.inputs.values()))):
            kept = service_pb2.ModelInferResponse(model_name=request.model, id=key.hex())
            for name in request.outputs:
                row = np.ascontiguousarray(answer[name][number])
                kept.outputs.add(name=name, datatype=datatype_of(name, row)).shape.extend(row.shape)
                kept.raw_output_contents.append(row.tobytes())
            former = self._rows.setdefault(key, kept)
            if former.raw_output_contents != kept.raw_output_contents:
                raise RecordingError(
                    f"{request.model} answered row {number} of request {request.request_id!r} in two ways, so its "
                    "answers cannot be played back; leave that picture out."
                )

    def write(self, folder: Path, models: Iterable[ModelDescription]) -> None:
        """Write the rows and the descriptions of the models."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _MODELS).open("wb") as stream:
            for model in models:
                proto.serialize_length_prefixed(_metadata(model), stream)
                proto.serialize_length_prefixed(_config(model), stream)
        with (folder / _ROWS).open("wb") as stream:
            for row in self._rows.values():
                proto.serialize_length_prefixed(row, stream)


def row_keys(model: str, tensors: Sequence[Tensor]) -> Iterator[bytes]:
    """Yield a digest for each row of a request, over its shape and up to 4 KiB of each input, evenly spread.

    Reading all of a picture would cost the server more than its answer.
    """
    for rows in zip(*tensors, strict=True):
        digest = hashlib.blake2b(model.encode(), digest_size=16)
        for row in rows:
            flat = np.ascontiguousarray(row).reshape(-1).view(np.uint8)
            digest.update(repr(row.shape).encode())
            digest.update(flat[:: 1 + flat.size // _SAMPLED_BYTES].tobytes())
        yield digest.digest()


def read_models(folder: Path) -> dict[str, tuple[Any, Any]]:
    """Return each model's ModelMetadataResponse and ModelConfigResponse by its name.

    Raises RecordingError if there is no recording.
    """
    with _opened(folder / _MODELS) as stream:
        found = {}
        while (metadata := proto.parse_length_prefixed(service_pb2.ModelMetadataResponse, stream)) is not None:
            found[metadata.name] = (metadata, proto.parse_length_prefixed(service_pb2.ModelConfigResponse, stream))
        return found


def read_rows(folder: Path) -> dict[bytes, Any]:
    """Return the ModelInferResponse of each row by its key, without a batch dimension.

    Raises RecordingError if there is no recording.
    """
    with _opened(folder / _ROWS) as stream:
        rows = {}
        while (row := proto.parse_length_prefixed(service_pb2.ModelInferResponse, stream)) is not None:
            rows[bytes.fromhex(row.id)] = row
        return rows


def _opened(path: Path) -> Any:  # noqa: ANN401 - a file, which is a context manager
    try:
        return path.open("rb")
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror}); record the models first.") from error


def _metadata(model: ModelDescription) -> Any:  # noqa: ANN401 - protobuf's classes are untyped
    answer = service_pb2.ModelMetadataResponse(name=model.name, versions=[model.version])
    batch = [-1] if model.max_batch_size else []
    for described, specs in ((answer.inputs, model.inputs), (answer.outputs, model.outputs)):
        _add(described, specs, batch)
    return answer


def _add(described: Any, specs: Sequence[TensorSpec], batch: Sequence[int]) -> None:  # noqa: ANN401
    for spec in specs:
        described.add(name=spec.name, datatype=spec.datatype).shape.extend([*batch, *spec.shape])


def _config(model: ModelDescription) -> Any:  # noqa: ANN401
    config = model_config_pb2.ModelConfig(name=model.name, max_batch_size=model.max_batch_size)
    for name, value in model.parameters.items():
        config.parameters[name].string_value = value
    return service_pb2.ModelConfigResponse(config=config)
