"""Whether anything was lost, repeated or read wrongly: what was submitted against what came out.

Invariant: the verdict counts what either of two checks has found: the audit, which knows records and origins, and the
comparison here, which knows what each picture says.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from worker.audit.report import AuditReport
from worker.domain.errors import ErrorCode
from worker.lab.chaos.answers import Reading, WorkerAnswer, by_job
from worker.lab.chaos.errors import ChaosError
from worker.lab.chaos.pictures import Picture, PictureFate

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Expectations:
    """What each picture's job has to end as, by the picture's name: a reading, or an error's code."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts, and the first of the problems in sentences.

    `duplicates` are results and dead letters beyond the first of their job, `duplicates_after_dedup` those of them
    that a reader cannot recognize as copies.
    """

    jobs: int
    completed: int
    dead_lettered: int
    lost: int
    duplicates: int
    duplicates_after_dedup: int
    wrong: int
    problems: tuple[str, ...]


def expect(submitted: Mapping[str, Picture], answers: Sequence[WorkerAnswer]) -> Expectations:
    """Return what workers answered without faults, which counts as right.

    Raises ChaosError if one picture was read in two ways, or if a picture ended as it must not.
    """
    readings: dict[str, Reading] = {}
    codes: dict[str, str] = {}
    for answer in answers:
        picture = submitted[answer.job_id]
        if answer.reading is not None and picture.fate is PictureFate.GOOD:
            if readings.setdefault(picture.name, answer.reading) != answer.reading:
                raise ChaosError(f"{picture.name} was read in two ways without any fault; see {answer.job_id}.")
        elif answer.code is not None and picture.fate is PictureFate.UNDECODABLE:
            codes[picture.name] = answer.code
        else:
            raise ChaosError(f"{picture.name} ({picture.fate}) ended as {answer.code or 'a result'} without any fault.")
    return Expectations(readings, codes)


def judge(
    submitted: Mapping[str, Picture],
    doubtful: Collection[str],
    expected: Expectations,
    answers: Sequence[WorkerAnswer],
    audited: AuditReport,
) -> Verdict:
    """Compare what was submitted with all that came out; `doubtful` jobs may have answers or not."""
    grouped = by_job(answers)
    unanswered = sorted(submitted.keys() - grouped.keys())
    wrong = list(_wrong_answers(submitted, doubtful, expected, answers))
    distinct = {job: {answer.identity for answer in own} for job, own in grouped.items()}
    problems = [f"{job} ({submitted[job].name}) was lost" for job in unanswered] + wrong
    problems += [str(offender) for offender in audited.offenders] + list(audited.gaps)
    audit_wrong = audited.conflicting + audited.mismatched + audited.contradictory + audited.unreadable
    return Verdict(
        jobs=len(submitted),
        completed=sum(any(answer.code is None for answer in own) for own in grouped.values()),
        dead_lettered=sum(any(answer.code is not None for answer in own) for own in grouped.values()),
        lost=max(len(unanswered), audited.lost + audited.pending + audited.unverifiable),
        duplicates=max(
            sum(len(own) - 1 for own in grouped.values()), audited.duplicates + audited.duplicate_dead_letters
        ),
        duplicates_after_dedup=max(sum(len(ids) - 1 for ids in distinct.values()), audited.duplicates_after_dedup),
        wrong=max(len(wrong), audit_wrong),
        problems=tuple(dict.fromkeys(problems))[:_SHOWN],
    )


def _wrong_answers(
    submitted: Mapping[str, Picture], doubtful: Collection[str], expected: Expectations, answers: Sequence[WorkerAnswer]
) -> Iterator[str]:
    for answer in answers:
        picture = submitted.get(answer.job_id)
        if picture is None:
            if answer.job_id not in doubtful:
                yield f"{answer.job_id!r} was answered and never submitted"
        elif answer.reading is not None:
            right = expected.readings.get(picture.name)
            if answer.reading != right:
                yield f"{answer.job_id} ({picture.name}) was read as {answer.reading}, not as {right}"
        elif answer.code != (right_code := _right_code(picture, expected)):
            yield f"{answer.job_id} ({picture.name}) ended as {answer.code}, not as {right_code or 'a result'}"


def _right_code(picture: Picture, expected: Expectations) -> str | None:
    return str(ErrorCode.POISON) if picture.fate is PictureFate.POISON else expected.codes.get(picture.name)
