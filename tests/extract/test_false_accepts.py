"""Numbers that pass for what they are not: counted on simulated pages, and the cases behind the rules."""

import pytest

from tests.extract.false_accepts import short
from tests.extract.pages import code, fields, found, line_at, page, with_alternatives
from worker.domain.image import PageText
from worker.pipeline.extract.numbers.catalog import NUMBER_TYPES


def passed(of: PageText) -> list[tuple[str, str]]:
    return [(kind, value) for kind, value, check in found(of) if check == "passed" and kind in NUMBER_TYPES]


def test_numbers_of_one_kind_do_not_pass_for_another() -> None:
    tally = short()
    assert tally.passed.total() > 600
    assert tally.other.total() <= 1, tally.other
    assert tally.misread.total() <= 0.003 * tally.passed.total(), tally.misread


@pytest.mark.parametrize(
    "rows",
    [
        ("DHL", "TRACKING NO. JJD409143991689984390"),  # eighteen digits behind letters are no SSCC
        ("FedEx", "Shipment 1LS717475501710"),  # L and S are no 1 and 5 where the shape wants letters
        ("Phone: (02) 9124 4000", "(02) 2644 4000"),  # no element 02 of GS1, which has fourteen digits
        ("DHL", "02 7574 4000"),
        ("ORDER NO. RM745949574TV", "Kundennr. AO998729215GR"),
        ("LOT", "NO 473124829 DE"),
        ("LOT 00742142627204275825",),
        ("TRACKING #: 59P1 03P 0050 4767 4517 73 744 911 P",),  # no SSCC from the third group on
        ("TRACKING # 123456789012345672", "UPS"),
        ("FedEx", "0630-5986-9777"),  # in groups of four, without a caption
        ("USPS", "FedEx", "Parcel no. 72021796317027609171"),  # of either carrier
    ],
)
def test_what_may_be_something_else_does_not_pass(rows: tuple[str, ...]) -> None:
    assert passed(page(*rows)) == []


def test_a_digit_is_no_letter_of_a_shape() -> None:
    # RR473124829GB with 6 for G, and with a service that no post has.
    assert found(page("Item ID RR4731248296B"), *NUMBER_TYPES) == []
    assert found(page("XY473124829GB"), "s10") == []
    assert found(page("TRACKING NO. XY473124829GB"), "s10") == [("s10", "XY473124829GB", "passed")]
    assert found(page("C5QU3054383"), "iso6346") == []
    assert found(page("CONTAINER NO. C5QU3054383"), "iso6346") == [("iso6346", "CSQU3054383", "passed")]


@pytest.mark.parametrize(("place", "check"), [(0, "none"), (11, "none"), (5, "passed")])
def test_a_letter_that_no_check_covers_has_to_be_read_for_sure(place: int, check: str) -> None:
    line = with_alternatives(line_at("RR473124829GB", 20, 0), {place: ()}, unsure=0.9)
    assert found(PageText(900, 900, (line,)), "s10") == [("s10", "RR473124829GB", check)]


def test_a_barcode_settles_what_was_read_with_doubt() -> None:
    line = with_alternatives(line_at("RR473124829GB", 20, 0), {0: ()}, unsure=0.7)
    [field] = fields(PageText(900, 900, (line,), (code("Code128", "RR473124829GB"),)), "s10")
    assert (field.check.value, field.source.value) == ("passed", "both")


def test_a_caption_elsewhere_proves_no_number_where_one_has_its_own() -> None:
    label = page("AWB 020-81140743", "021-81140743")
    assert passed(label) == [("air_waybill", "02081140743")]
    both = page("AIR WAYBILL", "020-81140743", "176-81140743")
    assert passed(both) == []
    assert {kind for kind, *_ in found(both)} >= {"air_waybill"}


def test_an_unsure_digit_takes_the_proof_from_a_vat_number() -> None:
    text = "BTW NL004495445B01"
    for place, check in ((len(text) - 1, "none"), (6, "passed")):
        line = with_alternatives(line_at(text, 20, 0), {place: ()}, unsure=0.8)
        assert found(PageText(900, 900, (line,)), "vat") == [("vat", "NL004495445B01", check)]
