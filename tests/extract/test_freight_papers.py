"""Freight papers and labels whose print leads astray: forms that number their boxes, notes, hours, origins."""

import pytest

from tests.extract.pages import found, page
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
    "what a thing bears": [("Tragfähigkeit 1500 kg", 0, 0, 14), ("MAX LOAD 1200KG", 0, 60, 14)],
    "small print of a firm": stack(
        "Terms and conditions|See www.example.com|No. 01234567|Registered in England", 0, 0, 9
    ),
    "so many of so much": [("20 x 1,5 kg", 0, 0, 14)],
    "a unit in a box of its own": [("WEIGHT:", 0, 0, 14), ("5.0", 80, 0, 14), ("KG", 120, 0, 14)],
    "a piece is no weight": [("Pce/Shpt Weight", 0, 0, 14), ("1", 0, 16, 14), ("12 KG", 30, 16, 14)],
    "who pays has a caption": [
        *stack("Lieferadresse:|Bolt GmbH|Mühlweg 7|80331 München", 0, 0, 14),
        *stack("Rechnungsadresse:|Bolt Holding AG|Ring 1|1010 Wien|Österreich", 300, 0, 14),
    ],
    "whom it goes back to": [
        *stack("SHIP TO:|Jane Smith|7 Mill Lane|LEEDS LS1 4AB", 0, 0, 14),
        *stack("If undelivered return to:|Acme Ltd|4 Beacon Hill|BRISTOL BS1 3MX", 300, 0, 14),
    ],
    "codes by their captions": [
        ("ZIP: 97209", 0, 0, 14),
        ("PLZ/Ort: 20457 Hamburg", 0, 40, 14),
        ("Code postal", 0, 80, 14),
        ("69001", 0, 96, 14),
        ("CP 12345", 0, 140, 14),
        ("ZIP+4 43215-2013", 0, 180, 14),
    ],
    "points within a caption": [("N.I.P. 526-10-40-828", 0, 0, 14), ("C.I.F.: B58378431", 0, 40, 14)],
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
    "what a thing bears": {},
    "small print of a firm": {},
    "so many of so much": {},
    "a unit in a box of its own": {"weight": ["5.0 kg"]},
    "a piece is no weight": {"weight": ["12 kg"]},
    "who pays has a caption": {
        "address_to": ["Bolt GmbH\nMühlweg 7\n80331 München"],
        "address": ["Bolt Holding AG\nRing 1\n1010 Wien\nÖsterreich"],
        "postcode": ["1010", "80331"],
    },
    "whom it goes back to": {
        "address_to": ["Jane Smith\n7 Mill Lane\nLEEDS LS1 4AB"],
        "address_from": ["Acme Ltd\n4 Beacon Hill\nBRISTOL BS1 3MX"],
        "postcode": ["BS1 3MX", "LS1 4AB"],
    },
    "codes by their captions": {"postcode": ["20457", "43215-2013", "69001", "97209"]},
    "points within a caption": {"vat": ["ESB58378431", "PL5261040828"]},
    "an account from 00 on": {},
}


@pytest.mark.parametrize("paper", sorted(PAPERS))
def test_what_a_paper_says_and_no_more(paper: str) -> None:
    assert values(sheet(PAPERS[paper])) == FOUND[paper]


@pytest.mark.parametrize("caption", ["Vertragsnummer", "Wartungsvertragsnr.", "Nr zamówienia", "Numer faktury:"])
def test_a_number_of_another_kind_is_named_in_one_word_or_in_polish(caption: str) -> None:
    assert found(page((caption, "MSKU6011672")), "iso6346") == []


@pytest.mark.parametrize("caption", ["Frachtbriefnummer", "Versandnr.", "Numer listu przewozowego", "Nr przesyłki:"])
def test_a_shipment_is_named_in_one_word_or_in_polish(caption: str) -> None:
    assert found(page("DHL EXPRESS", (caption, "1234567891")), "dhl_express") == [
        ("dhl_express", "1234567891", "passed")
    ]
