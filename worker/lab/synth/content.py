"""What a label says: seeded, fictional parties and consignments whose numbers carry right check digits."""

from dataclasses import dataclass
from datetime import date, timedelta

from worker.lab.synth import check_digits
from worker.lab.synth.chance import Chance
from worker.lab.synth.countries import DIRECTORY, AddressBook

_FIRST_DAY = date(2025, 1, 6)
_DAYS = 500
_POUNDS_PER_KILOGRAM = 2.20462


@dataclass(frozen=True, slots=True)
class Party:
    """Who sends or receives. `lines` is the address block from the firm's name to the country, as printed."""

    name: str
    contact: str
    lines: tuple[str, ...]
    town: str
    postcode: str
    region: str
    airport: str
    country: str
    phone: str


@dataclass(frozen=True, slots=True)
class Consignment:
    """One shipment. The numbers are in normal form, without spaces."""

    carrier: str
    sender: Party
    receiver: Party
    day: date
    weight_kg: float
    pieces: int
    piece: int
    sides_cm: tuple[int, int, int]
    goods: str
    reference: str
    order: str
    route: str
    ups_1z: str
    impb: str
    s10: str
    sscc: str
    gtin: str
    air_waybill: str
    container: str


def consignment(chance: Chance, directory: AddressBook = DIRECTORY) -> Consignment:
    """Invent a consignment between two parties of a directory, at different places."""
    pieces = chance.pick((1, 1, 1, 2, 3, 4, 6, 12))
    sender, receiver = _party(chance, directory), _party(chance, directory)
    while receiver.airport == sender.airport:
        receiver = _party(chance, directory)
    return Consignment(
        carrier=chance.pick(directory.carriers),
        sender=sender,
        receiver=receiver,
        day=_FIRST_DAY + timedelta(days=chance.whole(0, _DAYS)),
        weight_kg=round(chance.between(0.4, 31.0), 1),
        pieces=pieces,
        piece=chance.whole(1, pieces),
        sides_cm=(chance.whole(20, 80), chance.whole(15, 60), chance.whole(8, 50)),
        goods=chance.pick(directory.goods),
        reference=chance.filled(chance.pick(("REF-######", "@@%####", "SO-%#####", "%####-##"))),
        order=chance.filled("45########"),
        route=chance.filled(f"{receiver.airport} %-##@"),
        ups_1z=_ups_1z(chance),
        impb=_checked(chance.filled("92612################"), check_digits.gs1),
        s10=_s10(chance, sender.country),
        sscc=_checked(chance.filled("%4012345#########"), check_digits.gs1),
        gtin=_checked(chance.filled("%4012345#####"), check_digits.gs1),
        air_waybill=chance.pick(("899", "978", "966")) + _checked(chance.digits(7), check_digits.air_waybill),
        container=_container(chance),
    )


def pounds(weight_kg: float) -> float:
    """Return the weight in pounds to one decimal."""
    return round(weight_kg * _POUNDS_PER_KILOGRAM, 1)


def grouped(number: str, *sizes: int) -> str:
    """Return the number in groups of the sizes; what is left makes the last group."""
    groups, start = [], 0
    for size in sizes:
        groups.append(number[start : start + size])
        start += size
    return " ".join(group for group in (*groups, number[start:]) if group)


def _party(chance: Chance, directory: AddressBook) -> Party:
    country = chance.pick(directory.countries)
    town, pattern, region, airport = chance.pick(country.towns)
    postcode = chance.filled(pattern)
    contact = f"{chance.pick(directory.first_names)} {chance.pick(directory.last_names)}"
    trade = chance.pick(directory.firm_stems), chance.pick(directory.firm_trades)
    firm = f"{trade[0]} {trade[1]} {chance.pick(country.legal_forms)}"
    street = country.street_form.format(number=chance.whole(1, 480), street=chance.pick(country.streets))
    annex = (
        (chance.filled(chance.pick(("Dock %", "Unit %@", "Building %#", "Suite %#0"))),) if chance.likely(0.4) else ()
    )
    town_line = country.town_form.format(town=town, region=region, postcode=postcode)
    return Party(
        name=firm,
        contact=contact,
        lines=(firm, street, *annex, town_line, country.name),
        town=town,
        postcode=postcode,
        region=region,
        airport=airport,
        country=country.code,
        phone=chance.filled(country.phone),
    )


def _checked(payload: str, digit: check_digits.CheckDigit) -> str:
    return f"{payload}{digit(payload)}"


def _ups_1z(chance: Chance) -> str:
    return "1Z" + _checked(
        chance.filled("@##@##") + chance.pick(("01", "03", "66")) + chance.digits(7), check_digits.ups_1z
    )


def _s10(chance: Chance, country: str) -> str:
    service = chance.pick(("RR", "CP", "EE", "LX", "UA"))
    return service + _checked(chance.digits(8), check_digits.s10) + country


def _container(chance: Chance) -> str:
    # Codes that no owner holds in practice: the last letter names the equipment, U for freight containers.
    return _checked(chance.pick(("QLMU", "TWKU", "VZRU")) + chance.digits(6), check_digits.iso6346)
