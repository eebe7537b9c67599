"""Pages made of boxes of text, as a reader would hand them over."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from worker.domain.image import PageText, TextLine
from worker.pipeline.extract.candidate import Candidate
from worker.pipeline.extract.context.finder import ContextFinder
from worker.pipeline.extract.neighbors import Neighbors
from worker.pipeline.extract.resolve_overlaps import resolve_overlaps

Box = tuple[str, float, float, float]  # text, left, top, height
_WIDTH_OF_A_LETTER = 0.55  # in heights


def sheet(boxes: Sequence[Box], degrees: float = 0.0) -> PageText:
    """Lay lines on a page of 4000 x 4000 pixels and turn it clockwise."""
    radians = math.radians(degrees)
    turn = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])
    lines = []
    for text, left, top, height in boxes:
        right = left + _WIDTH_OF_A_LETTER * height * len(text)
        corners = np.array([(left, top), (right, top), (right, top + height), (left, top + height)])
        lines.append(TextLine(text, 0.99, corners @ turn.T + 2000, degrees % 360))
    return PageText(4000, 4000, tuple(lines))


def stack(text: str, left: float, top: float, height: float, pitch: float = 1.25) -> list[Box]:
    """Put lines below one another; `pitch` is from line to line, in heights."""
    return [(line, left, top + pitch * height * number, height) for number, line in enumerate(text.split("|"))]


def found_on(page: PageText, phone_region: str | None = None) -> list[Candidate]:
    """Return what stays of the candidates."""
    return resolve_overlaps(ContextFinder(phone_region)(page, Neighbors.of(page)))


def values(page: PageText, phone_region: str | None = None) -> Mapping[str, list[str]]:
    """Return the values that are found, sorted, by their type."""
    told: dict[str, list[str]] = {}
    for candidate in found_on(page, phone_region):
        told.setdefault(candidate.type, []).append(candidate.value)
    return {kind: sorted(found) for kind, found in told.items()}
