"""Countries as labels write them: how the address block goes, which cities and postcodes belong together.

Towns are real, because carriers sort by them; streets, firms and people are invented. Telephone numbers are of ranges
kept for fiction where a country has one.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Country:
    """Patterns are those of `Chance.filled`; a town is (name, postcode pattern, region or empty, airport code)."""

    code: str
    name: str
    towns: tuple[tuple[str, str, str, str], ...]
    streets: tuple[str, ...]
    street_form: str
    town_form: str
    phone: str
    legal_forms: tuple[str, ...]


_US: Final = Country(
    code="US",
    name="UNITED STATES",
    towns=(
        ("Portland", "972##", "OR", "PDX"),
        ("Columbus", "432##", "OH", "CMH"),
        ("Louisville", "402##", "KY", "SDF"),
        ("Reno", "895##", "NV", "RNO"),
        ("Atlanta", "303##", "GA", "ATL"),
        ("Allentown", "181##", "PA", "ABE"),
        ("San Antonio", "782##", "TX", "SAT"),
    ),
    streets=("Harrow Mill Rd", "Copperline Ave", "Old Ferry Pkwy", "Juniper Crossing", "Industrial Loop N"),
    street_form="{number} {street}",
    town_form="{town} {region} {postcode}",
    phone="+1 503 555 01##",
    legal_forms=("Inc", "LLC", "Corp"),
)
_DE: Final = Country(
    code="DE",
    name="GERMANY",
    towns=(
        ("Hamburg", "204##", "", "HAM"),
        ("Leipzig", "043##", "", "LEJ"),
        ("Dortmund", "441##", "", "DTM"),
        ("Kassel", "341##", "", "KSF"),
        ("München", "809##", "", "MUC"),
    ),
    streets=("Amselkamp", "Gerberweg", "Hafenring", "Schmiedegasse", "Zeppelinufer", "Lindenhof"),
    street_form="{street} {number}",
    town_form="{postcode} {town}",
    phone="+49 30 23125 ###",
    legal_forms=("GmbH", "AG", "KG"),
)
_GB: Final = Country(
    code="GB",
    name="UNITED KINGDOM",
    towns=(
        ("Leeds", "LS1% %@@", "", "LBA"),
        ("Bristol", "BS% %@@", "", "BRS"),
        ("Coventry", "CV% %@@", "", "CVT"),
        ("Glasgow", "G4% %@@", "", "GLA"),
    ),
    streets=("Tanner Lane", "Wharfside Road", "Beacon Hill", "Mill Race Close", "Foundry Street"),
    street_form="{number} {street}",
    town_form="{town} {postcode}",
    phone="+44 20 7946 0###",
    legal_forms=("Ltd", "PLC", "LLP"),
)
_NL: Final = Country(
    code="NL",
    name="NETHERLANDS",
    towns=(
        ("Rotterdam", "30%# @@", "", "RTM"),
        ("Venlo", "59%# @@", "", "VEN"),
        ("Eindhoven", "56%# @@", "", "EIN"),
    ),
    streets=("Kade", "Molenpad", "Wilgenlaan", "Havenstraat", "Touwslagerij"),
    street_form="{street} {number}",
    town_form="{postcode} {town}",
    phone="+31 85 888 %###",
    legal_forms=("BV", "NV"),
)
_FR: Final = Country(
    code="FR",
    name="FRANCE",
    towns=(
        ("Lyon", "6900%", "", "LYS"),
        ("Lille", "59%00", "", "LIL"),
        ("Toulouse", "31%00", "", "TLS"),
        ("Orléans", "450%0", "", "ORE"),
    ),
    streets=("Rue du Four", "Quai Marchand", "Avenue des Platanes", "Impasse Verte", "Rue de la Forge"),
    street_form="{number} {street}",
    town_form="{postcode} {town}",
    phone="+33 1 99 00 ## ##",
    legal_forms=("SARL", "SAS"),
)
_SG: Final = Country(
    code="SG",
    name="SINGAPORE",
    towns=(("Singapore", "60%###", "", "SIN"),),
    streets=("Pandan Link", "Tuas Bay Walk", "Jalan Ampas", "Benoi Crescent"),
    street_form="{number} {street}",
    town_form="{town} {postcode}",
    phone="+65 6%## ####",
    legal_forms=("Pte Ltd",),
)

COUNTRIES: Final = (_US, _DE, _GB, _NL, _FR, _SG)

FIRM_STEMS: Final = (
    "Brindlecot",
    "Corvane",
    "Halvikson",
    "Ostermarr",
    "Tessalyn",
    "Quornholt",
    "Ferrowick",
    "Lumetra",
    "Vandermoss",
    "Pellworth",
    "Ardennic",
    "Solvane",
)
FIRM_TRADES: Final = (
    "Optics",
    "Textiles",
    "Machine Parts",
    "Coffee Roasters",
    "Medical Supply",
    "Instruments",
    "Bearings",
    "Home Goods",
    "Cycle Works",
    "Lighting",
    "Foods",
)
FIRST_NAMES: Final = ("Maren", "Tobias", "Ines", "Callum", "Priya", "Jonas", "Odile", "Wes", "Hanneke", "Farah")
LAST_NAMES: Final = ("Albrook", "Vestergard", "Okafor", "Lindqvist", "Marchetti", "Tanaka", "Duarte", "Hollis")
GOODS: Final = (
    "SPARE PARTS",
    "PRINTED MATTER",
    "COTTON SHIRTS",
    "LED MODULES",
    "GROUND COFFEE",
    "BALL BEARINGS",
    "LAB GLASSWARE",
    "BICYCLE CHAINS",
    "PUMP HOUSINGS",
    "CERAMIC TILES",
)
CARRIERS: Final = ("TARNWICK", "QUILLMARK", "VELMARA", "OSTRELLE", "NORDFALK", "HAVENROW")


@dataclass(frozen=True, slots=True)
class AddressBook:
    """Whom and what labels speak of."""

    countries: tuple[Country, ...]
    firm_stems: tuple[str, ...]
    firm_trades: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    goods: tuple[str, ...]
    carriers: tuple[str, ...]


DIRECTORY: Final = AddressBook(COUNTRIES, FIRM_STEMS, FIRM_TRADES, FIRST_NAMES, LAST_NAMES, GOODS, CARRIERS)
