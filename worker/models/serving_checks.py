"""What a server checks before it serves a model, checked when the repository is built.

Invariant: a repository whose build ends well loads. The rules are those of Triton's onnxruntime backend (r24.10 to
26.06: `ValidateInputs`, `ValidateOutputs` and `CompareDimsSupported`), of its tensorrt backend (the same releases:
`ValidateIO`, `InitializeExecuteInputBinding`, `CompareDimsSupported`, `ConfigureInputDimensions`) and of TensorRT's
ONNX parser.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
import onnxruntime
from onnx import TensorProto
from tritonclient.grpc import model_config_pb2

from worker.models.configs import ConfigError, ModelConfig
from worker.models.rewriting import GraphError
from worker.models.shape_ranges import OptimizationProfile

ONNXRUNTIME: Final = "onnxruntime"
TENSORRT_BACKEND: Final = "tensorrt"
_FREE: Final = -1
_TYPES: Final = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
}
# A tensor in a config: generated code without types.
_ConfigTensor = Any


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """An input or output as an engine reports it: a config's data type, and dims with -1 where a size is free."""

    data_type: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GraphTensors:
    """All inputs and outputs of a graph, by name."""

    inputs: Mapping[str, GraphTensor]
    outputs: Mapping[str, GraphTensor]


