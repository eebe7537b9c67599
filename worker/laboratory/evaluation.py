"""The evaluation on the embedded stack."""

from pathlib import Path

from worker.evaluation.configuration import RAPIDOCR, WorkerConfiguration, labelwire_system, rapidocr_system
from worker.evaluation.dataset import Dataset, load
from worker.evaluation.machine import describe_machine
from worker.evaluation.run import Evaluation, read_set
from worker.laboratory import stack
from worker.reporting.progress import counted
from worker.synth import Degradation, write_dataset

_LABELS = 24


def pictures_to_judge(
    data: Path | None, count: int | None, folder: Path, *, degradation: Degradation, seed: int
) -> Dataset:
    """Return the pictures of a folder (the first `count` of them), or that many labels drawn for the purpose."""
    if data is not None:
        return load(data).first(count)
    wanted = count or _LABELS
    with counted("Drawing labels", wanted) as advance:
        write_dataset(folder / "labels", wanted, seed, degradation=degradation, progress=lambda _done, _all: advance())
    return load(folder / "labels")


def evaluate(dataset: Dataset, configuration: WorkerConfiguration, folder: Path) -> Evaluation:
    """Have the worker and RapidOCR read the pictures, one after the other. Raises LabelwireError."""
    description = configuration.describe()
    python = stack.rapidocr_python()
    with stack.broker(folder / "run") as kafka, stack.triton(configuration, folder / "run") as server:
        around = stack.surroundings(kafka, server)
        own, other = (
            read_set(system, dataset, kafka.bootstrap_servers, stack.launch, folder)
            for system in (
                labelwire_system("labelwire", "Labelwire", configuration, around),
                rapidocr_system(RAPIDOCR, python, kafka.bootstrap_servers),
            )
        )
        description |= stack.parts(kafka, server, configuration)
    description |= {"models": dict(own.models), "machine": describe_machine()}
    return Evaluation(dataset, own, other, description)
