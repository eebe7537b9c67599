"""How a server runs a model: on which device, in how many instances, in which batches, warmed up for what."""

from dataclasses import dataclass
from typing import Any, Final

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from worker.adapters.triton.channel import blocking_channel
from worker.domain.errors import ErrorCode, JobError
from worker.settings import TritonSettings

Shape = tuple[int, ...]

_TIMEOUT_SECONDS: Final = 10.0
_KINDS: Final = {"KIND_CPU": "cpu", "KIND_GPU": "gpu"}
_FREE: Final = -1
_MICROSECONDS: Final = 1e6
_TENSORRT: Final = "tensorrt"
# As OpenVINO spells what the embedded profile's backend is told.
_OPENVINO_PRECISIONS: Final = {"f32": "fp32", "f16": "fp16"}


@dataclass(frozen=True, slots=True)
class Serving:
    """A model's configuration as its server has it.

    `devices` are those of its instances, "auto" where the server chooses; an ensemble has no instances of its own, but
    `members`. A request waits up to `batch_delay_seconds` for others that share its batch; with `mixes_shapes` those of
    other shapes do too. `warm_ups` counts the requests that the server sends itself before the model is ready, and
    `warmed_shapes` are those of one item of its first input. `takes_shapes` says that this input has a free dimension.
    `precision` is what the configuration tells the backend to compute in, None if it leaves that to the graph.
    `by_tensorrt` says that TensorRT computes, whose kernels are chosen before the server is ready.
    """

    model: str
    backend: str
    devices: frozenset[str]
    instances: int
    max_batch_size: int
    is_batched: bool
    warm_ups: int
    members: tuple[str, ...]
    batch_delay_seconds: float = 0.0
    mixes_shapes: bool = False
    takes_shapes: bool = True
    warmed_shapes: frozenset[Shape] = frozenset()
    precision: str | None = None
    by_tensorrt: bool = False


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
    return parse_serving(answer.config)


def parse_serving(config: Any) -> Serving:  # noqa: ANN401 - protobuf's classes are untyped
    """Return what a ModelConfig says."""
    kind_name = model_config_pb2.ModelInstanceGroup.Kind.Name
    first = config.input[0] if config.input else None
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    return Serving(
        model=config.name,
        backend=config.backend or config.platform,
        devices=frozenset(_KINDS.get(kind_name(group.kind), "auto") for group in config.instance_group),
        instances=sum(group.count for group in config.instance_group),
        max_batch_size=config.max_batch_size,
        is_batched=config.HasField("dynamic_batching"),
        warm_ups=len(config.model_warmup),
        members=tuple(step.model_name for step in config.ensemble_scheduling.step),
        batch_delay_seconds=config.dynamic_batching.max_queue_delay_microseconds / _MICROSECONDS,
        mixes_shapes=all(tensor.allow_ragged_batch for tensor in config.input),
        takes_shapes=first is not None and _FREE in first.dims,
        warmed_shapes=frozenset(
            tuple(warm_up.inputs[first.name].dims)
            for warm_up in config.model_warmup
            if first is not None and first.name in warm_up.inputs
        ),
        precision=_precision(config),
        by_tensorrt=config.backend == _TENSORRT or any(one.name == _TENSORRT for one in accelerators),
    )


def _precision(config: Any) -> str | None:  # noqa: ANN401
    """Return what the backend is told, by our parameter for OpenVINO or by the option of TensorRT in ONNX Runtime.

    FP32 is what TensorRT does with a graph unless it is told more, so it says nothing of a graph in FP16.
    """
    if "inference_precision" in config.parameters:
        said: str = config.parameters["inference_precision"].string_value
        return _OPENVINO_PRECISIONS.get(said, said)
    for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator:
        mode: str = accelerator.parameters.get("precision_mode", "")
        if mode.lower() not in {"", "fp32"}:
            return mode.lower()
    return None
