"""Reads pictures through the worker's pipeline, one at a time, and keeps what it asks of the models.

Invariant: a picture that is refused for what it is counts as one of which nothing was read; one that the server could
not read ends the reading.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from worker.domain.errors import Disposition, ErrorCode
from worker.lab.bench.bare import RecordedRequest, RecordingBackend
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.offline import read_offline
from worker.lab.evaluation.run import reading
from worker.lab.evaluation.systems import SystemRun
from worker.lab.tuning.judgment import SweepReading
from worker.runtime.model_client import ModelClient

_SERVERS_FAULT: Final = frozenset(code.value for code in ErrorCode if code.disposition is Disposition.SYSTEMIC)


@dataclass(frozen=True, slots=True)
class RecordedReading:
    """What was read, and the requests for it, picture by picture; they name no version, so any server answers them."""

    read: SweepReading
    requests: tuple[RecordedRequest, ...]


async def read_recorded(
    dataset: Dataset,
    client: ModelClient,
    recording: RecordingBackend,
    on_picture: Callable[[], None],
    timeout_seconds: float,
) -> RecordedReading:
    """Read a set with a client whose backend is `recording`, with so much time for each picture.

    Raises MeasurementError if the server is away or overloaded for all tries.
    """
    run = SystemRun(tuple(sample.name for sample in dataset.samples))
    for number, sample in enumerate(dataset.samples):
        recording.picture = number
        one = await read_offline(Dataset(dataset.name, (sample,)), client, on_picture, timeout_seconds)
        for answer in one.answers.values():
            run.take_answer(answer)
        for refusal in one.refusals.values():
            if refusal.code in _SERVERS_FAULT:
                raise MeasurementError(f"{sample.name} was not read ({refusal.code}): {refusal.message}")
            run.take_refusal(refusal)
    read = reading("labelwire", "Labelwire", dataset, run)
    lines = tuple(tuple(line.text for line in transcript.lines) for transcript in read.transcripts)
    requests = tuple(replace(one, request=replace(one.request, version="")) for one in recording.requests)
    return RecordedReading(SweepReading(read.scores.word_f1, lines), requests)
