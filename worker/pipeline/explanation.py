"""How a page was searched for text, for people who want to know why it reads as it does."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from worker.domain.geometry import Transform
from worker.domain.image import Tile

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PageSearch:
    """What the detector was shown of one page.

    `scale` is pixels of the search for each of the page; `tiles` are what it was shown, (left, top, right, bottom) in
    pixels of the upright page; `streamed` pages were decoded while they were read; `sideways` ones were turned for it.
    """

    scale: float
    tiles: tuple[Rectangle, ...]
    streamed: bool = False
    sideways: bool = False


def tiles_on_page(tiles: Iterable[Tile], to_page: Transform) -> tuple[Rectangle, ...]:
    """Return where tiles lie on the page; their padding may reach beyond it."""
    rectangles = []
    for tile in tiles:
        height, width = tile.pixels.shape[:2]
        rectangles.append(rectangle((0.0, 0.0, float(width), float(height)), tile.to_map.then(to_page)))
    return tuple(rectangles)


def rectangle(corners: Rectangle, transform: Transform) -> Rectangle:
    """Return where a rectangle lies after a transform by quarter turns and scales."""
    left, top, right, bottom = corners
    moved = transform.apply(np.array([[left, top], [right, bottom]]))
    (x0, y0), (x1, y1) = moved.min(axis=0), moved.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)
