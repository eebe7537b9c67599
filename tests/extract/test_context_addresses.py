"""Addresses as blocks: which lines belong to them, and whose they are."""

from itertools import pairwise

import pytest

from tests.extract.sheets import Box, found_on, sheet, stack, values

TWO_COLUMNS = [
    *stack("FROM|Acme Parts GmbH|Hafenring 12|20457 Hamburg|GERMANY", 0, 0, 20),
    *stack("SHIP TO|Bolt & Sons Ltd|7 Mill Lane|Leeds LS1 4AB|UNITED KINGDOM", 420, 0, 24),
    *stack("PO NUMBER|4500123456", 0, 180, 20),
    *stack("GROSS WT|12.4 KG", 420, 180, 20),
]
SENDER = "Acme Parts GmbH\nHafenring 12\n20457 Hamburg\nGERMANY"
RECEIVER = "Bolt & Sons Ltd\n7 Mill Lane\nLeeds LS1 4AB\nUNITED KINGDOM"


@pytest.mark.parametrize("degrees", [0.0, 4.0, 90.0, 180.0, 263.0, 357.5])
def test_two_columns_are_two_addresses_whichever_way_the_page_lies(degrees: float) -> None:
    told = values(sheet(TWO_COLUMNS, degrees))
    assert told["address_from"] == [SENDER]
    assert told["address_to"] == [RECEIVER]
    assert told["postcode"] == ["20457", "LS1 4AB"]
    assert told["weight"] == ["12.4 kg"]


def test_a_caption_may_stand_to_the_left_of_its_address() -> None:
    page = [
        ("TO", 0, 0, 24),
        *stack("Jane Smith|14 Harrow Mill Rd|Portland OR 97211", 120, 0, 24),
        ("FROM", 0, 140, 16),
        *stack("Acme Inc|9 Old Ferry Pkwy|Reno NV 89501", 120, 140, 16),
    ]
    told = values(sheet(page))
    assert told["address_to"] == ["Jane Smith\n14 Harrow Mill Rd\nPortland OR 97211"]
    assert told["address_from"] == ["Acme Inc\n9 Old Ferry Pkwy\nReno NV 89501"]


def test_a_caption_may_stand_in_the_first_line_of_its_address() -> None:
    below_caption = [("SHIP TO: Jane Smith", 0, 0, 24), *stack("14 Harrow Mill Rd|Portland OR 97211", 0, 30, 24)]
    below_name = [("SHIP TO: Jane Smith", 0, 0, 24), *stack("14 Harrow Mill Rd|Portland OR 97211", 119, 30, 24)]
    for page in (below_caption, below_name):
        assert values(sheet(page))["address_to"] == ["Jane Smith\n14 Harrow Mill Rd\nPortland OR 97211"]


def test_an_indented_address_below_its_caption_is_found() -> None:
    page = [("SHIP TO:", 0, 0, 20), *stack("Jane Smith|14 Harrow Mill Rd|Portland OR 97211|USA", 50, 26, 26)]
    assert values(sheet(page))["address_to"] == ["Jane Smith\n14 Harrow Mill Rd\nPortland OR 97211\nUSA"]


def test_telephone_and_mail_in_between_are_no_part_of_an_address() -> None:
    page = stack("SENDER|Ines Duarte|+31 85 888 1234|Kade 9|ines@example.org|5912 AB Venlo|NETHERLANDS", 0, 0, 20)
    told = values(sheet(page))
    assert told["address_from"] == ["Ines Duarte\nKade 9\n5912 AB Venlo\nNETHERLANDS"]
    assert told["phone"] == ["+31858881234"]


@pytest.mark.parametrize("behind", ["REF: 12-4711", "Tracking No. 1234", "WEIGHT: 3 KG", "BILLING: P/P", "SHIP FROM:"])
def test_an_address_ends_where_something_else_begins(behind: str) -> None:
    page = stack(f"SHIP TO|Jane Smith|14 Harrow Mill Rd|Portland OR 97211|{behind}", 0, 0, 20)
    assert values(sheet(page))["address_to"] == ["Jane Smith\n14 Harrow Mill Rd\nPortland OR 97211"]


def test_an_address_ends_at_a_gap() -> None:
    page = [*stack("SHIP TO|Jane Smith|14 Harrow Mill Rd|Portland OR 97211", 0, 0, 20), ("USA", 0, 150, 20)]
    assert values(sheet(page))["address_to"] == ["Jane Smith\n14 Harrow Mill Rd\nPortland OR 97211"]


def test_nothing_behind_the_country_belongs_to_an_address() -> None:
    page = stack("SHIP TO|Jane Smith|14 Harrow Mill Rd|Portland OR 97211|UNITED STATES|FRAGILE GLASS", 0, 0, 20)
    assert values(sheet(page))["address_to"] == ["Jane Smith\n14 Harrow Mill Rd\nPortland OR 97211\nUNITED STATES"]