def graph_tensors(path: Path) -> GraphTensors:
    """Return what ONNX Runtime, and so the backend, finds in a graph: also sizes that it infers are fixed."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return GraphTensors(_tensors(session.get_inputs()), _tensors(session.get_outputs()))


def check_matches_graph(config: ModelConfig, graph: GraphTensors) -> None:
    """Raise ConfigError if the onnxruntime backend would refuse the config beside the graph.

    Every input of the graph must be named. The first of a graph's dims must be free where the model batches, and a
    config leaves it out. Input dims may differ where the graph's are free; output dims must be the same.
    """
    named = {tensor.name for tensor in config.input}
    if named != set(graph.inputs):
        raise ConfigError(f"{config.name} names the inputs {sorted(named)}, but its graph has {sorted(graph.inputs)}")
    for tensor in config.input:
        if tensor.allow_ragged_batch:
            raise ConfigError(
                f"{config.name} allows ragged batches of {tensor.name}: the onnxruntime backend takes them of flat "
                "tensors only"
            )
        _check_tensor(config, tensor, graph.inputs, exactly=False)
    for tensor in config.output:
        _check_tensor(config, tensor, graph.outputs, exactly=True)


def check_matches_plan(config: ModelConfig, plan: GraphTensors, profile: OptimizationProfile) -> None:
    """Raise ConfigError if the tensorrt backend would refuse the config beside a plan of one profile, or its requests.

    Names and types must be the plan's; dims may differ where either's are free. Every input must be named, for one
    without an address ends each request. Fixed sizes must lie within the profile, and the largest batch must be its
    largest: the backend loads a config with a larger one, and then refuses what it let in. Only GPUs are served.
    """
    for group in config.instance_group:
        if group.kind != model_config_pb2.ModelInstanceGroup.KIND_GPU:
            raise ConfigError(f"{config.name} is not of KIND_GPU: the tensorrt backend serves on GPUs only")
    if not config.cc_model_filenames:
        raise ConfigError(f"{config.name} names no plan in cc_model_filenames: each GPU has to load its own")
    named = {tensor.name for tensor in config.input}
    if named != set(plan.inputs):
        raise ConfigError(f"{config.name} names the inputs {sorted(named)}, but its plan has {sorted(plan.inputs)}")
    for tensor in config.input:
        if tensor.allow_ragged_batch:
            raise ConfigError(f"{config.name} allows ragged batches of {tensor.name}: its plan takes them of one shape")
        _check_plan_tensor(config, tensor, plan.inputs)
        _check_profile(config, tensor, profile)
    for tensor in config.output:
        _check_plan_tensor(config, tensor, plan.outputs)


def check_warm_up(config: ModelConfig) -> None:
    """Raise ConfigError if a warm-up is not a request that the model takes: Triton would not become ready.

    Every input must be given, in its type, in a shape that fits its dims, and in a batch within the limit.
    """
    inputs = {tensor.name: tensor for tensor in config.input}
    for warmup in config.model_warmup:
        where = f"{config.name} has the warm-up {warmup.name}"
        if not 1 <= warmup.batch_size <= config.max_batch_size:
            raise ConfigError(f"{where} in a batch of {warmup.batch_size}: it takes 1 to {config.max_batch_size}")
        if set(warmup.inputs) != set(inputs):
            raise ConfigError(f"{where} of the inputs {sorted(warmup.inputs)}, but it takes {sorted(inputs)}")
        for name, given in warmup.inputs.items():
            wanted = inputs[name]
            if given.data_type != wanted.data_type or not _same(wanted.dims, given.dims, exactly=False):
                raise ConfigError(
                    f"{where} with {name} as {_type(given)} {list(given.dims)}: it takes {_type(wanted)} "
                    f"{list(wanted.dims)}"
                )


def check_ensemble(config: ModelConfig, members: Mapping[str, ModelConfig]) -> None:
    """Raise ConfigError if Triton would refuse an ensemble beside its members.

    A tensor is known by its name in the ensemble; whoever makes, takes or returns it must agree on its type and, where
    both fix them, on its sizes. A member's batch limit must not be under the ensemble's.
    """
    known = {tensor.name: tensor for tensor in config.input}
    for step in config.ensemble_scheduling.step:
        member = members[step.model_name]
        if member.max_batch_size < config.max_batch_size:
            raise ConfigError(
                f"{config.name} takes batches of {config.max_batch_size}, but its member {member.name} only of "
                f"{member.max_batch_size}"
            )
        if list(member.version_policy.specific.versions) != [step.model_version]:
            raise ConfigError(f"{config.name} names version {step.model_version} of {member.name}, which is another")
        for tensor in member.input:
            if tensor.name not in step.input_map:
                raise ConfigError(f"{config.name} gives {member.name} no {tensor.name}")
            name = step.input_map[tensor.name]
            if name not in known:
                raise ConfigError(f"{config.name} gives {member.name} {name}, which no step before it makes")
            _check_agreed(config, known[name], tensor)
        known |= {step.output_map[tensor.name]: tensor for tensor in member.output if tensor.name in step.output_map}
    for tensor in config.output:
        if tensor.name not in known:
            raise ConfigError(f"{config.name} returns {tensor.name}, which no step makes")
        _check_agreed(config, known[tensor.name], tensor)


def check_bytes(model: onnx.ModelProto, name: str) -> None:
    """Raise GraphError if a graph works on bytes anywhere but in a Cast at its beginning and at its end.

    TensorRT lets a UINT8 input feed nothing but Casts and a UINT8 output come from nothing but one; ONNX Runtime has no
    CUDA kernel for Pad on UINT8 and moves such nodes, and their tensors, to the CPU. Levels between a QuantizeLinear
    and a DequantizeLinear are no bytes in this sense.
    """
    inferred = onnx.shape_inference.infer_shapes(model)
    every = (*inferred.graph.input, *inferred.graph.output, *inferred.graph.value_info, *_constants(inferred.graph))
    in_bytes = {value.name for value in every if _element_type(value) == TensorProto.UINT8}
    for node in model.graph.node:
        touched = in_bytes.intersection((*node.input, *node.output))
        if touched and node.op_type not in {"Cast", "QuantizeLinear", "DequantizeLinear"}:
            raise GraphError(
                f"the graph of {name} has a {node.op_type} on UINT8 ({', '.join(sorted(touched))}): TensorRT refuses "
                "it, so cast to FP32 first and back at the very end"
            )


def _tensors(described: Iterable[Any]) -> dict[str, GraphTensor]:
    return {
        tensor.name: GraphTensor(
            _TYPES.get(tensor.type, tensor.type),
            tuple(size if isinstance(size, int) else _FREE for size in tensor.shape),
        )
        for tensor in described
    }


def _check_tensor(
    config: ModelConfig, tensor: _ConfigTensor, graph: Mapping[str, GraphTensor], *, exactly: bool
) -> None:
    if tensor.name not in graph:
        raise ConfigError(f"{config.name} names {tensor.name}, but its graph has {sorted(graph)}")
    found = graph[tensor.name]
    data_type = model_config_pb2.DataType.Name(tensor.data_type)
    if data_type != found.data_type:
        raise ConfigError(f"{config.name} has {tensor.name} as {data_type}, but its graph as {found.data_type}")
    dims = list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
    if not found.dims:
        if any(dim != 1 for dim in dims):
            raise ConfigError(
                f"{config.name} has {tensor.name} as {dims}, but it is a scalar in its graph: only 1 fits"
            )
        return
    if config.max_batch_size > 0:
        if found.dims[:1] != (_FREE,):
            raise ConfigError(
                f"{config.name} batches, but {tensor.name} is {list(found.dims)} in its graph: free dim 0"
            )
        dims.insert(0, _FREE)
    if not _same(found.dims, dims, exactly=exactly):
        raise ConfigError(f"{config.name} has {tensor.name} as {dims}, but its graph as {list(found.dims)}")


def _check_plan_tensor(config: ModelConfig, tensor: _ConfigTensor, plan: Mapping[str, GraphTensor]) -> None:
    if tensor.name not in plan:
        raise ConfigError(f"{config.name} names {tensor.name}, but its plan has {sorted(plan)}")
    found = plan[tensor.name]
    if _type(tensor) != found.data_type:
        raise ConfigError(f"{config.name} has {tensor.name} as {_type(tensor)}, but its plan as {found.data_type}")
    dims = (_FREE, *tensor.dims)
    if len(dims) != len(found.dims) or any(
        _FREE not in (have, want) and have != want for have, want in zip(found.dims, dims, strict=True)
    ):
        raise ConfigError(f"{config.name} has {tensor.name} as {list(dims)}, but its plan as {list(found.dims)}")


def _check_profile(config: ModelConfig, tensor: _ConfigTensor, profile: OptimizationProfile) -> None:
    shapes = profile[tensor.name]
    if (shapes.minimum[0], shapes.maximum[0]) != (1, config.max_batch_size):
        raise ConfigError(
            f"{config.name} takes batches of 1 to {config.max_batch_size}, but its plan takes {tensor.name} in "
            f"batches of {shapes.minimum[0]} to {shapes.maximum[0]}"
        )
    sizes = zip(tensor.dims, shapes.minimum[1:], shapes.maximum[1:], strict=True)
    if any(size != _FREE and not low <= size <= high for size, low, high in sizes):
        raise ConfigError(
            f"{config.name} takes {tensor.name} as {list(tensor.dims)}, but the profile of its plan from "
            f"{list(shapes.minimum[1:])} to {list(shapes.maximum[1:])}"
        )


def _check_agreed(config: ModelConfig, made: _ConfigTensor, taken: _ConfigTensor) -> None:
    agreed = len(made.dims) == len(taken.dims) and all(
        _FREE in (one, other) or one == other for one, other in zip(made.dims, taken.dims, strict=True)
    )
    if made.data_type != taken.data_type or not agreed:
        raise ConfigError(
            f"{config.name} hands on {made.name} as {_type(made)} {list(made.dims)}, but it is taken as {taken.name}, "
            f"{_type(taken)} {list(taken.dims)}"
        )


def _type(tensor: _ConfigTensor) -> str:
    return str(model_config_pb2.DataType.Name(tensor.data_type))


def _same(graph: Sequence[int], config: Sequence[int], *, exactly: bool) -> bool:
    return len(graph) == len(config) and all(
        have == want or (have == _FREE and not exactly) for have, want in zip(graph, config, strict=True)
    )


def _constants(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    return [onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, None) for tensor in graph.initializer]


def _element_type(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)
