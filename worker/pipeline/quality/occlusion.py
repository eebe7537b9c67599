"""What lies on a label, told from what is printed on it: tape, a hand or a sticker cuts lines of text, print does not.

A flat dark area may be a bar, a box or a logo as well as tape. Print keeps its distance from these, so along the edge
of a printed area paper shows everywhere; along the edge of what was laid on the label some strokes end in it.
Invariant: where it cannot be told, an area is print.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points, Transform, lengths_and_heights
from worker.domain.image import Pixels, TextRegion
from worker.pipeline.quality.blocks import BLOCK_PIXELS, Figures
from worker.pipeline.warp import warped

Labels = NDArray[np.int32]
Vector = NDArray[np.float64]

_MIN_CUTS: Final = 3
_MAX_ENDS: Final = 64  # that are looked at for an area
_STRIP_HEIGHT_PIXELS: Final = 32.0  # larger print is shrunk to this
_SHORTEST_LINE: Final = 1.2  # a line's least length, and all the following, in heights of the line
_REACH: Final = 2.0
_DEPTH: Final = 1.5
_LOOK_BACK: Final = 2.4
_LOOK_BACK_OF_LENGTH: Final = 0.9
_STROKE: Final = 0.12
_STEP_PIXELS: Final = 8.0

_TEXT_SIDE: Final = 0.6  # of the columns before the line's end; the detector's box may reach into the area
_MIN_PAPER_LEVELS: Final = 15.0
_MIN_INK_LEVELS: Final = 30.0
_USUAL_LEVEL: Final = (
    0.3  # that most of a line has at least, from the area's level to the paper's: it is no reversed print
)
_PAPER_LIKE: Final = 0.6  # from the area's level to the paper's
_STRAY_SHARE: Final = 0.1
_MIN_ROWS: Final = 0.6
_MIN_OPEN: Final = 0.25
_CUT_ROWS: Final = (0.1, 0.75)
_OPEN_PIXELS: Final = 2.0
_MIN_STROKE_PIXELS: Final = 3.0
_EDGE_SLANTS: Final = np.tan(np.radians([-65, -55, -45, -35, -25, -15, -8, 0, 8, 15, 25, 35, 45, 55, 65]))


def cutting_areas(page: Pixels, areas: Labels, regions: Sequence[TextRegion], heights: Vector) -> set[int]:
    """Return the numbers of the areas that cut at least three lines of text.

    `page` is uint8 [H, W, 3]; `areas` int32 [rows, columns] of the page's blocks, 0 where there is none; `heights` are
    the lines', float64 [n], without the margins of their regions, in pixels.
    """
    cuts: dict[int, int] = {}
    looked: dict[int, int] = {}
    lines = _lines(areas, regions, heights)
    ends, away = lines.ends, lines.away
    met, distances = _areas_beyond(areas, lines)
    for number in np.flatnonzero(met).tolist():
        area, height = int(met[number]), float(lines.heights[number])
        if looked.get(area, 0) >= _MAX_ENDS or cuts.get(area, 0) >= _MIN_CUTS:
            continue
        looked[area] = looked.get(area, 0) + 1
        before = min(_LOOK_BACK * height, _LOOK_BACK_OF_LENGTH * float(lines.lengths[number]))
        reach = before, float(distances[number])
        strip, scale = straight_end(page, (ends[number], away[number]), reach, float(lines.thicknesses[number]))
        cuts[area] = cuts.get(area, 0) + _is_cut(strip, round(before * scale), height * scale)
    return {area for area, count in cuts.items() if count >= _MIN_CUTS}


@dataclass(frozen=True, slots=True)
class _Lines:
    """Both ends of `n` lines, float64 [2n, 2], the directions `away` from the lines, and the lines' figures [2n]."""

    ends: Points
    away: Points
    heights: Vector
    lengths: Vector
    thicknesses: Vector


