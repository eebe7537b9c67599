"""What systems answer, in one shape: the worker's result records, its dead letters, and RapidOCR's JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from worker.dlq.letter import DeadLetter
from worker.domain.records import Record
from worker.domain.result import LabelText
from worker.lab.evaluation import fields
from worker.lab.evaluation.fields import UNTOLD, Findings
from worker.lab.evaluation.transcript import Transcript, line, of_result


@dataclass(frozen=True, slots=True)
class Answer:
    """What a system made of one job.

    `milliseconds` is how long the system itself worked on the job, `stages` how long in each stage (RapidOCR does not
    tell them). `identity` is the same for equal results of one job. `result` is the worker's own record. `findings` are
    the fields and barcodes it told.
    """

    job_id: str
    identity: str
    transcript: Transcript
    milliseconds: float
    stages: Mapping[str, float] = field(default_factory=dict)
    result: LabelText | None = None
    findings: Findings = UNTOLD


@dataclass(frozen=True, slots=True)
class Refusal:
    """A job that ended as a dead letter: its error's code and sentence."""

    job_id: str
    code: str
    message: str


class _RapidLine(BaseModel):
    model_config = ConfigDict(frozen=True)
    polygon: list[tuple[float, float]]
    text: str
    score: float


class _RapidAnswer(BaseModel):
    model_config = ConfigDict(frozen=True)
    job_id: str
    lines: list[_RapidLine]
    duration_ms: float
    barcodes: list[str] | None = None
    error: str | None = None


def of_worker(record: Record) -> Answer:
    """Read a record of the worker's output topic. Raises pydantic.ValidationError for anything else."""
    return of_label_text(LabelText.model_validate_json(record.value or b""))


def of_label_text(result: LabelText) -> Answer:
    """Return the worker's result as an answer."""
    stages = dict(result.timing_ms)
    return Answer(
        job_id=result.job_id,
        identity=result.result_id,
        transcript=of_result(result),
        milliseconds=sum(stages.values()),
        stages=stages,
        result=result,
        findings=fields.of_result(result),
    )


def of_rapidocr(record: Record) -> Answer:
    """Read a record of `rapidocr_consumer.py`. Raises pydantic.ValidationError for anything else."""
    answer = _RapidAnswer.model_validate_json(record.value or b"")
    lines = tuple(line(one.text, one.polygon, one.score) for one in answer.lines)
    barcodes = None if answer.barcodes is None else tuple(answer.barcodes)
    return Answer(
        answer.job_id, answer.job_id, Transcript(lines), answer.duration_ms, findings=Findings(barcodes=barcodes)
    )


def of_dead_letter(record: Record) -> Refusal:
    """Read a dead letter's headers."""
    letter = DeadLetter.of(record)
    return Refusal(job_id=letter.job_id, code=letter.code, message=letter.message)
