"""TensorRT's builder: an ONNX graph and its shapes in, the bytes of a plan out.

Invariant: no other module imports the library. Networks are strongly typed, so a plan computes in the types that its
graph names. What the library refuses is raised as one sentence with the library's own words in it.

`tensorrt` builds for the GPU of its host. Where it is not installed, TensorRT for RTX is taken: it has the same calls,
and it also builds for a GPU that is not there. Triton does not load its plans, so it serves for tests only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import LabelwireError

_FREE: Final = -1
# The library ships no types.
_Library = Any
_Network = Any
_Config = Any


class PlanError(LabelwireError):
    """TensorRT is not installed, or it refuses a graph, a profile or a target."""


@dataclass(frozen=True, slots=True)
class ShapeRange:
    """The shapes, with the batch in front, that a plan takes of one input; `optimum` is what it is tuned for."""

    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


OptimizationProfile = Mapping[str, ShapeRange]
"""The range of each input of a graph, by its name."""


def build_plan(graph: Path, profiles: Sequence[OptimizationProfile], *, compute_capability: str | None = None) -> bytes:
    """Parse the ONNX file `graph`, build it with all `profiles` and return the plan's bytes.

    `compute_capability`, such as "8.9", is that of the GPU that will run the plan; None means the GPU of this host, and
    `tensorrt` knows no other. Raises PlanError.
    """
    library = _import_library()
    log = _builder_log(library)
    builder = _builder(library, log)
    # A bit mask. TensorRT 10 types a network weakly without it.
    flags = 1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    _parse(library, log, network, graph)
    config = builder.create_builder_config()
    for profile in profiles:
        _check_profile(graph, network, profile)
        _add_profile(builder, config, profile)
    if compute_capability is not None:
        _set_target(library, config, compute_capability)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        target = f"compute capability {compute_capability}" if compute_capability else "the GPU of this host"
        raise PlanError(
            f"TensorRT does not build {graph} for {target} ({_in_one_line(log.errors)}): change the graph or the "
            "shapes of its profiles"
        )
    return bytes(plan)


def _import_library() -> _Library:
    try:
        import tensorrt  # noqa: PLC0415  (only who builds plans needs it)
    except ImportError:
        pass
    else:
        return tensorrt
    try:
        import tensorrt_rtx_bindings  # noqa: PLC0415
    except ImportError as error:
        raise PlanError(
            "the Python module tensorrt is not installed, so no plan can be built: build in an environment that has "
            "it, such as Triton's image"
        ) from error
    return tensorrt_rtx_bindings


def _builder_log(library: _Library) -> Any:  # noqa: ANN401  made of a class that is known at run time only
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
            f"TensorRT {library.__version__} does not start ({_in_one_line(log.errors) or error}): build on a host "
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
        f"TensorRT refuses {graph}{where} ({_in_one_line([first.desc()])}): change the graph; UINT8 may be used in a "
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
    known = getattr(library, "ComputeCapability", None)
    if known is None:
        raise PlanError(
            f"TensorRT {library.__version__} builds for the GPU of its host only, not for compute capability "
            f"{compute_capability}: name none, and build on the host that serves"
        )
    by_name = {f"{name[2:-1]}.{name[-1]}": value for name, value in known.__members__.items() if name[:2] == "SM"}
    if compute_capability not in by_name:
        raise PlanError(
            f"TensorRT for RTX {library.__version__} does not build for compute capability {compute_capability}: "
            f"choose one of {', '.join(by_name)}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(by_name[compute_capability], 0)


def _in_one_line(messages: Sequence[str]) -> str:
    return "; ".join(" ".join(message.split()) for message in messages)