def _lines(areas: Labels, regions: Sequence[TextRegion], heights: Vector) -> _Lines:
    """Take both ends of the lines, save of short ones and of those within an area.

    Print on an area is light on dark: its own gaps would pass for cut strokes.
    """
    quads = np.stack([region.quad for region in regions])
    along = quads[:, 1] - quads[:, 0]
    lengths, thicknesses = lengths_and_heights(quads)
    lengths, thicknesses = np.maximum(lengths, 1.0), np.maximum(thicknesses, heights)
    taken = (lengths >= _SHORTEST_LINE * thicknesses) & (_areas_at(areas, quads.mean(axis=1)) == 0)
    right, left = quads[:, [1, 2]].mean(axis=1)[taken], quads[:, [0, 3]].mean(axis=1)[taken]
    away = (along / lengths[:, np.newaxis])[taken]
    twice = [np.tile(figures[taken], 2) for figures in (heights, lengths, thicknesses)]
    return _Lines(np.concatenate([right, left]), np.concatenate([away, -away]), *twice)


def _areas_at(areas: Labels, places: Points) -> Labels:
    """Return the numbers of the areas at places, float64 [..., 2]; 0 outside the page."""
    columns, rows = np.moveaxis(np.floor(places / BLOCK_PIXELS).astype(np.intp), -1, 0)
    inside = (rows >= 0) & (rows < areas.shape[0]) & (columns >= 0) & (columns < areas.shape[1])
    return np.where(inside, areas[np.where(inside, rows, 0), np.where(inside, columns, 0)], 0).astype(np.int32)


def _areas_beyond(areas: Labels, lines: _Lines) -> tuple[Labels, Vector]:
    """Return which area each end runs into, 0 if none, and how far from it that area is surely reached, in pixels."""
    reach = _REACH * lines.heights + 2 * BLOCK_PIXELS
    depth = _DEPTH * lines.heights
    steps = np.arange(0.0, float(np.max(reach + depth, initial=0.0)) + _STEP_PIXELS, _STEP_PIXELS)
    met = _areas_at(areas, lines.ends[:, np.newaxis] + steps[:, np.newaxis] * lines.away[:, np.newaxis])
    firsts = np.argmax(met > 0, axis=1)
    entered = steps[firsts]
    found = np.where(entered <= reach, met[np.arange(len(met)), firsts], 0)
    outside = (met != found[:, np.newaxis]) & (steps > entered[:, np.newaxis])
    left = np.where(outside.any(axis=1), steps[np.argmax(outside, axis=1)], math.inf)
    return found, (entered + np.minimum(left - _STEP_PIXELS, entered + depth)) / 2


def straight_end(
    page: Pixels, ray: tuple[Points, Vector], reach: tuple[float, float], height: float
) -> tuple[Pixels, float]:
    """Cut out a line's end, straightened, the area on the right: uint8 [h, w], and the scale that it has.

    `ray` is the middle of the end, float64 [2], and the direction in which the line runs into the area; `reach` is how
    many pixels of the page are shown before the end and beyond it.
    """
    (end, along), (before, after) = ray, reach
    scale = min(1.0, _STRIP_HEIGHT_PIXELS / height)
    down = np.array([-along[1], along[0]])
    corner = end - along * before - down * height / 2
    to_page = Transform(np.column_stack([along / scale, down / scale, corner]))
    size = max(8, round((before + after) * scale)), max(8, round(height * scale))
    strip = warped(page, to_page, size, cv2.INTER_LINEAR)
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
    if rows.size < _MIN_ROWS * len(last):
        return False
    places = last[rows].astype(np.float32)
    slant, offset = _edge(rows, places)
    stroke = max(_MIN_STROKE_PIXELS, _STROKE * height)
    away = places - slant * rows - offset
    if (away > _MIN_STROKE_PIXELS).mean() > _STRAY_SHARE or (np.abs(away) <= _OPEN_PIXELS).mean() < _MIN_OPEN:
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
        paper - area < _MIN_PAPER_LEVELS
        or paper - ink < _MIN_INK_LEVELS
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
    votes[(distances > _MIN_STROKE_PIXELS).mean(axis=1) > _STRAY_SHARE] = 0
    slant, row = np.unravel_index(int(np.lexsort((away.ravel(), votes.ravel()))[-1]), away.shape)
    return float(_EDGE_SLANTS[slant]), float(np.round(away[slant, row]))
