"""What Triton says of a model, as a `ModelDescription`."""

from collections.abc import Iterable
from typing import Any

from tritonclient.grpc import model_config_pb2

from worker.ports import ModelDescription, ServingCapacity, TensorSpec


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
        capacity=_capacity(config),
    )


def _capacity(config: Any) -> ServingCapacity | None:  # noqa: ANN401 - protobuf's classes are untyped
    """Return how the model is run. Triton completes its groups of instances when it loads a model."""
    groups = [group for group in config.instance_group if not group.passive]
    # A count is that of each GPU which a group names.
    instances = sum(group.count * max(1, len(group.gpus)) for group in groups)
    if not instances:
        return None
    on_cpu = all(group.kind == model_config_pb2.ModelInstanceGroup.KIND_CPU for group in groups)
    gains = not on_cpu and config.HasField("dynamic_batching")
    return ServingCapacity(instances, max(1, config.max_batch_size) if gains else 1)


def _specs(tensors: Iterable[Any], *, batched: bool) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(tensor.name, tensor.datatype, tuple(tensor.shape)[1 if batched else 0 :]) for tensor in tensors
    )
