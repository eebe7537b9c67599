"""Numbers in the text of a page: shapes, joins, captions, and what is not a number of any kind."""

import random

import pytest

from tests.extract.misreading import printed
from tests.extract.pages import fields, found, line_at, page, stacked
from worker.domain.image import PageText
from worker.pipeline.extract.numbers.catalog import BUILT_IN_CATALOG, NUMBER_TYPES
from worker.pipeline.extract.numbers.forms import Form


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("TRACKING #: 1Z 5R8 939 03 5756 7127", "ups_1z", "1Z5R89390357567127"),
        ("1Z5R89390357567127", "ups_1z", "1Z5R89390357567127"),
        ("TRACKING#1Z5R89390357567127", "ups_1z", "1Z5R89390357567127"),
        ("9400 1112 0620 6406 2607 87", "usps_impb", "9400111206206406260787"),
        ("420 78745 9400 1112 0620 6406 2607 87", "usps_impb", "9400111206206406260787"),
        ("RB 123 456 785 GB", "s10", "RB123456785GB"),
        ("rb123456785gb", "s10", "RB123456785GB"),
        ("(00) 1 0614141 234567890 8", "sscc", "106141412345678908"),
        ("(00)106141412345678908", "sscc", "106141412345678908"),
        ("SSCC: 106141412345678908", "sscc", "106141412345678908"),
        ("NVE 1 0614141 234567890 8", "sscc", "106141412345678908"),
        ("GTIN 4006381333931", "gtin", "4006381333931"),
        ("EAN-Code: 4 006381 333931", "gtin", "4006381333931"),
        ("4 006381 333931", "gtin", "4006381333931"),
        ("0 36000 29145 2", "gtin", "036000291452"),
        ("(01) 04012345678901 (10) A1", "gtin", "04012345678901"),
        ("AWB 020-8114 0743", "air_waybill", "02081140743"),
        ("AWB02081140743", "air_waybill", "02081140743"),
        ("Luftfrachtbrief-Nr.: 020-81140743", "air_waybill", "02081140743"),
        ("Container No. CSQU 305438 3", "iso6346", "CSQU3054383"),
        ("CSQU305438-3", "iso6346", "CSQU3054383"),
        ("IMEI 1: 49-015420-323751-8", "imei", "490154203237518"),
        ("FedEx TRK# 9865 7878 8855", "fedex", "986578788855"),
        ("DHL WAYBILL 33 1881 0025", "dhl_express", "3318810025"),
        ("DPD Paketnummer 0998 0000 0200 33 F", "dpd", "09980000020033F"),
        ("Canada Post PIN 0073 9380 0054 9297", "canada_post", "0073938000549297"),
        ("AWB020-8114 0743", "air_waybill", "02081140743"),
        ("SSCC 106141412345678908 1/2", "sscc", "106141412345678908"),
        ("(02)04012345678901(37)24(10)A1", "gtin", "04012345678901"),
        ("(02) 04012345678901", "gtin", "04012345678901"),
        ("（00）１０６１４１４１２３４５６７８９０８", "sscc", "106141412345678908"),  # noqa: RUF001 - full-width
        ("OnTrac Tracking C11031500001879", "ontrac", "C11031500001879"),
    ],
)
def test_numbers_as_labels_print_them(text: str, kind: str, value: str) -> None:
    assert found(page(text), *NUMBER_TYPES) == [(kind, value, "passed")]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("TBA502887274000", "amazon"),
        ("JJD000390007814282310", "dhl_parcel"),
        ("JJD0002257639032011", "yodel"),
        ("GM2951173225174494", "dhl_ecommerce"),
        ("SF1234567890123", "sf_express"),
        ("1LS717793482164", "lasership"),
        ("YT2229521272164446", "yun_express"),
    ],
)
def test_numbers_without_a_check_digit_prove_nothing(text: str, kind: str) -> None:
    assert found(page(text), *NUMBER_TYPES) == [(kind, text, "none")]


