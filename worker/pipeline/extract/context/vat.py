"""VAT numbers, by their country's shape and check digits.

Invariant: a value begins with its country's letters and has one of that country's shapes, whatever stands before it.
Without a caption a number counts only if its check passes and few numbers pass that country's check by chance. A number
that is printed without its country's letters needs a caption that only one country uses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from stdnum import get_cc_module
from stdnum.ch import uid
from stdnum.no import orgnr

from worker.domain.fields import Check
from worker.pipeline.extract.folding import fold, phrases, skeleton

_GREEK: Final = "\u0391\u03a6\u039c"
_NAMES: Final = (
    "vat", "vat no", "vat nr", "vat number", "vat id", "vat reg", "vat reg no", "vat registration number",
    "ust-idnr", "ust-id", "ust", "ust id nr", "ustidnr", "ust nr", "umsatzsteuer-id",
    "umsatzsteuer-identifikationsnummer", "uid", "uid nr", "atu nr", "mwst", "mwst nr", "tva", "no tva", "n tva",
    "tva intra", "tva intracom", "tva intracommunautaire", "numero de tva", "iva", "p.iva", "p. iva",
    "partita iva", "piva", "nif", "nipc", "cif", "nif iva", "btw", "btw nr", "btw id", "btw nummer", "nip", "moms",
    "momsnr", "moms nr", "momsreg nr", "momsreg", "cvr", "cvr nr", "se nr", "dic", "ic dph", "dph", "alv",
    "alv nr", "alv nro", "y-tunnus", "afm", "pvn", "pvm", "kmkr", "oib", "pdv", "ddv", "adoszam", "afa", "org nr",
    "mva", "mva nr", "cui", "tax id", "tax id no", "tax id nr", "tax no", "tax number", "tax reg no",
    "tax registration", "steuer", "steuernummer",
    "n.i.p", "v.a.t", "n.i.f", "c.i.f", _GREEK,
)  # fmt: skip
# Customs' number of a trader begins like its VAT number and is none.
_OTHER_NAMES: Final = ("eori", "eori no", "eori nr", "eori number", "ioss", "ioss no", "gln", "ein", "iban", "siret")
_WORD: Final = re.compile(rf"(?<![A-Z])(?:(?P<vat>{phrases(_NAMES)})|(?P<other>{phrases(_OTHER_NAMES)}))(?![A-Z])")
_CAPTION_AT_END: Final = re.compile(rf"(?<![A-Z])(?:{phrases(_NAMES)})(?:N[OR]|NUMMER|NUMBER)?$")
_DIGITS: Final = re.compile(r"[0-9]{2,}")
_SEPARATORS: Final = r"[\s.\-/]{0,2}"
# What follows a country's letters: 9 is a digit, A a letter, X either, another letter itself; longer shapes first.
_SHAPES: Final = {
    "AT": ("U99999999",),
    "BE": ("9999999999", "999999999"),
    "BG": ("9999999999", "999999999"),
    "CHE": ("999999999MWST", "999999999TVA", "999999999IVA", "999999999TPV", "999999999"),
    "CY": ("99999999A",),
    "CZ": ("9999999999", "999999999", "99999999"),
    "DE": ("999999999",),
    "DK": ("99999999",),
    "EE": ("999999999",),
    "EL": ("999999999",),
    "ES": ("X9999999X",),
    "FI": ("99999999",),
    "FR": ("XX999999999",),
    "GB": ("999999999999", "999999999"),
    "GR": ("999999999",),
    "HR": ("99999999999",),
    "HU": ("99999999",),
    "IE": ("9999999AA", "9999999A", "9X99999A"),
    "IT": ("99999999999",),
    "LT": ("999999999999", "999999999"),
    "LU": ("99999999",),
    "LV": ("99999999999",),
    "MT": ("99999999",),
    "NL": ("999999999B99",),
    "NO": ("999999999MVA", "999999999"),
    "PL": ("9999999999",),
    "PT": ("999999999",),
    "RO": ("9999999999", "999999999", "99999999", "9999999", "999999"),
    "SE": ("999999999999",),
    "SI": ("99999999",),
    "SK": ("9999999999",),
    "XI": ("999999999999", "999999999"),
}
_CLASSES: Final = {"9": "[0-9]", "A": "[A-Z]", "X": "[A-Z0-9+*]"}
_PACKAGES: Final = {"EL": "gr", "CHE": "ch", "XI": "gb"}
_PREFIXES: Final = {"GR": "EL"}  # as the Union spells them
# Of random numbers one in a hundred or less passes these; one in ten passes the others.
_STRICT_COUNTRIES: Final = frozenset({"BE", "FR", "NL", "GB", "LU", "NO", "CHE", "AT"})
# Captions that only one country uses, before a number without its letters.
_COUNTRY_CAPTIONS: Final = tuple(
    (country, re.compile(rf"(?<![A-Z])(?:{phrases(names)})(?![A-Z])"))
    for country, names in {
        "IT": ("p.iva", "partita iva", "piva", "p. iva", "part. iva"),
        "DE": ("ust-idnr", "ust-id", "ust id nr", "ustidnr"),
        "PL": ("nip", "n.i.p"),
        "ES": ("cif", "nif", "c.i.f", "n.i.f"),
        "PT": ("nipc", "contribuinte", "nif"),
        "HR": ("oib",),
        "DK": ("cvr", "cvr nr"),
        "EL": ("afm", _GREEK),
        "FI": ("y-tunnus", "alv", "alv nr"),
    }.items()
)
_ANY_COUNTRY_CAPTION: Final = re.compile("|".join(name.pattern for _, name in _COUNTRY_CAPTIONS))
_BRITISH: Final = re.compile(r"(?<![0-9A-Z])[0-9]{3} [0-9]{4} [0-9]{2}(?: [0-9]{3})?(?![0-9A-Z])")
_BRITISH_NAME: Final = re.compile(rf"(?<![A-Z])(?:{phrases(('vat',))})(?![A-Z])")
_NORWEGIAN: Final = re.compile(r"(?<![0-9A-Z])(?:[0-9]{3} ?){3}\s?MVA(?![A-Z])")
_START: Final = re.compile(rf"(?=(CHE|{'|'.join(sorted(set(_SHAPES) - {'CHE'}))})[\s.\-:/]{{0,2}}[A-Z0-9])")
_HEAD: Final = re.compile(r"(?<![A-Z])[A-Z]?[0-9]|(?<=[A-Z])[0-9]")
_NUMBERS_SIGN: Final = re.compile(r"[A-Z][\s.]*NO$")  # VAT NO. is no Norwegian
MIN_DIGITS: Final = 6
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
    """Whether the last caption in folded text is that of a VAT number."""
    return _last_named(caption) == "vat"


def names_trader(caption: str) -> bool:
    """Whether the last caption in folded text is that of a number that begins like a VAT number and is none."""
    return _last_named(caption) == "other"


def vat_numbers_in(text: str, *, caption: str = "") -> Iterator[FoundVat]:
    """Yield the VAT numbers of a text; `caption` is folded text beside it that names a VAT number, or another one."""
    folded = fold(text)
    stop = 0
    for match in _START.finditer(folded):
        if match.start() < stop or not _may_begin(folded, match.start()):
            continue
        named = _captioned_as(folded[stop : match.start()], caption)
        found = None if named == "other" else _with_letters(folded, match, named=named == "vat")
        if found is not None:
            stop = found.stop
            yield found
    if not stop:
        yield from _without_letters(folded, caption)


def _word_skeleton(folded: str) -> str:
    """Return the skeleton of folded text, with # for digits that stand together: those are no letters."""
    return skeleton(_DIGITS.sub(lambda digits: "#" * len(digits[0]), folded))


