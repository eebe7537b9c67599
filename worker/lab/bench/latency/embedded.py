"""Latency on the embedded stack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from worker.lab import stack
from worker.lab.bench.bare import record_from
from worker.lab.bench.job_stream import JobStream
from worker.lab.bench.latency.loads import AloneJob, BacklogLoad, LatencyLoads, OpenLoopLoad
from worker.lab.bench.latency.model_times import model_times
from worker.lab.bench.latency.processing_times import LOG_LEVEL, ProcessingLog
from worker.lab.bench.latency.report import LatencyRun
from worker.lab.evaluation.configuration import WorkerConfiguration, labelwire_system
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.machine import describe_machine
from worker.lab.evaluation.systems import RunningSystem
from worker.reporting.progress import counted

SHARES: Final = (0.25, 0.5, 0.75, 0.9)
BACKLOGS: Final = (50, 200, 800)
_WARM_UP_TURNS: Final = 3
_SEED: Final = 11


@dataclass(frozen=True, slots=True)
class LatencyPlan:
    """What to run: `alone` jobs one by one, backlogs, and an open loop of `seconds` at each share of the capacity.

    The capacity is the throughput of the longest backlog, so there is one at least. With 0 seconds there are no open
    loops.
    """

    dataset: Dataset
    configuration: WorkerConfiguration
    alone: int = 96
    backlogs: Sequence[int] = BACKLOGS
    shares: Sequence[float] = SHARES
    seconds: float = 60.0


def measure(plan: LatencyPlan, folder: Path) -> LatencyRun:
    """Run all loads on one worker. Raises LabelwireError."""
    configuration, dataset = plan.configuration, plan.dataset
    pictures = [sample.read_bytes() for sample in dataset.samples]
    with stack.broker(folder / "run") as kafka, stack.triton(configuration, folder / "run") as server:
        with counted("Recording requests", len(pictures)) as advance:
            recording = record_from(server.grpc_url, dataset, configuration.pipeline_options(), advance)
        with counted("The models alone", len(pictures)) as advance:
            models_alone = model_times(server.grpc_url, recording.requests, advance)
        plain = labelwire_system("labelwire", "Labelwire", configuration, stack.endpoints(kafka, server))
        system = replace(plain, environment={**plain.environment, **LOG_LEVEL})
        log_path = folder / "labelwire.log"
        running = RunningSystem(system, kafka.bootstrap_servers, stack.launch, log_path)
        with JobStream(kafka.bootstrap_servers, system.topics) as stream, running:
            running.wait_until_ready()
            loads = LatencyLoads(stream, pictures, server.grpc_url, ProcessingLog(log_path))
            with counted("Warming up", _WARM_UP_TURNS * len(pictures)) as advance:
                loads.backlog("warm-up", _WARM_UP_TURNS * len(pictures), advance)
            alone, backlogs, open_loops = _run(loads, plan)
        description = configuration.describe() | {
            "broker": stack.describe_broker(kafka),
            "triton": stack.describe_triton(server, configuration),
            "dataset": dataset.name,
            "seconds": plan.seconds,
            "machine": describe_machine(),
        }
    return LatencyRun(models_alone, alone, backlogs, open_loops, description)


def _run(loads: LatencyLoads, plan: LatencyPlan) -> tuple[list[AloneJob], list[BacklogLoad], list[OpenLoopLoad]]:
    with counted("One job alone", plan.alone) as advance:
        alone = loads.alone(plan.alone, _SEED, advance)
    backlogs = []
    for count in sorted(plan.backlogs):
        with counted(f"A backlog of {count}", count) as advance:
            backlogs.append(loads.backlog(f"backlog-{count}", count, advance))
    open_loops = []
    for number, share in enumerate(sorted(plan.shares) if plan.seconds else ()):
        capacity = backlogs[-1].jobs_per_second
        with counted(f"Open loop at {share:.0%}", round(share * capacity * plan.seconds)) as advance:
            open_loops.append(loads.open_loop(share, capacity, plan.seconds, _SEED + number, advance))
    return alone, backlogs, open_loops