@pytest.mark.parametrize(
    "text",
    [
        "986578788855",  # passes FedEx's check, on a page that names no FedEx
        "Tracking 986578788855",
        "ORDER NO 4006381333931",
        "SSCC, or order no. 106141412345678908",
        "Invoice 106141412345678908",
        "030-81140743",  # a telephone number that happens to pass modulo 7
        "HAWB 020-8114 0743",
        "4006381333931",
        "FedEx invoice no. 986578788855",
        "LICENCE NO CSQU3054383",
        "00000000",
        "GTIN 00000000000000",
        "RB123456785XX",
    ],
)
def test_a_check_digit_that_passes_is_not_enough(text: str) -> None:
    assert found(page(text), *NUMBER_TYPES) == []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("SSCC 106141412345678907", "sscc", "106141412345678907"),
        ("1Z5R89390357567129", "ups_1z", "1Z5R89390357567129"),
        ("RB123456786GB", "s10", "RB123456786GB"),
        ("CONTAINER CSQU3054384", "iso6346", "CSQU3054384"),
        ("AWB 020-8114 0744", "air_waybill", "02081140744"),
    ],
)
def test_a_number_whose_check_fails_is_told_where_its_kind_is_certain(text: str, kind: str, value: str) -> None:
    assert found(page(text), *NUMBER_TYPES) == [(kind, value, "failed")]


@pytest.mark.parametrize("text", ["CSQU3054384", "106141412345678907", "020-8114 0744"])
def test_a_number_whose_check_fails_is_nothing_where_its_kind_is_a_guess(text: str) -> None:
    assert found(page(text), *NUMBER_TYPES) == []


def test_the_pieces_of_a_number_in_one_row_are_joined() -> None:
    joined = page(("TRACKING #:", "1Z 5R8 939", "03 5756", "7127"))
    assert found(joined, "ups_1z") == [("ups_1z", "1Z5R89390357567127", "passed")]


def test_a_number_under_its_caption() -> None:
    assert found(stacked("CONTENT (GTIN)", "04006381333931"), "gtin") == [("gtin", "04006381333931", "passed")]
    assert found(stacked("ORDER NO", "04006381333931"), "gtin") == []


def test_a_part_of_a_longer_number_is_no_number() -> None:
    # The first thirteen pass the check of a GTIN; with the fourteenth they do not.
    assert found(page("GTIN 4006381333931 5"), "gtin") == [("gtin", "40063813339315", "failed")]


def test_a_number_printed_twice_is_one_field_with_both_lines() -> None:
    [field] = fields(page("SSCC 106141412345678908", "(00)106141412345678908"), "sscc")
    assert field.line_ids == (0, 1)


def test_what_is_printed_as_a_waybill_is_one_where_the_label_speaks_of_waybills() -> None:
    assert found(page("Air Waybill", "DESTINATION", "020-8114 0743"), "air_waybill") == [
        ("air_waybill", "02081140743", "passed")
    ]
    assert found(page("Air Waybill", "Phone", ("TEL", "020-8114 0743")), "air_waybill") == []


def test_a_number_misread_once_and_read_once_is_one_field() -> None:
    [field] = fields(page("SSCC 106141412345678908", "SSCC 106141412345678903"), "sscc")
    assert (field.value, field.line_ids) == ("106141412345678908", (0, 1))

    far = fields(page("SSCC 106141412345678908", "SSCC 106141412345111103"), "sscc")
    assert [(field.value, field.check.value) for field in far] == [
        ("106141412345678908", "passed"),
        ("106141412345111103", "failed"),
    ]


def test_a_caption_counts_for_the_number_that_follows_it_alone() -> None:
    line = page("SSCC 106141412345678908 REF 04006381333931")
    assert found(line, *NUMBER_TYPES) == [("sscc", "106141412345678908", "passed")]


def test_random_numbers_are_hardly_ever_taken_for_something() -> None:
    chance, wrong = random.Random(4), 0  # noqa: S311 - no secret
    for _ in range(150):
        rows = [
            "".join(chance.choices("0123456789", k=chance.choice((8, 10, 11, 12, 13, 14, 15, 16, 18)))) for _ in "12345"
        ]
        wrong += len(found(page(*rows), *NUMBER_TYPES))
    assert wrong == 0


@pytest.mark.parametrize("form", BUILT_IN_CATALOG.forms, ids=lambda form: f"{form.type}-{form.template}")
def test_every_form_is_found_where_all_speaks_for_it(form: Form) -> None:
    captions = {"sscc": "SSCC", "gtin": "GTIN", "air_waybill": "AWB", "iso6346": "CONTAINER", "imei": "IMEI"}
    captions["ilu"] = "CONTAINER"
    carrier = (form.carrier or "").replace("_", " ")
    number = printed(form, random.Random(7))  # noqa: S311 - no secret
    page_text = PageText(
        900,
        900,
        (
            line_at(carrier or "carrier", 20, 0),
            line_at(captions.get(form.type, "Tracking no."), 20, 200),
            line_at(number, 20, 226),
        ),
    )
    assert (form.type, form.value(number)) in [(kind, value) for kind, value, _ in found(page_text, form.type)]
