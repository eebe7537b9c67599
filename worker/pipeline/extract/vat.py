"""VAT numbers, by their country's check digits.

Invariant: without a caption a number counts only if its check passes and its country's rule is hard to meet by chance.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from stdnum import get_cc_module

from worker.domain.fields import Check
from worker.pipeline.extract.folding import fold, phrases, skeleton

_NAMES: Final = (
    "vat", "vat no", "vat nr", "vat number", "vat id", "vat reg", "vat reg no", "ust-idnr", "ust-id", "ust id nr",
    "ustidnr", "uid", "mwst", "mwst nr", "tva", "no tva", "n tva", "tva intracom", "numero de tva", "iva", "p.iva",
    "p. iva", "partita iva", "piva", "nif", "cif", "nif iva", "btw", "btw nr", "btw nummer", "nip", "moms", "momsnr",
    "moms nr", "dic", "alv", "afm", "tax id", "tax no",
)  # fmt: skip
_CAPTION: Final = re.compile(rf"(?<![A-Z])(?:{phrases(_NAMES)})(?![A-Z])")
# Customs' number of a trader begins like its VAT number and is none.
_OTHER: Final = re.compile(rf"(?<![A-Z])(?:{phrases(('eori', 'eori no', 'ioss', 'gln', 'ein'))})(?![A-Z])")
_COUNTRIES: Final = (
    "AT BE BG CY CZ DE DK EE EL ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK GB XI CHE NO".split()  # noqa: SIM905
)
_PACKAGES: Final = {"EL": "gr", "CHE": "ch", "XI": "gb"}
# By chance these pass once in some hundred numbers or less; the others once in ten.
_HARD: Final = frozenset({"BE", "FR", "NL", "GB", "LU", "NO", "CHE", "AT"})
_NUMBER: Final = re.compile(
    rf"(?<![A-Z0-9])(?P<country>{'|'.join(sorted(_COUNTRIES, key=len, reverse=True))})[\s.\-]{{0,2}}"
    r"(?P<rest>[A-Z0-9](?:[\s.\-]?[0-9A-Z+*]){6,13})(?![A-Z0-9])"
)
_MOST_WORDS: Final = 5
_LEAST_DIGITS: Final = 7
_CAPTIONED: Final = 0.9
_ALONE: Final = 0.4


@dataclass(frozen=True, slots=True)
class FoundVat:
    """A VAT number, its country's letters first, and where in the text it stands."""

    start: int
    stop: int
    value: str
    check: Check
    evidence: float


def names_vat(caption: str) -> bool:
    """Say whether folded text names a VAT number."""
    shape = skeleton(caption)
    return _CAPTION.search(shape) is not None and _OTHER.search(shape) is None


def vat_numbers_in(text: str, *, captioned: bool = False) -> Iterator[FoundVat]:
    """Yield the VAT numbers of a text; `captioned` says that a caption beside the text names one."""
    folded = fold(text)
    if sum(map(str.isdigit, folded)) < _LEAST_DIGITS:
        return
    for match in _NUMBER.finditer(folded):
        before = folded[: match.start()]
        named = captioned or names_vat(before)
        if _OTHER.search(skeleton(before)):
            continue
        stop, value = _longest(match, named=named)
        if value is not None:
            yield FoundVat(match.start(), stop, value, Check.PASSED, _CAPTIONED if named else _ALONE)
        elif named:
            compact = re.sub(r"[\s.\-]", "", match[0])
            yield FoundVat(match.start(), match.end(), compact, Check.FAILED, _CAPTIONED)


def _longest(match: re.Match[str], *, named: bool) -> tuple[int, str | None]:
    """Return the end and value of the longest part that passes: words of the line may follow the number."""
    country = match["country"]
    if not named and country not in _HARD:
        return match.end(), None
    stop = match.end()
    for _ in range(_MOST_WORDS):
        value = _valid(country, match["rest"][: stop - match.start("rest")])
        if value is not None:
            return stop, value
        shorter = match.string.rfind(" ", match.start("rest"), stop)
        if shorter < 0:
            break
        stop = shorter
    return match.end(), None


def _valid(country: str, rest: str) -> str | None:
    module = _module(country)
    number = f"CHE{rest}" if country == "CHE" else rest
    if not module.is_valid(number):
        return None
    compact = str(module.compact(number))
    prefix = {"GR": "EL"}.get(country, country)
    return compact if compact.startswith(prefix) else f"{prefix}{compact}"


@lru_cache(maxsize=64)
def _module(country: str) -> Any:  # noqa: ANN401 - stdnum ships no types
    # A country out of the list above, never any word of a label.
    return get_cc_module(_PACKAGES.get(country, country.lower()), "vat")