@lru_cache(maxsize=4096)
def _last_named(folded: str) -> str | None:
    last = None
    for match in _WORD.finditer(_word_skeleton(folded)):
        last = match.lastgroup
    return last


def _captioned_as(before: str, caption: str) -> str | None:
    return _last_named(before) or (_last_named(caption) if caption else None)


def _may_begin(folded: str, start: int) -> bool:
    """Whether a number may begin here: behind a sign, or without a gap behind a caption."""
    return (
        not start
        or not folded[start - 1].isalnum()
        or _CAPTION_AT_END.search(_word_skeleton(folded[:start])) is not None
    )


def _with_letters(folded: str, match: re.Match[str], *, named: bool) -> FoundVat | None:
    country = match[1]
    if not named and country not in _STRICT_COUNTRIES:
        return None
    first = match.start() + len(country)
    shaped = [found for shape in _SHAPES[country] if (found := _pattern(shape).match(folded, first))]
    if country == "NO" and (not named or _NUMBERS_SIGN.search(folded[:first])):
        shaped = [found for found in shaped if found["number"].endswith("MVA")]
    for found in shaped:
        value = _valid(country, found["number"])
        if value is not None:
            return FoundVat(match.start(), found.end(), value, Check.PASSED, _CAPTIONED if named else _ALONE)
    if not named or not shaped or country == "NO":
        return None
    compact = re.sub(r"[\s.\-/]", "", shaped[0]["number"])
    value = f"{_PREFIXES.get(country, country)}{compact}"
    return FoundVat(match.start(), shaped[0].end(), value, Check.FAILED, _CAPTIONED)


