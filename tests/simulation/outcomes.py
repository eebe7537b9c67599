"""Whether what workers wrote is what the jobs asked for, and carries what their producers wrote."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from tests.simulation.jobs import Sent
from worker.domain.errors import Disposition, ErrorCode
from worker.domain.headers import DEAD_LETTER_PREFIX, DerivedHeaders
from worker.domain.records import CONTENT_TYPE_HEADER, Coordinate, Headers, Record
from worker.domain.result import LabelText
from worker.settings import TopicSettings


class Origin(NamedTuple):
    """Where a job first stood, and when it was written there: a topic that is made anew has the same places again."""

    at: Coordinate
    timestamp_ms: int

    @classmethod
    def of(cls, derived: DerivedHeaders) -> "Origin":
        """Return what a record says of its job."""
        return cls(derived.origin, derived.origin_timestamp_ms)

    def __str__(self) -> str:
        return str(self.at)


@dataclass(frozen=True, slots=True)
class _Ending:
    """A terminal record: a result with its identity and text, or a dead letter with its code."""

    at: Coordinate
    result_id: str | None
    text: str | None
    code: ErrorCode | None
    job_id: str | None = None


class OutcomeCheck:
    """What has been written for each job. `gone` are jobs whose topic was deleted: they may end or not."""

    LARGEST_PIXELS: ClassVar[int] = 192 * 48
    # A job may end so where the weather is bad for too long; never for a systemic cause.
    _PASSING: ClassVar = frozenset({ErrorCode.INFERENCE_FAILED, ErrorCode.ATTEMPT_TIMED_OUT})

    def __init__(self, topics: TopicSettings, jobs: Mapping[Origin, Sent], gone: Collection[Origin]) -> None:
        self._topics = topics
        self._jobs = jobs
        self._gone = gone
        self._endings: dict[Origin, list[_Ending]] = defaultdict(list)

    def written(self, record: Record, derived: DerivedHeaders) -> Iterator[str]:
        """Look at a record that a worker wrote, and return what is wrong with it."""
        origin = Origin.of(derived)
        job = self._jobs.get(origin)
        if job is None:
            yield f"{record.coordinate} comes from {derived.origin}, where no job stood at that time."
            return
        yield from self._faithful(record, derived, job)
        topic = record.coordinate.topic
        if topic == self._topics.results:
            ending = self._result(record)
            self._endings[origin].append(ending)
            if ending.job_id != (job.job_id or str(derived.origin)):
                yield f"{record.coordinate} names the job {ending.job_id}, and it is {job.job_id or derived.origin}."
        elif topic == self._topics.dead_letters:
            ending = self._letter(record)
            self._endings[origin].append(ending)
            if ending.code is None or ending.code.disposition is Disposition.SYSTEMIC:
                yield f"{record.coordinate} is a dead letter for {ending.code}, which no job is to blame for."

    def _faithful(self, record: Record, derived: DerivedHeaders, job: Sent) -> Iterator[str]:
        if derived.attempt < 1:
            yield f"{record.coordinate} has wrong headers: {derived}."
        if record.header(f"{DEAD_LETTER_PREFIX}payload.mode") == "reference":
            return
        own = {CONTENT_TYPE_HEADER} if record.coordinate.topic == self._topics.results else set()
        if record.key != job.key or _foreign(job.headers, own) != _foreign(record.headers, own):
            yield f"{record.coordinate} has not the key and headers of {derived.origin}."
        if record.coordinate.topic != self._topics.results and record.value != job.value:
            yield f"{record.coordinate} has not the value of {derived.origin}."

    @staticmethod
    def _result(record: Record) -> _Ending:
        result = LabelText.model_validate_json(record.value or b"")
        text = " ".join(line.text for page in result.pages for line in page.lines)
        return _Ending(record.coordinate, result.result_id, text, None, result.job_id)

    @staticmethod
    def _letter(record: Record) -> _Ending:
        code = record.header(f"{DEAD_LETTER_PREFIX}error.code")
        known = code in ErrorCode.__members__
        return _Ending(record.coordinate, None, None, ErrorCode[str(code)] if known else None)

    def at_the_end(self, *, excused: bool) -> Iterator[str]:
        """Say which jobs have not ended as they should; duplicates are right only where something excuses them."""
        for origin, job in self._jobs.items():
            endings = self._endings.get(origin, [])
            if not endings and origin not in self._gone:
                yield f"{origin} ({job.kind}) is lost: it has neither a result nor a dead letter."
            if len(endings) > 1 and not excused:
                yield f"{origin} ({job.kind}) has {len(endings)} outcomes, and nothing happened that excuses that."
            yield from self._right(origin, job, endings)

    def _right(self, origin: Origin, job: Sent, endings: list[_Ending]) -> Iterator[str]:
        for ending in endings:
            right = (
                ending.text == job.text
                if ending.code is None
                else ending.code in job.codes or ending.code in self._PASSING
            )
            if not right:
                yield f"{origin} ({job.kind}) ended with {ending.code or repr(ending.text)}: {ending.at}."
        if len({ending.result_id for ending in endings if ending.result_id}) > 1:
            yield f"{origin} ({job.kind}) has results with several identities."


def _foreign(headers: Headers, own: set[str]) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in headers if not name.startswith("labelwire.") and name not in own]
