"""VAT numbers: the number alone, whatever stands around it."""

import random
import re

import pytest

from tests.extract.pages import found, page
from worker.domain.fields import Check
from worker.pipeline.extract.context.vat import vat_numbers_in

PRINTED = (
    "ATU13585627", "BE 0428.759.497", "BG 175 074 752", "CHE-107.787.577 TVA", "CHE-107.787.577", "CY10259033P",
    "CZ25123891", "DE 136 695 976", "DK 13 58 56 28", "EE100931558", "EL 094 259 216", "ES B58378431", "ESX2482300W",
    "FI 2077474-0", "FR 83 404 833 048", "GB 980 7806 84", "GB980780684001", "HR33392005961", "HU12892312",
    "IE6433435F", "IE8D79739I", "IT00743110157", "LT119511515", "LT100001919017", "LU 150 274 42", "LV40003521600",
    "MT11679112", "NL 0044.95.445.B.01", "NO 995 525 828 MVA", "PL 856-734-62-15", "PT 501 964 843", "RO 185 472 90",
    "SE 123456-7897 01", "SI50223054", "SK2022749619",
)  # fmt: skip
CAPTIONS = (
    "VAT", "VAT NO", "VAT Reg. No.", "VAT/Tax ID", "Germany VAT no", "USt-IdNr.", "UID", "N° TVA", "TVA intracom.",
    "Partita IVA", "P.IVA", "NIF", "BTW-nr", "NIP", "Momsreg.nr", "DIČ", "ALV-nro", "Tax ID", "EORI/VAT",
)  # fmt: skip


@pytest.mark.parametrize("printed", PRINTED)
def test_no_caption_becomes_a_part_of_the_number(printed: str) -> None:
    value = re.sub(r"[\s.\-]", "", printed)
    for caption in CAPTIONS:
        for between in (": ", " ", ". ", "", " - ", "  :  "):
            for behind in ("", " EORI GB123456789000", " 2024", " ACME GmbH"):
                text = f"{caption}{between}{printed}{behind}"
                assert [(vat.value, vat.check) for vat in vat_numbers_in(text)] == [(value, Check.PASSED)], text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("P.IVA 00743110157", "IT00743110157"),
        ("P.IVA00743110157", "IT00743110157"),
        ("VAT Reg No 980 7806 84", "GB980780684"),
        ("Org.nr 995 525 828 MVA", "NO995525828MVA"),
        ("USt-IdNr. 136695976", "DE136695976"),
        ("NIF B58378431", "ESB58378431"),
        ("NIF 501964843", "PT501964843"),
        ("NIP 856-734-62-15", "PL8567346215"),
    ],
)
def test_a_caption_of_one_country_alone_stands_for_its_letters(text: str, value: str) -> None:
    assert [vat.value for vat in vat_numbers_in(text)] == [value]


@pytest.mark.parametrize(
    "text", ["EORI GB980780684000", "VAT NO. 995525828", "VAT NO123456785", "Tax ID 12-3456789", "NO 995525828"]
)
def test_other_numbers_are_no_vat_numbers(text: str) -> None:
    assert list(vat_numbers_in(text)) == []


def test_the_nearest_caption_decides() -> None:
    assert [vat.value for vat in vat_numbers_in("EORI: GB980780684000 VAT: GB980780684")] == ["GB980780684"]
    assert found(page(("EORI NO.", "GB980780684000")), "vat") == []
    assert found(page(("VAT NO.", "GB 980 7806 84")), "vat") == [("vat", "GB980780684", "passed")]
    assert found(page(("P.IVA", "00743110157")), "vat") == [("vat", "IT00743110157", "passed")]


def test_random_references_pass_for_none() -> None:
    chance = random.Random(3)  # noqa: S311 - no secret
    passed = 0
    for _ in range(4000):
        head = chance.choice(("PO", "REF ", "NO", "DE", "NR ", "IT", "INV-", ""))
        text = head + "".join(chance.choices("0123456789", k=chance.randint(8, 14)))
        passed += any(vat.check is Check.PASSED for vat in vat_numbers_in(text))
    assert passed == 0
