"""The demo itself: jobs written to Kafka, a real worker, results read off the output topic."""

from dataclasses import dataclass
from pathlib import Path

from worker.lab.evaluation.configuration import Endpoints, WorkerConfiguration, labelwire_system
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.systems import Job, Launch, RunningSystem, SystemRun, Topics
from worker.reporting.progress import counted

TOPICS = Topics("label-images", "label-text", "label-images.dlq")
_NAME = "labelwire-demo"
_STALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class DemoRun:
    """What the demo did; `broker` and `triton` say in words what it ran on."""

    dataset: Dataset
    delivery: SystemRun
    broker: str
    triton: str

    @property
    def succeeded(self) -> bool:
        """Whether every job has its result."""
        return bool(self.delivery.submitted) and len(self.delivery.answers) == len(self.delivery.submitted)


def read_all(dataset: Dataset, endpoints: Endpoints, launch: Launch, folder: Path) -> SystemRun:
    """Have a worker read all pictures, and return what came back. Raises MeasurementError if the worker ends early."""
    system = labelwire_system(_NAME, "The worker", WorkerConfiguration(), endpoints, topics=TOPICS)
    jobs = [Job.of(sample) for sample in dataset.samples]
    with RunningSystem(system, endpoints.bootstrap_servers, launch, folder / "worker.log") as running:
        running.wait_until_ready()
        with counted("Reading the labels", len(jobs)) as advance:
            delivery = running.answer_all(jobs, advance, stall_seconds=_STALL_SECONDS)
        running.stop()
        running.drain(delivery)
    return delivery
