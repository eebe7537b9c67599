"""An international express waybill in landscape: parties side by side with captions in front, a ten-digit waybill."""

from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment, Party, grouped
from worker.lab.synth.draw import WHITE, Align, Sheet, Style
from worker.lab.synth.held_out import values
from worker.lab.synth.theme import Theme, address, note_addresses, note_parties, note_phone
from worker.lab.synth.truth import FieldType

WIDTH: Final = 1240
HEIGHT: Final = 900
_LEFT: Final = 30
_RIGHT: Final = WIDTH - 30


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    sheet.text(_LEFT, 70, "EXPRESS WORLDWIDE", theme.bold(54), max_width=620)
    sheet.fill(900, 10, 1060, 96)
    sheet.text(980, 74, "WPX", theme.bold(56, WHITE), align=Align.MIDDLE)
    sheet.text(_RIGHT, 72, "DHL", theme.bold(56), align=Align.RIGHT)
    sheet.rule(104, 0, WIDTH, 4)
    _party(sheet, 150, ("From:", consignment.sender), theme, theme.plain(30))
    sheet.rule(350, 0, WIDTH)
    _party(sheet, 396, ("To:", consignment.receiver), theme, theme.bold(40))
    sheet.rule(640, 0, WIDTH, 4)
    _facts(sheet, consignment, theme, chance)
    note_parties(sheet, consignment)
    note_addresses(
        sheet,
        (theme.case(consignment.sender.contact), *address(theme, consignment.sender)),
        (theme.case(consignment.receiver.contact), *address(theme, consignment.receiver)),
    )


def _party(sheet: Sheet, baseline: float, party: tuple[str, Party], theme: Theme, style: Style) -> None:
    caption, whom = party
    sheet.text(_LEFT, baseline, caption, theme.plain(30))
    lines = (theme.case(whom.contact), *address(theme, whom))
    sheet.block(150, baseline, lines, style, max_width=640)
    sheet.text(_RIGHT, baseline, "Phone:", theme.plain(28), align=Align.RIGHT)
    sheet.text(_RIGHT, baseline + 44, whom.phone, theme.plain(32), align=Align.RIGHT, max_width=380)
    note_phone(sheet, whom)
    sheet.text(_RIGHT, baseline + 150, f"{whom.country}-{whom.airport}", theme.bold(60), align=Align.RIGHT)


def _facts(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    number = values.dhl_express(chance)
    sheet.symbol(10, 654, 640, 800, Symbol(LabelSymbology.CODE_128, number))
    sheet.text(_LEFT, 858, f"WAYBILL {grouped(number, 2, 4)}", theme.bold(46), max_width=600)
    sheet.note(FieldType.DHL_EXPRESS, number)
    rows = (
        ("Shpt Weight", f"{consignment.weight_kg} kg"),
        ("Piece", f"{consignment.piece}/{consignment.pieces}"),
        ("Day", consignment.day.isoformat()),
        ("Ref", consignment.reference),
        ("Contents", consignment.goods),
    )
    for index, (caption, value) in enumerate(rows):
        baseline = 688 + 46 * index
        sheet.text(670, baseline, caption, theme.plain(28), max_width=180)
        sheet.text(870, baseline, value, theme.bold(33), max_width=330)
    sheet.note(FieldType.WEIGHT, f"{consignment.weight_kg} kg")
    sheet.note(FieldType.DATE, consignment.day.isoformat())
