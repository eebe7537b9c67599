"""What Triton says of a model, as a `ModelDescription`."""

from collections.abc import Iterable
from typing import Any

from worker.ports import ModelDescription, TensorSpec


def description(metadata: Any, config: Any) -> ModelDescription:  # noqa: ANN401 - protobuf's classes are untyped
    """Return the description out of a ModelMetadataResponse and a ModelConfig."""
    batched = config.max_batch_size > 0
    return ModelDescription(
        name=metadata.name,
        # Without a version in the request Triton takes the highest.
        version=max(metadata.versions, key=int, default=""),
        max_batch_size=config.max_batch_size,
        inputs=_specs(metadata.inputs, batched=batched),
        outputs=_specs(metadata.outputs, batched=batched),
        parameters={name: value.string_value for name, value in config.parameters.items()},
    )


def _specs(tensors: Iterable[Any], *, batched: bool) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(tensor.name, tensor.datatype, tuple(tensor.shape)[1 if batched else 0 :]) for tensor in tensors
    )
