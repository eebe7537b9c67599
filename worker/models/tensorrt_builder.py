"""TensorRT's builder: an ONNX graph and its shapes in, a plan out.

Invariant: no other module imports the library. Networks are strongly typed, so a plan computes in the types that its
graph names. What the library refuses is raised as one sentence with the library's own words in it.

`tensorrt`, 10 or 11, builds for the GPU of its host, and nothing else is taken for plans that serve. TensorRT for RTX
has the same calls and builds for a GPU that is not there; it is taken only where a compute capability is named, as
tests do, for Triton does not load its plans.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import LabelwireError
from worker.models.files import write_whole
from worker.models.serving_checks import GraphTensor, GraphTensors
from worker.models.shape_ranges import OptimizationProfile

_FREE: Final = -1
# TensorRT's names of types are not those of Triton's configs.
_TYPES: Final = {
    "BOOL": "TYPE_BOOL",
    "UINT8": "TYPE_UINT8",
    "INT8": "TYPE_INT8",
    "INT32": "TYPE_INT32",
    "INT64": "TYPE_INT64",
    "HALF": "TYPE_FP16",
    "BF16": "TYPE_BF16",
    "FLOAT": "TYPE_FP32",
}
# The library ships no types.
_Library = Any
_Network = Any
_Config = Any
_Tensor = Any


class PlanError(LabelwireError):
    """TensorRT is not installed, it refuses a graph, a profile or a target, or a plan does not read as its graph."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A built plan, and what its network takes and returns: dims with the batch in front, -1 where a size is free."""

    content: bytes
    tensors: GraphTensors


def build_plan(
    graph: Path,
    profiles: Sequence[OptimizationProfile],
    *,
    compute_capability: str | None = None,
    timing_cache: Path | None = None,
) -> Plan:
    """Parse the ONNX file `graph` and build it with all `profiles`.

    `compute_capability`, such as "8.9", asks for TensorRT for RTX and is that of the GPU that would run the plan; None
    means `tensorrt` and the GPU of this host. What was measured while building is read from the file `timing_cache`, if
    it is there, and written back to it. Raises PlanError.
    """
    library = import_tensorrt() if compute_capability is None else _import_tensorrt_for_rtx()
    log = builder_log(library)
    builder = _builder(library, log)
    network = builder.create_network(_network_flags(library))
    _parse(library, log, network, graph)
    config = builder.create_builder_config()
    for profile in profiles:
        _check_profile(graph, network, profile)
        _add_profile(builder, config, profile)
    if compute_capability is not None:
        _set_target(library, config, compute_capability)
    if timing_cache is not None:
        _read_timing_cache(config, timing_cache)
    content = builder.build_serialized_network(network, config)
    if content is None:
        target = f"compute capability {compute_capability}" if compute_capability else "the GPU of this host"
        raise PlanError(
            f"TensorRT does not build {graph} for {target} ({in_one_line(log.errors)}): change the graph or the "
            "shapes of its profiles"
        )
    if timing_cache is not None:
        _write_timing_cache(config, timing_cache)
    return Plan(bytes(content), _tensors(network))


def import_tensorrt() -> _Library:
    """Return the module `tensorrt`. Raises PlanError if it is not installed or does not load."""
    try:
        import tensorrt  # noqa: PLC0415  (only who builds plans needs it)
    except (ImportError, OSError) as error:  # a wheel without its libraries is an OSError
        raise PlanError(
            f"the Python module tensorrt cannot be imported ({in_one_line([str(error)])}), so no plan can be built: "
            "build where it is installed in the version of the Triton that serves"
        ) from error
    return tensorrt


def _import_tensorrt_for_rtx() -> _Library:
    try:
        import tensorrt_rtx_bindings  # noqa: PLC0415
    except ImportError as error:
        raise PlanError(
            "TensorRT for RTX, which alone builds for a named compute capability, is not installed: name none, and "
            "build on the host that serves"
        ) from error
    return tensorrt_rtx_bindings