def test_the_pieces_of_one_row_are_one_line_of_an_address() -> None:
    page: list[Box] = [
        *stack("SHIP TO|Jane Smith|14 Harrow Mill Rd", 0, 0, 20),
        ("Portland", 0, 75, 20),
        ("OR 97211", 100, 75, 20),
        ("USA", 0, 100, 20),
    ]
    told = found_on(sheet(page))
    address = next(candidate for candidate in told if candidate.type == "address_to")
    assert address.value == "Jane Smith\n14 Harrow Mill Rd\nPortland OR 97211\nUSA"
    assert [span.line_id for span in address.spans] == [1, 2, 3, 4, 5]
    assert next(candidate.value for candidate in told if candidate.type == "postcode") == "97211"


def test_a_letter_above_an_address_is_no_caption_without_a_colon() -> None:
    block = stack("99 SPEED MART|LOT P.T. 2811, JALAN ANGSA|TAMAN BERKELEY|41150 KLANG, SELANGOR", 0, 40, 20)
    for scrap, kind in (("a", "address"), ("A", "address"), ("A:", "address_to")):
        told = values(sheet([(scrap, 0, 0, 20), *block]))
        assert [name for name in told if name.startswith("address")] == [kind]


def test_an_address_without_caption_is_the_other_party_or_nobody_in_particular() -> None:
    bare = stack("Acme Inc|9 Old Ferry Pkwy|Reno NV 89501", 0, 0, 16)
    named = stack("SHIP TO|Jane Smith|14 Harrow Mill Rd|Portland OR 97211", 0, 200, 24)
    assert values(sheet(bare))["address"] == ["Acme Inc\n9 Old Ferry Pkwy\nReno NV 89501"]
    assert values(sheet([*bare, *named]))["address_from"] == ["Acme Inc\n9 Old Ferry Pkwy\nReno NV 89501"]


@pytest.mark.parametrize(
    ("to", "sender"),
    [
        ("SHIP TO:", "SHIP FROM:"),
        ("SHIPTO", "FR0M:"),
        ("5HIP TO", "SH1PPER"),
        ("Deliver To", "Sender"),
        ("CONSIGNEE", "CONSIGNOR"),
        ("Empfänger", "Absender"),
        ("LIEFERADRESSE", "VERSENDER"),
        ("Destinataire", "Expéditeur"),
        ("Destinatario", "Remitente"),
        ("DESTINATARIO:", "MITTENTE:"),
        ("Ontvanger", "Afzender"),
        ("Odbiorca", "Nadawca"),
        ("Mottagare", "Avsändare"),
        ("An:", "Von:"),
        ("A:", "De:"),
        ("To:", "From:"),
        ("SHIP TO / DESTINATAIRE", "SHIP FROM / EXPÉDITEUR"),
    ],
)
def test_captions_of_many_languages_tell_receiver_from_sender(to: str, sender: str) -> None:
    page = [
        *stack(f"{sender}|Acme AG|Amselkamp 4|34117 Kassel|GERMANY", 0, 0, 20),
        *stack(f"{to}|Odile Vert|3 Rue du Four|69001 Lyon|FRANCE", 0, 200, 20),
    ]
    told = values(sheet(page))
    assert told["address_from"] == ["Acme AG\nAmselkamp 4\n34117 Kassel\nGERMANY"]
    assert told["address_to"] == ["Odile Vert\n3 Rue du Four\n69001 Lyon\nFRANCE"]


@pytest.mark.parametrize(
    "text",
    [
        "TO BE OPENED BY|CUSTOMS ONLY|FORM 12345",
        "SHIPPER LOAD AND COUNT|SAID TO CONTAIN|24 CARTONS",
        "BATCH 12345|LOT 4711|COUNT 24",
        "TOBIAS TANAKA|MAREN HOLLIS|WES DUARTE",
        "TRACKING #: 1Z 999 AA1 01 2345 6784|BILLING: P/P|REF 1: 53218-37",
    ],
)
def test_other_blocks_are_no_addresses(text: str) -> None:
    told = values(sheet(stack(text, 0, 0, 20)))
    assert not {"address", "address_to", "address_from", "postcode"} & set(told)


def test_many_lines_cost_no_more_each_than_few() -> None:
    few, many = (
        sheet([box for row in range(rows) for box in stack("Acme|Kade 9|5912 AB Venlo", 0, 100 * row, 20)])
        for rows in (2, 60)
    )
    assert len(values(many)["address"]) == 1  # the same value once
    assert len(next(c for c in found_on(many) if c.type == "address").spans) == 180
    assert values(few)["postcode"] == ["5912 AB"]


def test_lines_of_an_address_follow_one_another_downwards() -> None:
    for candidate in found_on(sheet(TWO_COLUMNS)):
        if candidate.type.startswith("address"):
            assert all(one.line_id < other.line_id for one, other in pairwise(candidate.spans))


def test_a_block_with_a_common_middle_is_one_address_wherever_it_stands_on_the_picture() -> None:
    rows = "Kade & Zonen Machinefabriek en Handelshuis|Afdeling Verzending|Havenweg 9, Loods Vier aan de Oude Maas"
    texts = [*rows.split("|"), "5912 AB Venlo", "NETHERLANDS"]
    widths = [0.55 * 20 * len(text) for text in texts]  # as a sheet lays them
    for shift in range(0, 100, 10):
        boxes = [
            (text, 600 + shift - width / 2, 25.0 * row, 20.0)
            for row, (text, width) in enumerate(zip(texts, widths, strict=True))
        ]
        assert values(sheet(boxes))["address"] == ["\n".join(texts)]
