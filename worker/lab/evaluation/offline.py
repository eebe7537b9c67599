"""Reading a set with Triton alone, without Kafka: quicker to start, and the same reader as the worker's.

Invariant: each picture of the set ends answered or refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from worker.domain.errors import Disposition, ErrorCode
from worker.lab.evaluation.answers import Refusal, of_label_text
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.run import GATE_REFUSALS
from worker.lab.evaluation.systems import SystemRun, complete
from worker.reporting.ocr import FileReading, ReadingOptions, read_files
from worker.runtime.model_client import ModelClient

# A worker tries again where the server was busy; so does this.
_PASSING: Final = frozenset(code.value for code in ErrorCode if code.disposition is not Disposition.PERMANENT)
_ATTEMPTS: Final = 6


async def deliver_offline(
    dataset: Dataset, reader: ModelClient, on_picture: Callable[[], None], timeout_seconds: float
) -> SystemRun:
    """Return what a reader answers on the set, with so much time for each picture.

    Raises MeasurementError if it refuses a picture for another reason than quality.
    """
    return complete(await read_offline(dataset, reader, on_picture, timeout_seconds), "Labelwire", GATE_REFUSALS)


async def read_offline(
    dataset: Dataset, reader: ModelClient, on_picture: Callable[[], None], timeout_seconds: float
) -> SystemRun:
    """Return what a reader answers on the set, whatever it refuses, with so much time for each picture."""
    names = {sample.path: sample.name for sample in dataset.samples}
    delivery = SystemRun(tuple(names.values()))
    left, again, attempt = list(names), list[Path](), 1

    def take(read: FileReading) -> None:
        name = names[read.path]
        if read.code in _PASSING and attempt < _ATTEMPTS:
            again.append(read.path)
            return
        if read.result is not None:
            delivery.take_answer(of_label_text(read.result.model_copy(update={"job_id": name})))
        else:
            delivery.take_refusal(Refusal(name, read.code or "UNKNOWN", read.error or ""))
        on_picture()

    while left:
        await read_files(left, reader, take, ReadingOptions(timeout_seconds=timeout_seconds))
        left, again, attempt = again, [], attempt + 1
    return delivery
