"""How a server runs a model: on which device, in how many instances, in which batches, warmed up or not."""

from dataclasses import dataclass
from typing import Any, Final

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from worker.adapters.triton.channel import blocking_channel
from worker.domain.errors import ErrorCode, JobError
from worker.settings import TritonSettings

_TIMEOUT_SECONDS: Final = 10.0
_KINDS: Final = {"KIND_CPU": "cpu", "KIND_GPU": "gpu"}


@dataclass(frozen=True, slots=True)
class Serving:
    """A model's configuration as its server has it.

    `devices` are those of its instances, "auto" where the server chooses; an ensemble has no instances of its own, but
    `members`. `warm_ups` counts the requests that the server sends itself before the model is ready.
    """

    model: str
    backend: str
    devices: frozenset[str]
    instances: int
    max_batch_size: int
    is_batched: bool
    warm_ups: int
    members: tuple[str, ...]


def read_serving(settings: TritonSettings, model: str) -> Serving | None:
    """Return how a server runs a model, None if it has none of that name.

    Raises JobError INFERENCE_UNAVAILABLE if the server does not answer.
    """
    with blocking_channel(settings) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            answer = stub.ModelConfig(service_pb2.ModelConfigRequest(name=model), timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            if error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}:
                return None
            message = f"Triton at {settings.url} did not say how it runs {model} ({error.code().name})."
            raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, message) from error
    return _serving(answer.config)


def _serving(config: Any) -> Serving:  # noqa: ANN401 - protobuf's classes are untyped
    kind_name = model_config_pb2.ModelInstanceGroup.Kind.Name
    return Serving(
        model=config.name,
        backend=config.backend or config.platform,
        devices=frozenset(_KINDS.get(kind_name(group.kind), "auto") for group in config.instance_group),
        instances=sum(group.count for group in config.instance_group),
        max_batch_size=config.max_batch_size,
        is_batched=config.HasField("dynamic_batching"),
        warm_ups=len(config.model_warmup),
        members=tuple(step.model_name for step in config.ensemble_scheduling.step),
    )
