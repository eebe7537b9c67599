"""How one carrier's labels look: its fonts, its letter case, how it writes dates, weights and captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from worker.lab.synth import content, fonts
from worker.lab.synth.chance import Chance
from worker.lab.synth.draw import BLACK, Ink, Sheet, Style
from worker.lab.synth.truth import FieldType

FAMILIES: Final = (
    fonts.ROBOTO,
    fonts.ROBOTO,
    fonts.ROBOTO_BLACK,
    fonts.HANKEN,
    fonts.SOURCE_SANS,
    fonts.SOURCE_SANS,
    fonts.SOURCE_SERIF,
)
_DATE_FORMS: Final = ("%d %b %Y", "%d.%m.%Y", "%Y-%m-%d", "%d%b%y")
_BAND_INKS: Final[tuple[Ink, ...]] = (BLACK, BLACK, (18, 58, 122), (160, 28, 30), (24, 96, 62))


@dataclass(frozen=True, slots=True)
class Theme:
    """The look. `stretch` narrows all text, as label printers' fonts do."""

    family: fonts.Family
    stretch: float
    capitals: bool
    date_form: str
    pounds: bool
    band: Ink

    @classmethod
    def drawn(cls, chance: Chance, families: Sequence[fonts.Family] = FAMILIES) -> "Theme":
        """Choose a look, with one of the families."""
        return cls(
            family=chance.pick(families),
            stretch=chance.pick((1.0, 0.94, 0.88)),
            capitals=chance.likely(0.6),
            date_form=chance.pick(_DATE_FORMS),
            pounds=chance.likely(0.3),
            band=chance.pick(_BAND_INKS),
        )

    def plain(self, size: float) -> Style:
        """Return the style of common text, `size` in dots."""
        return Style(self.family.regular, size, self.stretch)

    def bold(self, size: float, ink: Ink = BLACK) -> Style:
        """Return the style of what stands out, `size` in dots."""
        return Style(self.family.bold, size, self.stretch, ink)

    def case(self, text: str) -> str:
        """Return the text in the carrier's letter case."""
        return text.upper() if self.capitals else text

    def day(self, day: date) -> str:
        """Return the date as printed."""
        return day.strftime(self.date_form).upper()

    def weight(self, weight_kg: float) -> str:
        """Return the weight as printed."""
        return f"{content.pounds(weight_kg)} LBS" if self.pounds else f"{weight_kg} KG"

    def weight_value(self, weight_kg: float) -> str:
        """Return the normal form of the weight as printed."""
        return f"{content.pounds(weight_kg)} lb" if self.pounds else f"{weight_kg} kg"


def address(theme: Theme, party: content.Party) -> tuple[str, ...]:
    """Return the address block as printed, firm first."""
    return tuple(theme.case(line) for line in party.lines)


def cell(
    sheet: Sheet, x: float, top: float, texts: tuple[str, str], styles: tuple[Style, Style], max_width: float
) -> None:
    """Draw a caption and, below it, its value. `texts` and `styles` are (caption, value)."""
    caption, value = styles
    sheet.text(x, top + 1.05 * caption.size, texts[0], caption, max_width=max_width)
    sheet.text(x, top + 1.2 * caption.size + value.size, texts[1], value, max_width=max_width)


def note_parties(sheet: Sheet, consignment: content.Consignment) -> None:
    """Write down the postcodes of both parties, sender first."""
    sheet.note(FieldType.POSTCODE, consignment.sender.postcode)
    sheet.note(FieldType.POSTCODE, consignment.receiver.postcode)


def note_addresses(sheet: Sheet, sender: Sequence[str], receiver: Sequence[str]) -> None:
    """Write down both address blocks, each as its printed lines."""
    sheet.note(FieldType.ADDRESS_FROM, "\n".join(sender))
    sheet.note(FieldType.ADDRESS_TO, "\n".join(receiver))


def note_phone(sheet: Sheet, party: content.Party) -> None:
    """Write down a telephone number as E.164."""
    sheet.note(FieldType.PHONE, party.phone.replace(" ", ""))


def note_shipping(sheet: Sheet, theme: Theme, day: date, weight_kg: float) -> None:
    """Write down the date and the weight."""
    sheet.note(FieldType.DATE, day.isoformat())
    sheet.note(FieldType.WEIGHT, theme.weight_value(weight_kg))
