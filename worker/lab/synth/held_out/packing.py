"""A box label of a European works: two columns of captions with their values to the right, SSCC and EAN below."""

from datetime import timedelta
from typing import Final

from worker.lab.synth.barcodes import LabelSymbology, Symbol
from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment, grouped
from worker.lab.synth.draw import Align, Sheet
from worker.lab.synth.held_out import values
from worker.lab.synth.theme import Theme, address, note_addresses, note_parties
from worker.lab.synth.truth import FieldType

WIDTH: Final = 1280
HEIGHT: Final = 960
_LEFT: Final = 30
_MIDDLE: Final = 660
_RIGHT: Final = WIDTH - 30
# Caption of: sender, receiver, order, lot, parcel, gross weight, net weight, date, best before.
_ITALIAN: Final = (
    "Mittente",
    "Destinatario",
    "Ordine n.",
    "Lotto",
    "Collo",
    "Peso lordo",
    "Peso netto",
    "Data",
    "Scadenza",
)
_SPANISH: Final = (
    "Remitente",
    "Destinatario",
    "Pedido",
    "Lote",
    "Bulto",
    "Peso bruto",
    "Peso neto",
    "Fecha",
    "Caducidad",
)
_FRENCH: Final = (
    "Expéditeur",
    "Destinataire",
    "Commande",
    "Lot",
    "Colis",
    "Poids brut",
    "Poids net",
    "Date d'expédition",
    "À consommer avant",
)


def draw(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    """Draw the label."""
    captions = chance.pick((_ITALIAN, _SPANISH, _FRENCH))
    _parties(sheet, consignment, theme, captions, chance)
    _facts(sheet, consignment, theme, captions, chance)
    _symbols(sheet, consignment, theme, chance)
    note_parties(sheet, consignment)
    note_addresses(sheet, address(theme, consignment.sender), address(theme, consignment.receiver))


def _parties(sheet: Sheet, consignment: Consignment, theme: Theme, captions: tuple[str, ...], chance: Chance) -> None:
    sheet.text(_LEFT, 44, captions[0], theme.plain(28))
    sheet.block(_LEFT, 86, address(theme, consignment.sender), theme.plain(32), max_width=580)
    vat = values.vat(chance)
    name = {"IT": "P. IVA", "DE": "USt-IdNr.", "FR": "N° TVA", "PL": "NIP", "BE": "BTW"}[vat[:2]]
    sheet.text(_LEFT, 300, f"{name} {vat}", theme.plain(28), max_width=580)
    sheet.note(FieldType.VAT, vat)
    sheet.post(_MIDDLE - 24, 0, 330)
    sheet.text(_MIDDLE, 44, captions[1], theme.plain(28))
    sheet.block(_MIDDLE, 94, address(theme, consignment.receiver), theme.bold(40), max_width=590)
    sheet.rule(330, 0, WIDTH, 5)


def _facts(sheet: Sheet, consignment: Consignment, theme: Theme, captions: tuple[str, ...], chance: Chance) -> None:
    gross, net = values.comma(consignment.weight_kg), values.comma(consignment.weight_kg * 0.9)
    day = values.plain_day(consignment.day)
    last = values.plain_day(day + timedelta(days=chance.whole(200, 700)))
    form = chance.pick(("%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y"))
    left = (
        (captions[2], consignment.order),
        (captions[3], chance.filled("L#####")),
        (captions[4], f"{consignment.piece} / {consignment.pieces}"),
        ("Art.", consignment.goods),
    )
    right = (
        (captions[5], f"{gross} kg"),
        (captions[6], f"{net} kg"),
        (captions[7], day.strftime(form)),
        (captions[8], last.strftime(form)),
    )
    for index, (one, other) in enumerate(zip(left, right, strict=True)):
        baseline = 382 + 58 * index
        sheet.text(_LEFT, baseline, f"{one[0]}:", theme.plain(30), max_width=180)
        sheet.text(230, baseline, one[1], theme.bold(36), max_width=390)
        sheet.text(_MIDDLE, baseline, f"{other[0]}:", theme.plain(30), max_width=270)
        sheet.text(_RIGHT, baseline, other[1], theme.bold(36), align=Align.RIGHT, max_width=270)
        sheet.rule(baseline + 16, 0, WIDTH, 2)
    for weight in (gross, net):
        sheet.note(FieldType.WEIGHT, f"{weight.replace(',', '.')} kg")
    for one_day in (day, last):
        sheet.note(FieldType.DATE, one_day.isoformat())


def _symbols(sheet: Sheet, consignment: Consignment, theme: Theme, chance: Chance) -> None:
    ean, sscc = values.ean13(chance), consignment.sscc
    sheet.symbol(0, 600, 430, 730, Symbol(LabelSymbology.EAN_13, ean))
    sheet.text(215, 780, f"{ean[0]} {ean[1:7]} {ean[7:]}", theme.plain(38), align=Align.MIDDLE, max_width=400)
    sheet.text(215, 836, "EAN", theme.plain(28), align=Align.MIDDLE)
    sheet.note(FieldType.GTIN, ean)
    sheet.symbol(450, 600, WIDTH - 10, 780, Symbol(LabelSymbology.CODE_128, f"(00){sscc}", gs1=True))
    printed = chance.pick((f"(00) {grouped(sscc, 1, 7, 9)}", f"SSCC {sscc}", f"(00){sscc}"))
    sheet.text(865, 836, printed, theme.bold(42), align=Align.MIDDLE, max_width=760)
    sheet.note(FieldType.SSCC, sscc)
    sheet.rule(866, 0, WIDTH)
    sheet.text(_LEFT, 922, f"{consignment.carrier} LOGISTICS", theme.bold(40), max_width=600)
    sheet.text(_RIGHT, 922, consignment.route, theme.bold(40), align=Align.RIGHT, max_width=400)
