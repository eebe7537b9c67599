"""A parcel label of 4 by 6 inches: sender, receiver, routing, service, tracking number, references."""

from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment, Party, grouped
from worker.lab.synth.draw import WHITE, Align, Sheet
from worker.lab.synth.theme import Theme, address, note_addresses, note_parties, note_phone, note_shipping
from worker.lab.synth.truth import FieldType

WIDTH: Final = 812
HEIGHT: Final = 1218
_LEFT: Final = 26
_RIGHT: Final = WIDTH - 26
_SERVICES: Final = ("GROUND", "EXPRESS SAVER", "2ND DAY", "NEXT DAY NOON", "ECONOMY", "STANDARD", "PRIORITY")


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    _sender(sheet, consignment, theme)
    _receiver(sheet, consignment, theme, chance)
    _routing(sheet, consignment, theme, chance)
    service = chance.pick(_SERVICES)
    _service(sheet, service, theme)
    if consignment.receiver.country == "US" and chance.likely(0.5):
        _postal_tracking(sheet, consignment, theme)
    else:
        _tracking(sheet, consignment, theme)
    _references(sheet, consignment, theme, chance)
    note_parties(sheet, consignment)
    note_addresses(sheet, *(_lines(theme, party) for party in (consignment.sender, consignment.receiver)))
    note_shipping(sheet, theme, consignment.day, consignment.weight_kg)


def _lines(theme: Theme, party: Party) -> tuple[str, ...]:
    return (theme.case(party.contact), *address(theme, party))


def _sender(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    sender = consignment.sender
    contact, *lines = _lines(theme, sender)
    sheet.block(_LEFT, 46, (contact, sender.phone, *lines), theme.plain(27), max_width=400)
    note_phone(sheet, sender)
    sheet.text(470, 58, theme.weight(consignment.weight_kg), theme.bold(40))
    sheet.text(_RIGHT, 58, f"{consignment.piece} OF {consignment.pieces}", theme.bold(40), align=Align.RIGHT)
    sides = ",".join(str(side) for side in consignment.sides_cm)
    sheet.text(470, 112, f"DIM: {sides} CM", theme.plain(27), max_width=300)
    sheet.text(470, 146, f"DATE: {theme.day(consignment.day)}", theme.plain(27), max_width=300)


def _receiver(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    receiver = consignment.receiver
    sheet.text(_LEFT, 318, chance.pick(("SHIP TO:", "TO:", "DELIVER TO:")), theme.bold(30))
    lines = _lines(theme, receiver)
    end = sheet.block(74, 362, lines[:-2], theme.plain(38), max_width=700)
    sheet.block(74, end + 8, lines[-2:], theme.bold(44), max_width=700)


def _routing(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    receiver = consignment.receiver
    sheet.rule(626, 0, WIDTH, 4)
    sheet.post(236, 626, 826, 4)
    message = f"{consignment.ups_1z} {receiver.postcode} {receiver.country} {consignment.piece}/{consignment.pieces}"
    matrix = chance.pick((LabelSymbology.MAXICODE, LabelSymbology.QR_CODE, LabelSymbology.DATA_MATRIX))
    sheet.symbol(14, 632, 230, 824, Symbol(matrix, message))
    sheet.text(264, 702, consignment.route, theme.bold(70), max_width=500)
    postcode = receiver.postcode.replace(" ", "")
    symbol = Symbol(LabelSymbology.CODE_128, f"(420){postcode}", gs1=True)
    if receiver.country != "US":
        symbol = Symbol(LabelSymbology.CODE_128, f"(421){_numeric(receiver.country)}{postcode}", gs1=True)
    sheet.symbol(250, 722, 700, 812, symbol)
    sheet.rule(826, 0, WIDTH, 12)


def _numeric(country: str) -> str:
    # ISO 3166-1 numeric codes, as application identifier 421 wants them before the postcode.
    return {"DE": "276", "GB": "826", "NL": "528", "FR": "250", "SG": "702"}[country]


def _service(sheet: Sheet, service: str, theme: Theme) -> None:
    sheet.text(_LEFT, 890, service, theme.bold(54), max_width=600)
    sheet.fill(WIDTH - 112, 838, WIDTH, 934)
    sheet.text(WIDTH - 56, 913, service[0], theme.bold(76, WHITE), align=Align.MIDDLE)


def _tracking(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    number = consignment.ups_1z
    sheet.text(_LEFT, 926, f"TRACKING #: {grouped(number, 2, 3, 3, 2, 4)}", theme.plain(31), max_width=650)
    sheet.rule(938, 0, WIDTH, 4)
    sheet.symbol(0, 952, WIDTH, 1076, Symbol(LabelSymbology.CODE_128, number))
    sheet.rule(1090, 0, WIDTH, 12)
    sheet.note(FieldType.UPS_1Z, number)


def _postal_tracking(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    number, postcode = consignment.impb, consignment.receiver.postcode
    sheet.text(_LEFT, 926, f"{consignment.carrier} TRACKING #", theme.bold(28), max_width=650)
    sheet.rule(938, 0, WIDTH, 4)
    content = f"(420){postcode}({number[:2]}){number[2:]}"
    sheet.symbol(0, 948, WIDTH, 1044, Symbol(LabelSymbology.CODE_128, content, gs1=True))
    sheet.text(WIDTH / 2, 1080, grouped(number, 4, 4, 4, 4, 4), theme.bold(32), align=Align.MIDDLE, max_width=700)
    sheet.rule(1092, 0, WIDTH, 12)
    sheet.note(FieldType.USPS_IMPB, number)


def _references(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    texts = (f"BILLING: {chance.pick(('P/P', 'F/C', '3RD PARTY'))}", f"REF 1: {consignment.reference}")
    sheet.block(_LEFT, 1138, (*texts, f"DESC: {consignment.goods}"), theme.plain(26), max_width=440)
    sheet.text(_RIGHT, 1144, consignment.carrier, theme.bold(36), align=Align.RIGHT, max_width=300)
    version = f"{chance.letters(2)} {chance.whole(18, 26)}.{chance.whole(0, 9)}.{chance.whole(10, 40)}"
    sheet.text(_RIGHT, 1202, version, theme.plain(24), align=Align.RIGHT)
