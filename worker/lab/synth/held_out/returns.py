"""A return label in German: the shop's address in a frame, the customer's below, and a parcel number of DPD."""

from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment, grouped
from worker.lab.synth.draw import WHITE, Align, Sheet
from worker.lab.synth.held_out import values
from worker.lab.synth.theme import Theme, address, note_addresses, note_parties, note_phone
from worker.lab.synth.truth import FieldType

WIDTH: Final = 880
HEIGHT: Final = 1240
_LEFT: Final = 36
_RIGHT: Final = WIDTH - 36
_REASONS: Final = ("Passt nicht", "Gefällt nicht", "Falscher Artikel", "Beschädigt", "Zu spät geliefert")


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    sheet.fill(0, 0, WIDTH, 96, theme.band)
    sheet.text(_LEFT, 68, "RÜCKSENDUNG", theme.bold(56, WHITE), max_width=560)
    sheet.text(_RIGHT, 66, "DPD", theme.bold(50, WHITE), align=Align.RIGHT)
    sheet.text(_LEFT, 140, "Bitte ausschneiden und gut sichtbar aufkleben.", theme.plain(27), max_width=800)
    _parties(sheet, consignment, theme)
    _details(sheet, consignment, theme, chance)
    _number(sheet, consignment, theme, chance)
    note_parties(sheet, consignment)


def _parties(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    receiver, sender = address(theme, consignment.receiver), address(theme, consignment.sender)[1:]
    customer = (theme.case(consignment.sender.contact), *sender)
    sheet.frame(_LEFT, 164, _RIGHT, 476, 5)
    sheet.text(_LEFT + 20, 206, "Empfänger", theme.plain(29))
    sheet.block(_LEFT + 20, 250, receiver, theme.bold(40), max_width=760)
    sheet.text(_LEFT, 510, "Absender", theme.plain(27))
    sheet.block(_LEFT, 548, customer, theme.plain(31), max_width=420)
    sheet.text(_LEFT, 740, f"Telefon {consignment.sender.phone}", theme.plain(28), max_width=420)
    note_phone(sheet, consignment.sender)
    note_addresses(sheet, customer, receiver)


def _details(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    sheet.post(480, 484, 752)
    weight = values.comma(consignment.weight_kg, 2)
    rows = (
        ("Gewicht", f"{weight} kg"),
        ("Datum", consignment.day.strftime("%d.%m.%Y")),
        ("RMA-Nr.", consignment.reference),
        ("Auftrag", consignment.order),
        ("Paket", f"{consignment.piece} von {consignment.pieces}"),
    )
    for index, (caption, value) in enumerate(rows):
        baseline = 522 + 52 * index
        sheet.text(504, baseline, caption, theme.plain(29), max_width=130)
        sheet.text(_RIGHT, baseline, value, theme.bold(33), align=Align.RIGHT, max_width=190)
    sheet.note(FieldType.WEIGHT, f"{weight.replace(',', '.')} kg")
    sheet.note(FieldType.DATE, consignment.day.isoformat())
    sheet.text(504, 740 + 44, f"Grund: {chance.pick(_REASONS)}", theme.plain(28), max_width=330)


def _number(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    number = values.dpd(chance)
    printed = chance.pick((grouped(number, 4, 4, 4, 2), f"{number[:14]} {number[14]}"))
    sheet.rule(812, 0, WIDTH, 5)
    sheet.text(_LEFT, 860, "Paketscheinnummer", theme.plain(28))
    sheet.text(_LEFT, 918, printed, theme.bold(50), max_width=640)
    sheet.text(_RIGHT, 910, consignment.receiver.country, theme.bold(76), align=Align.RIGHT)
    postcode = "".join(mark for mark in consignment.receiver.postcode if mark.isalnum()).rjust(7, "0")
    sheet.symbol(20, 944, WIDTH - 20, 1130, Symbol(LabelSymbology.CODE_128, f"%{postcode}{number[:14]}327{'276'}"))
    sheet.text(_LEFT, 1180, f"Artikel: {consignment.goods}", theme.plain(28), max_width=800)
    sheet.text(_LEFT, 1218, "Diese Sendung ist bereits bezahlt.", theme.plain(26), max_width=800)
    sheet.note(FieldType.DPD, number)