def _network_flags(library: _Library) -> int:
    """Return the bit mask of a strongly typed network: TensorRT 10 has to be asked for it."""
    # Later ones may know no other and have no flag.
    strongly_typed = getattr(library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if strongly_typed is None else 1 << int(strongly_typed)


def _read_timing_cache(config: _Config, path: Path) -> None:
    """Give a builder what earlier builds measured; one of another TensorRT or GPU, or a damaged one, is not used."""
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    # False: plans are as good without it, so what does not fit costs the time of measuring and nothing else.
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _write_timing_cache(config: _Config, path: Path) -> None:
    cache = config.get_timing_cache()
    if cache is not None:
        write_whole(path, bytes(cache.serialize()))


def _tensors(network: _Network) -> GraphTensors:
    return GraphTensors(
        dict(_tensor(network.get_input(index)) for index in range(network.num_inputs)),
        dict(_tensor(network.get_output(index)) for index in range(network.num_outputs)),
    )


def _tensor(tensor: _Tensor) -> tuple[str, GraphTensor]:
    return tensor.name, GraphTensor(_TYPES.get(tensor.dtype.name, tensor.dtype.name), tuple(tensor.shape))


def builder_log(library: _Library) -> Any:  # noqa: ANN401  made of a class that is known at run time only
    """Return a logger that keeps errors, in `errors`, and drops the rest."""

    class BuilderLog(library.ILogger):  # type: ignore[misc]  # the library ships no types
        def __init__(self) -> None:
            library.ILogger.__init__(self)  # the bindings refuse super()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            if severity in {library.ILogger.Severity.INTERNAL_ERROR, library.ILogger.Severity.ERROR}:
                self.errors.append(message)

    return BuilderLog()


def _builder(library: _Library, log: Any) -> Any:  # noqa: ANN401  see above
    try:
        return library.Builder(log)
    except (RuntimeError, TypeError) as error:  # what the bindings make of a builder that is not there
        raise PlanError(
            f"TensorRT {library.__version__} does not start ({in_one_line(log.errors) or error}): build on a host "
            "with an NVIDIA GPU and its driver"
        ) from error


def _parse(library: _Library, log: Any, network: _Network, graph: Path) -> None:  # noqa: ANN401  see above
    try:
        content = graph.read_bytes()
    except OSError as error:
        raise PlanError(f"{graph} cannot be read ({error.strerror}): give an ONNX file") from error
    parser = library.OnnxParser(network, log)
    if parser.parse(content):
        return
    first = parser.get_error(0)
    # Without an operator the file as a whole is at fault.
    where = f" at node {first.node()}, a {first.node_operator()}," if first.node_operator() else ""
    raise PlanError(
        f"TensorRT refuses {graph}{where} ({in_one_line([first.desc()])}): change the graph; UINT8 may be used in a "
        "Cast only"
    )


def _check_profile(graph: Path, network: _Network, profile: OptimizationProfile) -> None:
    """Raise PlanError if a profile does not fit the network's inputs: the library would say less of what is wrong."""
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    inputs = {tensor.name: tuple(tensor.shape) for tensor in tensors}
    if set(profile) != set(inputs):
        raise PlanError(
            f"{graph} takes {sorted(inputs)}, but its profile gives {sorted(profile)}: give the shapes of each input"
        )
    for name, shapes in profile.items():
        for shape in (shapes.minimum, shapes.optimum, shapes.maximum):
            if not _fits(inputs[name], shape):
                raise PlanError(
                    f"{graph} takes {name} as {list(inputs[name])}, but its profile gives {list(shape)}: give a shape "
                    "that fits"
                )
        sizes = zip(shapes.minimum, shapes.optimum, shapes.maximum, strict=True)
        if not all(1 <= low <= usual <= high for low, usual, high in sizes):
            raise PlanError(
                f"the profile of {graph} gives {name} from {list(shapes.minimum)} over {list(shapes.optimum)} to "
                f"{list(shapes.maximum)}: give sizes that do not fall, from 1 on"
            )


def _fits(declared: Sequence[int], shape: Sequence[int]) -> bool:
    return len(declared) == len(shape) and all(
        want in {_FREE, size} for want, size in zip(declared, shape, strict=True)
    )


def _add_profile(builder: Any, config: _Config, profile: OptimizationProfile) -> None:  # noqa: ANN401  see above
    added = builder.create_optimization_profile()
    for name, shapes in profile.items():
        added.set_shape(name, shapes.minimum, shapes.optimum, shapes.maximum)
    config.add_optimization_profile(added)


def _set_target(library: _Library, config: _Config, compute_capability: str) -> None:
    known = library.ComputeCapability.__members__.items()
    by_name = {f"{name[2:-1]}.{name[-1]}": value for name, value in known if name[:2] == "SM"}
    if compute_capability not in by_name:
        raise PlanError(
            f"TensorRT for RTX {library.__version__} does not build for compute capability {compute_capability}: "
            f"choose one of {', '.join(by_name)}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(by_name[compute_capability], 0)


def in_one_line(messages: Sequence[str]) -> str:
    """Join messages of a library to a part of a sentence."""
    return "; ".join(" ".join(message.split()) for message in messages)
