"""The verdict on a model set: what it may lose, and what is said of what it lost."""

from dataclasses import replace

import pytest

from tests.acceptance.sets import FAIR, dataset, reading
from worker.lab.acceptance.verdict import AcceptanceLimits, AcceptanceVerdict, ModelEvaluation, check_set, judge
from worker.lab.evaluation.scores import Counts, Score
from worker.lab.precision.errors import GateError

PICTURES = dataset(2)
LIMITS = AcceptanceLimits()


def judged(a: Counts, b: Counts = FAIR, limits: AcceptanceLimits = LIMITS) -> ModelEvaluation:
    return judge(PICTURES, limits, reading("A", [a, a]), reading("B", [b, b]))


def test_a_set_beside_itself_passes_with_differences_of_0() -> None:
    found = judged(FAIR)

    assert found.verdict == AcceptanceVerdict(
        passed=True,
        reasons=(),
        scores={"word_f1": 0.9, "line_hmean": 0.9, "detection_hmean": 0.95, "cer": 0.05},
        dataset="receipts",
        pictures=2,
    )
    assert set(found.differences) == {Score.WORD_F1, Score.LINE_HMEAN, Score.DETECTION_HMEAN, Score.CER}
    assert all((one.value, one.low, one.high) == (0, 0, 0) for one in found.differences.values())


@pytest.mark.parametrize(
    ("within", "beyond", "sentence"),
    [
        (
            replace(FAIR, words_right=896),
            replace(FAIR, words_right=894),
            "word F1 fell by 0.0060 to 0.8940, over the limit of 0.005; the 95 % interval of the difference, -0.0060 ",
        ),
        (
            replace(FAIR, lines_right=891),
            replace(FAIR, lines_right=889),
            "line hmean fell by 0.0110 to 0.8890, over the limit of 0.01; ",
        ),
        (
            replace(FAIR, lines_found=941),
            replace(FAIR, lines_found=939),
            "detection hmean fell by 0.0110 to 0.9390, over the limit of 0.01; ",
        ),
        (
            replace(FAIR, character_edits=54),
            replace(FAIR, character_edits=56),
            "CER rose by 0.0060 to 0.0560, over the limit of 0.005; ",
        ),
    ],
)
def test_each_score_has_a_limit_of_its_own(within: Counts, beyond: Counts, sentence: str) -> None:
    assert judged(within).verdict.passed

    verdict = judged(beyond).verdict

    assert not verdict.passed
    (reason,) = verdict.reasons
    assert reason.startswith(sentence)


def test_what_is_better_passes_however_much_it_differs() -> None:
    better = replace(FAIR, words_right=1000, lines_right=1000, lines_found=1000, character_edits=0)

    assert judged(better).verdict.passed


def test_a_loss_counts_though_other_pictures_might_not_show_it() -> None:
    worse, better = replace(FAIR, words_right=840), replace(FAIR, words_right=920)
    a, b = reading("A", [worse, better]), reading("B", [FAIR, FAIR])

    verdict = judge(PICTURES, LIMITS, a, b).verdict

    assert not verdict.passed
    (reason,) = verdict.reasons
    assert reason.endswith("-0.0600 to +0.0200, contains 0.")


def test_a_set_alone_is_scored_and_loses_nothing() -> None:
    found = judge(PICTURES, LIMITS, reading("A", [FAIR, FAIR]), None)

    assert found.verdict.passed
    assert found.verdict.scores["word_f1"] == pytest.approx(0.9)
    assert found.differences == {}
    assert found.slowdown is None


def test_time_is_judged_only_where_a_limit_is_given() -> None:
    slow, quick = [{"detect": 20.0, "read": 30.0}] * 2, [{"detect": 10.0, "read": 15.0}] * 2
    a, b = reading("A", [FAIR, FAIR], slow), reading("B", [FAIR, FAIR], quick)

    assert judge(PICTURES, AcceptanceLimits(), a, b).verdict.passed
    assert judge(PICTURES, AcceptanceLimits(max_slowdown=2.0), a, b).verdict.passed
    verdict = judge(PICTURES, AcceptanceLimits(max_slowdown=1.9), a, b).verdict

    (reason,) = verdict.reasons
    assert reason == (
        "A picture takes 2.00 times as long as with B, over the limit of 1.9; the 95 % interval, 2.00 to 2.00, does "
        "not contain 1."
    )


def test_times_of_no_common_picture_fail_where_a_limit_is_given() -> None:
    a = reading("A", [FAIR, FAIR], [{}, {"read": 1.0}], refused=[0])
    b = reading("B", [FAIR, FAIR], [{"read": 1.0}, {}], refused=[1])

    verdict = judge(PICTURES, AcceptanceLimits(max_slowdown=2.0), a, b).verdict

    assert verdict.reasons == (
        "No picture was read by both, so that their times cannot be compared as --max-slowdown asks.",
    )


def test_where_neither_reads_anything_nothing_can_be_judged() -> None:
    nothing = Counts(words_true=1000, lines_true=1000, characters_true=1000, character_edits=1000)

    for b in (reading("B", [nothing, nothing]), None):
        with pytest.raises(GateError, match="so that a loss cannot be seen: give --data pictures that the models can"):
            judge(PICTURES, LIMITS, reading("A", [nothing, nothing]), b)
    assert judge(PICTURES, LIMITS, reading("A", [FAIR, FAIR]), reading("B", [nothing, nothing])).verdict.passed
    assert len(judged(nothing).verdict.reasons) == 4


def test_a_set_that_is_too_small_for_a_limit_is_refused() -> None:
    pictures = dataset(100)  # each a line of 300 words, 1499 characters

    check_set(pictures, LIMITS)
    with pytest.raises(GateError, match=r"receipts has 2 lines, so that a loss of 0\.01 in line hmean cannot be seen"):
        check_set(PICTURES, LIMITS)
    with pytest.raises(GateError, match=r"receipts has 100 lines, .* detection hmean cannot be seen: .* 1000 lines"):
        check_set(pictures, AcceptanceLimits(max_detection_hmean_loss=0.001))
    with pytest.raises(GateError, match=r"receipts has 30000 words, so that a loss of 1e-05 in word F1 cannot"):
        check_set(pictures, AcceptanceLimits(max_word_f1_loss=1e-5))
    with pytest.raises(GateError, match=r"receipts has 149900 characters, so that a loss of 1e-06 in CER cannot"):
        check_set(pictures, AcceptanceLimits(max_cer_rise=1e-6))


def test_a_set_without_truth_is_refused() -> None:
    (sample,) = dataset(1).samples

    with pytest.raises(GateError, match=r"^0\.png has no truth: .* so give --data such a folder$"):
        check_set(replace(PICTURES, samples=(replace(sample, truth=None),)), LIMITS)


@pytest.mark.parametrize("limits", [AcceptanceLimits(max_cer_rise=0), AcceptanceLimits(max_detection_hmean_loss=1)])
def test_a_limit_that_shows_no_loss_is_refused(limits: AcceptanceLimits) -> None:
    with pytest.raises(GateError, match="is no loss that can be seen: give more than 0 and less than 1"):
        check_set(dataset(100), limits)


@pytest.mark.parametrize("ratio", [0.0, float("nan")])
def test_a_slowdown_that_is_no_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(GateError, match="is no ratio of times: give a number greater than 0"):
        check_set(dataset(100), AcceptanceLimits(max_slowdown=ratio))
