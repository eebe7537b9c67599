"""How good a picture of a page is."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageQuality:
    """What was measured of a page, and what it means for reading it.

    `score` is the expected share of text that reads right, from 0 to 1, as calibrated on degraded labels.
    `measures` are the single figures by name; `problems` names those that are under their floor, the worst first.
    """

    score: float
    measures: Mapping[str, float]
    problems: tuple[str, ...] = ()
