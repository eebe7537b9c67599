"""TensorRT inside Triton's onnxruntime backend: the server builds the engines itself, at its first start.

Invariant: a configuration holds only options that the backend of r24.10 knows, for it refuses a model with any other;
those of 26.06 know the same ones. Shapes are pinned, so that engines are built before the server is ready and not while
requests wait.
"""

from collections.abc import Callable, Mapping
from typing import Final

from worker.models.configs import ConfigError, ModelConfig
from worker.models.shape_ranges import OptimizationProfile

TENSORRT: Final = "tensorrt"
ENGINE_CACHE: Final = "/engines"
_WORKSPACE_BYTES: Final = 2 << 30
_FREE: Final = -1
_PRECISIONS: Final = frozenset({"FP32", "FP16", "INT8"})
_SHAPES: Final = ("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes")

_SWITCHES: Final = frozenset({
    "int8_use_native_calibration_table",
    "trt_build_heuristics_enable",
    "trt_context_memory_sharing_enable",
    "trt_cuda_graph_enable",
    "trt_detailed_build_log",
    "trt_dla_enable",
    "trt_dump_ep_context_model",
    "trt_dump_subgraphs",
    "trt_engine_cache_enable",
    "trt_force_sequential_engine_build",
    "trt_force_timing_cache",
    "trt_layer_norm_fp32_fallback",
    "trt_sparsity_enable",
    "trt_timing_cache_enable",
})  # fmt: skip
_NUMBERS: Final = frozenset({
    "max_workspace_size_bytes",
    "trt_auxiliary_streams",
    "trt_builder_optimization_level",
    "trt_dla_core",
    "trt_ep_context_embed_mode",
    "trt_max_partition_iterations",
    "trt_min_subgraph_size",
})  # fmt: skip
_TEXTS: Final = frozenset({
    "int8_calibration_table_name",
    "trt_engine_cache_path",
    "trt_engine_cache_prefix",
    "trt_ep_context_file_path",
    "trt_extra_plugin_lib_paths",
    "trt_tactic_sources",
    "trt_timing_cache_path",
    *_SHAPES,
})  # fmt: skip
KNOWN_OPTIONS: Final = frozenset({"precision_mode"}) | _SWITCHES | _NUMBERS | _TEXTS


def accelerate(config: ModelConfig, profile: OptimizationProfile, graph_sha256: str, precision: str) -> None:
    """Let the onnxruntime backend run a graph by TensorRT, for the shapes of `profile` and in the graph's precision.

    Engines are kept in `/engines`, which has to be a volume that the server may write. Without a prefix their names
    are made from the graph's file and node names, which all recognizers share: one would load the engine of another.
    """
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name=TENSORRT)
    options = {
        "precision_mode": precision.upper(),
        "max_workspace_size_bytes": str(_WORKSPACE_BYTES),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": ENGINE_CACHE,
        "trt_engine_cache_prefix": f"{config.name}-{graph_sha256[:16]}",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": ENGINE_CACHE,
    }
    ends = ("minimum", "optimum", "maximum")
    options |= {
        option: _as_option({name: getattr(shapes, end) for name, shapes in profile.items()})
        for option, end in zip(_SHAPES, ends, strict=True)
    }
    for option, value in options.items():
        accelerator.parameters[option] = value


def check_accelerators(config: ModelConfig) -> None:
    """Raise ConfigError if the onnxruntime backend would refuse a model for its accelerators on a GPU.

    Each option has to be known and its value to parse; pinned shapes have to be of each input, in order, within its
    dims, and reach the largest batch.
    """
    for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator:
        if accelerator.name not in {TENSORRT, "cuda"}:
            raise ConfigError(f"{config.name} asks for the accelerator {accelerator.name!r}, which no backend knows")
        if accelerator.name == TENSORRT:
            for option, value in accelerator.parameters.items():
                _check_option(config, option, value)
            _check_shapes(config, accelerator.parameters)


def _check_option(config: ModelConfig, option: str, value: str) -> None:
    rules: list[tuple[bool, Callable[[str], bool], str]] = [
        (option == "precision_mode", _PRECISIONS.__contains__, f"one of {', '.join(sorted(_PRECISIONS))}"),
        (option in _SWITCHES, {"0", "1", "true", "false"}.__contains__, "0 or 1"),
        (option in _NUMBERS, lambda text: text.removeprefix("-").isdecimal(), "a whole number"),
        (option in _TEXTS, bool, "a text"),
    ]
    for applies, fits, wanted in rules:
        if applies:
            if not fits(value):
                raise ConfigError(f"{config.name} has {option} as {value!r}: it has to be {wanted}")
            return
    raise ConfigError(
        f"{config.name} has the option {option}, which the onnxruntime backend does not know for TensorRT"
    )


def _check_shapes(config: ModelConfig, parameters: Mapping[str, str]) -> None:
    given = [_from_option(config, option, parameters[option]) for option in _SHAPES if option in parameters]
    if not given:
        return
    inputs = {tensor.name: (_FREE, *tensor.dims) for tensor in config.input}
    if len(given) != len(_SHAPES) or any(set(shapes) != set(inputs) for shapes in given):
        raise ConfigError(f"{config.name} pins some shapes only: give {', '.join(_SHAPES)} of {sorted(inputs)}")
    for name, dims in inputs.items():
        low, usual, high = (shapes[name] for shapes in given)
        fits = all(
            len(shape) == len(dims) and all(want in {_FREE, size} for want, size in zip(dims, shape, strict=True))
            for shape in (low, usual, high)
        )
        if not fits or not all(1 <= a <= b <= c for a, b, c in zip(low, usual, high, strict=True)):
            raise ConfigError(
                f"{config.name} pins {name} from {list(low)} over {list(usual)} to {list(high)}, but takes {list(dims)}"
            )
        if (low[0], high[0]) != (1, config.max_batch_size):
            raise ConfigError(
                f"{config.name} pins batches of {low[0]} to {high[0]}, but takes 1 to {config.max_batch_size}"
            )


def _as_option(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())


def _from_option(config: ModelConfig, option: str, text: str) -> dict[str, tuple[int, ...]]:
    try:
        pairs = [part.rsplit(":", 1) for part in text.split(",")]
        return {name: tuple(int(size) for size in shape.split("x")) for name, shape in pairs}
    except ValueError as error:
        raise ConfigError(
            f"{config.name} has {option} as {text!r}: write name:1x48x320x3, more after a comma"
        ) from error
