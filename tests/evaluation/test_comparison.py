"""The paired bootstrap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lab.evaluation.comparison import word_f1_difference
from worker.lab.evaluation.scores import Counts


def counts(right: int, *, true: int = 10, read: int = 10) -> Counts:
    return Counts(words_true=true, words_read=read, words_right=right)


def test_equal_systems_do_not_differ() -> None:
    same = [counts(5), counts(9), counts(7)]

    difference = word_f1_difference(same, same)

    assert difference is not None
    assert (difference.word_f1, difference.low, difference.high, difference.share_better) == (0, 0, 0, 0)


def test_a_system_that_is_better_on_each_picture_is_better_on_each_draw() -> None:
    difference = word_f1_difference([counts(8), counts(9), counts(10)], [counts(7), counts(8), counts(9)])

    assert difference is not None
    assert difference.word_f1 == pytest.approx(0.1)
    assert difference.low == pytest.approx(0.1)
    assert difference.high == pytest.approx(0.1)
    assert difference.share_better == 1


def test_one_lucky_picture_proves_nothing() -> None:
    first = [counts(10)] + [counts(5)] * 9
    second = [counts(2)] + [counts(5)] * 9

    difference = word_f1_difference(first, second)

    assert difference is not None
    assert difference.word_f1 == pytest.approx(0.08)
    assert difference.low == 0
    # The lucky picture is missing from a draw of ten with probability 0.9^10.
    assert difference.share_better == pytest.approx(1 - 0.9**10, abs=0.02)


def test_pictures_without_words_cannot_be_compared() -> None:
    assert word_f1_difference([Counts()], [Counts()]) is None
    assert word_f1_difference([], []) is None


def test_unpaired_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="1 pictures cannot be paired with 2"):
        word_f1_difference([counts(1)], [counts(1), counts(1)])


picture = st.integers(1, 30).flatmap(
    lambda true: st.tuples(st.integers(0, true), st.integers(0, true)).map(
        lambda right: (counts(right[0], true=true, read=true), counts(right[1], true=true, read=true))
    )
)


@given(st.lists(picture, min_size=1, max_size=8))
def test_the_difference_is_antisymmetric_and_lies_within_a_sane_interval(both: list[tuple[Counts, Counts]]) -> None:
    first, second = [one for one, _ in both], [other for _, other in both]

    forth = word_f1_difference(first, second, resamples=200)
    back = word_f1_difference(second, first, resamples=200)

    assert forth is not None
    assert back is not None
    assert forth.word_f1 == pytest.approx(-back.word_f1)
    assert forth.low == pytest.approx(-back.high)
    assert forth.high == pytest.approx(-back.low)
    assert -1 <= forth.low <= forth.high <= 1
