"""The countries, firms and people that only held-out labels speak of."""

from typing import Final

from worker.lab.synth.countries import AddressBook, Country

_IT: Final = Country(
    code="IT",
    name="ITALIA",
    towns=(
        ("MILANO", "201##", "MI", "MXP"),
        ("TORINO", "101##", "TO", "TRN"),
        ("BOLOGNA", "401##", "BO", "BLQ"),
        ("VERONA", "371##", "VR", "VRN"),
    ),
    streets=("Via dei Tigli", "Via Cavour", "Corso Lungo", "Viale Po", "Via delle Officine"),
    street_form="{street}, {number}",
    town_form="{postcode} {town} ({region})",
    phone="+39 06 5550 ####",
    legal_forms=("S.r.l.", "S.p.A."),
)
_ES: Final = Country(
    code="ES",
    name="ESPAÑA",
    towns=(("Madrid", "280##", "", "MAD"), ("Zaragoza", "500##", "", "ZAZ"), ("Valencia", "460##", "", "VLC")),
    streets=("Calle Mayor", "Avda. del Puerto", "Calle del Olivo", "Ronda Norte"),
    street_form="{street} {number}",
    town_form="{postcode} {town}",
    phone="+34 91 555 0# ##",
    legal_forms=("S.L.", "S.A."),
)
_PL: Final = Country(
    code="PL",
    name="POLAND",
    towns=(("Warszawa", "00-%##", "", "WAW"), ("Wroclaw", "50-%##", "", "WRO"), ("Poznan", "60-%##", "", "POZ")),
    streets=("ul. Polna", "ul. Lipowa", "ul. Mostowa", "al. Kolejowa"),
    street_form="{street} {number}",
    town_form="{postcode} {town}",
    phone="+48 22 555 ## ##",
    legal_forms=("Sp. z o.o.", "S.A."),
)
_AT: Final = Country(
    code="AT",
    name="AUSTRIA",
    towns=(("Wien", "1%#0", "", "VIE"), ("Linz", "402%", "", "LNZ"), ("Graz", "80%0", "", "GRZ")),
    streets=("Rennweg", "Mühlgasse", "Am Kanal", "Steinbruchstraße"),
    street_form="{street} {number}",
    town_form="{postcode} {town}",
    phone="+43 1 5550 ####",
    legal_forms=("GmbH", "KG"),
)
_SE: Final = Country(
    code="SE",
    name="SWEDEN",
    towns=(("Stockholm", "11% ##", "", "ARN"), ("Malmö", "21% ##", "", "MMX"), ("Borås", "50% ##", "", "GOT")),
    streets=("Storgatan", "Hamnvägen", "Kvarnvägen", "Norra Bruksgatan"),
    street_form="{street} {number}",
    town_form="{postcode} {town}",
    phone="+46 8 465 004 ##",
    legal_forms=("AB",),
)
_PT: Final = Country(
    code="PT",
    name="PORTUGAL",
    towns=(("Lisboa", "1%00-%##", "", "LIS"), ("Porto", "4%00-%##", "", "OPO")),
    streets=("Rua do Moinho", "Rua da Prata", "Avenida do Mar"),
    street_form="{street}, {number}",
    town_form="{postcode} {town}",
    phone="+351 21 555 0###",
    legal_forms=("Lda.", "S.A."),
)
_CA: Final = Country(
    code="CA",
    name="CANADA",
    towns=(
        ("Toronto", "M5V %@%", "ON", "YYZ"),
        ("Calgary", "T2P %@%", "AB", "YYC"),
        ("Halifax", "B3J %@%", "NS", "YHZ"),
    ),
    streets=("Spruce Ave", "Old Quarry Rd", "Lakeshore Blvd W", "Bayfield St"),
    street_form="{number} {street}",
    town_form="{town} {region} {postcode}",
    phone="+1 416 555 01##",
    legal_forms=("Inc.", "Ltd."),
)
_US: Final = Country(
    code="US",
    name="USA",
    towns=(
        ("BOISE", "837##", "ID", "BOI"),
        ("TULSA", "741##", "OK", "TUL"),
        ("DAYTON", "454##", "OH", "DAY"),
        ("FRESNO", "937##", "CA", "FAT"),
        ("OMAHA", "681##", "NE", "OMA"),
    ),
    streets=("Cedar Ridge Dr", "W Alder St", "Foundry Way", "Prairie View Ct", "N 14th Ave"),
    street_form="{number} {street}",
    town_form="{town}, {region} {postcode}",
    phone="+1 208 555 01##",
    legal_forms=("Co.", "LLC", "Inc."),
)

_FIRM_STEMS: Final = (
    "Aldermoor",
    "Bexhollow",
    "Castellume",
    "Drovenhaus",
    "Eskilora",
    "Fjordhavn",
    "Granitello",
    "Hollowmere",
    "Mirabento",
    "Nordvika",
)
_FIRM_TRADES: Final = (
    "Ceramics",
    "Electronics",
    "Tools",
    "Packaging",
    "Hydraulics",
    "Pharma",
    "Stationery",
    "Outdoor",
    "Kitchens",
)
_FIRST_NAMES: Final = ("Giulia", "Marek", "Sofia", "Elin", "Rui", "Hannah", "Diego", "Anouk", "Stefan", "Keira")
_LAST_NAMES: Final = ("Bianchi", "Kowalski", "Ferrer", "Lundgren", "Moreira", "Huber", "Tremblay", "Whitlock", "Novak")
_GOODS: Final = (
    "Ceramic cups",
    "Hand tools",
    "Printed books",
    "Cotton towels",
    "USB cables",
    "Steel valves",
    "Wool blankets",
    "Paper filters",
    "Desk lamps",
)
_CARRIERS: Final = ("ALTAVIA", "BRISEMER", "KESTREL", "LUNDQUAY", "MONTREVO", "PASSARO")


def _directory(*countries: Country) -> AddressBook:
    return AddressBook(countries, _FIRM_STEMS, _FIRM_TRADES, _FIRST_NAMES, _LAST_NAMES, _GOODS, _CARRIERS)


WORLD: Final = _directory(_IT, _ES, _PL, _AT, _SE, _PT, _CA, _US)
EUROPE: Final = _directory(_IT, _ES, _PL, _AT, _SE, _PT)
AMERICA: Final = _directory(_US)
