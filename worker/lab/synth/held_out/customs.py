"""A customs declaration for a parcel: a form of boxes and a table of goods, with captions in two languages."""

from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment, Party, grouped
from worker.lab.synth.draw import Align, Sheet
from worker.lab.synth.held_out import values
from worker.lab.synth.theme import Theme, address, note_addresses, note_parties, note_phone
from worker.lab.synth.truth import FieldType

WIDTH: Final = 1320
HEIGHT: Final = 1060
_LEFT: Final = 28
_MIDDLE: Final = 690
_COLUMNS: Final = (28, 560, 690, 900, 1110)
_HEADINGS: Final = ("Description / Désignation", "Qty", "Net weight", "Value", "HS no.")


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the form."""
    sheet.frame(4, 4, WIDTH - 4, HEIGHT - 4, 4)
    sheet.text(_LEFT, 60, "CUSTOMS DECLARATION", theme.bold(38), max_width=480)
    sheet.text(_LEFT, 98, "DÉCLARATION EN DOUANE", theme.plain(30), max_width=560)
    sheet.text(_MIDDLE - 30, 76, "CN 23", theme.bold(46), align=Align.RIGHT)
    sheet.rule(116, 4, _MIDDLE)
    _party(sheet, 124, ("Sender / Expéditeur", consignment.sender), theme)
    vat = values.vat(chance)
    sheet.text(_LEFT, 402, f"VAT / TVA No. {vat}", theme.plain(29), max_width=620)
    sheet.note(FieldType.VAT, vat)
    sheet.rule(414, 4, _MIDDLE)
    _party(sheet, 422, ("Addressee / Destinataire", consignment.receiver), theme)
    _item(sheet, consignment, theme, chance)
    _goods(sheet, consignment, theme, chance)
    note_parties(sheet, consignment)
    note_addresses(sheet, _lines(theme, consignment.sender), _lines(theme, consignment.receiver))


def _lines(theme: Theme, party: Party) -> tuple[str, ...]:
    return (theme.case(party.contact), *address(theme, party))


def _party(sheet: Sheet, top: float, party: tuple[str, Party], theme: Theme) -> None:
    sheet.text(_LEFT, top + 26, party[0], theme.plain(26), max_width=315)
    end = sheet.block(_LEFT, top + 62, _lines(theme, party[1]), theme.bold(29), max_width=620)
    sheet.text(_MIDDLE - 30, top + 26, f"Tel. {party[1].phone}", theme.plain(27), align=Align.RIGHT, max_width=290)
    note_phone(sheet, party[1])
    if end > top + 300:
        raise ValueError(f"the address ends at {end}, below its box")


def _item(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    number = consignment.s10
    sheet.post(_MIDDLE, 4, 690, 3)
    sheet.text(_MIDDLE + 20, 50, "Item No. / N° de l'envoi", theme.plain(27), max_width=580)
    sheet.symbol(_MIDDLE + 10, 66, WIDTH - 20, 196, Symbol(LabelSymbology.CODE_128, number))
    printed = chance.pick((number, grouped(number, 2, 8, 1), grouped(number, 2, 4, 4, 1)))
    sheet.text(_MIDDLE + 20, 252, printed, theme.bold(48), max_width=580)
    sheet.note(FieldType.S10, number)
    sheet.rule(280, _MIDDLE, WIDTH - 4)
    day = values.plain_day(consignment.day)
    sheet.text(_MIDDLE + 20, 322, "Date of posting / Date de dépôt", theme.plain(27), max_width=580)
    sheet.text(_MIDDLE + 20, 368, day.strftime("%d/%m/%Y"), theme.bold(36))
    sheet.note(FieldType.DATE, day.isoformat())
    sheet.rule(392, _MIDDLE, WIDTH - 4)
    sheet.text(_MIDDLE + 20, 434, "Office of origin / Bureau d'origine", theme.plain(27), max_width=580)
    sheet.text(_MIDDLE + 20, 480, f"{consignment.sender.town} {chance.whole(1, 9)}", theme.bold(36), max_width=580)
    sheet.rule(504, _MIDDLE, WIDTH - 4)
    chosen = chance.whole(0, 3)
    for index, kind in enumerate(("Gift / Cadeau", "Sale of goods / Vente", "Documents", "Other / Autre")):
        sheet.frame(_MIDDLE + 20, 520 + 42 * index, _MIDDLE + 46, 546 + 42 * index)
        if index == chosen:
            sheet.fill(_MIDDLE + 26, 526 + 42 * index, _MIDDLE + 40, 540 + 42 * index)
        sheet.text(_MIDDLE + 66, 544 + 42 * index, kind, theme.plain(27), max_width=520)


def _goods(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    sheet.rule(690, 4, WIDTH - 4, 4)
    for x, heading in zip(_COLUMNS, _HEADINGS, strict=True):
        sheet.text(x, 724, heading, theme.plain(27), max_width=500)
        if x > _LEFT:
            sheet.post(x - 16, 690, 890)
    net = [round(consignment.weight_kg * share, 2) for share in (0.5, 0.3)]
    value = 0
    for index, weight in enumerate(net):
        baseline = 782 + 54 * index
        worth = chance.whole(8, 240)
        value += worth
        goods = consignment.goods if index == 0 else chance.pick(("Accessories", "Sample", "Manual"))
        cells = (goods, str(chance.whole(1, 12)), f"{weight} kg", f"{worth}.00", chance.filled("%#####"))
        for x, text in zip(_COLUMNS, cells, strict=True):
            sheet.text(x, baseline, text, theme.plain(33), max_width=490 if x == _LEFT else 180)
        sheet.rule(baseline + 16, 4, WIDTH - 4)
        sheet.note(FieldType.WEIGHT, f"{weight} kg")
    sheet.rule(890, 4, WIDTH - 4, 4)
    sheet.text(_LEFT, 940, f"Total weight / Poids total: {consignment.weight_kg} kg", theme.bold(33), max_width=620)
    sheet.text(_MIDDLE + 20, 940, f"Total value / Valeur: {value}.00 EUR", theme.bold(33), max_width=600)
    sheet.note(FieldType.WEIGHT, f"{consignment.weight_kg} kg")
    sheet.rule(962, 4, WIDTH - 4)
    sheet.text(_LEFT, 1000, "I certify that the particulars given in this declaration are correct.", theme.plain(27))
    sheet.text(_LEFT, 1036, "Signature", theme.plain(26))
