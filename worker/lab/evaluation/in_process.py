"""A built `onnx` repository served in this process, by ONNX Runtime on the CPU or a GPU and without Triton.

Invariant: graphs, configurations, widths and batch limits are those of the repository, so that what is measured here is
what Triton's onnxruntime backend will serve; a request that the server would refuse is refused. Triton's own batches of
several requests are not made: they change no row's result.
"""

import asyncio
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import DTypeLike
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors
from tritonclient.grpc import model_config_pb2

from worker.adapters.triton.statistics import ModelStatistics
from worker.domain.errors import ErrorCode, JobError, SettingsError
from worker.domain.manifest import Device
from worker.models.configs import ModelConfig, read_config
from worker.models.serving_checks import ONNXRUNTIME
from worker.ports import InferenceRequest, ModelDescription, Tensor, TensorSpec

_FREE: Final = -1
_DTYPES: Final[Mapping[str, DTypeLike]] = {"UINT8": np.uint8, "INT32": np.int32, "FP32": np.float32}
CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"
# What the numbers of Triton's onnxruntime backend mean to ONNX Runtime.
_CONVOLUTION_SEARCH: Final = {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"}
_EXHAUSTIVE: Final = "0"  # Triton's own choice where a configuration says nothing
# ONNX Runtime gives its errors no common class. Memory that is used up is one of them.
_RUNTIME_ERRORS: Final = tuple(
    found for found in vars(onnxruntime_errors).values() if isinstance(found, type) and issubclass(found, Exception)
)


class InProcessBackend:
    """An `InferenceBackend` over a repository of the `onnx` profile; one thread a request, as many as there are cores.

    With `device` "gpu" graphs run on the first GPU that CUDA shows. Raises SettingsError if the folder holds no model
    for the onnxruntime backend, or if there is to be a GPU and this ONNX Runtime is built without CUDA.
    """

    def __init__(self, repository: Path, *, device: Device = "cpu") -> None:
        if device == "gpu":
            _prepare_cuda()
        self._repository = repository
        self._device = device
        self._configs = {path.parent.name: read_config(path) for path in sorted(repository.glob("*/config.pbtxt"))}
        if not any(config.backend == ONNXRUNTIME for config in self._configs.values()):
            raise SettingsError(
                f"{repository} holds no model for ONNX Runtime; build it with `labelwire models build --profile onnx`."
            )
        self._sessions: dict[str, Any] = {}
        self._batches: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="onnxruntime")
        self._closed = False

    def load(self) -> None:
        """Load all graphs now, and not when they are first asked for.

        Raises SettingsError if ONNX Runtime does not take one, or does not run it on the device.
        """
        for model, config in self._configs.items():
            if config.backend == ONNXRUNTIME:
                self._session(model)

    def statistics(self) -> dict[str, ModelStatistics]:
        """Return the counts of each graph since its first run; each request is a run of its own."""
        with self._lock:
            return {
                model: ModelStatistics(counts.total(), counts.total(), dict(sorted(counts.items())))
                for model, counts in self._batches.items()
            }

    async def ready(self) -> bool:
        """Say whether it is not closed."""
        return not self._closed

    async def describe(self, model: str) -> ModelDescription | None:
        """Return a model's description, None if the repository has no such model."""
        config = self._configs.get(model)
        if config is None:
            return None
        return ModelDescription(
            name=model,
            version=_version(config),
            max_batch_size=config.max_batch_size,
            inputs=_specs(config.input),
            outputs=_specs(config.output),
            parameters={name: value.string_value for name, value in config.parameters.items()},
        )

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Run one request.

        Raises JobError INFERENCE_REJECTED for what Triton would refuse, INFERENCE_UNAVAILABLE for an unknown model or
        after `close`, MODELS_CHANGED for another version, INFERENCE_FAILED where the time is over.
        """
        if self._closed:
            raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, f"{self._repository} has been closed here.")
        config = self._configs.get(request.model)
        if config is None or not (config.backend == ONNXRUNTIME or config.HasField("ensemble_scheduling")):
            raise JobError(ErrorCode.INFERENCE_UNAVAILABLE, f"{self._repository} has no graph of {request.model}.")
        if request.version not in {"", _version(config)}:
            raise JobError(
                ErrorCode.MODELS_CHANGED, f"{self._repository} has no version {request.version} of {request.model}."
            )
        _check(config, request.inputs, request.outputs)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await loop.run_in_executor(self._threads, self._run, request)
        except TimeoutError as error:
            raise JobError(ErrorCode.INFERENCE_FAILED, f"{request.model} took over {timeout_seconds:g} s.") from error
        return dict(zip(request.outputs, answer, strict=True))

    async def close(self) -> None:
        """Take no more requests; those that run end first. The graphs' memory is given back."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._sessions.clear()

    def _run(self, request: InferenceRequest) -> list[Tensor]:
        config = self._configs[request.model]
        if config.HasField("ensemble_scheduling"):
            return self._run_steps(config, request)
        return self._run_graph(request.model, request.outputs, request.inputs)

    def _run_steps(self, config: ModelConfig, request: InferenceRequest) -> list[Tensor]:
        """Run the members of an ensemble one after another, in the order in which its config names them."""
        tensors = dict(request.inputs)
        for step in config.ensemble_scheduling.step:
            inputs = {name: tensors[tensor] for name, tensor in step.input_map.items()}
            answer = self._run_graph(step.model_name, list(step.output_map), inputs)
            tensors |= zip(step.output_map.values(), answer, strict=True)
        return [tensors[name] for name in request.outputs]

    def _run_graph(self, model: str, outputs: Sequence[str], inputs: Mapping[str, Tensor]) -> list[Tensor]:
        try:
            answer: list[Tensor] = self._session(model).run(list(outputs), dict(inputs))
        except _RUNTIME_ERRORS as error:
            raise JobError(ErrorCode.INFERENCE_FAILED, f"ONNX Runtime failed on {model}: {_sentence(error)}") from error
        with self._lock:
            self._batches[model][len(answer[0])] += 1
        return answer

    def _session(self, model: str) -> Any:  # noqa: ANN401  onnxruntime ships no types
        """Load a graph when it is first asked for, once."""
        with self._lock:
            if model not in self._sessions:
                self._sessions[model] = self._loaded(model)
            return self._sessions[model]

    def _loaded(self, model: str) -> Any:  # noqa: ANN401  onnxruntime ships no types
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        config = self._configs[model]
        graph = self._repository / model / _version(config) / "model.onnx"
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=self._providers(config))
        except _RUNTIME_ERRORS as error:
            raise SettingsError(f"ONNX Runtime does not load {graph}: {_sentence(error)}") from error
        used = session.get_providers()[0]
        # Where CUDA does not start, ONNX Runtime goes on with the CPU and only says so in its log.
        if self._device == "gpu" and used != CUDA:
            raise SettingsError(
                f"ONNX Runtime {onnxruntime.__version__} runs {model} by {used} instead of {CUDA}: see in the lines "
                "above what CUDA lacks, most often a newer NVIDIA driver"
            )
        return session

    def _providers(self, config: ModelConfig) -> list[Any]:
        if self._device == "cpu":
            return [_CPU]
        parameters = {name: value.string_value for name, value in config.parameters.items()}
        search = _CONVOLUTION_SEARCH[parameters.get("cudnn_conv_algo_search", _EXHAUSTIVE)]
        return [(CUDA, {"cudnn_conv_algo_search": search}), _CPU]


