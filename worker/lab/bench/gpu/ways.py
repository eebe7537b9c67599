"""How a host can serve the models on its GPU, the best way first.

Two kinds of host are known: Triton's own container, where TensorRT plans are better than ONNX Runtime, and any other
host with a driver, where ONNX Runtime with CUDA serves in this process. Plans are served by Triton only: to run them in
this process would take a server of our own, which nobody deploys.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import onnxruntime

from worker.adapters.clock import SystemClock
from worker.adapters.telemetry.fanout import Fanout
from worker.adapters.triton.client import TritonBackend
from worker.adapters.triton.statistics import ModelStatistics, read_statistics, server_version
from worker.domain.errors import LocalStackError
from worker.domain.manifest import Device
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.in_process import InProcessBackend
from worker.local.triton import HostTritonServer, TritonServer, find_tritonserver
from worker.models.build import Progress, build_repository
from worker.models.choice import Gpu, GpuError, find_gpu, tensorrt_version
from worker.models.profiles import select_profile
from worker.models.tensorrt_builder import PlanError, import_tensorrt
from worker.ports import InferenceBackend
from worker.settings import TritonSettings

REPOSITORIES: Final = Path("build/model_repository")

Statistics = Callable[[], Mapping[str, ModelStatistics]]


@dataclass(frozen=True, slots=True)
class OpenServer:
    """Models that are served: a client of them, their counts, and the versions of what serves them."""

    backend: InferenceBackend
    statistics: Statistics
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ServingWay:
    """One way to serve: `build` makes the repository of a precision, `serve` serves it from a folder for its log.

    `build` raises LabelwireError with the reason if there is no such precision, or if it did not pass its gate. `serve`
    raises LabelwireError if the server is not ready in so many seconds.
    """

    title: str
    build: Callable[[str, Progress], Path]
    serve: Callable[[Path, Path, float], AbstractContextManager[OpenServer]]


@dataclass(frozen=True, slots=True)
class GpuHost:
    """What a host offers.

    `tritonserver` is the path of its own server, `backends` the names of that server's. `tensorrt` is the version of
    the Python module, `no_tensorrt` why there is none; `tensorrt_served` is the version that Triton loads.
    """

    gpu: Gpu
    tritonserver: Path | None = None
    backends: frozenset[str] = frozenset()
    tensorrt: str | None = None
    no_tensorrt: str = ""
    tensorrt_served: str | None = None


def find_gpu_host() -> GpuHost:
    """Return what this host offers. Raises MeasurementError if it has no GPU."""
    try:
        gpu = find_gpu()
    except GpuError as error:
        raise MeasurementError(
            f"There is nothing to measure, because {error}: run it on a host with an NVIDIA GPU, or rehearse it with "
            "--rehearse."
        ) from error
    try:
        server = find_tritonserver()
    except LocalStackError:
        return GpuHost(gpu)
    backends = frozenset(path.name for path in (server.parents[1] / "backends").glob("*/"))
    try:
        tensorrt, no_tensorrt = str(import_tensorrt().__version__), ""
    except PlanError as error:
        tensorrt, no_tensorrt = None, str(error)
    return GpuHost(gpu, server, backends, tensorrt, no_tensorrt, tensorrt_version())


def serving_ways(host: GpuHost, triton: TritonSettings) -> tuple[Sequence[ServingWay], Sequence[str]]:
    """Return the ways of a host, the best one first, and why better ones are passed over, a sentence each.

    Raises MeasurementError if its Triton has neither of the two backends.
    """
    if host.tritonserver is None:
        sentence = (
            "Triton, with plans or ONNX Runtime, is passed over, because tritonserver is not on the PATH: run this in "
            "Triton's container."
        )
        return (in_this_process("gpu"),), (sentence,)
    ways, passed_over = [], []
    if reason := _no_plans(host):
        passed_over.append(f"Plans on Triton are passed over, because {reason}.")
    else:
        ways.append(on_triton("TensorRT plans on Triton", "tensorrt", triton))
    if "onnxruntime" in host.backends:
        ways.append(on_triton("ONNX Runtime with CUDA on Triton", "onnx", triton))
    else:
        passed_over.append(f"ONNX Runtime on Triton is passed over, because {_no_backend(host, 'onnxruntime')}.")
    if not ways:
        raise MeasurementError(" ".join([*passed_over, "Install one of them, or take Triton off the PATH."]))
    return ways, passed_over


def _no_plans(host: GpuHost) -> str:
    """Return why a host with Triton cannot serve plans, nothing if it can."""
    if "tensorrt" not in host.backends:
        return _no_backend(host, "tensorrt")
    if host.tensorrt is None:
        return host.no_tensorrt
    if host.tensorrt_served is None:
        return "the library of Triton's TensorRT does not load"
    if host.tensorrt.split(".")[:3] != host.tensorrt_served.split("."):
        return (
            f"the Python module tensorrt is {host.tensorrt} and Triton's TensorRT {host.tensorrt_served}: install the "
            "module in that version"
        )
    return ""


def _no_backend(host: GpuHost, name: str) -> str:
    return f"{host.tritonserver} has no backend {name}"


def on_triton(title: str, profile: str, settings: TritonSettings) -> ServingWay:
    """Return the way by the host's own Triton with a profile for a GPU."""
    return ServingWay(title, partial(_build, profile), partial(served_by, HostTritonServer, settings))


def in_this_process(device: Device) -> ServingWay:
    """Return the way by ONNX Runtime in this process, on a GPU or, as a rehearsal of that, on the CPU."""
    title = f"ONNX Runtime with {'CUDA' if device == 'gpu' else 'the CPU'} in this process"
    return ServingWay(title, partial(_build, "onnx"), partial(_serve_here, device))


def _build(profile: str, precision: str, progress: Progress) -> Path:
    chosen = select_profile(profile, device="gpu", precision=precision)
    return build_repository(chosen, REPOSITORIES / f"{profile}-gpu-{precision}", progress=progress)


@contextmanager
def served_by(
    server_class: type[TritonServer], settings: TritonSettings, repository: Path, folder: Path, ready_seconds: float
) -> Iterator[OpenServer]:
    """Serve a repository by a Triton of this class, with clients of these settings."""
    with server_class(repository, run_dir=folder, ready_timeout_seconds=ready_seconds) as server:
        own = settings.model_copy(update={"url": server.grpc_url})
        versions = {"Triton": server_version(server.grpc_url)}
        backend = TritonBackend(own, Fanout(), SystemClock())
        yield OpenServer(backend, partial(read_statistics, server.grpc_url), versions)


@contextmanager
def _serve_here(device: Device, repository: Path, _folder: Path, _ready_seconds: float) -> Iterator[OpenServer]:
    backend = InProcessBackend(repository, device=device)
    backend.load()
    yield OpenServer(backend, backend.statistics, {"ONNX Runtime": onnxruntime.__version__})
