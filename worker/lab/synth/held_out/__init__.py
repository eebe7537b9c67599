"""Layouts, fonts, places and ways to print values that nothing is tuned on: only figures on these are worth showing.

Whoever works on reading, fields or the quality gate looks neither at these layouts nor at their pictures.
"""

from typing import Final

from worker.lab.synth.fonts import Face, Family
from worker.lab.synth.held_out import cargo, countries, customs, express, marks, overnight, packing, priority, returns
from worker.lab.synth.layouts import LabelLayout

_DEJAVU: Final = "mpl-data/fonts/ttf"
_FAMILIES: Final = (
    Family(Face("matplotlib", "DejaVuSansMono.ttf", _DEJAVU), Face("matplotlib", "DejaVuSansMono-Bold.ttf", _DEJAVU)),
    Family(Face("matplotlib", "DejaVuSans.ttf", _DEJAVU), Face("matplotlib", "DejaVuSans-Bold.ttf", _DEJAVU)),
    Family(Face("font_manrope", "Manrope-Medium.ttf"), Face("font_manrope", "Manrope-Bold.ttf")),
    Family(Face("font_caladea", "Caladea-Regular.ttf"), Face("font_caladea", "Caladea-Bold.ttf")),
)

HELD_OUT: Final = (
    LabelLayout("customs", customs.WIDTH, customs.HEIGHT, 0.92, customs.draw, countries.WORLD, _FAMILIES),
    LabelLayout("returns", returns.WIDTH, returns.HEIGHT, 0.92, returns.draw, countries.EUROPE, _FAMILIES),
    LabelLayout("overnight", overnight.WIDTH, overnight.HEIGHT, 0.92, overnight.draw, countries.AMERICA, _FAMILIES),
    LabelLayout("express", express.WIDTH, express.HEIGHT, 0.92, express.draw, countries.WORLD, _FAMILIES),
    LabelLayout("packing", packing.WIDTH, packing.HEIGHT, 0.92, packing.draw, countries.EUROPE, _FAMILIES),
    LabelLayout("marks", marks.WIDTH, marks.HEIGHT, 0.92, marks.draw, countries.WORLD, _FAMILIES),
    LabelLayout("cargo", cargo.WIDTH, cargo.HEIGHT, 0.92, cargo.draw, countries.WORLD, _FAMILIES),
    LabelLayout("priority", priority.WIDTH, priority.HEIGHT, 0.92, priority.draw, countries.AMERICA, _FAMILIES),
)
