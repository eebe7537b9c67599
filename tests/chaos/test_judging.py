from dataclasses import replace

import pytest

from worker.audit.report import AuditReport
from worker.lab.chaos.answers import WorkerAnswer
from worker.lab.chaos.errors import ChaosError
from worker.lab.chaos.judging import Expectations, Verdict, expect, judge
from worker.lab.chaos.pictures import Picture, PictureFate

LABEL = Picture("label", b"", "image/jpeg", PictureFate.GOOD)
NOISE = Picture("noise", b"", "image/jpeg", PictureFate.UNDECODABLE)
POISON = Picture("poison", b"", "image/jpeg", PictureFate.POISON)
SUBMITTED = {"a": LABEL, "b": NOISE, "c": POISON}
EXPECTED = Expectations({"label": ("SHIP TO",)}, {"noise": "IMAGE_UNSUPPORTED"})
RIGHT = (
    WorkerAnswer("a", "result-a", 1, ("SHIP TO",), None),
    WorkerAnswer("b", "letter-b", 2, None, "IMAGE_UNSUPPORTED"),
    WorkerAnswer("c", "letter-c", 3, None, "POISON"),
)
SOUND = AuditReport(
    jobs=3,
    completed=1,
    dead_lettered=2,
    parked=0,
    pending=0,
    lost=0,
    unverifiable=0,
    result_records=1,
    duplicates=0,
    duplicates_after_dedup=0,
    conflicting=0,
    mismatched=0,
    contradictory=0,
    unreadable=0,
    dead_letter_records=2,
    duplicate_dead_letters=0,
    parked_records=0,
    retries=0,
    replays=0,
    strangers=0,
    former=0,
    records=6,
    seconds=0.1,
)


def judged(*answers: WorkerAnswer, audited: AuditReport = SOUND, doubtful: tuple[str, ...] = ()) -> Verdict:
    return judge(SUBMITTED, doubtful, EXPECTED, answers, audited)


def test_a_run_in_which_all_ended_as_it_must_is_right() -> None:
    assert judged(*RIGHT) == Verdict(3, 1, 2, 0, 0, 0, 0, ())


def test_a_job_without_an_answer_is_lost() -> None:
    verdict = judged(*RIGHT[1:])
    assert verdict.lost == 1
    assert verdict.problems == ("a (label) was lost",)


@pytest.mark.parametrize("found", ["lost", "pending", "unverifiable"])
def test_what_the_audit_misses_is_lost(found: str) -> None:
    assert judged(*RIGHT, audited=replace(SOUND, **{found: 2})).lost == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("found", ["conflicting", "mismatched", "contradictory", "unreadable"])
def test_what_the_audit_finds_wrong_is_wrong(found: str) -> None:
    assert judged(*RIGHT, audited=replace(SOUND, **{found: 2})).wrong == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer",
    [
        WorkerAnswer("a", "result-a", 1, ("SHIP T0",), None),
        WorkerAnswer("a", "letter-a", 1, None, "ATTEMPT_TIMED_OUT"),
        WorkerAnswer("b", "result-b", 1, (), None),
        WorkerAnswer("b", "letter-b", 1, None, "IMAGE_CORRUPT"),
        WorkerAnswer("c", "letter-c", 1, None, "INTERNAL"),
        WorkerAnswer("c", "result-c", 1, ("SHIP TO",), None),
        WorkerAnswer("z", "result-z", 1, ("SHIP TO",), None),
    ],
)
def test_an_answer_that_must_not_be_is_wrong(answer: WorkerAnswer) -> None:
    others = [right for right in RIGHT if right.job_id != answer.job_id]
    verdict = judged(answer, *others)
    assert (verdict.wrong, len(verdict.problems)) == (1, 1)


def test_copies_are_duplicates_and_gone_after_dedup() -> None:
    verdict = judged(*RIGHT, replace(RIGHT[0], at_ms=9), replace(RIGHT[1], at_ms=9))
    assert (verdict.duplicates, verdict.duplicates_after_dedup) == (2, 0)


def test_a_second_answer_of_another_identity_stays_after_dedup() -> None:
    verdict = judged(*RIGHT, replace(RIGHT[0], identity="other"))
    assert (verdict.duplicates, verdict.duplicates_after_dedup) == (1, 1)


def test_a_job_in_doubt_may_have_an_answer() -> None:
    stranger = WorkerAnswer("d", "result-d", 1, ("SHIP TO",), None)
    assert judged(*RIGHT, stranger, doubtful=("d",)).wrong == 0
    assert judged(*RIGHT, stranger).wrong == 1


def test_calm_answers_are_what_is_expected() -> None:
    assert expect({"a": LABEL, "b": NOISE}, RIGHT[:2]) == EXPECTED


def test_calm_workers_have_to_agree_with_themselves() -> None:
    twice = (RIGHT[0], WorkerAnswer("a2", "result-a2", 1, ("SHIP T0",), None))
    with pytest.raises(ChaosError, match="read in two ways"):
        expect({"a": LABEL, "a2": LABEL}, twice)


def test_calm_workers_may_not_refuse_a_good_picture() -> None:
    with pytest.raises(ChaosError, match=r"label.*ended as INTERNAL"):
        expect({"a": LABEL}, [WorkerAnswer("a", "letter-a", 1, None, "INTERNAL")])
