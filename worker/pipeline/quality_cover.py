"""What lies on a label, told from what is printed on it: tape, a hand or a sticker cuts lines of text, print does not.

A flat dark area may be a bar, a box or a logo as well as tape. Print keeps its distance from these, so along the edge
of a printed area paper shows everywhere; along the edge of what was laid on the label some strokes end in it.
Invariant: where it cannot be told, an area is print.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points
from worker.domain.image import Pixels, TextRegion
from worker.pipeline.quality_pixels import BLOCK_PIXELS, Figures

Labels = NDArray[np.int32]
Vector = NDArray[np.float64]

_FEWEST_CUTS: Final = 3
_MOST_ENDS: Final = 64  # that are looked at for an area
_STRIP_HEIGHT_PIXELS: Final = 32.0  # larger print is shrunk to this
_SHORTEST_LINE: Final = 1.2  # a line's least length, and all the following, in heights of the line
_REACH: Final = 2.0
_DEPTH: Final = 1.5
_LOOK_BACK: Final = 2.4
_LOOK_BACK_OF_LENGTH: Final = 0.9
_STROKE: Final = 0.12
_STEP_PIXELS: Final = 8.0

_TEXT_SIDE: Final = 0.6  # of the columns before the line's end; the detector's box may reach into the area
_LEAST_PAPER_LEVELS: Final = 15.0
_LEAST_INK_LEVELS: Final = 30.0
_USUAL_LEVEL: Final = (
    0.3  # that most of a line has at least, from the area's level to the paper's: it is no reversed print
)
_PAPER_LIKE: Final = 0.6  # from the area's level to the paper's
_STRAY_SHARE: Final = 0.1
_FEWEST_ROWS: Final = 0.6
_FEWEST_OPEN: Final = 0.25
_CUT_ROWS: Final = (0.1, 0.75)
_OPEN_PIXELS: Final = 2.0
_LEAST_STROKE_PIXELS: Final = 3.0
_EDGE_SLANTS: Final = np.tan(np.radians([-65, -55, -45, -35, -25, -15, -8, 0, 8, 15, 25, 35, 45, 55, 65]))


def cutting_areas(page: Pixels, areas: Labels, regions: Sequence[TextRegion], heights: Sequence[float]) -> set[int]:
    """Return the numbers of the areas that cut at least three lines of text.

    `page` is uint8 [H, W, 3]; `areas` int32 [rows, columns] of the page's blocks, 0 where there is none; `heights` are
    the lines' without the margins of their regions, in pixels.
    """
    cuts: dict[int, int] = {}
    looked: dict[int, int] = {}
    for region, height in zip(regions, heights, strict=True):
        for end, away, length in _ends(region, height, areas):
            area, distance = _area_beyond(areas, end, away, height)
            if not area or looked.get(area, 0) >= _MOST_ENDS or cuts.get(area, 0) >= _FEWEST_CUTS:
                continue
            looked[area] = looked.get(area, 0) + 1
            before = min(_LOOK_BACK * height, _LOOK_BACK_OF_LENGTH * length)
            strip, scale = _strip(page, (end, away), (before, distance), math.dist(region.quad[0], region.quad[3]))
            cuts[area] = cuts.get(area, 0) + _is_cut(strip, round(before * scale), height * scale)
    return {area for area, count in cuts.items() if count >= _FEWEST_CUTS}


def _ends(region: TextRegion, height: float, areas: Labels) -> Iterator[tuple[Points, Vector, float]]:
    """Give both ends of a line, with the direction out of it and its length; of a short line, or one in an area, none.

    Print on an area is light on dark: its own gaps would pass for cut strokes.
    """
    top_left, top_right, bottom_right, bottom_left = region.quad
    length = math.dist(top_left, top_right)
    thick = max(height, math.dist(top_left, bottom_left))
    if length < _SHORTEST_LINE * thick or _areas_at(areas, region.quad.mean(axis=0, keepdims=True))[0]:
        return
    along = (top_right - top_left) / length
    yield (top_right + bottom_right) / 2, along, length
    yield (top_left + bottom_left) / 2, -along, length


def _areas_at(areas: Labels, places: Points) -> Labels:
    """Return the numbers of the areas at places, float64 [n, 2]; 0 outside the page."""
    columns, rows = np.floor(places / BLOCK_PIXELS).astype(np.intp).T
    inside = (rows >= 0) & (rows < areas.shape[0]) & (columns >= 0) & (columns < areas.shape[1])
    return np.where(inside, areas[np.where(inside, rows, 0), np.where(inside, columns, 0)], 0).astype(np.int32)


def _area_beyond(areas: Labels, end: Points, away: Vector, height: float) -> tuple[int, float]:
    """Return the area that a line runs into, 0 if none, and how far from its end the area is surely reached."""
    steps = np.arange(0.0, (_REACH + _DEPTH) * height + 2 * BLOCK_PIXELS, _STEP_PIXELS)
    met = _areas_at(areas, end + steps[:, None] * away)
    first = int(np.argmax(met > 0))
    area = int(met[first])
    if not area or steps[first] > _REACH * height + 2 * BLOCK_PIXELS:
        return 0, 0.0
    inside = (met[first:] == area) & (steps[first:] <= steps[first] + _DEPTH * height)
    deep = inside.size if inside.all() else int(np.argmin(inside))
    return area, float(steps[first] + steps[first + deep - 1]) / 2


def _strip(page: Pixels, ray: tuple[Points, Vector], reach: tuple[float, float], height: float) -> tuple[Pixels, float]:
    """Cut out a line's end, straightened, the area on the right: uint8 [h, w], and the scale that it has."""
    (end, along), (before, after) = ray, reach
    scale = min(1.0, _STRIP_HEIGHT_PIXELS / height)
    down = np.array([-along[1], along[0]])
    corner = end - along * before - down * height / 2
    to_page = np.column_stack([along / scale, down / scale, corner])
    size = max(8, round((before + after) * scale)), max(8, round(height * scale))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    strip = cv2.warpAffine(page, to_page, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(strip, cv2.COLOR_BGR2GRAY), dtype=np.uint8), scale


