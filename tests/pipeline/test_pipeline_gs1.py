"""GS1 element strings, after the examples of the General Specifications."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.barcode import Element
from worker.domain.fields import Check
from worker.pipeline import gs1

FNC1 = gs1.GROUP_SEPARATOR
DIGITS = "0123456789"
# Character set 82 without parentheses, so that what is printed is unambiguous.
CHARACTERS = "!\"%&'*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"


def elements(**values: str) -> tuple[Element, ...]:
    return tuple(Element(name.removeprefix("ai"), value) for name, value in values.items())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00106141411234567897", elements(ai00="106141411234567897")),
        (f"{FNC1}0109521234543213", elements(ai01="09521234543213")),
        (
            f"010952123454321310ABC123{FNC1}17251200",
            elements(ai01="09521234543213", ai10="ABC123", ai17="251200"),
        ),
        ("01095212345432133103000123", elements(ai01="09521234543213", ai3103="000123")),
        (f"42012345{FNC1}9205590164917312345678", elements(ai420="12345", ai92="05590164917312345678")),
        ("421276D10115", elements(ai421="276D10115")),
        (f"4330002510-{FNC1}10A", elements(ai4330="002510-", ai10="A")),
        ("2539521234543213AB", elements(ai253="9521234543213AB")),
        ("(00) 1 0614141 123456789 7", elements(ai00="106141411234567897")),
        ("(02)64012345720848(37)37(10)Y5758", elements(ai02="64012345720848", ai37="37", ai10="Y5758")),
    ],
)
def test_element_strings_are_parsed(text: str, expected: tuple[Element, ...]) -> None:
    assert gs1.parse_elements(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "0010614141123456789",  # a digit is missing
        "00106141411234567897X",
        "04123456",  # no such identifier
        "(00)10614141123456789",
        "SSCC (00)106141411234567897",
        "17ABCDEF",
        f"10{'A' * 21}",
        "10",
    ],
)
def test_what_is_no_gs1_data_from_end_to_end_is_not_taken(text: str) -> None:
    assert gs1.parse_elements(text) is None


@pytest.mark.parametrize(
    ("identifier", "value", "expected"),
    [
        ("00", "106141411234567897", Check.PASSED),
        ("00", "106141411234567890", Check.FAILED),
        ("01", "09521234543213", Check.PASSED),
        ("01", "09521234543231", Check.FAILED),
        ("02", "64012345720848", Check.PASSED),
        ("410", "9521234543213", Check.PASSED),
        ("414", "9521234543214", Check.FAILED),
        ("253", "9521234543213ABC", Check.PASSED),
        ("402", "09521234000000017", Check.PASSED),
        ("10", "ABC", Check.NONE),
    ],
)
def test_check_digits_are_told_and_never_corrected(identifier: str, value: str, expected: Check) -> None:
    element = Element(identifier, value)
    assert gs1.check(element) is expected
    assert gs1.parse_elements(gs1.compose([element])) == (element,)


def test_decimals_follow_the_identifier() -> None:
    assert gs1.amount(Element("3103", "001750")) == Decimal("1.750")
    assert gs1.amount(Element("3100", "000012")) == Decimal(12)
    assert gs1.amount(Element("3922", "1299")) == Decimal("12.99")
    assert gs1.amount(Element("3932", "97812345")) == Decimal("123.45")
    assert gs1.amount(Element("10", "12")) is None


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("251200", date(2025, 12, 31)),
        ("240200", date(2024, 2, 29)),
        ("250131", date(2025, 1, 31)),
        ("990101", date(1999, 1, 1)),
        ("750101", date(2075, 1, 1)),
        ("251301", None),
        ("250230", None),
    ],
)
def test_dates_may_name_no_day(digits: str, expected: date | None) -> None:
    assert gs1.day(Element("17", digits), date(2026, 6, 1)) == expected


def test_only_dates_are_dates() -> None:
    assert gs1.day(Element("37", "250131"), date(2026, 6, 1)) is None
    assert gs1.day(Element("4324", "2501311200"), date(2026, 6, 1)) == date(2025, 1, 31)


def _text(most: int) -> st.SearchStrategy[str]:
    return st.text(CHARACTERS, min_size=1, max_size=most)


def _digits(count: int) -> st.SearchStrategy[str]:
    return st.text(DIGITS, min_size=count, max_size=count)


ELEMENT = st.one_of(
    st.builds(Element, st.just("00"), _digits(18)),
    st.builds(Element, st.sampled_from(["01", "02"]), _digits(14)),
    st.builds(Element, st.sampled_from(["11", "17", "3102", "3370"]), _digits(6)),
    st.builds(Element, st.sampled_from(["410", "417"]), _digits(13)),
    st.builds(Element, st.sampled_from(["10", "21", "420"]), _text(20)),
    st.builds(Element, st.sampled_from(["400", "403"]), _text(30)),
    st.builds(Element, st.just("37"), st.text(DIGITS, min_size=1, max_size=8)),
    st.builds(Element, st.just("99"), _text(90)),
)


@given(st.lists(ELEMENT, min_size=1, max_size=8).map(tuple))
def test_what_is_composed_or_printed_is_parsed_again(given_elements: tuple[Element, ...]) -> None:
    assert gs1.parse_elements(gs1.compose(given_elements)) == given_elements
    assert gs1.parse_elements(gs1.printed(given_elements)) == given_elements


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    parsed = gs1.parse_elements(text)
    assert parsed is None or gs1.parse_elements(gs1.compose(parsed)) == parsed
