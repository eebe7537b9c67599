"""Shipping marks of sea freight: values in large type with their captions beneath, container and seal, many weights."""

from datetime import timedelta
from typing import Final

from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment
from worker.lab.synth.draw import Align, Sheet, Style
from worker.lab.synth.held_out import values
from worker.lab.synth.theme import Theme, address, note_addresses, note_parties, note_phone
from worker.lab.synth.truth import FieldType

WIDTH: Final = 1100
HEIGHT: Final = 1100
_LEFT: Final = 30
_MIDDLE: Final = 560
_TARE_KG: Final = (2180, 2220, 3700, 3940)


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    sheet.frame(6, 6, WIDTH - 6, HEIGHT - 6, 6)
    number = consignment.container
    printed = chance.pick((f"{number[:4]} {number[4:10]}-{number[10]}", f"{number[:4]}{number[4:]}"))
    _above(sheet, _LEFT, 110, (printed, "CONTAINER"), theme.bold(84), 740)
    sheet.text(WIDTH - 40, 110, chance.pick(("22G1", "45G1", "42G1")), theme.bold(64), align=Align.RIGHT)
    sheet.note(FieldType.ISO6346, number)
    sheet.rule(164, 6, WIDTH - 6)
    _above(sheet, _LEFT, 222, (chance.filled("@@%#####"), "SEAL NO."), theme.bold(46), 480)
    _above(sheet, _MIDDLE, 222, (chance.filled("@@@%########"), "BOOKING"), theme.bold(46), 480)
    sheet.rule(276, 6, WIDTH - 6)
    _parties(sheet, consignment, theme)
    _weights(sheet, theme, chance)
    _voyage(sheet, consignment, theme, chance)
    note_parties(sheet, consignment)


def _above(sheet: Sheet, x: float, baseline: float, texts: tuple[str, str], style: Style, max_width: float) -> None:
    """Draw a value and, beneath it, its caption. `texts` is (value, caption)."""
    sheet.text(x, baseline, texts[0], style, max_width=max_width)
    sheet.text(x, baseline + 38, texts[1], Style(style.face, 26, style.stretch), max_width=max_width)


def _parties(sheet: Sheet, consignment: Consignment, theme: Theme) -> None:
    blocks = [address(theme, party) for party in (consignment.sender, consignment.receiver)]
    sheet.text(_LEFT, 318, "SHIPPER", theme.bold(28))
    sheet.block(_LEFT, 360, blocks[0], theme.plain(32), max_width=500)
    sheet.text(_MIDDLE, 318, "CONSIGNEE", theme.bold(28))
    end = sheet.block(_MIDDLE, 360, blocks[1], theme.plain(32), max_width=510)
    sheet.text(_MIDDLE, end + 8, f"PH: {consignment.receiver.phone}", theme.plain(30), max_width=510)
    note_phone(sheet, consignment.receiver)
    note_addresses(sheet, *blocks)
    sheet.rule(620, 6, WIDTH - 6)


def _weights(sheet: Sheet, theme: Theme, chance: Chance) -> None:
    tare = chance.pick(_TARE_KG)
    net = chance.whole(4000, 21000)
    for x, (weight, caption) in zip(
        (_LEFT, 390, 750), ((net + tare, "GROSS"), (tare, "TARE"), (net, "NET")), strict=True
    ):
        _above(sheet, x, 690, (f"{weight} KGS", caption), theme.bold(48), 320)
        sheet.note(FieldType.WEIGHT, f"{weight} kg")
    sheet.rule(746, 6, WIDTH - 6)


def _voyage(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    out = values.plain_day(consignment.day)
    there = values.plain_day(out + timedelta(days=chance.whole(9, 40)))
    for x, day, caption in ((_LEFT, out, "ETD"), (_MIDDLE, there, "ETA")):
        _above(sheet, x, 812, (f"{day:%d-%b-%Y}".upper(), caption), theme.bold(48), 480)
        sheet.note(FieldType.DATE, day.isoformat())
    sheet.rule(868, 6, WIDTH - 6)
    vessel = f"{chance.pick(('MARLENA', 'ASTREA', 'NORDLYS', 'CORALIA'))} {chance.filled('%##@')}"
    _above(sheet, _LEFT, 930, (vessel, "VESSEL / VOYAGE"), theme.bold(44), 480)
    _above(sheet, _MIDDLE, 930, (consignment.receiver.airport, "PORT OF DISCHARGE"), theme.bold(44), 480)
    sheet.rule(984, 6, WIDTH - 6)
    sheet.text(_LEFT, 1046, f"C/NO. {consignment.piece}-{consignment.pieces + 40}", theme.bold(44), max_width=480)
    made = f"MADE IN {consignment.sender.country}"
    sheet.text(_MIDDLE, 1046, made, theme.bold(44), max_width=480)
