"""What stands around a value decides what it is: its caption's cell, and the country of the address beside it."""

import pytest

from tests.extract.sheets import Box, sheet, stack, values

AMERICAN = "Acme Inc|9 Old Ferry Pkwy|Reno NV 89501|UNITED STATES"
BRITISH = "Bolt Ltd|7 Mill Lane|Leeds LS1 4AB|UNITED KINGDOM"
GERMAN = "Acme GmbH|Hafenring 12|20457 Hamburg|GERMANY"
DATED: Box = ("SHIP DATE 03/04/2025", 0, 300, 20)


@pytest.mark.parametrize(
    ("sender", "receiver", "days"),
    [
        (f"FROM|{AMERICAN}", f"TO|{BRITISH}", ["2025-03-04"]),
        (f"FROM|{BRITISH}", f"TO|{AMERICAN}", ["2025-04-03"]),
        ("FROM", f"TO|{AMERICAN}", ["2025-03-04"]),
        (f"NOTIFY|{GERMAN}", f"TO|{BRITISH}", ["2025-04-03"]),
        (f"NOTIFY|{GERMAN}", f"BILL TO|{AMERICAN}", []),
    ],
)
def test_the_sender_decides_what_a_date_means(sender: str, receiver: str, days: list[str]) -> None:
    page = sheet([*stack(sender, 0, 0, 20), *stack(receiver, 420, 0, 20), DATED])
    assert values(page).get("date", []) == days


def test_a_telephone_number_belongs_to_the_address_beside_it() -> None:
    page = sheet(
        [
            *stack(f"FROM|{GERMAN}", 0, 0, 20),
            ("Tel. 030 23125-123", 0, 150, 20),
            *stack(f"TO|{BRITISH}", 420, 0, 20),
            ("Tel. 020 7946 0123", 420, 150, 20),
        ]
    )
    assert values(page)["phone"] == ["+442079460123", "+493023125123"]


def test_the_default_region_is_for_pages_that_name_no_country() -> None:
    page = sheet([("TEL 030 23125 123", 0, 0, 20)])
    assert values(page) == {}
    assert values(page, "DE")["phone"] == ["+493023125123"]


@pytest.mark.parametrize(
    ("caption", "value", "kind", "expected"),
    [
        ("GROSS WEIGHT (KG)", "12,4", "weight", "12.4 kg"),
        ("PESO BRUTO KG", "7.50", "weight", "7.50 kg"),
        ("NET WT.", "250 G", "weight", "250 g"),
        ("PHONE", "503-555-0123", "phone", "+15035550123"),
        ("ZIP CODE", "97211-1234", "postcode", "97211-1234"),
        ("POSTCODE", "LS1 4AB", "postcode", "LS1 4AB"),
        ("SHIP DATE", "20250314", "date", "2025-03-14"),
        ("VAT NO.", "DE136695976", "vat", "DE136695976"),
    ],
)
def test_a_caption_stands_above_or_left_of_its_value(caption: str, value: str, kind: str, expected: str) -> None:
    above = sheet([(caption, 0, 0, 16), (value, 0, 22, 30)])
    left = sheet([(caption, 0, 7, 16), (value, 200, 0, 30)])
    away = sheet([(caption, 0, 0, 16), (value, 0, 400, 30)])
    assert values(above, "US") == values(left, "US") == {kind: [expected]}
    assert values(away, "US") == {}


def test_a_postcode_behind_its_caption_needs_no_address() -> None:
    assert values(sheet([("SHIP TO POSTAL CODE: 97211", 0, 0, 20)]), "US") == {"postcode": ["97211"]}
