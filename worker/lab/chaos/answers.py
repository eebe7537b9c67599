"""Reads what the workers answer, while they answer."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, Self

from worker.dlq.letter import DeadLetter
from worker.domain.errors import BrokerError
from worker.domain.records import Record
from worker.domain.result import LabelText

_POLL_SECONDS = 0.2
_STEP_SECONDS = 0.1

Reading = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """A result (with its lines' texts) or a dead letter (with its error's code) of a job.

    `identity` is the same for copies that a reader can tell as such. `at_ms` is when it was written.
    """

    job_id: str
    identity: str
    at_ms: int
    reading: Reading | None
    code: str | None


def answer_of(record: Record, results_topic: str) -> WorkerAnswer:
    """Read a record of the topics of results and dead letters. Raises pydantic.ValidationError for other results."""
    if record.coordinate.topic != results_topic:
        letter = DeadLetter.of(record)
        return WorkerAnswer(letter.derived.job_id or "", letter.id, record.timestamp_ms, None, letter.code)
    result = LabelText.model_validate_json(record.value or b"")
    reading = tuple(line.text for page in result.pages for line in page.lines)
    return WorkerAnswer(result.job_id, result.result_id, record.timestamp_ms, reading, None)


class Reader(Protocol):
    """Reads topics from their beginning and on."""

    def poll(self, timeout_seconds: float) -> Record | None:
        """Return the next record, None if none comes in time. Raises BrokerError."""

    def close(self) -> None:
        """Leave."""


class Watch:
    """Reads answers on a thread of its own; a context manager. A broker that is away is waited for."""

    def __init__(self, reader: Reader, results_topic: str) -> None:
        self._reader = reader
        self._results_topic = results_topic
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._answers: list[WorkerAnswer] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._reader.close()

    @property
    def answers(self) -> tuple[WorkerAnswer, ...]:
        """All that came until now."""
        return tuple(self._answers)

    def wait_for(self, job_ids: Callable[[], Iterable[str]], seconds: float, on_step: Callable[[int], None]) -> int:
        """Wait until all these jobs have an answer; return how many have none when the time is over.

        `on_step` is told several times a second how many are missing.
        """
        for _ in range(max(1, round(seconds / _STEP_SECONDS))):
            missing = len(set(job_ids()) - {answer.job_id for answer in self.answers})
            on_step(missing)
            if missing == 0 or self._ending.wait(_STEP_SECONDS):
                break
        return missing

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                record = self._reader.poll(_POLL_SECONDS)
            except BrokerError:
                self._ending.wait(_POLL_SECONDS)
                continue
            if record is not None:
                self._answers.append(answer_of(record, self._results_topic))


def by_job(answers: Iterable[WorkerAnswer]) -> dict[str, list[WorkerAnswer]]:
    """Group answers by their job, in their order."""
    grouped: dict[str, list[WorkerAnswer]] = defaultdict(list)
    for answer in answers:
        grouped[answer.job_id].append(answer)
    return dict(grouped)
