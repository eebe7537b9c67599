"""A postal label in landscape: sender, receiver, postage mark, and an S10 item number as Code 128."""

from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment, Party, grouped
from worker.lab.synth.draw import Align, Sheet
from worker.lab.synth.theme import Theme, address, note_addresses, note_parties, note_phone, note_shipping
from worker.lab.synth.truth import FieldType

WIDTH: Final = 1218
HEIGHT: Final = 812
_LEFT: Final = 34
_MIDDLE: Final = 560
_SERVICES: Final = {
    "RR": "REGISTERED",
    "CP": "PARCEL POST",
    "EE": "EXPRESS MAIL",
    "LX": "TRACKED PACKET",
    "UA": "LETTER POST",
}
_SMALL_PRINT: Final = "Carried under the terms of the Universal Postal Convention. Keep the receipt until delivery."
_NOTICES: Final = ("SIGNATURE REQUIRED", "DO NOT BEND", "MAY BE OPENED OFFICIALLY")


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    sheet.frame(8, 8, WIDTH - 8, HEIGHT - 8, 4)
    _head(sheet, consignment, theme, chance)
    _parties(sheet, consignment, theme)
    _item(sheet, consignment, theme)
    if chance.likely(0.5):
        sheet.text_turned(WIDTH - 54, 262, chance.pick(_NOTICES), theme.bold(26), 1)
    note_parties(sheet, consignment)
    note_addresses(sheet, *(_lines(theme, party) for party in (consignment.sender, consignment.receiver)))
    note_shipping(sheet, theme, consignment.day, consignment.weight_kg)


def _lines(theme: Theme, party: Party) -> tuple[str, ...]:
    return (theme.case(party.contact), *address(theme, party))


def _head(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    sheet.text(_LEFT, 84, f"{consignment.carrier} POST", theme.bold(60), max_width=480)
    sheet.text(_LEFT, 130, _SERVICES[consignment.s10[:2]], theme.plain(36), max_width=480)
    content = f"{consignment.s10} {consignment.receiver.postcode} {consignment.day:%Y%m%d}"
    sheet.symbol(
        _MIDDLE, 22, _MIDDLE + 140, 162, Symbol(LabelSymbology.DATA_MATRIX, content, options={"force_square": True})
    )
    sheet.frame(880, 26, 1180, 158, 3)
    sheet.text(1030, 68, "POSTAGE PAID", theme.bold(32), align=Align.MIDDLE, max_width=270)
    sheet.text(1030, 106, theme.case(consignment.sender.town), theme.plain(28), align=Align.MIDDLE, max_width=270)
    permit = f"PERMIT {chance.whole(100, 9899)}"
    sheet.text(1030, 142, permit, theme.plain(28), align=Align.MIDDLE, max_width=270)
    sheet.rule(172, 8, WIDTH - 8)


def _parties(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    sender, receiver = consignment.sender, consignment.receiver
    sheet.text(_LEFT, 212, "From:", theme.bold(28))
    sheet.block(_LEFT, 252, _lines(theme, sender), theme.plain(30), max_width=490)
    sheet.text(_LEFT, 500, f"Tel: {sender.phone}", theme.plain(28), max_width=490)
    note_phone(sheet, sender)
    sheet.post(_MIDDLE - 20, 172, 516)
    sheet.text(_MIDDLE + 10, 212, "To:", theme.bold(28))
    sheet.block(_MIDDLE + 10, 258, _lines(theme, receiver), theme.bold(38), max_width=580)
    sheet.rule(516, 8, WIDTH - 8)


def _item(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    number = consignment.s10
    sheet.frame(_LEFT, 540, _LEFT + 130, 690, 6)
    sheet.text(_LEFT + 65, 662, number[0], theme.bold(130), align=Align.MIDDLE)
    sheet.symbol(180, 536, 900, 686, Symbol(LabelSymbology.CODE_128, number))
    sheet.text(540, 742, grouped(number, 2, 3, 3, 3), theme.bold(46), align=Align.MIDDLE, max_width=680)
    details = (
        theme.weight(consignment.weight_kg),
        theme.day(consignment.day),
        f"No. {consignment.reference}",
    )
    sheet.block(920, 576, details, theme.plain(34), max_width=270)
    sheet.text(920, 742, consignment.goods, theme.plain(30), max_width=270)
    sheet.text(_LEFT, 786, _SMALL_PRINT, theme.plain(25), max_width=1140)
    sheet.note(FieldType.S10, number)
