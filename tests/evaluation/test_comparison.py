"""The paired bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lab.evaluation.comparison import Difference, differences, resampled
from worker.lab.evaluation.fields import FieldCounts
from worker.lab.evaluation.scores import Counts, Score, Scores, total


def counts(right: int, *, true: int = 10, read: int = 10) -> Counts:
    return Counts(words_true=true, words_read=read, words_right=right)


def word_f1(first: list[Counts], second: list[Counts], resamples: int = 10_000) -> Difference:
    return differences(first, second, resamples=resamples)[Score.WORD_F1]


def test_equal_systems_do_not_differ() -> None:
    same = [counts(5), counts(9), counts(7)]

    difference = word_f1(same, same)

    assert difference == Difference(0, 0, 0, 0)
    assert difference.may_be_zero


def test_a_system_that_is_better_on_each_picture_is_better_on_each_draw() -> None:
    difference = word_f1([counts(8), counts(9), counts(10)], [counts(7), counts(8), counts(9)])

    assert difference.value == pytest.approx(0.1)
    assert difference.low == pytest.approx(0.1)
    assert difference.high == pytest.approx(0.1)
    assert difference.share_better == 1
    assert not difference.may_be_zero


def test_one_lucky_picture_proves_nothing() -> None:
    first = [counts(10)] + [counts(5)] * 9
    second = [counts(2)] + [counts(5)] * 9

    difference = word_f1(first, second)

    assert difference.value == pytest.approx(0.08)
    assert difference.low == 0
    # The lucky picture is missing from a draw of ten with probability 0.9^10.
    assert difference.share_better == pytest.approx(1 - 0.9**10, abs=0.02)


def test_fewer_character_errors_are_better() -> None:
    first = [Counts(characters_true=100, character_edits=edits) for edits in (1, 2, 3)]
    second = [Counts(characters_true=100, character_edits=edits + 5) for edits in (1, 2, 3)]

    difference = differences(first, second)[Score.CER]

    assert difference.value == pytest.approx(-0.05)
    assert difference.share_better == 1


def test_scores_that_a_set_does_not_have_are_left_out() -> None:
    assert differences([Counts()], [Counts()]) == {}
    assert differences([], []) == {}
    assert set(differences([counts(1)], [counts(2)])) == {Score.WORD_F1}


def test_unpaired_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="1 pictures cannot be paired with 2"):
        differences([counts(1)], [counts(1), counts(1)])


@pytest.mark.parametrize("drawn_at_once", [1, 100, 1 << 20])
def test_resamples_are_the_same_however_many_are_drawn_at_once(drawn_at_once: int) -> None:
    whole = np.random.default_rng(3).integers(0, 7, size=(50, 7))

    parts = list(resampled(7, resamples=50, seed=3, drawn_at_once=drawn_at_once))

    assert np.array_equal(np.concatenate(parts), whole)
    assert max(part.size for part in parts) <= max(drawn_at_once, 7)


picture = st.builds(
    Counts,
    words_true=st.integers(20, 30),
    words_read=st.integers(20, 30),
    words_right=st.integers(0, 20),
    lines_true=st.integers(10, 15),
    lines_read=st.integers(10, 15),
    lines_found=st.integers(0, 10),
    lines_right=st.integers(0, 10),
    characters_true=st.integers(100, 200),
    character_edits=st.integers(0, 200),
    fields=st.builds(lambda exact: {"sscc": FieldCounts(3, exact)}, st.integers(0, 3)),
)


@given(st.lists(st.tuples(picture, picture), min_size=1, max_size=8))
def test_differences_are_those_of_the_scores_and_antisymmetric(both: list[tuple[Counts, Counts]]) -> None:
    first, second = [one for one, _ in both], [other for _, other in both]

    forth = differences(first, second, resamples=200)
    back = differences(second, first, resamples=200)

    assert set(forth) == set(back) == set(Score)
    own, other = Scores.of(total(first)), Scores.of(total(second))
    for score, difference in forth.items():
        assert difference.value == pytest.approx((own[score] or 0) - (other[score] or 0))
        assert difference.value == pytest.approx(-back[score].value)
        assert difference.low == pytest.approx(-back[score].high)
        assert difference.high == pytest.approx(-back[score].low)
        assert difference.low <= difference.high
        assert difference.share_better + back[score].share_better <= 1
