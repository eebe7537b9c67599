"""A carton label for sea freight: order, goods with GTIN as ITF, container, and a PDF417 of the whole."""

from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment
from worker.lab.synth.draw import WHITE, Align, Sheet
from worker.lab.synth.theme import Theme, address, cell, note_addresses, note_parties, note_shipping
from worker.lab.synth.truth import FieldType

WIDTH: Final = 1015
HEIGHT: Final = 1015
_LEFT: Final = 30
_MIDDLE: Final = 508


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    _parties(sheet, consignment, theme)
    _order(sheet, consignment, theme, chance)
    _symbols(sheet, consignment, theme)
    note_parties(sheet, consignment)
    note_addresses(sheet, *(address(theme, party) for party in (consignment.sender, consignment.receiver)))
    note_shipping(sheet, theme, consignment.day, consignment.weight_kg)


def _parties(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    sheet.text(_LEFT, 44, "SHIP FROM", theme.bold(26))
    sheet.block(_LEFT, 82, address(theme, consignment.sender), theme.plain(29), max_width=450)
    sheet.post(_MIDDLE - 12, 0, 262)
    sheet.text(_MIDDLE + 12, 44, "SHIP TO", theme.bold(26))
    sheet.block(_MIDDLE + 12, 84, address(theme, consignment.receiver), theme.bold(34), max_width=470)
    sheet.rule(262, 0, WIDTH)


def _order(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    styles = theme.plain(25), theme.bold(42)
    cell(sheet, _LEFT, 268, ("PURCHASE ORDER", consignment.order), styles, 420)
    cell(sheet, _MIDDLE + 12, 268, ("STYLE", chance.filled("@@-%###-@")), styles, 220)
    cell(sheet, 780, 268, ("QTY", f"{chance.whole(6, 48)} PCS"), styles, 200)
    sheet.rule(358, 0, WIDTH)
    cell(sheet, _LEFT, 364, ("DESCRIPTION", consignment.goods), styles, 440)
    cell(sheet, _MIDDLE + 12, 364, ("GROSS WT", theme.weight(consignment.weight_kg)), styles, 220)
    cell(sheet, 780, 364, ("DATE", theme.day(consignment.day)), styles, 210)
    sheet.rule(454, 0, WIDTH)
    container = f"{consignment.container[:4]} {consignment.container[4:10]} {consignment.container[10]}"
    cell(sheet, _LEFT, 460, ("CONTAINER NO", container), styles, 440)
    cell(sheet, _MIDDLE + 12, 460, ("PORT", consignment.receiver.airport), styles, 220)
    sheet.rule(550, 0, WIDTH, 8)
    sheet.fill(760, 454, WIDTH, 552, theme.band)
    carton = f"{consignment.piece} / {consignment.pieces}"
    sheet.text(888, 522, carton, theme.bold(58, WHITE), align=Align.MIDDLE, max_width=230)
    sheet.note(FieldType.ISO6346, consignment.container)


def _symbols(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    # Bearer bars above and below, so that a short scan of an ITF symbol is no scan.
    sheet.rule(582, 150, WIDTH - 150, 10)
    sheet.symbol(150, 600, WIDTH - 150, 726, Symbol(LabelSymbology.ITF, consignment.gtin))
    sheet.rule(734, 150, WIDTH - 150, 10)
    gtin = consignment.gtin
    printed = f"{gtin[0]} {gtin[1:3]} {gtin[3:8]} {gtin[8:13]} {gtin[13]}"
    sheet.text(WIDTH / 2, 786, printed, theme.plain(38), align=Align.MIDDLE, max_width=600)
    sheet.rule(806, 0, WIDTH)
    whole = f"{consignment.order}|{gtin}|{consignment.container}|{consignment.receiver.name}|{consignment.route}"
    sheet.symbol(0, 816, 640, 1000, Symbol(LabelSymbology.PDF417, whole, options={"columns": 6}))
    sheet.text(WIDTH - _LEFT, 868, consignment.carrier, theme.bold(42), align=Align.RIGHT, max_width=340)
    sheet.text(WIDTH - _LEFT, 920, consignment.route, theme.plain(34), align=Align.RIGHT, max_width=340)
    sheet.text(WIDTH - _LEFT, 972, f"REF {consignment.reference}", theme.plain(30), align=Align.RIGHT, max_width=340)
    sheet.note(FieldType.GTIN, gtin)
