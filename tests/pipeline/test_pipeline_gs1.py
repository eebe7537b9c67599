"""GS1 element strings, after the examples of the General Specifications."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.gs1_texts import composed, parsed, printed
from worker.domain.barcode import GS1Element
from worker.domain.fields import Check
from worker.pipeline.barcodes import gs1

FNC1 = gs1.GROUP_SEPARATOR
DIGITS = "0123456789"
# Character set 82 without parentheses, so that what is printed is unambiguous.
CHARACTERS = "!\"%&'*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"


def elements(**values: str) -> tuple[GS1Element, ...]:
    return tuple(GS1Element(name.removeprefix("ai"), value) for name, value in values.items())


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
def test_element_strings_are_parsed(text: str, expected: tuple[GS1Element, ...]) -> None:
    assert parsed(text) == expected


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
    assert parsed(text) is None


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
    element = GS1Element(identifier, value)
    assert gs1.check(element) is expected
    assert parsed(composed([element])) == (element,)


def test_decimals_follow_the_identifier() -> None:
    assert gs1.amount(GS1Element("3103", "001750")) == Decimal("1.750")
    assert gs1.amount(GS1Element("3100", "000012")) == Decimal(12)
    assert gs1.amount(GS1Element("3922", "1299")) == Decimal("12.99")
    assert gs1.amount(GS1Element("3932", "97812345")) == Decimal("123.45")
    assert gs1.amount(GS1Element("10", "12")) is None


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
    assert gs1.day(GS1Element("17", digits), date(2026, 6, 1)) == expected


def test_only_dates_are_dates() -> None:
    assert gs1.day(GS1Element("37", "250131"), date(2026, 6, 1)) is None
    assert gs1.day(GS1Element("4324", "2501311200"), date(2026, 6, 1)) == date(2025, 1, 31)


def _text(most: int) -> st.SearchStrategy[str]:
    return st.text(CHARACTERS, min_size=1, max_size=most)


def _digits(count: int) -> st.SearchStrategy[str]:
    return st.text(DIGITS, min_size=count, max_size=count)


ELEMENT = st.one_of(
    st.builds(GS1Element, st.just("00"), _digits(18)),
    st.builds(GS1Element, st.sampled_from(["01", "02"]), _digits(14)),
    st.builds(GS1Element, st.sampled_from(["11", "17", "3102", "3370"]), _digits(6)),
    st.builds(GS1Element, st.sampled_from(["410", "417"]), _digits(13)),
    st.builds(GS1Element, st.sampled_from(["10", "21", "420"]), _text(20)),
    st.builds(GS1Element, st.sampled_from(["400", "403"]), _text(30)),
    st.builds(GS1Element, st.just("37"), st.text(DIGITS, min_size=1, max_size=8)),
    st.builds(GS1Element, st.just("99"), _text(90)),
)


@given(st.lists(ELEMENT, min_size=1, max_size=8).map(tuple))
def test_what_is_composed_or_printed_is_parsed_again(given_elements: tuple[GS1Element, ...]) -> None:
    assert parsed(composed(given_elements)) == given_elements
    assert parsed(printed(given_elements)) == given_elements


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    found = parsed(text)
    assert found is None or parsed(composed(found)) == found


def bad(identifier: str, value: str) -> GS1Element:
    return GS1Element(identifier, value, valid=False)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("0034012345000000001710AB 12", (*elements(ai00="340123450000000017"), bad("10", "AB 12"))),
        (
            "01095201234567881722081110A2021121092220084115197",
            (*elements(ai01="09520123456788", ai17="220811"), bad("10", "A2021121092220084115197")),
        ),
        (f"10AB 12{FNC1}3712", (bad("10", "AB 12"), *elements(ai37="12"))),
        (f"01095201234567{FNC1}10A", (bad("01", "095201234567"), *elements(ai10="A"))),
        ("17ABCDEF10A", (bad("17", "ABCDEF10A"),)),
        ("04123456", (bad("", "04123456"),)),
        (f"{FNC1}0109520123456788", elements(ai01="09520123456788")),
        ("", ()),
    ],
)
def test_sound_elements_are_told_apart_from_bad_ones(message: str, expected: tuple[GS1Element, ...]) -> None:
    assert gs1.read_elements(message) == expected


@given(st.text(f"{CHARACTERS} é{FNC1}", max_size=60))
def test_of_any_message_nothing_is_lost(message: str) -> None:
    found = gs1.read_elements(message)
    assert "".join(e.identifier + e.value for e in found) == message.replace(FNC1, "")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("(00)340123450000000017", elements(ai00="340123450000000017")),
        ("(01)09520123456788(10)AB 12", (*elements(ai01="09520123456788"), bad("10", "AB 12"))),
        ("(420)94107(92)023999991043543415313958", elements(ai420="94107", ai92="023999991043543415313958")),
        (f"010952012345678810AB{FNC1}3712", elements(ai01="09520123456788", ai10="AB", ai37="12")),
        ("(00) 3 4012345 000000001 7 (10) AB", elements(ai00="340123450000000017", ai10="AB")),
        ("(00) 340123450000000018 (10) A B", ()),
        ("]C10034012345000000001710AB", elements(ai00="340123450000000017", ai10="AB")),
        (
            f"]d2010952012345678810AB 1{FNC1}3712",
            (*elements(ai01="09520123456788"), bad("10", "AB 1"), *elements(ai37="12")),
        ),
        ("]Q3(01)09520123456788", elements(ai01="09520123456788")),
        ("]C100340123450000000018", ()),
        ("]E04006381333931", ()),
        ("(00)340123450000000018(10)AB 12", ()),  # no check digit that is right speaks for it
        (f"010952012345678910AB{FNC1}3712", ()),
        (
            f"010952012345678810AB 1{FNC1}3712",
            (*elements(ai01="09520123456788"), bad("10", "AB 1"), *elements(ai37="12")),
        ),
        (f"NAME{FNC1}STREET", ()),
        ("(A)12", ()),
        ("CALL (02) 9374 4000", ()),
        ("0034012345000000001710AB", ()),
    ],
)
def test_gs1_data_that_does_not_say_so_is_taken_on_proof(message: str, expected: tuple[GS1Element, ...]) -> None:
    assert gs1.read_unmarked(message) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("0034012345000000001710AB 12", (*elements(ai00="340123450000000017"), bad("10", "AB 12"))),
        ("(00)340123450000000017", elements(ai00="340123450000000017")),
        (f"{FNC1}(00)340123450000000017", elements(ai00="340123450000000017")),
        ("https://brand.example/01/09520123456788", elements(ai01="09520123456788")),
        ("04123456", (bad("", "04123456"),)),
        ("(00)340123450000000018(10)A B", (bad("", "(00)340123450000000018(10)A B"),)),
    ],
)
def test_a_symbol_that_says_it_holds_gs1_data_may_hold_it_in_another_form(
    message: str, expected: tuple[GS1Element, ...]
) -> None:
    assert gs1.read_message(message, is_marked=True) == expected
    assert gs1.read_message("NAME", is_marked=False) == ()


GTIN = elements(ai01="09520123456788")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://id.gs1.org/01/09520123456788/10/ABC123/21/12345", (*GTIN, *elements(ai10="ABC123", ai21="12345"))),
        ("https://id.gs1.org/00/340123450000000017", elements(ai00="340123450000000017")),
        ("http://brand.example/some/shop/01/09520123456788", GTIN),
        ("HTTPS://BRAND.EXAMPLE:8443/01/09520123456788/", GTIN),
        ("https://brand.example/01/9520123456788/22/2A", (*GTIN, *elements(ai22="2A"))),
        ("https://brand.example/gtin/09520123456788/lot/A%2F1", (*GTIN, *elements(ai10="A/1"))),
        (
            "https://brand.example/01/09520123456788?17=251231&3103=000195&linkType=gs1:pip#top",
            (*GTIN, *elements(ai17="251231", ai3103="000195")),
        ),
        ("https://brand.example/01/09520123456788?10=A%252&17=2512", (*GTIN, *elements(ai10="A%2"))),
        ("https://brand.example/414/9521234543213/254/A", elements(ai414="9521234543213", ai254="A")),
        ("https://brand.example/8004/9520614141234567", elements(ai8004="9520614141234567")),
        (" https://brand.example/01/09520123456788\r\n", GTIN),
        ("https://brand.example/01/09520123456788/10/A%20B/21/1", (*GTIN, bad("10", "A B"), *elements(ai21="1"))),
        ("https://brand.example/8004/9520614141234567%20", None),  # no check digit speaks for it
        ("https://brand.example/01/09520123456789/10/A%20B", None),
        ("https://brand.example/01/09520123456789", None),  # the check digit is wrong
        ("https://brand.example/01/09520123456788/21/1/10/A", None),  # not in this order
        ("https://brand.example/01/09520123456788/17/251231", None),  # no qualifier of this key
        ("https://brand.example/01/09520123456788/details", None),
        ("https://brand.example/2024/01/report", None),
        ("https://brand.example/10/ABC123", None),
        ("ftp://brand.example/01/09520123456788", None),
        ("/01/09520123456788", None),
        ("https://[brand.example/01/09520123456788", None),
        ("see https://brand.example/01/09520123456788", None),
        ("https://brand.example/01", None),
        ("https://brand.example", None),
    ],
)
def test_digital_links_are_parsed(uri: str, expected: tuple[GS1Element, ...] | None) -> None:
    assert gs1.parse_digital_link(uri) == expected


@given(st.text(max_size=40).map(lambda tail: f"https://x.example/{tail}"))
def test_any_link_is_parsed_or_refused(uri: str) -> None:
    assert gs1.parse_digital_link(uri) is None or uri.startswith("https://x.example/")
