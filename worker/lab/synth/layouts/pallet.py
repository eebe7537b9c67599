"""A wide pallet label after the GS1 logistic label: parties, contents in words, and two GS1-128 symbols."""

from datetime import timedelta
from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment
from worker.lab.synth.draw import Align, Sheet
from worker.lab.synth.theme import Theme, address, cell, note_addresses, note_parties, note_phone, note_shipping
from worker.lab.synth.truth import FieldType

WIDTH: Final = 1624
HEIGHT: Final = 1140
_LEFT: Final = 40
_MIDDLE: Final = WIDTH / 2
_PARCELS: Final = 24  # a pallet weighs about as much as so many parcels


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    _parties(sheet, consignment, theme)
    _contents(sheet, consignment, theme, chance)
    note_parties(sheet, consignment)
    note_addresses(sheet, *(address(theme, party) for party in (consignment.sender, consignment.receiver)))
    note_shipping(sheet, theme, consignment.day, _weight_kg(consignment))


def _weight_kg(consignment: Consignment) -> float:
    return round(_PARCELS * consignment.weight_kg, 1)


def _parties(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    sheet.text(_LEFT, 52, "FROM", theme.bold(32))
    sheet.block(_LEFT, 96, address(theme, consignment.sender), theme.plain(38), max_width=700)
    sheet.text(_LEFT, 340, f"TEL {consignment.sender.phone}", theme.plain(34), max_width=700)
    note_phone(sheet, consignment.sender)
    sheet.post(_MIDDLE, 0, 364, 4)
    sheet.text(_MIDDLE + _LEFT, 52, "SHIP TO", theme.bold(32))
    sheet.block(_MIDDLE + _LEFT, 104, address(theme, consignment.receiver), theme.bold(48), max_width=730)
    sheet.rule(364, 0, WIDTH, 4)


def _contents(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    made = consignment.day - timedelta(days=chance.whole(3, 60))
    lot, count = chance.filled("@####"), str(chance.whole(12, 96))
    styles = theme.plain(30), theme.bold(50)
    sheet.text(_LEFT, 412, "SSCC", theme.plain(30))
    sheet.text(_LEFT, 484, consignment.sscc, theme.bold(72), max_width=900)
    right = _MIDDLE + 240
    cell(sheet, right, 378, ("CARRIER", consignment.carrier), styles, 250)
    cell(sheet, right + 310, 378, ("ROUTE", consignment.route), styles, 230)
    sheet.rule(502, 0, WIDTH, 4)
    cell(sheet, _LEFT, 512, ("CONTENT (GTIN)", consignment.gtin), styles, 450)
    cell(sheet, 560, 512, ("COUNT", count), styles, 150)
    cell(sheet, 770, 512, ("BATCH/LOT", lot), styles, 240)
    cell(sheet, right, 512, ("PROD DATE", theme.day(made)), styles, 260)
    cell(sheet, right + 310, 512, ("GROSS WEIGHT", theme.weight(_weight_kg(consignment))), styles, 230)
    cell(sheet, _LEFT, 628, ("GOODS", consignment.goods), styles, 450)
    cell(sheet, 560, 628, ("ORDER NO", consignment.order), styles, 400)
    cell(sheet, right, 628, ("SHIPPED", theme.day(consignment.day)), styles, 260)
    cell(sheet, right + 310, 628, ("PALLET", f"{consignment.piece}/{consignment.pieces}"), styles, 230)
    sheet.rule(736, 0, WIDTH, 4)
    goods = f"(02){consignment.gtin}(11){made:%y%m%d}(37){count}(10){lot}"
    _symbol(sheet, 760, goods, theme)
    _symbol(sheet, 950, f"(00){consignment.sscc}", theme)
    sheet.note(FieldType.SSCC, consignment.sscc)
    sheet.note(FieldType.GTIN, consignment.gtin)
    sheet.note(FieldType.DATE, made.isoformat())


def _symbol(sheet: Sheet, top: float, content: str, theme: Theme) -> None:
    sheet.symbol(60, top, WIDTH - 60, top + 130, Symbol(LabelSymbology.CODE_128, content, gs1=True))
    sheet.text(_MIDDLE, top + 166, content, theme.plain(34), align=Align.MIDDLE, max_width=1200)
