"""The bench on the embedded stack: one broker, a Triton server for each alphabet, and everybody who takes part."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from worker.domain.result import ModelUsed
from worker.lab import stack
from worker.lab.bench import summary
from worker.lab.bench.bare import CONCURRENCY, record_from
from worker.lab.bench.contestants import BareContestant, Contestant, Servers, SystemContestant
from worker.lab.bench.decode_cost import decode_cpu_seconds
from worker.lab.bench.report import TITLES, BenchRun
from worker.lab.bench.rounds import run_rounds
from worker.lab.evaluation.configuration import (
    RAPIDOCR,
    RAPIDOCR_OPENVINO,
    WorkerConfiguration,
    labelwire_system,
    rapidocr_system,
)
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.machine import describe_machine
from worker.lab.evaluation.systems import RunningSystem, System
from worker.local.kafka import Broker
from worker.reporting.progress import counted

ROUNDS: Final = 5
REPEAT: Final = 4


@dataclass(frozen=True, slots=True)
class _Side:
    """The worker and the bare models of one alphabet, on a server of their own."""

    contestants: tuple[Contestant, Contestant]
    models: Mapping[str, ModelUsed]
    triton: str


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What to run: `rounds` turns each; each picture is `repeat` times in the worker's and the bare models' backlog."""

    dataset: Dataset
    configuration: WorkerConfiguration
    rounds: int = ROUNDS
    repeat: int = REPEAT

    @property
    def has_barcodes(self) -> bool:
        """Whether the truth of a picture names barcodes."""
        return any(sample.stands.barcodes for sample in self.dataset.samples)


def measure(plan: BenchPlan, folder: Path) -> BenchRun:
    """Run a whole bench; the Latin side is the same configuration with the other alphabet. Raises LabelwireError."""
    dataset, configuration = plan.dataset, plan.configuration
    description = configuration.describe()
    python = stack.rapidocr_python()
    decode_seconds = decode_cpu_seconds(sample.read_bytes() for sample in dataset.samples)
    with ExitStack() as opened:
        kafka = opened.enter_context(stack.broker(folder / "run"))
        full = _side(opened, kafka, plan, folder)
        latin = _side(opened, kafka, replace(plan, configuration=replace(configuration, alphabet="latin")), folder)
        competitors = [_competitor(opened, kafka, plan, name, python, folder) for name in (RAPIDOCR, RAPIDOCR_OPENVINO)]
        turns = run_rounds([*full.contestants, *latin.contestants, *competitors], plan.rounds, len(dataset.samples))
        description |= {
            "broker": stack.describe_broker(kafka),
            "triton": full.triton,
            "latin_triton": latin.triton,
            "rapidocr": stack.describe_rapidocr(barcodes=plan.has_barcodes),
            "titles": {competitor.name: competitor.title for competitor in competitors},
            "models": {name: used.model_dump() for name, used in full.models.items()},
            "latin_models": {name: used.model_dump() for name, used in latin.models.items()},
            "bare_models_concurrency": CONCURRENCY,
            "rounds": plan.rounds,
            "repeat": plan.repeat,
            "dataset": dataset.name,
            "machine": describe_machine(),
        }
    return BenchRun(turns, decode_seconds, description)


def _side(opened: ExitStack, kafka: Broker, plan: BenchPlan, folder: Path) -> _Side:
    configuration, dataset = plan.configuration, plan.dataset
    is_latin = configuration.alphabet == "latin"
    name, bare = (summary.LATIN, summary.BARE_LATIN) if is_latin else (summary.LABELWIRE, summary.BARE)
    server = opened.enter_context(stack.triton(configuration, folder / "run" / configuration.alphabet))
    with counted(f"Recording requests, {configuration.alphabet} alphabet", len(dataset.samples)) as advance:
        recording = record_from(server.grpc_url, dataset, configuration.pipeline_options(), advance)
    endpoints = stack.endpoints(kafka, server)
    running = _running(opened, kafka, labelwire_system(name, TITLES[name], configuration, endpoints), folder)
    servers = Servers(kafka.pid, server.pid, server.grpc_url)
    worker = SystemContestant(running, dataset, servers, repeat=plan.repeat)
    models = BareContestant(bare, TITLES[bare], endpoints, recording.requests, repeat=plan.repeat)
    return _Side((worker, models), recording.models, stack.describe_triton(server, configuration))


def _competitor(
    opened: ExitStack, kafka: Broker, plan: BenchPlan, name: str, python: Path, folder: Path
) -> SystemContestant:
    system = rapidocr_system(name, python, kafka.bootstrap_servers, barcodes=plan.has_barcodes)
    return SystemContestant(_running(opened, kafka, system, folder), plan.dataset, Servers(kafka.pid))


def _running(opened: ExitStack, kafka: Broker, system: System, folder: Path) -> RunningSystem:
    running = RunningSystem(system, kafka.bootstrap_servers, stack.launch, folder / f"{system.name}.log")
    return opened.enter_context(running)