def _without_letters(folded: str, caption: str) -> Iterator[FoundVat]:
    """Yield a number that passes, behind a caption or in groups that only one country uses."""
    if norwegian := _NORWEGIAN.search(folded):
        yield from _of_country("NO", norwegian.start(), folded)
        return
    shape = _word_skeleton(folded)
    beside = _word_skeleton(caption)
    for country, name in (
        _COUNTRY_CAPTIONS if _ANY_COUNTRY_CAPTION.search(shape) or _ANY_COUNTRY_CAPTION.search(beside) else ()
    ):
        named = name.search(shape)
        start = named.end() if named else 0 if name.search(beside) else None
        if start is None or (first := _HEAD.search(folded, start)) is None:
            continue
        for found in _of_country(country, first.start(), folded):
            yield found
            return
    british = _BRITISH.search(folded)
    if british and _BRITISH_NAME.search(_word_skeleton(f"{folded[: british.start()]} {caption}")):
        yield from _of_country("GB", british.start(), folded)


def _of_country(country: str, start: int, folded: str) -> Iterator[FoundVat]:
    for shape in _SHAPES[country]:
        found = _pattern(shape).match(folded, start)
        value = _valid(country, found["number"]) if found else None
        if found and value is not None:
            yield FoundVat(start, found.end(), value, Check.PASSED, _CAPTIONED)
            return


@lru_cache(maxsize=128)
def _pattern(shape: str) -> re.Pattern[str]:
    positions = [_CLASSES.get(mark, mark) for mark in shape]
    return re.compile(rf"[\s.\-:/]{{0,2}}(?P<number>{_SEPARATORS.join(positions)})(?![0-9A-Z])")


def _valid(country: str, read: str) -> str | None:
    number = re.sub(r"[\s.\-/]", "", read)
    prefix = _PREFIXES.get(country, country)
    if country == "CHE" and len(number) == 9:  # noqa: PLR2004 - without the tax's name it is the firm's number
        return f"CHE{number}" if uid.is_valid(f"CHE{number}") else None
    if country == "NO" and number.isdigit():
        return f"NO{number}" if orgnr.is_valid(number) else None
    module = _module(country)
    if not module.is_valid(f"CHE{number}" if country == "CHE" else number):
        return None
    compact = str(module.compact(f"CHE{number}" if country == "CHE" else number))
    return compact if compact.startswith(prefix) else f"{prefix}{compact}"


@lru_cache(maxsize=64)
def _module(country: str) -> Any:  # noqa: ANN401 - stdnum ships no types
    # A country out of the list above, never any word of a label.
    return get_cc_module(_PACKAGES.get(country, country.lower()), "vat")
