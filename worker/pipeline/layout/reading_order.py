"""Lines that were read to the text of a page, in reading order.

Invariant: the order follows the geometry of the lines themselves, so a page that lies skew or on its head reads as an
upright one; no distance is fixed in pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.domain.barcode import DecodedBarcode
from worker.domain.geometry import Points, lengths_and_heights, weighted_quantile
from worker.domain.image import Character, PageText, TextLine
from worker.pipeline.layout.stacked import join_stacked
from worker.pipeline.options import PipelineOptions
from worker.pipeline.recognize.read import ReadLine

_QUARTER_TURN_DEGREES = 90.0
_FULL_TURN_DEGREES = 360.0
_TINY = 1e-9

# The recognizer wants a margin around the ink; who looks at a polygon wants the ink. On dev receipts the published
# polygons' detection hmean is 0.80 with the whole growth, 0.92 without this part of it, and flat around that.
_MARGIN_OF_GROWTH = 0.4


def assemble(size: tuple[int, int], lines: Sequence[TextLine], barcodes: tuple[DecodedBarcode, ...] = ()) -> PageText:
    """Return the text of a page of `size` (width, height): stacked characters joined, and lines in reading order."""
    return PageText(*size, tuple(reading_order(join_stacked(lines))), barcodes)


def place_lines(lines: Sequence[ReadLine], width: int, height: int, options: PipelineOptions) -> list[TextLine]:
    """Return the lines that are worth keeping, each in its place on a page of `width` x `height` pixels."""
    kept = [line for line in lines if line.confidence >= options.min_line_confidence and line.text.strip()]
    insets = _MARGIN_OF_GROWTH * np.array([line.region.growth_pixels for line in kept], dtype=np.float64)
    quads = _pulled_in(np.array([line.region.quad for line in kept], dtype=np.float64).reshape(-1, 4, 2), insets)
    upside_down = [line.upside_down for line in kept]
    quads[upside_down] = np.roll(quads[upside_down], -2, axis=1)
    polygons, edges = np.clip(quads, 0.0, (width, height)), (quads[:, 1] - quads[:, 0]).tolist()
    return [_as_text_line(*values) for values in zip(kept, polygons, edges, strict=True)]


def reading_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """Order lines by rows from top to bottom and within a row from left to right, as the text itself stands.

    The page is turned by its dominant text angle first. A line joins a row if its middle lies within the vertical
    extent of the row's nearest line to its left or right, or the other way round.
    """
    if not lines:
        return []
    extents = _extents(lines, page_angle_degrees(lines))
    rows = _Rows(len(lines))
    sides = np.stack([extents.left, extents.right, extents.top, extents.bottom], axis=1).tolist()
    for index in np.argsort(extents.middle, kind="stable").tolist():
        rows.add(index, *sides[index])
    return [lines[index] for row in rows.from_top_to_bottom() for index in row]


def grown_from_published(polygon: Points, unclip_ratio: float) -> Points:
    """Return the region that the recognizer got for a line whose published polygon this is; both are float64 [4, 2].

    A detector's rectangle of width w and height h grows by d = ratio · w · h / 2 (w + h) to all sides, and the
    published one is smaller by a part of d. So d follows from the published rectangle: the lower root of a quadratic.
    """
    length, height = map(float, lengths_and_heights(polygon))
    both, kept, ratio = length + height, 2 * (1 - _MARGIN_OF_GROWTH), unclip_ratio
    # d · 2 (both - 2 kept d) = ratio (length - kept d) (height - kept d)
    squared = ratio * kept * kept + 4 * kept
    linear = -(ratio * kept + 2) * both
    discriminant = linear * linear - 4 * squared * ratio * length * height
    growth = (-linear - math.sqrt(max(0.0, discriminant))) / (2 * squared)
    return _pulled_in(polygon[np.newaxis], np.array([-_MARGIN_OF_GROWTH * growth])).reshape(4, 2)


def page_angle_degrees(lines: Sequence[TextLine]) -> float:
    """Return the clockwise angle at which most of the text runs, each line weighing its length."""
    angles = np.array([line.rotation_degrees for line in lines])
    lengths, _ = lengths_and_heights(np.array([line.polygon for line in lines]))
    quarters = np.round(angles / _QUARTER_TURN_DEGREES).astype(int) % 4
    quarter = int(np.argmax(np.bincount(quarters, weights=lengths, minlength=4)))
    members = quarters == quarter
    upright = quarter * _QUARTER_TURN_DEGREES
    skews = (angles[members] - upright + _FULL_TURN_DEGREES / 2) % _FULL_TURN_DEGREES - _FULL_TURN_DEGREES / 2
    return upright + weighted_quantile(skews, lengths[members])


@dataclass(frozen=True, slots=True)
class _Extents:
    """Where lines lie once the page is turned upright; all arrays are [n]."""

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    top: NDArray[np.float64]
    bottom: NDArray[np.float64]

    @property
    def middle(self) -> NDArray[np.float64]:
        return (self.top + self.bottom) / 2


def _extents(lines: Sequence[TextLine], angle_degrees: float) -> _Extents:
    """Take the height at each line's middle, so that a long line that lies a little skew does not look tall."""
    radians = math.radians(angle_degrees)
    along = np.array([math.cos(radians), math.sin(radians)])
    down = np.array([-along[1], along[0]])
    corners = np.array([line.polygon for line in lines])
    x, y = corners @ along, corners @ down
    return _Extents(x.min(axis=1), x.max(axis=1), y[:, :2].mean(axis=1), y[:, 2:].mean(axis=1))


