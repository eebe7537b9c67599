"""What Triton says of a model, as a `ModelDescription`."""

from collections.abc import Iterable
from typing import Any

from worker.ports import ModelDescription, TensorSpec


def served_version(metadata: Any) -> str:  # noqa: ANN401 - protobuf's classes are untyped
    """Return the version that answers where a request names none: Triton takes the highest."""
    return str(max(metadata.versions, key=int, default=""))


def description(metadata: Any, config: Any) -> ModelDescription:  # noqa: ANN401 - protobuf's classes are untyped
    """Return the description out of a ModelMetadataResponse and a ModelConfig."""
    batched = config.max_batch_size > 0
    return ModelDescription(
        name=metadata.name,
        version=served_version(metadata),
        max_batch_size=config.max_batch_size,
        inputs=_specs(metadata.inputs, batched=batched),
        outputs=_specs(metadata.outputs, batched=batched),
        parameters={name: value.string_value for name, value in config.parameters.items()},
    )


def _specs(tensors: Iterable[Any], *, batched: bool) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(tensor.name, tensor.datatype, tuple(tensor.shape)[1 if batched else 0 :]) for tensor in tensors
    )
