"""The layouts: each a way in which carriers arrange a label. Distances are dots of 1/203 inch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.lab.synth.chance import Chance
from worker.lab.synth.content import Consignment
from worker.lab.synth.countries import DIRECTORY, AddressBook
from worker.lab.synth.draw import Sheet
from worker.lab.synth.fonts import Family
from worker.lab.synth.layouts import air_waybill, carton, pallet, parcel, postal
from worker.lab.synth.theme import FAMILIES, Theme


@dataclass(frozen=True, slots=True)
class LabelLayout:
    """A layout, its size in dots, and the scale under which its small print gets too small to read.

    `directory` says whom its labels speak of, `families` in which type they are set.
    """

    name: str
    width: int
    height: int
    least_scale: float
    draw: Callable[[Sheet, Consignment, Theme, Chance], None]
    directory: AddressBook = DIRECTORY
    families: Sequence[Family] = FAMILIES


LAYOUTS: Final = (
    LabelLayout("parcel", parcel.WIDTH, parcel.HEIGHT, 0.92, parcel.draw),
    LabelLayout("pallet", pallet.WIDTH, pallet.HEIGHT, 0.78, pallet.draw),
    LabelLayout("air_waybill", air_waybill.WIDTH, air_waybill.HEIGHT, 0.82, air_waybill.draw),
    LabelLayout("postal", postal.WIDTH, postal.HEIGHT, 0.86, postal.draw),
    LabelLayout("carton", carton.WIDTH, carton.HEIGHT, 0.9, carton.draw),
)