class _LineRow:
    """Lines side by side, in the order in which they joined."""

    def __init__(self) -> None:
        self.members: list[int] = []
        self.middles: list[float] = []
        self._sides: list[tuple[float, float]] = []
        self._extents_down: list[tuple[float, float]] = []

    def add(self, index: int, left: float, right: float, top: float, bottom: float) -> None:
        self.members.append(index)
        self.middles.append((top + bottom) / 2)
        self._sides.append((left, right))
        self._extents_down.append((top, bottom))

    def takes(self, left: float, right: float, top: float, bottom: float) -> bool:
        """Say whether a line lies beside the one of the row that is nearest to it."""
        gaps = [max(left - its_right, its_left - right) for its_left, its_right in self._sides]
        nearest = gaps.index(min(gaps))
        its_top, its_bottom = self._extents_down[nearest]
        return its_top <= (top + bottom) / 2 <= its_bottom or top <= self.middles[nearest] <= bottom

    def from_left_to_right(self) -> list[int]:
        return [index for _, index in sorted(zip(self._sides, self.members, strict=True), key=lambda pair: pair[0][0])]


class _Rows:
    """The rows of a page, which lines join in the order of their middles."""

    def __init__(self, capacity: int) -> None:
        self._rows: list[_LineRow] = []
        self._lowest = np.empty(capacity)  # bottom of each row
        self._latest = np.empty(capacity)  # middle of each row's last line, its greatest

    def add(self, index: int, left: float, right: float, top: float, bottom: float) -> None:
        """Let a line join the last row that takes it, or begin one."""
        count, middle = len(self._rows), (top + bottom) / 2
        # Rows that end above the line cannot take it: most of a long page is left out at once.
        possible = np.flatnonzero((self._lowest[:count] >= middle) | (self._latest[:count] >= top))
        number = next(
            (number for number in reversed(possible.tolist()) if self._rows[number].takes(left, right, top, bottom)),
            count,
        )
        if number == count:
            self._rows.append(_LineRow())
            self._lowest[number] = bottom
        self._rows[number].add(index, left, right, top, bottom)
        self._lowest[number] = max(self._lowest[number], bottom)
        self._latest[number] = middle

    def from_top_to_bottom(self) -> list[list[int]]:
        """Return the rows in order, each from left to right."""
        ordered = sorted(self._rows, key=lambda row: sum(row.middles) / len(row.middles))
        return [row.from_left_to_right() for row in ordered]


def _as_text_line(line: ReadLine, polygon: Points, along: tuple[float, float]) -> TextLine:
    """Return a line at its place on the page; `along` is its upper edge, before it was kept on the page."""
    dx, dy = along
    # Rounded before the modulus: a negative angle near zero would become 360.
    rotation = round(math.degrees(math.atan2(dy, dx)), 2) % _FULL_TURN_DEGREES
    text, characters = _stripped(line)
    return TextLine(text, line.confidence, polygon, rotation, characters)


def _stripped(line: ReadLine) -> tuple[str, tuple[Character, ...]]:
    """Return text and characters without the spaces at both ends; the ones still spell the other."""
    characters = line.characters
    if not characters or not (characters[0].text.isspace() or characters[-1].text.isspace()):
        return line.text.strip(), characters
    blank = [character.text.isspace() for character in characters]
    first, last = blank.index(False), len(blank) - blank[::-1].index(False)
    return line.text.strip(), line.characters[first:last]


def _pulled_in(quads: Points, insets: NDArray[np.float64]) -> Points:
    """Move each edge of rectangles, [n, 4, 2], inwards by so many pixels, [n]."""
    along, down = quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0]
    aside, below = (
        edge * (insets / np.maximum(np.hypot(edge[:, 0], edge[:, 1]), _TINY))[:, np.newaxis] for edge in (along, down)
    )
    return quads + np.stack([aside + below, below - aside, -aside - below, aside - below], axis=1)
