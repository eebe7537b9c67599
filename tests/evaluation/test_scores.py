"""Scores: cases counted by hand, and properties that hold for any page."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lab.evaluation.scores import Counts, Scores, count, normalized, total, words
from worker.lab.evaluation.transcript import Transcript, TranscriptLine, line

Box = tuple[float, float, float, float]


def box(left: float, top: float, width: float, height: float) -> list[tuple[float, float]]:
    return [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]


def page(*lines: tuple[str, Box]) -> Transcript:
    return Transcript(tuple(line(text, box(*at)) for text, at in lines))


FIRST: Box = (0, 0, 100, 20)
SECOND: Box = (0, 40, 100, 20)
THIRD: Box = (0, 80, 100, 20)


def test_words_are_counted_as_a_multiset() -> None:
    truth = page(("TOTAL 10 10", FIRST), ("CASH 20", SECOND))
    reading = page(("Total 10", FIRST), ("cash 2O 10 x", SECOND))

    counts = count(truth, reading)

    # right: TOTAL, 10, 10, CASH; truth has 5 words, the reading 6; O is not 0.
    assert (counts.words_right, counts.words_true, counts.words_read) == (4, 5, 6)
    scores = Scores.of(counts)
    assert scores.word_precision == pytest.approx(4 / 6)
    assert scores.word_recall == pytest.approx(4 / 5)
    assert scores.word_f1 == pytest.approx(8 / 11)


def test_full_width_forms_count_as_the_characters_they_stand_for() -> None:
    assert words(page(("ＡＢ１２-c", FIRST))) == {"AB12": 1, "C": 1}  # noqa: RUF001 - the very point


def test_text_is_compared_without_case_and_spare_spaces_but_o_is_no_zero() -> None:
    assert normalized("  Straße\t 12 ") == normalized("STRASSE 12")
    assert normalized("O0") != normalized("00")


def test_a_line_needs_half_its_union() -> None:
    truth = page(("A", (0, 0, 100, 20)))

    # Shifted by a third of its width: 66.7 / 133.3 = 0.5 exactly at 33.33; one pixel less finds it, one more does not.
    assert count(truth, page(("A", (32, 0, 100, 20)))).lines_found == 1
    assert count(truth, page(("A", (35, 0, 100, 20)))).lines_found == 0


def test_lines_match_one_to_one() -> None:
    truth = page(("A", FIRST))
    doubled = page(("A", FIRST), ("A", (1, 0, 100, 20)))

    counts = count(truth, doubled)

    assert (counts.lines_found, counts.lines_right) == (1, 1)
    assert Scores.of(counts).detection_hmean == pytest.approx(2 / 3)


def test_the_matching_takes_as_many_pairs_as_there_are() -> None:
    # The middle reading overlaps both truths; taking it for the first one alone would leave a pair unmatched.
    truth = page(("A", (0, 0, 100, 20)), ("B", (50, 0, 100, 20)))
    reading = page(("A", (25, 0, 100, 20)), ("A", (-20, 0, 100, 20)))

    assert count(truth, reading).lines_found == 2


def test_a_line_is_right_only_with_its_text() -> None:
    truth = page(("TOTAL", FIRST), ("CASH", SECOND), ("CHANGE", THIRD))
    reading = page(("total ", FIRST), ("GASH", SECOND))

    counts = count(truth, reading)

    assert (counts.lines_found, counts.lines_right) == (2, 1)
    scores = Scores.of(counts)
    assert scores.detection_hmean == pytest.approx(4 / 5)
    assert scores.line_hmean == pytest.approx(2 / 5)


def test_a_text_in_the_wrong_place_is_no_right_line() -> None:
    counts = count(page(("A", FIRST), ("B", SECOND)), page(("B", FIRST), ("A", SECOND)))

    assert (counts.lines_found, counts.lines_right, counts.words_right) == (2, 0, 2)


def test_characters_are_compared_in_reading_order() -> None:
    counts = count(page(("ab", FIRST), ("cd", SECOND)), page(("AB", FIRST), ("cx", SECOND)))

    assert (counts.characters_true, counts.character_edits) == (5, 1)
    assert Scores.of(counts).cer == pytest.approx(0.2)


def test_sheared_quadrangles_are_compared_as_polygons() -> None:
    sheared = line("A", [(0, 0), (100, 20), (100, 40), (0, 20)])
    upright = line("A", box(0, 0, 100, 40))

    # The parallelogram covers 2000 of the box's 4000 square pixels: exactly a half.
    assert count(Transcript((upright,)), Transcript((sheared,))).lines_found == 1


def test_scores_without_a_denominator_are_none() -> None:
    scores = Scores.of(count(Transcript(), Transcript()))

    assert scores == Scores.unmeasured()


def test_nothing_read_where_something_stands_scores_zero() -> None:
    scores = Scores.of(count(page(("A", FIRST)), Transcript()))

    assert scores.word_precision is None
    assert (scores.word_recall, scores.word_f1, scores.detection_hmean, scores.cer) == (0, 0, 0, 1)


def test_counts_add_up() -> None:
    one = Counts(1, 2, 3, 4, 5, 6, 7, 8, 9)

    assert total([one, one]) == Counts(2, 4, 6, 8, 10, 12, 14, 16, 18)
    assert total([]) == Counts()


texts = st.text(alphabet="abO0 É-", max_size=8)
boxes = st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(1, 120), st.integers(1, 40))
pages = st.lists(st.tuples(texts, boxes), max_size=7).map(lambda lines: page(*lines))


@given(pages)
def test_a_perfect_reading_is_perfect(truth: Transcript) -> None:
    scores = Scores.of(count(truth, truth))

    assert {scores.word_precision, scores.word_f1, scores.line_hmean, scores.detection_hmean} <= {1.0, None}
    assert scores.cer in {0.0, None}


@given(pages, pages)
def test_swapping_truth_and_reading_swaps_precision_and_recall(left: Transcript, right: Transcript) -> None:
    forth, back = Scores.of(count(left, right)), Scores.of(count(right, left))

    assert forth.word_precision == back.word_recall
    assert (forth.word_f1, forth.line_hmean, forth.detection_hmean) == (
        back.word_f1,
        back.line_hmean,
        back.detection_hmean,
    )


@given(pages, pages, st.randoms(use_true_random=False))
def test_the_order_of_lines_matters_to_the_cer_alone(
    truth: Transcript, reading: Transcript, randomness: st.DataObject
) -> None:
    lines: list[TranscriptLine] = list(reading.lines)
    randomness.shuffle(lines)  # type: ignore[attr-defined]

    one, other = count(truth, reading), count(truth, Transcript(tuple(lines)))

    assert (one.words_right, one.lines_found, one.lines_right) == (
        other.words_right,
        other.lines_found,
        other.lines_right,
    )


@given(pages, pages)
def test_no_count_exceeds_what_there_is(truth: Transcript, reading: Transcript) -> None:
    counts = count(truth, reading)

    assert counts.lines_right <= counts.lines_found <= min(counts.lines_true, counts.lines_read)
    assert counts.words_right <= min(counts.words_true, counts.words_read)


@given(st.lists(st.tuples(pages, pages), max_size=4))
def test_a_sum_of_f1_lies_between_its_parts(both: Sequence[tuple[Transcript, Transcript]]) -> None:
    each = [count(truth, reading) for truth, reading in both]
    parts = [score for score in (Scores.of(one).word_f1 for one in each) if score is not None]
    whole = Scores.of(total(each)).word_f1

    assert (whole is None) == (not parts)
    if whole is not None:
        assert min(parts) - 1e-9 <= whole <= max(parts) + 1e-9
