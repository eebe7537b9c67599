"""An air cargo label after IATA's bar coded label: waybill number, destination, origin, pieces, weight."""

from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment
from worker.lab.synth.draw import WHITE, Align, Sheet
from worker.lab.synth.theme import Theme, cell
from worker.lab.synth.truth import FieldType

WIDTH: Final = 812
HEIGHT: Final = 1015
_LEFT: Final = 30
_HANDLING: Final = ("KEEP DRY", "THIS WAY UP", "FRAGILE", "DO NOT STACK", "PERISHABLE", "HANDLE WITH CARE")


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    sheet.fill(0, 0, WIDTH, 104, theme.band)
    sheet.text(_LEFT, 76, f"{consignment.carrier} AIR CARGO", theme.bold(64, WHITE), max_width=740)
    _waybill(sheet, consignment, theme)
    _journey(sheet, consignment, theme)
    _house(sheet, consignment, theme, chance)
    sheet.note(FieldType.AIR_WAYBILL, consignment.air_waybill)
    sheet.note(FieldType.WEIGHT, f"{_weight_kg(consignment)} kg")


def _weight_kg(consignment: Consignment) -> float:
    return round(consignment.weight_kg * consignment.pieces, 1)


def _waybill(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    number = consignment.air_waybill
    sheet.symbol(0, 124, WIDTH, 274, Symbol(LabelSymbology.CODE_128, f"{number}{consignment.piece:05d}"))
    sheet.rule(292, 0, WIDTH)
    printed = f"{number[:3]}-{number[3:7]} {number[7:]}"
    cell(sheet, _LEFT, 298, ("Air Waybill No.", printed), (theme.plain(28), theme.bold(92)), 750)
    sheet.rule(442, 0, WIDTH)


def _journey(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    caption, large, medium = theme.plain(28), theme.bold(120), theme.bold(72)
    cell(sheet, _LEFT, 448, ("Destination", consignment.receiver.airport), (caption, large), 360)
    sheet.post(420, 442, 760)
    cell(sheet, 450, 448, ("Total No. of Pieces", str(consignment.pieces)), (caption, medium), 330)
    sheet.rule(618, 0, WIDTH)
    cell(sheet, _LEFT, 624, ("Origin", consignment.sender.airport), (caption, medium), 360)
    weight = f"{_weight_kg(consignment)} KG"
    cell(sheet, 450, 624, ("Total Weight", weight), (caption, medium), 330)
    sheet.rule(760, 0, WIDTH)


def _house(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    house = chance.filled(f"{consignment.sender.airport}%#######")
    cell(sheet, _LEFT, 766, ("HAWB No.", house), (theme.plain(28), theme.bold(48)), 320)
    sheet.symbol(370, 774, WIDTH - 10, 862, Symbol(LabelSymbology.CODE_128, house))
    sheet.rule(878, 0, WIDTH)
    sheet.text(_LEFT, 912, "Handling Information", theme.plain(28))
    sheet.text(_LEFT, 972, chance.pick(_HANDLING), theme.bold(50), max_width=520)
    piece = f"Piece {consignment.piece} of {consignment.pieces}"
    sheet.text(WIDTH - _LEFT, 912, piece, theme.plain(28), align=Align.RIGHT)
    sheet.text(WIDTH - _LEFT, 972, theme.day(consignment.day), theme.plain(34), align=Align.RIGHT)
    sheet.note(FieldType.DATE, consignment.day.isoformat())
