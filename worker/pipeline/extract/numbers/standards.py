"""The numbers that standards define, whoever carries the goods: S10, SSCC, GTIN, air waybills, containers, IMEI.

A bare check digit lets one random number in ten pass. So what a form needs besides (`Proof`) follows from how rare its
shape is on labels that do not mean it.
"""

import re
from typing import Final

from worker.pipeline.extract.numbers import checks
from worker.pipeline.extract.numbers.captions import Topic
from worker.pipeline.extract.numbers.forms import Form, Proof

# ISO 3166-1 alpha-2, with the codes that postal operators use beyond it.
_COUNTRIES: Final = frozenset(
    re.findall(
        "..",
        "ADAEAFAGAIALAMANAOARASATAUAWAXAZBABBBDBEBFBGBHBIBJBMBNBOBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCXCYCZDEDJ"
        "DKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJP"
        "KEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZ"
        "OMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQAREROGRRSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSYSZTCTDTGTHTJTKTLTMTNTOTRTTTVTW"
        "TZUAUGUSUYUZVAVCVEVGVIVNVUWFWSYEYTYUZAZMZWXKEUBLBQCWMFSXTFTLUMPSGS",
    )
)


# Service indicators that UPU S10 defines, and those that posts use within their country besides.
_SERVICES: Final = re.compile(r"[ABCDEHLMNPRSTUVZ][A-Z]|G[AD]|Q[A-M]")
# Two letters before nine digits and a country's code that are more likely a word: NO 123456785 DE.
_WORDS: Final = frozenset({"NO", "NR", "PO", "CO", "SN", "TO", "ZU", "AN", "LE", "LA", "EL", "DE", "BY", "AT", "BL"})


def _is_international_item(number: str) -> bool:
    """Whether an S10 number has a country and a service that UPU defines."""
    return number[-2:] in _COUNTRIES and _SERVICES.match(number) is not None


def _is_national_item(number: str) -> bool:
    """Whether an S10 number has a country, and a service of its post's own."""
    return number[-2:] in _COUNTRIES and _SERVICES.match(number) is None


def _has_airline_and_serial(number: str) -> bool:
    """Whether an air waybill has an airline's prefix, which begin at 001, and a serial number other than zero."""
    return number[:3] != "000" and number[3:10] != "0000000"


def _has_different_digits(number: str) -> bool:
    return len(set(number)) > 1


_SSCC, _GTIN = frozenset({Topic.SSCC}), frozenset({Topic.GTIN})

STANDARD_FORMS: Final = (
    Form(
        "s10",
        "@{2}#{9}@{2}",
        checks.s10,
        Proof.SHAPE,
        frozenset({Topic.TRACKING}),
        certain=True,
        plausible=_is_international_item,
        words=_WORDS,
        heeds_captions=True,
    ),
    Form("s10", "@{2}#{9}@{2}", checks.s10, Proof.NAMED, frozenset({Topic.TRACKING}), plausible=_is_national_item),
    Form(
        "sscc",
        "#{18}",
        checks.gs1,
        Proof.NAMED,
        _SSCC,
        groups=((1, 7, 9, 1), (1, 7, 10)),
        page_groups=((18,),),
        plausible=_has_different_digits,
    ),
    Form(
        "sscc", "00#{18}", checks.gs1, Proof.SHAPE, _SSCC, plausible=_has_different_digits, strip=2, heeds_captions=True
    ),
    Form(
        "gtin",
        "#{14}",
        checks.gs1,
        Proof.NAMED,
        _GTIN,
        groups=((1, 2, 5, 5, 1), (1, 7, 6)),
        plausible=_has_different_digits,
    ),
    Form("gtin", "#{13}", checks.gs1, Proof.NAMED, _GTIN, groups=((1, 6, 6),), plausible=_has_different_digits),
    Form("gtin", "#{12}", checks.gs1, Proof.NAMED, _GTIN, groups=((1, 5, 5, 1),), plausible=_has_different_digits),
    Form("gtin", "#{8}", checks.gs1, Proof.NAMED, _GTIN, plausible=_has_different_digits),
    Form(
        "air_waybill",
        "#{11}",
        checks.air_waybill,
        Proof.NAMED,
        frozenset({Topic.AIR_WAYBILL}),
        page_groups=((3, 4, 4), (3, 8)),
        plausible=_has_airline_and_serial,
    ),
    Form("iso6346", "@{3}U#{7}", checks.iso_6346, Proof.UNDENIED, frozenset({Topic.CONTAINER})),
    # European loading units, with the fourth letters that UIRR registers: K for owners that also have one of ISO 6346.
    Form("ilu", "@{3}[ABDEK]#{7}", checks.intermodal, Proof.NAMED, frozenset({Topic.CONTAINER})),
    Form("iso6346", "@{3}[JZ]#{7}", checks.iso_6346, Proof.NAMED, frozenset({Topic.CONTAINER})),
    Form(
        "imei",
        "#{15}",
        checks.mod_10_luhn,
        Proof.NAMED,
        frozenset({Topic.IMEI}),
        page_groups=((15,),),
        plausible=_has_different_digits,
    ),
)