def _prepare_cuda() -> None:
    """Load the CUDA libraries that were installed as packages: the loader does not look where they lie."""
    if CUDA not in onnxruntime.get_available_providers():
        raise SettingsError(f"onnxruntime {onnxruntime.__version__} is built without CUDA: install onnxruntime-gpu.")
    onnxruntime.preload_dlls()


def _sentence(error: Exception) -> str:
    """Return the first line of an error's text: what follows are places in ONNX Runtime's own code."""
    return str(error).strip().splitlines()[0]


def _version(config: ModelConfig) -> str:
    return str(config.version_policy.specific.versions[0])


def _specs(tensors: Any) -> tuple[TensorSpec, ...]:  # noqa: ANN401  generated code without types
    return tuple(
        TensorSpec(
            tensor.name,
            model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_"),
            tuple(tensor.dims),
        )
        for tensor in tensors
    )


def _check(config: ModelConfig, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> None:
    """Refuse what Triton would refuse, with INFERENCE_REJECTED."""
    expected = {spec.name: spec for spec in _specs(config.input)}
    if set(inputs) != set(expected):
        raise _rejected(config, f"takes {sorted(expected)} and was sent {sorted(inputs)}")
    unknown = set(outputs) - {tensor.name for tensor in config.output}
    if unknown:
        raise _rejected(config, f"has no output {sorted(unknown)}")
    if config.HasField("ensemble_scheduling") and set(outputs) != {tensor.name for tensor in config.output}:
        raise _rejected(config, "would not answer: at least one output is not asked for")
    for name, tensor in inputs.items():
        spec = expected[name]
        if tensor.dtype != _DTYPES[spec.datatype]:
            raise _rejected(config, f"takes {name} as {spec.datatype} and was sent {tensor.dtype}")
        rows, *shape = tensor.shape
        if not 1 <= rows <= config.max_batch_size:
            raise _rejected(config, f"takes 1 to {config.max_batch_size} rows and was sent {rows}")
        if len(shape) != len(spec.shape) or any(
            want not in (_FREE, have) for have, want in zip(shape, spec.shape, strict=True)
        ):
            raise _rejected(config, f"takes {name} as {list(spec.shape)} and was sent {shape}")


def _rejected(config: ModelConfig, words: str) -> JobError:
    return JobError(ErrorCode.INFERENCE_REJECTED, f"{config.name} {words}.")
