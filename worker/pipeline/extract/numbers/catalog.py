"""The numbers that are looked for: those of standards here, those of carriers out of `carriers.toml`.

A bare check digit lets one random number in ten through, so what a form needs besides (`Proof`) follows from how rare
its shape is on labels that do not mean it.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from worker.pipeline.extract.numbers import checks
from worker.pipeline.extract.numbers.captions import CarrierNames, Topic
from worker.pipeline.extract.numbers.carriers import SHIPPED_FILE, CarrierNumbers, declared_carriers
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


# Service indicators that UPU S10 gives a meaning, and what posts use at home beside them.
_SERVICES: Final = re.compile(r"[ABCDEHLMNPRSTUVZ][A-Z]|G[AD]|Q[A-M]")
_WORDS: Final = frozenset({"NO", "NR", "PO", "CO", "SN", "TO", "ZU", "AN", "LE", "LA", "EL", "DE", "BY", "AT", "BL"})


def _posted(number: str) -> bool:
    return number[-2:] in _COUNTRIES and _SERVICES.match(number) is not None


def _posted_at_home(number: str) -> bool:
    return number[-2:] in _COUNTRIES and _SERVICES.match(number) is None


def _flown(number: str) -> bool:
    """Airlines' prefixes begin at 001; a serial number of zeros is none."""
    return number[:3] != "000" and number[3:10] != "0000000"


def _not_empty(number: str) -> bool:
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
        plausible=_posted,
        words=_WORDS,
        heeds_captions=True,
    ),
    Form("s10", "@{2}#{9}@{2}", checks.s10, Proof.NAMED, frozenset({Topic.TRACKING}), plausible=_posted_at_home),
    Form(
        "sscc",
        "#{18}",
        checks.gs1,
        Proof.NAMED,
        _SSCC,
        groups=((1, 7, 9, 1), (1, 7, 10)),
        page_groups=((18,),),
        plausible=_not_empty,
    ),
    Form("sscc", "00#{18}", checks.gs1, Proof.SHAPE, _SSCC, plausible=_not_empty, strip=2, heeds_captions=True),
    Form("gtin", "#{14}", checks.gs1, Proof.NAMED, _GTIN, groups=((1, 2, 5, 5, 1), (1, 7, 6)), plausible=_not_empty),
    Form("gtin", "#{13}", checks.gs1, Proof.NAMED, _GTIN, groups=((1, 6, 6),), plausible=_not_empty),
    Form("gtin", "#{12}", checks.gs1, Proof.NAMED, _GTIN, groups=((1, 5, 5, 1),), plausible=_not_empty),
    Form("gtin", "#{8}", checks.gs1, Proof.NAMED, _GTIN, plausible=_not_empty),
    Form(
        "air_waybill",
        "#{11}",
        checks.air_waybill,
        Proof.NAMED,
        frozenset({Topic.AIR_WAYBILL}),
        page_groups=((3, 4, 4), (3, 8)),
        plausible=_flown,
    ),
    Form("iso6346", "@{3}U#{7}", checks.iso_6346, Proof.UNDENIED, frozenset({Topic.CONTAINER})),
    # European loading units, with the fourth letters that UIRR registers: K for owners that have one of ISO 6346, too.
    Form("ilu", "@{3}[ABDEK]#{7}", checks.intermodal, Proof.NAMED, frozenset({Topic.CONTAINER})),
    Form("iso6346", "@{3}[JZ]#{7}", checks.iso_6346, Proof.NAMED, frozenset({Topic.CONTAINER})),
    Form(
        "imei",
        "#{15}",
        checks.mod_10_luhn,
        Proof.NAMED,
        frozenset({Topic.IMEI}),
        page_groups=((15,),),
        plausible=_not_empty,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """The kinds of numbers that are looked for. Make it by `of`, once.

    `numbers` are those of carriers, `types` the types of fields, `lengths_by_type` how long a number of each may be.
    """

    numbers: CarrierNumbers
    carriers: CarrierNames
    forms: Sequence[Form]
    by_length: Mapping[int, Sequence[Form]]
    lengths_by_type: Mapping[str, frozenset[int]]
    types: frozenset[str]

    @classmethod
    def of(cls, numbers: CarrierNumbers) -> "Kinds":
        """Return the kinds of the standards and these of carriers."""
        forms = (*STANDARD_FORMS, *chain.from_iterable(numbers.forms.values()))
        by_length: dict[int, list[Form]] = defaultdict(list)
        lengths: dict[str, set[int]] = defaultdict(set)
        for form in forms:
            by_length[len(form.places)].append(form)
            lengths[form.type].add(len(form.places))
        return cls(
            numbers,
            CarrierNames.of(numbers.names),
            forms,
            dict(by_length),
            {name: frozenset(known) for name, known in lengths.items()},
            frozenset({form.type for form in STANDARD_FORMS} | set(numbers.forms)),
        )


def _shipped() -> CarrierNumbers:
    tables = tomllib.loads(SHIPPED_FILE.read_text(encoding="utf-8"))
    return declared_carriers(SHIPPED_FILE, tables, {})


KINDS: Final = Kinds.of(_shipped())
FORMS: Final = tuple(KINDS.forms)
FORMS_BY_LENGTH: Final = KINDS.by_length
GTIN_DIGITS: Final = 14  # a shorter GTIN is one of these with zeros before it
NUMBER_TYPES: Final = KINDS.types
