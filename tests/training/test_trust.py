"""Which lines are labels."""

import pytest

from tests.training.drawn import field_of, page_of, read_line
from worker.domain.fields import Check, Source
from worker.domain.result import LabelField
from worker.training.trust import Trust, line_trust

LINE = read_line(0, "00 3401234 5", 0.6)
SURE = read_line(1, "HELLO", 0.97)


def trust_of(*fields: LabelField) -> Trust:
    return line_trust(page_of([LINE, SURE], fields), 0.9)[0]


def test_confidence_decides_where_nothing_else_speaks() -> None:
    assert line_trust(page_of([LINE, SURE]), 0.9) == {0: Trust.UNSURE, 1: Trust.CONFIDENT}
    assert line_trust(page_of([LINE, SURE]), 0.6) == {0: Trust.CONFIDENT, 1: Trust.CONFIDENT}


def test_a_check_or_a_barcode_proves_a_line_that_holds_nothing_else() -> None:
    assert trust_of(field_of(LINE)) is Trust.CHECK
    assert trust_of(field_of(LINE, source=Source.BOTH, check=Check.NONE)) is Trust.BARCODE
    assert trust_of(field_of(LINE, source=Source.BOTH), field_of(LINE)) is Trust.BARCODE
    assert trust_of(field_of(LINE).model_copy(update={"text": "0034012345"})) is Trust.CHECK


def test_a_field_does_not_prove_the_words_beside_it() -> None:
    assert trust_of(field_of(LINE).model_copy(update={"text": "3401234 5"})) is Trust.UNSURE
    assert trust_of(field_of(LINE).model_copy(update={"line_ids": (0, 1)})) is Trust.UNSURE
    assert trust_of(field_of(LINE, check=Check.NONE)) is Trust.UNSURE
    assert trust_of(field_of(LINE, check=Check.FAILED)) is Trust.UNSURE


@pytest.mark.parametrize("against", ["repaired", "conflict"])
def test_a_line_that_was_repaired_or_contradicted_is_no_label_however_sure(against: str) -> None:
    fields = [field_of(SURE).model_copy(update={against: True}), field_of(SURE, source=Source.BOTH)]

    assert line_trust(page_of([SURE], fields), 0.9) == {1: Trust.DISPUTED}
    assert not Trust.DISPUTED.is_label


def test_fields_of_lines_that_a_job_left_out_prove_nothing() -> None:
    assert line_trust(page_of([SURE], [field_of(LINE)]), 0.9) == {1: Trust.CONFIDENT}
