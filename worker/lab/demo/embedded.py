"""The demo on the embedded stack."""

from pathlib import Path

from worker.lab import stack
from worker.lab.demo.run import DemoRun, read_all
from worker.lab.evaluation.configuration import WorkerConfiguration


def run_embedded_demo(data: Path | None, count: int | None, folder: Path) -> DemoRun:
    """Start everything, have a worker read the pictures, and stop everything. Raises LabelwireError."""
    dataset, configuration = stack.pictures(data, count, folder), WorkerConfiguration()
    with stack.broker(folder / "run") as kafka, stack.triton(configuration, folder / "run") as server:
        delivery = read_all(dataset, stack.endpoints(kafka, server), stack.launch, folder)
        return DemoRun(dataset, delivery, stack.describe_broker(kafka), stack.describe_triton(server, configuration))
