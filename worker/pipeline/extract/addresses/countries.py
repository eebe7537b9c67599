"""Countries by the names that labels give them, the states of the USA, and who writes decimal points or commas."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from worker.pipeline.extract.folding import fold, skeleton

# ISO 3166-1 code: names in the languages of those who write them, without accents.
_NAMES: Final = {
    "AE": "UNITED ARAB EMIRATES, UAE",
    "AR": "ARGENTINA",
    "AT": "AUSTRIA, OSTERREICH, OESTERREICH, AUTRICHE",
    "AU": "AUSTRALIA",
    "BE": "BELGIUM, BELGIE, BELGIQUE, BELGIEN, BELGICA, BELGIO",
    "BG": "BULGARIA, BULGARIEN",
    "BR": "BRAZIL, BRASIL, BRASILIEN, BRESIL",
    "CA": "CANADA, KANADA",
    "CH": "SWITZERLAND, SCHWEIZ, SUISSE, SVIZZERA, SUIZA, ZWITSERLAND",
    "CL": "CHILE",
    "CN": "CHINA, PR CHINA, P.R. CHINA, P.R.C., PRC, CHINE, PEOPLES REPUBLIC OF CHINA, CHINA MAINLAND",
    "CO": "COLOMBIA",
    "CY": "CYPRUS",
    "CZ": "CZECH REPUBLIC, CZECHIA, CESKA REPUBLIKA, CESKO, TSCHECHIEN, TSCHECHISCHE REPUBLIK",
    "DE": "GERMANY, DEUTSCHLAND, ALLEMAGNE, ALEMANIA, GERMANIA, DUITSLAND, NIEMCY, TYSKLAND",
    "DK": "DENMARK, DANMARK, DANEMARK, DAENEMARK",
    "EE": "ESTONIA, EESTI, ESTLAND",
    "EG": "EGYPT",
    "ES": "SPAIN, ESPANA, SPANIEN, ESPAGNE, SPAGNA, SPANJE, HISZPANIA",
    "FI": "FINLAND, SUOMI, FINNLAND",
    "FR": "FRANCE, FRANKREICH, FRANCIA, FRANKRIJK, FRANCJA, FRANKRIKE",
    "GB": "UNITED KINGDOM, UK, U.K., GREAT BRITAIN, ENGLAND, SCOTLAND, WALES, NORTHERN IRELAND, ROYAUME UNI, "
    "GROSSBRITANNIEN, VEREINIGTES KONIGREICH, REINO UNIDO, REGNO UNITO, VERENIGD KONINKRIJK, GBR",
    "GR": "GREECE, HELLAS, GRIECHENLAND",
    "HK": "HONG KONG, HONGKONG, HONG KONG SAR",
    "HR": "CROATIA, HRVATSKA, KROATIEN",
    "HU": "HUNGARY, MAGYARORSZAG, UNGARN",
    "ID": "INDONESIA",
    "IE": "IRELAND, EIRE, IRLAND, REPUBLIC OF IRELAND, IRLANDE",
    "IL": "ISRAEL",
    "IN": "INDIA, INDIEN",
    "IS": "ICELAND",
    "IT": "ITALY, ITALIA, ITALIEN, ITALIE, WLOCHY",
    "JP": "JAPAN, NIPPON, JAPON",
    "KR": "SOUTH KOREA, REPUBLIC OF KOREA, KOREA, KOREA REPUBLIC OF",
    "LT": "LITHUANIA, LIETUVA, LITAUEN",
    "LU": "LUXEMBOURG, LUXEMBURG",
    "LV": "LATVIA, LATVIJA, LETTLAND",
    "MA": "MOROCCO, MAROC",
    "MX": "MEXICO, MEXIKO, MEXIQUE",
    "MY": "MALAYSIA",
    "NL": "NETHERLANDS, THE NETHERLANDS, NEDERLAND, HOLLAND, NIEDERLANDE, PAYS BAS, PAISES BAJOS",
    "NO": "NORWAY, NORGE, NORWEGEN",
    "NZ": "NEW ZEALAND",
    "PH": "PHILIPPINES",
    "PL": "POLAND, POLSKA, POLEN, POLOGNE",
    "PT": "PORTUGAL",
    "RO": "ROMANIA, RUMANIEN",
    "RS": "SERBIA, SRBIJA",
    "RU": "RUSSIA, RUSSIAN FEDERATION",
    "SA": "SAUDI ARABIA",
    "SE": "SWEDEN, SVERIGE, SCHWEDEN, SUEDE, SZWECJA",
    "SG": "SINGAPORE, SINGAPUR",
    "SI": "SLOVENIA, SLOVENIJA, SLOWENIEN",
    "SK": "SLOVAKIA, SLOVENSKO, SLOWAKEI, SLOVAK REPUBLIC",
    "TH": "THAILAND",
    "TR": "TURKEY, TURKIYE, TURKEI",
    "TW": "TAIWAN, TAIWAN ROC",
    "UA": "UKRAINE",
    "US": "UNITED STATES, UNITED STATES OF AMERICA, USA, U.S.A., US, U.S., ETATS UNIS, VEREINIGTE STAATEN, "
    "ESTADOS UNIDOS, STATI UNITI, VERENIGDE STATEN",
    "VN": "VIETNAM, VIET NAM",
    "ZA": "SOUTH AFRICA, SUDAFRIKA",
}  # fmt: skip
_SIGNS: Final = re.compile(r"[\W_]+")
_NUMBER: Final = re.compile(r"[0-9]{2}")
_MIN_LOOSE: Final = 7
_WORDS: Final = re.compile(r"[^\s,;()/]+")
_MAX_WORDS: Final = 4
_TWICE: Final = re.compile(r"(?:(?P<before>[A-Z]{2})\W+)?(?P<name>[A-Z][A-Z .]+?)(?:\W+(?P<behind>[A-Z]{2})\)?)?")


def _key(folded: str) -> str:
    return _SIGNS.sub("", skeleton(folded))


_BY_NAME: Final = {_key(fold(name)): code for code, names in _NAMES.items() for name in names.split(",")}


def _shortened(key: str) -> Iterator[str]:
    """Yield the word with each of its letters left out: two words that differ in one letter share one of these."""
    return (key[:i] + key[i + 1 :] for i in range(len(key)))


# Of long names only: short words are too often something else.
_LONG: Final = {name: code for name, code in _BY_NAME.items() if len(name) >= _MIN_LOOSE}
_LOOSE: Final = _LONG | {short: code for name, code in _LONG.items() for short in _shortened(name)}

_LONGEST: Final = max(map(len, _LONG))

POINT_COUNTRIES: Final = frozenset(
    {"AE", "AU", "CN", "GB", "HK", "IE", "IL", "IN", "JP", "KR", "MX", "MY", "NZ", "PH", "SG", "TH", "TW", "US"}
)
"""Countries that write decimal points, and commas between thousands."""

COMMA_COUNTRIES: Final = frozenset(
    {
        "AR", "AT", "BE", "BG", "BR", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IS", "IT", "LT",
        "LU", "LV", "NL", "NO", "PL", "PT", "RO", "RS", "RU", "SE", "SI", "SK", "TR", "UA",
    }
)  # fmt: skip
"""Countries that write decimal commas. Switzerland, Canada and South Africa write both."""

US_STATES: Final = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA "
    "RI SC SD TN TX UT VT VA WA WV WI WY DC PR GU VI AE AP AA"
)


@lru_cache(maxsize=1024)
def country_named(folded: str) -> str | None:
    """Return the code of the country if folded text names one and nothing else, with one wrong letter at most."""
    if _NUMBER.search(folded):
        return None
    key = _key(folded)
    code = _BY_NAME.get(key) or _named_twice(folded)
    if code is not None or not _MIN_LOOSE - 1 <= len(key) <= _LONGEST + 1:
        return code
    return _LOOSE.get(key) or next((_LOOSE[short] for short in _shortened(key) if short in _LOOSE), None)


def _named_twice(folded: str) -> str | None:
    """Return the country of texts such as `UNITED STATES US` and `FR - FRANCE`."""
    match = _TWICE.fullmatch(folded.strip())
    if match is None:
        return None
    code = match["before"] or match["behind"]
    return code if code and _BY_NAME.get(_key(match["name"])) == code else None


def country_coded(folded: str) -> str | None:
    """Return the country if folded text is its two letters and nothing else."""
    code = folded.strip(" .-()")
    return code if code in _NAMES else None


def country_at_end(folded: str) -> tuple[str, int] | None:
    """Return the code of the country that folded text ends with and where its name begins."""
    words = list(_WORDS.finditer(folded))
    for word in words[-_MAX_WORDS:]:
        code = _BY_NAME.get(_key(folded[word.start() :]))
        if code is not None:
            return code, word.start()
    # Two letters may be a state as well: they are a country behind a postcode alone.
    if len(words) > 1 and words[-1][0] in _NAMES and words[-2][0][-1].isdigit():
        return words[-1][0], words[-1].start()
    return None
