"""Reading a set with one profile: embedded on the real Triton, onnx by ONNX Runtime, both by a worker's own reader."""

from worker import bootstrap, settings
from worker.cli.quantize import count_read
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.scores import Scores
from worker.ports import InferenceBackend

MAX_APART = 0.002  # in word F1: profiles are one product


async def word_f1(dataset: Dataset, backend: InferenceBackend) -> float:
    """Return the word F1 of a set with truth, read by a worker with default settings; closes the backend."""
    found = Scores.of(await count_read(dataset, backend)).word_f1
    if found is None:
        raise ValueError(f"{dataset.name} has no truth")
    return found


def triton(url: str) -> InferenceBackend:
    """Return the real Triton at an address."""
    return bootstrap.triton_backend(settings.load({"LABELWIRE_TRITON__URL": url}))
