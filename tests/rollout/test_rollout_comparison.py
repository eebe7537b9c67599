import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from worker.domain.barcode import DecodedBarcode
from worker.domain.fields import Check, Field, Source
from worker.domain.image import PageText, TextLine
from worker.domain.rollout.comparison import compare


def line(text: str, left: float = 0, top: float = 0, width: float = 100) -> TextLine:
    corners = [[left, top], [left + width, top], [left + width, top + 10], [left, top + 10]]
    return TextLine(text, 0.9, np.array(corners, dtype=np.float64), 0.0)


def page(*lines: TextLine, fields: Sequence[tuple[str, str]] = (), code: str = "") -> PageText:
    found = tuple(Field(kind, value, value, 0.9, Check.NONE, Source.TEXT) for kind, value in fields)
    codes = (DecodedBarcode("Code128", code, np.zeros((4, 2))),) if code else ()
    return PageText(500, 500, lines, codes, found)


def test_the_same_text_is_no_difference() -> None:
    read = page(line("HELLO"), line("WORLD", top=20), fields=[("postcode", "1234")])

    found = compare([read], [read])

    assert (found.text, found.fields, found.is_blank) == (0.0, 0.0, False)


def test_a_difference_is_the_part_of_the_characters() -> None:
    found = compare([page(line("HELLO"), line("WORLD", top=20))], [page(line("HELLO"), line("WORLX", top=20))])

    assert found.text == 0.1


def test_a_line_that_one_detector_cuts_in_two_is_no_difference() -> None:
    whole = page(line("SHIP TO", width=100))
    halves = page(line("SHIP", width=48), line("TO", left=52, width=48))

    assert compare([whole], [halves]).text == 0.0


def test_pages_of_noise_take_little_memory() -> None:
    noise = page(*(line("X", left=5 * (number % 50), top=12 * (number // 50), width=4) for number in range(2_000)))
    tracemalloc.start()
    try:
        assert compare([noise], [noise]).text == 0.0
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 20 * 1024 * 1024


def test_the_same_text_elsewhere_is_another_text() -> None:
    assert compare([page(line("HELLO"))], [page(line("HELLO", top=300))]).text == 1.0


def test_a_page_is_blank_where_the_candidate_alone_reads_nothing() -> None:
    full, empty = page(line("HELLO")), page()

    assert compare([full], [empty]).is_blank
    assert not compare([empty], [full]).is_blank
    assert not compare([empty], [empty]).is_blank
    assert compare([full], [empty]).text == 1.0
    assert compare([empty], [empty]).text == 0.0


def test_fields_differ_by_type_value_and_page() -> None:
    one = page(line("A"), fields=[("postcode", "1234"), ("weight", "5")])
    other = page(line("A"), fields=[("postcode", "1234"), ("weight", "6")])

    assert compare([one], [other]).fields == pytest.approx(2 / 3)
    assert compare([page(line("A"))], [page(line("A"))]).fields is None
    assert compare([one, page()], [page(), one]).fields == 1.0


def test_the_barcode_says_who_read_the_text_beside_it() -> None:
    right, wrong = page(line("JD 0146 0000"), code="JD01460000"), page(line("JD 0146 OOOO"), code="JD01460000")

    assert (compare([right], [wrong]).codes_lost, compare([right], [wrong]).codes_won) == (1, 0)
    assert (compare([wrong], [right]).codes_lost, compare([wrong], [right]).codes_won) == (0, 1)
    assert (compare([right], [right]).codes_lost, compare([wrong], [wrong]).codes_won) == (0, 0)


def test_a_short_code_proves_nothing() -> None:
    assert compare([page(line("123"), code="123")], [page(line("128"), code="123")]).codes_lost == 0


def test_readings_of_other_pages_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare([page(), page()], [page()])
