"""An American postal parcel label: a big initial, ZIP codes of nine digits, and a package barcode of 22."""

from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment, Party, grouped, pounds
from worker.lab.synth.draw import Align, Sheet
from worker.lab.synth.held_out import values
from worker.lab.synth.theme import Theme, address, note_addresses
from worker.lab.synth.truth import FieldType

WIDTH: Final = 812
HEIGHT: Final = 1200
_LEFT: Final = 30
_RIGHT: Final = WIDTH - 30


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    sheet.frame(4, 4, WIDTH - 4, HEIGHT - 4, 4)
    sheet.text(_LEFT + 10, 180, "P", theme.bold(190))
    sheet.post(210, 4, 220, 4)
    facts = ("US POSTAGE PAID", f"{consignment.sender.town} {consignment.sender.region}", "RETAIL")
    sheet.block(490, 56, facts, theme.plain(28), max_width=290)
    sheet.rule(220, 4, WIDTH - 4, 4)
    sheet.text(WIDTH / 2, 284, "PRIORITY MAIL", theme.bold(58), align=Align.MIDDLE, max_width=740)
    sheet.rule(306, 4, WIDTH - 4, 4)
    _parties(sheet, consignment, theme, chance)
    _tracking(sheet, consignment, theme, chance)


def _parties(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    codes = [f"{party.postcode}-{chance.filled('%###')}" for party in (consignment.sender, consignment.receiver)]
    sender, receiver = (
        _lines(theme, party, code)
        for party, code in zip((consignment.sender, consignment.receiver), codes, strict=True)
    )
    sheet.block(_LEFT, 348, sender, theme.plain(28), max_width=430)
    day, weight = values.plain_day(consignment.day), f"{pounds(consignment.weight_kg):.1f}"
    sheet.text(_RIGHT, 348, f"Ship Date: {day:%m/%d/%Y}", theme.plain(28), align=Align.RIGHT, max_width=310)
    sheet.text(_RIGHT, 388, f"Weight: {weight} lb", theme.plain(28), align=Align.RIGHT, max_width=310)
    sheet.text(_RIGHT, 428, f"Carrier Route {chance.filled('C0##')}", theme.plain(28), align=Align.RIGHT, max_width=310)
    sheet.text(_LEFT, 560, "SHIP TO:", theme.bold(30))
    sheet.block(150, 606, receiver, theme.bold(40), max_width=630)
    sheet.note(FieldType.DATE, day.isoformat())
    sheet.note(FieldType.WEIGHT, f"{weight} lb")
    for code in codes:
        sheet.note(FieldType.POSTCODE, code)
    note_addresses(sheet, sender, receiver)


def _lines(theme: Theme, party: Party, code: str) -> tuple[str, ...]:
    """Return the address without country, as at home, with the nine-digit code."""
    lines = (party.contact, *address(theme, party)[:-1])
    return tuple(line.upper().replace(party.postcode, code) for line in lines)


def _tracking(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    number = values.impb(chance)
    sheet.rule(860, 4, WIDTH - 4, 10)
    sheet.text(WIDTH / 2, 906, "USPS TRACKING #", theme.bold(32), align=Align.MIDDLE)
    content = f"(420){consignment.receiver.postcode}({number[:2]}){number[2:]}"
    sheet.symbol(10, 924, WIDTH - 10, 1070, Symbol(LabelSymbology.CODE_128, content, gs1=True))
    sheet.text(WIDTH / 2, 1120, grouped(number, 4, 4, 4, 4, 4), theme.bold(36), align=Align.MIDDLE, max_width=740)
    sheet.rule(1138, 4, WIDTH - 4, 10)
    sheet.text(_LEFT, 1182, f"Ref {consignment.reference}", theme.plain(27), max_width=500)
    sheet.note(FieldType.USPS_IMPB, number)
