"""Weights whose commas and points can be read in two ways: what else stands on the page decides, or nothing is said."""

import pytest

from tests.extract.pages import found, page, stacked
from tests.extract.sheets import sheet, stack
from worker.domain.image import PageText

HAMBURG = "Absender|Acme GmbH|Hafenring 12|20457 Hamburg|Deutschland"
OHIO = "SHIP FROM|Acme Inc|12 Front Ave|Columbus OH 43215|UNITED STATES"


def weights(of: PageText) -> list[str]:
    return [value for _, value, _ in found(of, "weight")]


def beside(address: str, row: str) -> PageText:
    return sheet([*stack(address, 0, 0, 14), (row, 500, 0, 14)])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        # The doors of containers: the tare is of tonnes, whatever sign groups the digits; the rest are limits.
        (["MAX GROSS 30,480 KG", "TARE 2,230 KG", "PAYLOAD 28,250 KG", "CU CAP 33.2 CU M"], ["2230 kg"]),
        (["MAX.GR. 30.480 KGS", "TARE 2.230 KGS", "NET 28.250 KGS", "CU.CAP. 33.2 CU.M."], ["2230 kg"]),
        (["M.G.W. 32,500 KG", "TARE 3,880 KG", "NET 28,620 KG"], ["3880 kg"]),
        (
            ["MAX. GROSS 30,480 KG 67,200 LB", "TARE 2,230 KG 4,920 LB", "NET 28,250 KG 62,280 LB"],
            ["2230 kg", "4920 lb"],
        ),
        (["MGW 30480 KG / 67200 LB", "TARE 2230 KG / 4920 LB", "PAYLOAD 28250 KG / 62280 LB"], ["2230 kg", "4920 lb"]),
        (["MSCU 676540 0", "22G1", "TARE 2,230 KG"], ["2230 kg"]),
        (["CONTAINER NO. MSCU 676540 0", "TARA 2.230 KG"], ["2230 kg"]),
        (["CONTAINER MSCU6765400", "VGM 24,310 KG"], ["24310 kg"]),
        (["CONTAINER MSCU6765400", "VERIFIED GROSS MASS: 24.310 KGS"], ["24310 kg"]),
        (["GROSS 30,480 KG", "TARE 2,230 KG", "CU.CAP. 33.2 CU.M"], ["2230 kg"]),
        (["MSCU6765400", "MAX WT 30480 KG", "MAXIMUM GROSS WEIGHT 67200 LB"], []),
        (
            ["WECHSELBRÜCKE ATBE 100309 1", "ZUL. GESAMTGEWICHT 16.000 KG", "TARA 2.900 KG", "NUTZLAST 13.100 KG"],
            ["2900 kg"],
        ),
        # Without any of that nobody can tell.
        (["TARE 2,230 KG"], []),
        (["TARA 1,250 KG"], []),
        (["TARE 2.230 KG"], []),
        (["Leergewicht 1.250 kg"], []),
        (["ALLOWABLE STACKING LOAD FOR 1.8G 192000 KG", "RACKING TEST LOAD 15240 KG"], []),
        (["G.W.18 450 KGS"], ["18450 kg"]),
        (["G.W.18.5KGS"], ["18.5 kg"]),
        (["GROSS WEIGHT .450 KG"], []),
        ([".450 KG"], []),
        (["GROSS WEIGHT 18,450 KG"], []),
        (["WEIGHT: 1,640 KG"], []),
        (["G.W. 12,345 KGS"], []),
        (["PESO 1,250 KG"], []),  # of Spain or of Mexico
        (["1,640 KG"], []),
        (["WEIGHT 3,250 T"], []),
        (["MSCU6765400", "GROSS WEIGHT 18.450 KG"], []),
        # Other numbers of the page tell how it is written.
        (["NET WEIGHT 17,200.50 KG", "GROSS WEIGHT 18,450 KG"], ["17200.50 kg", "18450 kg"]),
        (["NETTO 850,5 KG", "BRUTTO 1.640 KG"], ["850.5 kg", "1640 kg"]),
        (["NET WEIGHT 850.5 KG", "GROSS WEIGHT 1,640 KG"], ["850.5 kg", "1640 kg"]),
        (["VOLUME 33.25 CBM", "GROSS WEIGHT 18,450 KG"], ["18450 kg"]),
        (["VOLUMEN 33,25 M3", "GROSS WEIGHT 1,640 KG"], ["1.640 kg"]),
        (["VALUE EUR 1.250,00", "WEIGHT 1,640 KG"], ["1.640 kg"]),
        (["VALUE USD 1,250.00", "WEIGHT 1,640 KG"], ["1640 kg"]),
        (["WEIGHT 3,616 LBS", "WEIGHT 1,640 KG"], ["3616 lb", "1640 kg"]),
        (["NET 12,5 KG", "VOLUME 3.25 CBM", "GROSS 1,640 KG"], ["12.5 kg"]),
        # The language of the caption tells it.
        (["Gewicht: 1,640 kg"], ["1.640 kg"]),
        (["Poids brut : 1,250 kg"], ["1.250 kg"]),
        (["PESO LORDO 1,250 KG"], ["1.250 kg"]),
        (["BRUTTOGEWICHT 18.450 KG"], []),  # thousands, or by a scale with three decimals
        # Nobody groups so.
        (["WEIGHT 0,450 KG"], ["0.450 kg"]),
        (["WEIGHT 12,45 KG"], ["12.45 kg"]),
        (["WEIGHT 2.350 KG"], ["2.350 kg"]),
        (["GROSS WEIGHT 18.450 KG"], ["18.450 kg"]),
        (["WEIGHT 1,640 LB"], ["1640 lb"]),
        (["WEIGHT 1.640 LB"], ["1.640 lb"]),
        (["NET WT 1,250 G"], ["1250 g"]),
        (["GROSS WEIGHT 18'450 KG"], ["18450 kg"]),
        (["GROSS WEIGHT 18 450 KG"], ["18450 kg"]),
        (["2 230 KG"], []),  # two pieces of 230 kg
        # Other signs, and units of two sizes.
        (["1\u00b4234.5 kg", "1\u2018234.5 kg", "1\u2019234.5 kg"], ["1234.5 kg"]),
        (["1`234.5 kg"], []),
        (["WT 5.5 KG +/- 0.1 KG"], ["5.5 kg"]),
        (["3lb. 7oz."], ["3.4375 lb"]),
        (["WEIGHT 5 kg 250 g"], ["5.25 kg"]),
        (["TARE WT. 2,230 KGS", "MAX. WT. 30,480 KGS"], ["2230 kg"]),
        (["MSCU6765400", "MAX GROSS 30480 KG", "NET 28250 KG"], ["28250 kg"]),
    ],
)
def test_a_comma_before_three_digits_is_read_as_the_page_is_written(rows: list[str], told: list[str]) -> None:
    assert weights(page(*rows)) == told


@pytest.mark.parametrize(
    ("address", "row", "told"),
    [
        (HAMBURG, "WEIGHT 1,640 KG", ["1.640 kg"]),
        (OHIO, "WEIGHT 1,640 KG", ["1640 kg"]),
        (OHIO, "WEIGHT 1.640 KG", ["1.640 kg"]),
        (HAMBURG, "WEIGHT 1.640 KG", ["1.640 kg"]),
        (HAMBURG, "BRUTTO 1.640 KG", []),
    ],
)
def test_a_comma_before_three_digits_is_read_as_the_sender_writes(address: str, row: str, told: list[str]) -> None:
    assert weights(beside(address, row)) == told


def test_the_limits_of_a_container_are_no_weights_wherever_their_captions_stand() -> None:
    rows = [("MAX. GROSS", "30,480 KG"), ("TARE", "2,230 KG"), ("NET", "28,250 KG"), ("CU.CAP.", "33.2 CU.M")]
    assert weights(page(*rows)) == ["2230 kg"]
    assert weights(stacked("MAX. GROSS", "30,480 KG", "67,200 LB", "TARE", "2,230 KG", "4,920 LB")) == ["2230 kg"]
    assert weights(page(("MAX PAYLOAD", "1500 KG"))) == []
