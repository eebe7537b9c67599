"""Check digits: numbers that the carriers and standards publish, and what a wrong character does to them."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.extract.misreading import printed
from worker.lab.synth import check_digits
from worker.pipeline.extract.numbers import checks
from worker.pipeline.extract.numbers.catalog import BUILT_IN_CATALOG
from worker.pipeline.extract.numbers.forms import Form

PUBLISHED = [
    (checks.gs1, "4006381333931", "4006381333932"),
    (checks.gs1, "036000291452", "036000291453"),
    (checks.gs1, "96385074", "96385075"),
    (checks.gs1, "106141412345678908", "106141412345678907"),
    (checks.gs1, "9400111206206406260787", "9434611206206407667131"),
    (checks.gs1, "568283610012734", "568283610012732"),
    (checks.gs1, "0073938000549297", "0073938000549292"),
    (checks.legacy_usps, "03071790000523483741", "03071790000523483742"),
    (checks.legacy_usps, "71969010756003077385", "71969010756003077386"),
    (checks.s10, "RB123456785GB", "RB123456786GB"),
    (checks.s10, "RA473124829DE", "RA473124828DE"),
    (checks.ups_1z, "1Z5R89390357567127", "1Z5R89390357567128"),
    (checks.ups_1z, "1ZXX3150YW44070023", "1Z1111111111111111"),
    (checks.ups_waybill, "K1506235620", "K1506235622"),
    (checks.ups_waybill, "V0490119172", "V0490119173"),
    (checks.ends_modulo_7, "3318810025", "3318810010"),
    (checks.ends_modulo_7, "319721648466", "319721648465"),
    (checks.air_waybill, "02081140743", "02081140744"),
    (checks.fedex, "986578788855", "996578788855"),
    (checks.fedex_96, "9611020987654312345672", "9611020987654312345673"),
    (checks.fedex_32, "32971514560102447849175802862014", "32971514560102447849175802852014"),
    (checks.fedex_34, "9632001560123456789900794808390594", "9622001560001234567100794808390597"),
    (checks.fedex_34, "1001921334250001000300779017972697", "1001901781990001000300617767839438"),
    (checks.identcode, "218025809066", "218025809067"),
    (checks.ontrac, "C11031500001879", "C11031500001889"),
    (checks.ontrac, "D10011354453707", "D10011345983012"),
    (checks.dpd, "09980000020033F", "09980000020033D"),
    (checks.dpd, "008182709980000020033350276C", "008182709980000020033350276A"),
    (checks.iso_6346, "CSQU3054383", "CSQU3054384"),
    (checks.intermodal, "ABCA0012342", "ABCA0012343"),
    (checks.mod_10_luhn, "490154203237518", "490154203237519"),
    (checks.mod_10_luhn, "07209562763", "07209562773"),
]


@pytest.mark.parametrize(("check", "right", "wrong"), PUBLISHED, ids=lambda value: getattr(value, "__name__", value))
def test_published_numbers(check: checks.CheckRule, right: str, wrong: str) -> None:
    assert check(right)
    assert not check(wrong)


# What each check cannot see: pairs of digits at places of the number.
def is_blind(form: Form, place: int, one: str, other: str) -> bool:
    if form.check is checks.ups_1z:
        return place % 2 == 1 and abs(int(one) - int(other)) == 5
    if form.check in (checks.ends_modulo_7, checks.air_waybill):
        return abs(int(one) - int(other)) == 7
    if form.check is checks.identcode:
        return place % 2 == 0 and abs(int(one) - int(other)) == 5  # 4 and 10 share a factor
    if form.check is checks.ups_waybill:
        return place % 2 == 0 and abs(int(one) - int(other)) == 5
    if form.check is checks.ontrac:
        return place % 2 == 1 and abs(int(one) - int(other)) == 5
    return form.check in ELEVENS  # remainder 10 is written as another digit


ELEVENS = (checks.fedex, checks.fedex_32, checks.fedex_34, checks.s10, checks.iso_6346, checks.intermodal)
UNCOVERED: dict[checks.CheckRule | None, int] = {
    checks.fedex_96: 7,
    checks.fedex_32: 16,
    checks.fedex_34: 20,
    checks.air_waybill: 3,
}
CHECKED = [form for form in BUILT_IN_CATALOG.forms if form.check is not None and form.check is not checks.legacy_usps]


@given(st.sampled_from(CHECKED), st.integers(0, 2**32), st.data())
@settings(max_examples=300, deadline=None)
def test_one_wrong_digit_is_seen_but_for_what_the_mathematics_cannot_see(
    form: Form, seed: int, data: st.DataObject
) -> None:
    number = printed(form, random.Random(seed))  # noqa: S311 - no secret
    places = [place for place, mark in enumerate(number) if mark.isdigit() and place >= UNCOVERED.get(form.check, 0)]
    place = data.draw(st.sampled_from(places))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != number[place]]))
    changed = number[:place] + other + number[place + 1 :]

    assert form.passes(number)
    if form.fits(changed) and place < len(number) - (4 if form.check is checks.fedex_32 else 0) and place >= form.strip:
        assert not form.passes(changed) or is_blind(form, place, number[place], other)


@pytest.mark.parametrize(
    ("check", "rule", "before", "payload", "behind"),
    [
        (checks.gs1, check_digits.gs1, "", "[0-9]{7,21}", ""),
        (checks.s10, check_digits.s10, "RB", "[0-9]{8}", "GB"),
        (checks.ups_1z, check_digits.ups_1z, "1Z", "[0-9A-Z]{15}", ""),
        (checks.air_waybill, check_digits.air_waybill, "020", "[0-9]{7}", ""),
        (checks.ends_modulo_7, check_digits.dhl_express, "", "[0-9]{9}", ""),
        (checks.fedex, check_digits.fedex, "", "[0-9]{11}", ""),
        (checks.iso_6346, check_digits.iso6346, "", "[A-Z]{3}[UJZ][0-9]{6}", ""),
        (checks.intermodal, check_digits.iso6346, "", "[A-Z]{4}[0-9]{6}", ""),
    ],
)
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_the_digit_of_the_synthetic_labels_is_the_one_that_passes(
    check: checks.CheckRule, rule: check_digits.CheckDigit, before: str, payload: str, behind: str, data: st.DataObject
) -> None:
    read = data.draw(st.from_regex(payload, fullmatch=True, alphabet=st.characters(max_codepoint=127)))

    assert [digit for digit in range(10) if check(f"{before}{read}{digit}{behind}")] == [rule(read)]


def test_the_blind_spots_are_real() -> None:
    assert checks.ups_1z("1Z5R89390357567127")
    assert checks.ups_1z("1Z5R84390357567127".replace("84", "89"))
    assert checks.ends_modulo_7("3318810025") is checks.ends_modulo_7("3311810025") is True
