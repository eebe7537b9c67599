"""Runs what demo, eval and bench need: pictures, a broker, Triton servers and processes.

The commands themselves know nothing of the embedded stack; they get addresses and a way to start processes.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker.adapters.triton.statistics import server_version
from worker.lab.evaluation.configuration import (
    RAPIDOCR_VERSION,
    ZXING_VERSION,
    Endpoints,
    WorkerConfiguration,
)
from worker.lab.evaluation.dataset import Dataset, load
from worker.lab.synth.dataset import write_dataset
from worker.lab.synth.photos import write_photos
from worker.local.kafka import Broker
from worker.local.process import Command, SupervisedProcess, free_ports, start
from worker.local.progress import progress
from worker.local.provision import KAFKA_VERSION, python_environment
from worker.local.stack import choose_broker, provision_triton
from worker.local.triton import TritonServer
from worker.models.build import build_repository
from worker.reporting.progress import counted

BUILD_FOLDER = Path("build")
_SYNTHETIC_SEED = 20
_PHOTOS = 12
_GRACE_SECONDS = 40.0


def pictures(data: Path | None, count: int | None, folder: Path) -> Dataset:
    """Return the pictures of a folder (the first `count` of them), or that many synthetic labels (24)."""
    if data is not None:
        return load(data).first(count)
    wanted = count or 24
    with counted("Drawing labels", wanted) as advance:
        write_dataset(folder / "labels", wanted, _SYNTHETIC_SEED, progress=lambda _done, _all: advance())
    return load(folder / "labels")


def photos(count: int | None, folder: Path) -> Dataset:
    """Draw labels (12 unless a count is given) as photos of 12 megapixels, with their truth."""
    wanted = count or _PHOTOS
    with counted("Drawing photos of labels", wanted) as advance:
        write_photos(folder / "photos", wanted, _SYNTHETIC_SEED, progress=lambda _done, _all: advance())
    return load(folder / "photos")


def repository(configuration: WorkerConfiguration) -> Path:
    """Return the model repository of a configuration, built if it is not there."""
    alphabet = Path(configuration.alphabet).stem
    name = configuration.profile if alphabet == "full" else f"{configuration.profile}-{alphabet}"
    with progress(f"Building the model repository, {configuration.alphabet} alphabet") as report:
        return build_repository(
            configuration.profile,
            BUILD_FOLDER / "model_repository" / name,
            alphabet=configuration.alphabet,
            progress=lambda what, part: report(f"{what} ({part:.0%})"),
        )


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """Run an empty broker while the block lasts; what an earlier run left in the folder is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    chosen = choose_broker(run_dir=folder)
    try:
        with progress("Starting Kafka"):
            chosen.launch()
            chosen.wait_until_ready()
        yield chosen
    finally:
        chosen.stop()


@contextmanager
def triton(configuration: WorkerConfiguration, folder: Path) -> Iterator[TritonServer]:
    """Run a Triton server with a configuration's models while the block lasts."""
    provision_triton()
    server = TritonServer(repository(configuration), run_dir=folder)
    with progress(f"Starting Triton, {configuration.alphabet} alphabet"):
        server.start()
    try:
        yield server
    finally:
        server.stop()


def endpoints(kafka: Broker, server: TritonServer) -> Endpoints:
    """Return the addresses that a system under measurement uses."""
    return Endpoints(kafka.bootstrap_servers, server.grpc_url, server.pid, free_ports(1)[0])


def launch(argv: Sequence[str], environment: Mapping[str, str], log_path: Path) -> SupervisedProcess:
    """Start a process that does not outlive this one."""
    return start(Command(list(argv), log_path, environment, grace_seconds=_GRACE_SECONDS))


def rapidocr_python() -> Path:
    """Return the interpreter of RapidOCR's environment, made if it is not there."""
    return python_environment("rapidocr").python


def describe_broker(kafka: Broker) -> str:
    """Return in words what the broker is."""
    if kafka.kind == "kafka":
        return f"Apache Kafka {KAFKA_VERSION} (KRaft, one broker)"
    return "librdkafka mock cluster"


def describe_triton(server: TritonServer, configuration: WorkerConfiguration) -> str:
    """Return in words what the inference server is."""
    version = server_version(server.grpc_url)
    return f"Triton {version}, profile {configuration.profile}, {configuration.alphabet} alphabet"


def describe_rapidocr(*, barcodes: bool = False) -> str:
    """Return in words what the consumer around RapidOCR calls."""
    called = f"RapidOCR {RAPIDOCR_VERSION}" + (
        f" and zxing-cpp {ZXING_VERSION} on the whole picture" if barcodes else ""
    )
    return f"{called}, all settings as they come"


def describe_parts(kafka: Broker, server: TritonServer, configuration: WorkerConfiguration) -> dict[str, str]:
    """Return what a report says about the describe_parts that ran."""
    return {
        "broker": describe_broker(kafka),
        "triton": describe_triton(server, configuration),
        "rapidocr": describe_rapidocr(),
    }
