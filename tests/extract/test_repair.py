"""Misread numbers: mended by evidence or not at all."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.extract.misreading import printed, read
from tests.extract.pages import fields, found, line_at, page, with_alternatives
from worker.domain.fields import Check
from worker.domain.image import PageText
from worker.pipeline.extract.numbers.catalog import BUILT_IN_CATALOG
from worker.pipeline.extract.numbers.forms import MEANT_BY, Form
from worker.pipeline.extract.numbers.repair import ReadCharacter, is_rivalled, repaired

SSCC = next(form for form in BUILT_IN_CATALOG.forms if form.type == "sscc")
UPS = next(form for form in BUILT_IN_CATALOG.forms if form.type == "ups_1z")
CHECKED = [form for form in BUILT_IN_CATALOG.forms if form.check is not None]


def marks(number: str, **others: tuple[str, float]) -> tuple[ReadCharacter, ...]:
    return tuple(
        ReadCharacter(text, (others[f"at_{place}"],) if f"at_{place}" in others else ())
        for place, text in enumerate(number)
    )


def test_a_letter_among_digits_is_a_reading_error_that_says_so() -> None:
    [field] = fields(page("SSCC 1O6141412345678908"), "sscc")

    assert (field.value, field.text, field.check, field.repaired) == (
        "106141412345678908",
        "1O6141412345678908",
        Check.PASSED,
        True,
    )


def test_a_letter_is_not_exchanged_where_the_check_does_not_bear_it_out() -> None:
    assert found(page("SSCC 1O6141412345678907"), "sscc") == []


def test_a_letter_stays_where_letters_may_stand() -> None:
    # 1ZO... and 1Z0... differ in their check digits: what was read is not the one that passes.
    [field] = fields(page("1Z5R89390357567127"), "ups_1z")
    assert not field.repaired


def test_a_digit_is_exchanged_only_for_what_the_recogniser_held_possible() -> None:
    misread = line_at("SSCC 106141412345678903", 20, 0)
    assert found(PageText(900, 900, (misread,)), "sscc") == [("sscc", "106141412345678903", "failed")]

    told = with_alternatives(misread, {22: (("8", 0.35),)})
    [field] = fields(PageText(900, 900, (told,)), "sscc")
    assert (field.value, field.check, field.repaired) == ("106141412345678908", Check.PASSED, True)

    unlikely = with_alternatives(misread, {22: (("8", 0.01),)})
    assert found(PageText(900, 900, (unlikely,)), "sscc") == [("sscc", "106141412345678903", "failed")]


def test_nothing_is_mended_where_two_readings_pass() -> None:
    # 4 for the 1 at the second place, or 8 for the 3 at the last: each makes the number pass.
    assert repaired(marks("106141412345678903", at_17=("8", 0.5)), SSCC) == "106141412345678908"
    second = next(
        (place, digit)
        for place in range(17)
        for digit in "0123456789"
        if SSCC.passes("106141412345678903"[:place] + digit + "106141412345678903"[place + 1 :])
    )
    both = marks("106141412345678903", **{"at_17": ("8", 0.5), f"at_{second[0]}": (second[1], 0.01)})
    assert repaired(both, SSCC) is None


def test_more_than_two_characters_are_never_changed() -> None:
    assert repaired(marks("1O614I41234567B908"), SSCC) is None


def test_a_number_that_passes_proves_nothing_if_another_reading_passes_as_well() -> None:
    # 3 and 8 differ by five, which the doubled places of a UPS number cannot see.
    number = "1Z5R89390357567127"
    place = next(place for place in range(10, 17) if place % 2 == 1)
    other = str((int(number[place]) + 5) % 10)
    assert UPS.passes(number[:place] + other + number[place + 1 :])
    assert is_rivalled(marks(number, **{f"at_{place}": (other, 0.4)}), UPS)
    assert not is_rivalled(marks(number, **{f"at_{place}": (other, 0.001)}), UPS)

    line = with_alternatives(line_at(number, 20, 0), {place: ((other, 0.3),)})
    assert found(PageText(900, 900, (line,)), "ups_1z") == [("ups_1z", number, "none")]


@pytest.mark.parametrize(("place", "check"), [(5, "none"), (11, "passed"), (12, "none")])
def test_an_unsure_character_proves_nothing_where_another_would_pass_as_well(place: int, check: str) -> None:
    # In the airline's prefix, which the check does not cover; a 4, which it covers; a 0, which it takes for a 7.
    line = with_alternatives(line_at("AWB 020-81140743", 20, 0), {place: ()}, unsure=0.4)
    assert found(PageText(900, 900, (line,)), "air_waybill") == [("air_waybill", "02081140743", check)]


def test_a_form_without_a_check_digit_is_never_repaired() -> None:
    unchecked = replace(SSCC, check=None)
    assert repaired(marks("1O6141412345678908"), unchecked) is None


@given(st.sampled_from(CHECKED), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_repair_passes_its_check_and_changes_at_most_two_characters(form: Form, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    number = printed(form, chance)
    seen = list(read(number, chance))
    for place in chance.sample(range(len(seen)), 2):
        meant = MEANT_BY.get(seen[place].text, "")
        seen[place] = ReadCharacter(chance.choice(meant) if meant else seen[place].text, seen[place].others)
    mended = repaired(seen, form)

    if mended is not None:
        assert form.passes(mended)
        assert sum(mark.text != text for mark, text in zip(seen, mended, strict=True)) <= 2


def test_wrong_repairs_are_fewer_than_one_in_a_thousand_fields_that_pass() -> None:
    chance, counts = random.Random(20), Counter[str]()  # noqa: S311 - no secret
    for form in CHECKED:
        for _ in range(100):
            number = printed(form, chance)
            seen = tuple(read(number, chance))
            text = "".join(mark.text for mark in seen)
            if form.passes(text):
                counts["passed"] += not is_rivalled(seen, form)
            elif form.resembles(text) and (mended := repaired(seen, form)) is not None:
                counts["passed"] += 1
                counts["right" if mended == number else "wrong"] += 1
    assert counts["right"] > 0.03 * counts["passed"]
    assert counts["wrong"] <= 0.001 * counts["passed"]
