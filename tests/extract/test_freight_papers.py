"""Freight papers and labels whose print leads astray: forms that number their boxes, notes, hours, origins."""

import pytest

from tests.extract.sheets import Box, sheet, stack, values

PAPERS: dict[str, list[Box]] = {
    "a form names its boxes": [
        ("Shipper's Name and Address", 0, 40, 10),
        *stack("ACME AG|ZEPPELINUFER 8|80903 MUENCHEN|GERMANY", 0, 52, 14),
        ("2 Empfänger (Name, Anschrift, Land)", 0, 140, 10),
        *stack("Nordfalk AB|Storgatan 1|SE-111 22 Stockholm", 0, 154, 14),
        ("Käufer / Buyer", 400, 40, 12),
        *stack("Bolt & Sons Ltd|7 Mill Lane|LEEDS LS1 4AB|United Kingdom", 400, 55, 14),
    ],
    "a country before its postcode": [
        ("Consignee's Name & Address", 0, 0, 10),
        *stack("BOLT PTE LTD|1 TUAS LINK|SINGAPORE 637123", 0, 12, 14),
    ],
    "a caption of two lines": [
        ("SHIP", 0, 200, 14),
        ("TO:", 0, 216, 14),
        *stack("JANE SMITH|55 COPPERLINE AVE|COLUMBUS OH 43215-2013", 60, 200, 20),
    ],
    "goods of an origin": stack("Model: SM-G991B/DS|Colour 4: Black|S/N: R5CR30ABCDE|Made in Vietnam", 0, 0, 14),
    "an hour": [("MON - 17 MAR 10:30A", 0, 0, 20), ("17 MAR 12 PM", 0, 60, 20)],
    "notes of a customs form": [
        ("Poids (en kg) (2)", 0, 0, 12),
        ("Poids total (en kg) (6)", 300, 0, 12),
        ("0,450", 300, 16, 12),
    ],
    "thousands of kilograms": [
        ("18,250.000 kgs.", 0, 0, 14),
        ("3,900 kgs.", 0, 60, 14),
        ("MAX GROSS 32,500 KGS", 0, 120, 14),
    ],
    "thousands by the sender's country": [
        *stack("SHIPPER|Acme Ltd|4 Beacon Hill|Bristol BS1 3MX|UNITED KINGDOM", 0, 0, 14),
        ("GROSS WEIGHT 1,640 KGS", 400, 0, 14),
    ],
    "thousandths by the sender's country": [
        *stack("Absender|Acme GmbH|Hafenring 12|20457 Hamburg|Deutschland", 0, 0, 14),
        ("Gewicht 1,640 kg", 400, 0, 14),
    ],
    "thousands of grams": [("Total Weight 1,250 g", 0, 0, 14), ("Gewicht: 0.750 g", 0, 60, 14)],
    "an account from 00 on": [("Customer account: 0012345678905", 0, 0, 14)],
}
FOUND: dict[str, dict[str, list[str]]] = {
    "a form names its boxes": {
        "address_from": ["ACME AG\nZEPPELINUFER 8\n80903 MUENCHEN\nGERMANY"],
        "address_to": ["Nordfalk AB\nStorgatan 1\nSE-111 22 Stockholm"],
        "address": ["Bolt & Sons Ltd\n7 Mill Lane\nLEEDS LS1 4AB\nUnited Kingdom"],
        "postcode": ["111 22", "80903", "LS1 4AB"],
    },
    "a country before its postcode": {
        "address_to": ["BOLT PTE LTD\n1 TUAS LINK\nSINGAPORE 637123"],
        "postcode": ["637123"],
    },
    "a caption of two lines": {
        "address_to": ["JANE SMITH\n55 COPPERLINE AVE\nCOLUMBUS OH 43215-2013"],
        "postcode": ["43215-2013"],
    },
    "goods of an origin": {},
    "an hour": {},
    "notes of a customs form": {"weight": ["0.450 kg"]},
    "thousands of kilograms": {"weight": ["18250.000 kg", "3900 kg"]},
    "thousands by the sender's country": {
        "address_from": ["Acme Ltd\n4 Beacon Hill\nBristol BS1 3MX\nUNITED KINGDOM"],
        "postcode": ["BS1 3MX"],
        "weight": ["1640 kg"],
    },
    "thousandths by the sender's country": {
        "address_from": ["Acme GmbH\nHafenring 12\n20457 Hamburg\nDeutschland"],
        "postcode": ["20457"],
        "weight": ["1.640 kg"],
    },
    "thousands of grams": {"weight": ["0.750 g", "1250 g"]},
    "an account from 00 on": {},
}


@pytest.mark.parametrize("paper", sorted(PAPERS))
def test_what_a_paper_says_and_no_more(paper: str) -> None:
    assert values(sheet(PAPERS[paper])) == FOUND[paper]
