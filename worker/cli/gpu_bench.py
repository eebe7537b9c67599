"""`labelwire gpu-bench`: FP32, FP16 and INT8 on this host's NVIDIA GPU, next to a floor."""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Final

import onnxruntime
import typer

from worker import bootstrap, settings
from worker.adapters.clock import SystemClock
from worker.adapters.telemetry.fanout import Fanout
from worker.lab.bench.gpu.budget import TimeBudget
from worker.lab.bench.gpu.measure import GpuBench, GpuBenchPlan, GpuBenchRun, OpenClient
from worker.lab.bench.gpu.probe import GpuProbe, gpu_environment
from worker.lab.bench.gpu.report import figures, meets_floor, write_report
from worker.lab.bench.gpu.ways import ServingWay, find_gpu_host, in_this_process, serving_ways
from worker.lab.evaluation.in_process import CUDA
from worker.lab.evaluation.machine import describe_machine
from worker.lab.stack import pictures
from worker.local.provision import python_environment
from worker.models.choice import Gpu
from worker.ports import InferenceBackend
from worker.runtime.model_client import ModelClient
from worker.runtime.triton_guard import TritonGuard

app = typer.Typer(add_completion=False)
_CUDA_ENVIRONMENT: Final = "cuda"
_MINUTES: Final = 7.5  # the bench is to end within 8, its start and its report included


@app.command(name="gpu-bench")
def gpu_bench(
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder with pictures; without it, synthetic labels are drawn.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Use only the first COUNT pictures.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds per precision.")] = 3,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Time for all, builds included; what does not fit is left out and named.")
    ] = _MINUTES,
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Run all of it without a GPU, with ONNX Runtime on the CPU.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("build"),
) -> None:
    """Measure FP32, FP16 and INT8 on an NVIDIA GPU: throughput, latency, batches, use and memory of the GPU.

    Serves the models in the best way at hand: TensorRT plans on this host's Triton, ONNX Runtime on it, or ONNX
    Runtime with CUDA in this process. The last one fetches 1.6 GB once, which takes no time of --minutes. Exit code 1
    if no precision reads 50 labels a second at a p95 under 50 ms; 0 for a rehearsal.
    """
    gpu, ways, passed_over = _ways(rehearse=rehearse)
    budget = TimeBudget(60 * minutes)
    folder = output / "gpu-bench"
    chosen = settings.load()
    options = bootstrap.pipeline_options(chosen)
    plan = GpuBenchPlan(pictures(data, count, folder), bootstrap.max_jobs(chosen), options, rounds=rounds)
    bench = GpuBench(plan, opener(chosen), budget, None if rehearse else GpuProbe(), folder)
    run = asyncio.run(bench.run(ways))
    described = {**run.configuration, "gpu": asdict(gpu) if gpu else None, "machine": describe_machine()}
    run = replace(run, notes=[*passed_over, *run.notes], configuration=described)
    page = write_report(run, output)
    _say(run)
    typer.echo(f"The report is {page}")
    if not rehearse and not meets_floor(run):
        raise typer.Exit(1)


def _ways(*, rehearse: bool) -> tuple[Gpu | None, Sequence[ServingWay], Sequence[str]]:
    """Return the GPU, the ways to serve on it, and why better ones are passed over."""
    if rehearse:
        return None, [in_this_process("cpu")], []
    os.environ.update(gpu_environment())
    host = find_gpu_host()
    if host.tritonserver is None:
        _take_cuda()
    ways, passed_over = serving_ways(host, settings.load().triton)
    return host.gpu, ways, passed_over


def _take_cuda() -> None:
    """Have ONNX Runtime with CUDA in this process: it begins anew where the interpreter's own is for the CPU only."""
    if CUDA in onnxruntime.get_available_providers():
        return
    packages = str(python_environment(_CUDA_ENVIRONMENT).site_packages)
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if packages in paths:  # it has begun anew
        return
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([packages, *paths])}
    argv = [sys.executable, "-m", "worker", *sys.argv[1:]]
    os.execve(sys.executable, argv, environment)  # noqa: S606  as it was called


def opener(chosen: settings.Settings) -> OpenClient:
    """Return what opens a reader of labels behind a worker's own guard, which adapts the requests in flight."""

    def open_client(backend: InferenceBackend) -> AbstractAsyncContextManager[ModelClient]:
        return bootstrap.open_model_client(chosen, TritonGuard(backend, chosen.triton, SystemClock(), Fanout()))

    return open_client


def _say(run: GpuBenchRun) -> None:
    """Print the sentence on each precision, and on what was left out."""
    for name, row in figures(run)["precisions"].items():
        typer.echo(f"{name.upper()}: {row['absent'] or row['verdict']}")
    for note in run.notes:
        typer.echo(note)
