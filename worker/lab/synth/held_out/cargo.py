"""An air cargo label in landscape: the waybill in one run, captions in front of their values, no address."""

from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment
from worker.lab.synth.draw import WHITE, Align, Sheet
from worker.lab.synth.theme import Theme
from worker.lab.synth.truth import FieldType

WIDTH: Final = 1100
HEIGHT: Final = 720
_LEFT: Final = 34
_RIGHT: Final = WIDTH - 34


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    number = consignment.air_waybill
    printed = chance.pick((f"{number[:3]}-{number[3:]}", f"{number[:3]} {number[3:7]} {number[7:]}"))
    sheet.text(_LEFT, 52, "MASTER AWB", theme.plain(30))
    sheet.text(_LEFT, 140, printed, theme.bold(88), max_width=800)
    sheet.fill(880, 0, WIDTH, 164, theme.band)
    sheet.text(990, 112, consignment.receiver.airport, theme.bold(84, WHITE), align=Align.MIDDLE, max_width=200)
    sheet.note(FieldType.AIR_WAYBILL, number)
    sheet.rule(164, 0, WIDTH, 4)
    _rows(sheet, consignment, theme, chance)
    sheet.symbol(10, 540, 700, 690, Symbol(LabelSymbology.CODE_128, f"{number}{consignment.piece:05d}"))
    sheet.text(_RIGHT, 620, f"{consignment.carrier} CARGO", theme.bold(38), align=Align.RIGHT, max_width=360)
    sheet.text(_RIGHT, 672, "CARGO AIRCRAFT ONLY", theme.plain(30), align=Align.RIGHT, max_width=360)


def _rows(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    weight = f"{consignment.weight_kg * consignment.pieces:.1f}"
    flight = f"{chance.letters(2)}{chance.whole(100, 999)}"
    rows = (
        ("ORIGIN", consignment.sender.airport, "TOTAL PIECES", str(consignment.pieces)),
        ("VIA", chance.pick(("FRA", "AMS", "LUX", "DXB")), "TOTAL WEIGHT", f"{weight} KG"),
        ("FLIGHT", flight, "DATE", f"{consignment.day:%d %b %Y}".upper()),
        ("HAWB", chance.filled("@@@%######"), "PIECE", f"{consignment.piece} OF {consignment.pieces}"),
        ("NATURE", consignment.goods.upper(), "HANDLING", chance.pick(("COL", "PER", "VAL", "EAT", "GEN"))),
    )
    for index, (caption, value, other_caption, other) in enumerate(rows):
        baseline = 220 + 68 * index
        sheet.text(_LEFT, baseline, caption, theme.plain(28), max_width=160)
        sheet.text(210, baseline, value, theme.bold(42), max_width=330)
        sheet.text(570, baseline, other_caption, theme.plain(28), max_width=210)
        sheet.text(_RIGHT, baseline, other, theme.bold(42), align=Align.RIGHT, max_width=270)
        sheet.rule(baseline + 20, 0, WIDTH, 2)
    sheet.note(FieldType.WEIGHT, f"{weight} kg")
    sheet.note(FieldType.DATE, consignment.day.isoformat())
