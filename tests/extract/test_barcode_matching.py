"""Text against barcodes: agreement, repair, conflict, and numbers that are simply two."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from tests.extract.pages import code, fields, found, page
from worker.domain.barcode import DecodedBarcode
from worker.domain.fields import Check, Source
from worker.pipeline.extract.numbers.distance import is_within

SSCC = "106141412345678908"
OTHER_SSCC = "376104250021234569"
UPS = "1Z5R89390357567127"


def gs1_sscc(value: str = SSCC) -> DecodedBarcode:
    return code("Code128", f"(00){value}", ("00", value))


def test_text_and_symbol_agree() -> None:
    [field] = fields(page(f"SSCC {SSCC}", barcodes=[gs1_sscc()]), "sscc")

    assert (field.value, field.source, field.line_ids, field.barcode_ids) == (SSCC, Source.BOTH, (0,), (0,))
    assert field.confidence == pytest.approx(0.99)
    assert not field.repaired
    assert not field.conflict


@pytest.mark.parametrize(
    ("symbol", "kind", "value"),
    [
        (gs1_sscc(), "sscc", SSCC),
        (code("Code128", "(02)04012345678901(37)24", ("02", "04012345678901"), ("37", "24")), "gtin", "04012345678901"),
        (code("Code128", UPS), "ups_1z", UPS),
        (code("QRCode", f"{UPS} 97212 US 1/3"), "ups_1z", UPS),
        (code("Code128", "RB123456785GB"), "s10", "RB123456785GB"),
        (code("EAN13", "4006381333931"), "gtin", "4006381333931"),
        (code("EAN13", "0042100005264"), "gtin", "042100005264"),  # UPC-A
        (code("EAN8", "96385074"), "gtin", "96385074"),
        (code("ITF", "04006381333931"), "gtin", "04006381333931"),
        (code("PDF417", "4509352572|CSQU3054383|X"), "iso6346", "CSQU3054383"),
        (
            code("Code128", "(420)78745(94)00111206206406260787", ("420", "78745"), ("94", "00111206206406260787")),
            "usps_impb",
            "9400111206206406260787",
        ),
        (code("Code128", "420787459400111206206406260787"), "usps_impb", "9400111206206406260787"),
        (
            code("Code128", "", ("420", "94107"), ("92", "023999991043543415313958")),
            "usps_impb",
            "92023999991043543415313958",
        ),
        (
            code("Code128", "", ("420", "941071234"), ("92", "023999991043543415313958")),
            "usps_impb",
            "92023999991043543415313958",
        ),
        (code("Code128", "4209410792023999991043543415313958"), "usps_impb", "92023999991043543415313958"),
        (code("Code128", "42094107123492023999991043543415313958"), "usps_impb", "92023999991043543415313958"),
        (code("UPCE", "0042100005264"), "gtin", "042100005264"),
        (code("Code128", "", ("00", SSCC), ("10", "AB 12", False)), "sscc", SSCC),
        (code("Code128", UPS, ("", UPS, False)), "ups_1z", UPS),
    ],
)
def test_what_only_a_symbol_holds_is_a_field(symbol: DecodedBarcode, kind: str, value: str) -> None:
    [field] = fields(page("SOME TEXT", barcodes=[symbol]), kind)
    assert (field.value, field.check, field.source, field.line_ids) == (value, Check.PASSED, Source.BARCODE, ())


def test_a_maxicode_of_ups_spells_its_number_in_parts() -> None:
    message = "[)>␞01␝96841706672␝840␝003␝1Z57567127␝UPSN␝5R8939␝089␝␝1/1␝␝N␝␝␝␞␄"
    assert found(page("UPS", barcodes=[code("MaxiCode", message)])) == [("ups_1z", UPS, "passed")]


@pytest.mark.parametrize("text", ["986578788855", "02081140743", "490154203237518", "4006381333931", "0998000002003F"])
def test_a_symbol_with_a_plain_number_tells_no_kind(text: str) -> None:
    assert found(page("SOME TEXT", barcodes=[code("Code128", text)])) == []


def test_data_of_a_company_behind_a_pallet_s_number_is_none_of_usps() -> None:
    symbol = code("Code128", "", ("00", SSCC), ("92", "023999991043543415313958"))
    assert found(page("SOME TEXT", barcodes=[symbol])) == [("sscc", SSCC, "passed")]


def test_bars_that_may_be_a_routing_code_of_the_post_tell_no_gtin() -> None:
    assert found(page("SOME TEXT", barcodes=[code("ITF", "21348075016445")])) == []  # passes both checks


def test_a_symbol_bears_out_a_plain_number_of_the_text() -> None:
    symbol = code("Code128", "0208114074300001")  # the waybill and the number of the piece
    [field] = fields(page("020-8114 0743", barcodes=[symbol]), "air_waybill")
    assert (field.value, field.source, field.check) == ("02081140743", Source.BOTH, Check.PASSED)


def test_a_plain_number_in_bars_mends_the_same_number_in_the_text() -> None:
    symbol = code("Code128", "0208114074300001")
    [field] = fields(page("AWB 026-8114 0743", barcodes=[symbol]), "air_waybill")
    assert (field.value, field.text, field.repaired) == ("02081140743", "026-8114 0743", True)
    [other] = fields(page("AWB 345-8114 0743", barcodes=[symbol]), "air_waybill")
    assert (other.value, other.repaired) == ("34581140743", False)


def test_a_misread_number_takes_the_value_of_the_symbol() -> None:
    [field] = fields(page("SSCC 106141412345678903", barcodes=[gs1_sscc()]), "sscc")

    assert (field.value, field.text, field.repaired, field.source) == (SSCC, "106141412345678903", True, Source.BOTH)
    assert field.check is Check.PASSED
    assert not field.conflict


def test_a_number_that_passes_and_differs_a_little_is_a_conflict_on_both() -> None:
    near = "106141412345678915"
    text, symbol = fields(page(f"SSCC {near}", barcodes=[gs1_sscc()]), "sscc")

    assert (text.value, text.source, text.conflict, text.repaired) == (near, Source.TEXT, True, False)
    assert (symbol.value, symbol.source, symbol.conflict) == (SSCC, Source.BARCODE, True)


def test_a_number_that_passes_but_for_one_character_of_the_symbol_is_misread() -> None:
    # The service's letters are not covered by the check digit.
    symbol = code("Code128", "RB123456785GB")
    [field] = fields(page("RP123456785GB", barcodes=[symbol]), "s10")
    assert (field.value, field.text, field.source, field.repaired) == (
        "RB123456785GB",
        "RP123456785GB",
        Source.BOTH,
        True,
    )


def test_two_numbers_of_the_text_that_differ_in_one_character_prove_neither() -> None:
    both = found(page("RP123456785GB", "RB123456785GB"), "s10")
    assert both == [("s10", "RP123456785GB", "none"), ("s10", "RB123456785GB", "none")]
    assert [check for *_, check in found(page("RB123456785GB", "RB123456799GB"), "s10")] == ["passed", "passed"]


def test_numbers_that_differ_much_are_two_numbers() -> None:
    two = fields(page(f"SSCC {OTHER_SSCC}", barcodes=[gs1_sscc()]), "sscc")
    assert [(field.value, field.conflict) for field in two] == [(OTHER_SSCC, False), (SSCC, False)]


def test_a_number_that_fails_and_differs_much_is_left_as_it_was_read() -> None:
    wrong = OTHER_SSCC[:-1] + "0"
    text, symbol = fields(page(f"SSCC {wrong}", barcodes=[gs1_sscc()]), "sscc")
    assert (text.value, text.check, text.conflict) == (wrong, Check.FAILED, False)
    assert (symbol.value, symbol.source) == (SSCC, Source.BARCODE)


def test_nothing_is_mended_between_two_symbols_that_are_as_near() -> None:
    near = "106141412345678915"
    symbols = [gs1_sscc(), code("Code128", "", ("00", near))]
    values = {field.value for field in fields(page("SSCC 106141412345678913", barcodes=symbols), "sscc")}
    assert values == {"106141412345678913", SSCC, near}


def test_a_symbol_with_a_wrong_check_digit_mends_nothing() -> None:
    wrong = "106141412345678907"
    text, symbol = fields(page("SSCC 106141412345678903", barcodes=[gs1_sscc(wrong)]), "sscc")
    assert (text.value, text.check, text.repaired) == ("106141412345678903", Check.FAILED, False)
    assert (symbol.value, symbol.check) == (wrong, Check.FAILED)


def test_a_gtin_is_the_same_with_zeros_before_it() -> None:
    [field] = fields(page("0 36000 29145 2", barcodes=[code("EAN13", "0036000291452")]), "gtin")
    assert (field.value, field.source) == ("036000291452", Source.BOTH)


def test_two_symbols_with_one_number_are_one_field() -> None:
    [field] = fields(page("X", barcodes=[gs1_sscc(), gs1_sscc()]), "sscc")
    assert field.barcode_ids == (0, 1)


@pytest.mark.parametrize(
    ("one", "other", "steps"), [("", "", 0), ("abc", "abd", 1), ("abc", "ac", 1), ("12", "2134", 3)]
)
def test_differences_are_counted(one: str, other: str, steps: int) -> None:
    assert is_within(one, other, steps)
    assert is_within(other, one, steps)
    assert not is_within(one, other, steps - 1)


@given(st.text("0123", max_size=12), st.text("0123", max_size=12), st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_differences_are_those_of_levenshtein(one: str, other: str, most: int) -> None:
    assert is_within(one, other, most) == (Levenshtein.distance(one, other) <= most)
