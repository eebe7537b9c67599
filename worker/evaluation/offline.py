"""Reading a set with Triton alone, without Kafka: quicker to start, and the same reader as the worker's.

Invariant: each picture of the set ends answered or refused.
"""

from collections.abc import Callable

from worker.evaluation.answers import Refusal, of_label_text
from worker.evaluation.dataset import Dataset
from worker.evaluation.run import GATE_REFUSALS
from worker.evaluation.systems import Delivery, complete
from worker.reporting.ocr import FileReading, ReadingOptions, read_files
from worker.runtime.reader import ModelReader


async def deliver_offline(
    dataset: Dataset, reader: ModelReader, on_picture: Callable[[], None], timeout_seconds: float
) -> Delivery:
    """Return what a reader answers on the set, with so much time for each picture.

    Raises MeasurementError if it refuses a picture for another reason than quality.
    """
    names = {sample.path: sample.name for sample in dataset.samples}
    delivery = Delivery(tuple(names.values()))

    def take(read: FileReading) -> None:
        name = names[read.path]
        if read.result is not None:
            delivery.take_answer(of_label_text(read.result.model_copy(update={"job_id": name})))
        else:
            delivery.take_refusal(Refusal(name, read.code or "UNKNOWN", read.error or ""))
        on_picture()

    await read_files(names, reader, take, ReadingOptions(timeout_seconds=timeout_seconds))
    return complete(delivery, "Labelwire", GATE_REFUSALS)
