"""An American overnight label: terse header lines, a large receiver, and a FedEx tracking number."""

from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment, grouped, pounds
from worker.lab.synth.draw import Align, Sheet
from worker.lab.synth.held_out import values
from worker.lab.synth.theme import Theme, address, note_addresses, note_parties
from worker.lab.synth.truth import FieldType

WIDTH: Final = 812
HEIGHT: Final = 1240
_LEFT: Final = 22
_RIGHT: Final = WIDTH - 22
_SERVICES: Final = ("STANDARD OVERNIGHT", "PRIORITY OVERNIGHT", "2DAY AM", "EXPRESS SAVER")
_DAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    _head(sheet, consignment, theme, chance)
    _receiver(sheet, consignment, theme, chance)
    whole = f"{consignment.order}|{consignment.goods}|{consignment.receiver.postcode}|{consignment.reference}"
    sheet.symbol(0, 640, WIDTH - 200, 826, Symbol(LabelSymbology.PDF417, whole, options={"columns": 7}))
    sheet.text(_RIGHT, 716, "FedEx", theme.bold(50), align=Align.RIGHT)
    sheet.text(_RIGHT, 770, "Express", theme.plain(34), align=Align.RIGHT)
    _tracking(sheet, consignment, theme, chance)
    note_parties(sheet, consignment)


def _head(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    sender = consignment.sender
    sheet.text(_LEFT, 40, f"ORIGIN ID:{sender.airport}A  {values.american(sender)}", theme.plain(27), max_width=425)
    lines = (sender.contact.upper(), *(line.upper() for line in address(theme, sender)))
    sheet.block(_LEFT, 76, lines, theme.plain(27), max_width=425)
    weight = f"{pounds(consignment.weight_kg):.2f}"
    sides = "x".join(str(round(side / 2.54)) for side in consignment.sides_cm)
    facts = (
        f"SHIP DATE: {consignment.day:%d%b%y}".upper(),
        f"ACTWGT: {weight} LB",
        f"CAD: {chance.filled('%########')}/INET{chance.filled('%###')}",
        f"DIMS: {sides} IN",
        "BILL SENDER",
    )
    sheet.block(496, 40, facts, theme.plain(27), max_width=300)
    sheet.note(FieldType.PHONE, sender.phone.replace(" ", ""))
    sheet.note(FieldType.DATE, consignment.day.isoformat())
    sheet.note(FieldType.WEIGHT, f"{weight} lb")
    receiver = consignment.receiver
    whole = (receiver.contact.upper(), *(line.upper() for line in address(theme, receiver)))
    note_addresses(sheet, lines, whole)
    sheet.rule(296, 0, WIDTH, 4)


def _receiver(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    receiver = consignment.receiver
    sheet.text(_LEFT, 350, "TO", theme.plain(34))
    lines = (receiver.contact.upper(), *(line.upper() for line in address(theme, receiver)))
    sheet.block(90, 346, lines, theme.bold(38), max_width=690)
    facts = f"{values.american(receiver)}", f"REF: {consignment.reference}"
    sheet.text(_LEFT, 626, facts[0], theme.plain(27), max_width=300)
    sheet.text(320, 626, facts[1], theme.plain(27), max_width=230)
    sheet.text(610, 626, f"DEPT: {chance.whole(10, 99)}", theme.plain(27), max_width=180)
    sheet.note(FieldType.PHONE, receiver.phone.replace(" ", ""))
    sheet.rule(638, 0, WIDTH)


def _tracking(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    number = values.fedex(chance)
    sheet.rule(834, 0, WIDTH, 4)
    day = f"{_DAYS[consignment.day.weekday()]} - 10:30A"
    sheet.text(_RIGHT, 890, day, theme.bold(42), align=Align.RIGHT, max_width=380)
    sheet.text(_RIGHT, 938, chance.pick(_SERVICES), theme.bold(36), align=Align.RIGHT, max_width=420)
    sheet.text(_LEFT, 884, "TRK#", theme.plain(28))
    sheet.text(_LEFT, 940, grouped(number, 4, 4), theme.bold(44), max_width=330)
    sheet.text(_LEFT, 1010, f"{chance.letters(2)} {consignment.receiver.airport}A", theme.bold(62), max_width=420)
    routing = f"{consignment.receiver.region}-US"
    sheet.text(_RIGHT, 1010, routing, theme.bold(50), align=Align.RIGHT, max_width=300)
    sheet.symbol(0, 1036, WIDTH, 1224, Symbol(LabelSymbology.CODE_128, number))
    sheet.note(FieldType.FEDEX, number)