def _is_cut(strip: Pixels, line_columns: int, height: float) -> bool:
    """Tell whether strokes end in the area on the right of a strip, [h, w] with a line of print on its left.

    In each row the last place that is as bright as paper is looked for. Where there is no stroke it lies on the area's
    edge, which is straight nearly; where a stroke ends in the area it lies before the stroke, with a jump.
    """
    bright = _paper_like(strip, line_columns)
    if bright is None or bright[:, -2:].any(axis=1).mean() > _STRAY_SHARE:
        return False
    last = bright.shape[1] - 1 - np.argmax(bright[:, ::-1], axis=1)
    rows = np.flatnonzero(bright.any(axis=1) & (last >= _STRAY_SHARE * line_columns))
    if rows.size < _FEWEST_ROWS * len(last):
        return False
    places = last[rows].astype(np.float32)
    slant, offset = _edge(rows, places)
    stroke = max(_LEAST_STROKE_PIXELS, _STROKE * height)
    away = places - slant * rows - offset
    if (away > _LEAST_STROKE_PIXELS).mean() > _STRAY_SHARE or (np.abs(away) <= _OPEN_PIXELS).mean() < _FEWEST_OPEN:
        return False
    share = float((away < -stroke).mean())
    steps = away[2:] - away[:-2]
    # An area with a step in its edge has one jump alone.
    return _CUT_ROWS[0] <= share <= _CUT_ROWS[1] and bool((steps >= stroke).any() and (steps <= -stroke).any())


def _paper_like(strip: Pixels, line_columns: int) -> NDArray[np.bool_] | None:
    """Return which pixels are as bright as the paper between strokes; None if there is no dark print on light paper."""
    area = float(np.median(strip[:, -4:]))
    text = strip[:, : max(4, round(_TEXT_SIDE * line_columns))]
    ink, usual, paper = np.quantile(text, [0.03, 0.5, 0.9]).tolist()
    if (
        paper - area < _LEAST_PAPER_LEVELS
        or paper - ink < _LEAST_INK_LEVELS
        or usual < area + _USUAL_LEVEL * (paper - area)
    ):
        return None
    bright: NDArray[np.bool_] = strip >= area + _PAPER_LIKE * (paper - area)
    return bright


def _edge(rows: NDArray[np.intp], places: Figures) -> tuple[float, float]:
    """Return (slant, offset) of the line on which most rows end and hardly any beyond; of equal ones the last."""
    away = places - _EDGE_SLANTS[:, None] * rows
    distances = away[:, :, None] - np.round(away)[:, None, :]
    votes = (np.abs(distances) <= _OPEN_PIXELS).sum(axis=1)
    votes[(distances > _LEAST_STROKE_PIXELS).mean(axis=1) > _STRAY_SHARE] = 0
    slant, row = np.unravel_index(int(np.lexsort((away.ravel(), votes.ravel()))[-1]), away.shape)
    return float(_EDGE_SLANTS[slant]), float(np.round(away[slant, row]))
