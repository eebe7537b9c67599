"""Where a page may show MaxiCode, and how to draw it anew: zxing-cpp reads only upright symbols on bare paper.

The symbol is found by its bullseye (ISO/IEC 16023, 4.11): rings of even width, seen alike along a row and a column. The
rings tell how it lies but for its turn, the six patterns around them tell the turn, and the modules that are seen then
draw the grid of hexagons tight, perspective and all. Invariant: nothing here decides what a symbol says.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points
from worker.domain.image import Pixels
from worker.pipeline.barcodes.texture import Middles

MIN_SIDE_PIXELS: Final = 70
"""The height of a symbol whose bullseye is found."""

_ROW_STEP: Final = 4
_LIGHT_PIXELS: Final = 61  # a threshold follows the light over this length
_DARKER: Final = 8
_RUNS: Final = 9
_MIDDLE: Final = 4
_MIN_RING_PIXELS: Final = 2.0
_MAX_UNEVEN: Final = 0.45
_MAX_OBLONG: Final = 1.3
_RINGS: Final = np.array([1, 1, 1, 1, 1.5, 1, 1, 1, 1])  # from the outer light ring over the middle to its other side
_CENTERS: Final = np.array([-4.25, -3.25, -2.25, -1.25, 0, 1.25, 2.25, 3.25, 4.25])
_SHIFTS: Final = np.array([-0.6, -0.3, 0.0, 0.3, 0.6])  # a row may meet the middle off its center
_SURE_HALF: Final = 15.0  # in widths of a ring: what any symbol around a bullseye fills
_MAX_BULLSEYES: Final = 16
_FINE_BLOCKS: Final = 8  # a bullseye of so many blocks has none without an edge

# The symbol's own plane: x and y in widths of a module from the bullseye's middle.
_ROWS: Final = 33
_COLUMNS: Final = 30
_ROW_PITCH: Final = math.sqrt(3) / 2
_RING: Final = 0.8
_EDGES: Final = 0.59 + _RING * np.arange(5)  # radii at which the rings begin and end; modules touch the outermost
_OUTLINE: Final = np.array([(-14.5, -14.4), (15.5, -14.4), (15.5, 14.4), (-14.5, 14.4)])
# The patterns around the bullseye: column, row and whether it is dark (ISO/IEC 16023, figure 5).
_ORIENTATION: Final = (
    *((10, 9, True), (11, 9, True), (11, 10, True)),
    *((17, 9, False), (17, 10, False), (18, 10, False)),
    *((7, 15, True), (7, 16, False), (8, 16, True)),
    *((20, 16, True), (21, 16, False), (20, 17, True)),
    *((10, 22, True), (11, 22, False), (10, 23, True)),
    *((17, 22, True), (16, 23, False), (17, 23, True)),
)
_TURN_STEP_DEGREES: Final = 3
_MIN_LIKENESS: Final = 0.55  # of the patterns; print around a false bullseye has less
_MIN_SURE_LIKENESS: Final = 0.8  # once the modules near the middle have drawn the grid tight
_MAX_TURNS: Final = 2
_NEAR_TURNS: Final = 5
_SIZES: Final = (1.0, 1.06, 1.12, 0.95)  # print and blur change the rings against the modules

_RAYS: Final = 48
_RADIUS_STEPS: Final = 128
_FARTHEST: Final = 5.6  # a symbol that lies askew has its rings farther out in some directions
_MIN_RAYS: Final = 24
_SAMPLED: Final = 6  # pixels of a module where it is looked at
_FIELD: Final = np.array([16.0, 15.0])  # half of what is looked at, in modules
_BULLSEYE: Final = 4.7
_REACHES: Final = (
    8.0,
    10.0,
    12.0,
    14.0,
    17.0,
    23.0,
)  # modules around the middle that draw the grid tight, step by step
_LEVELS: Final = (0.5, 0.42, 0.58)  # between dark and light: print may be fat or thin
_CELL: Final = 8  # pixels of a module that is drawn anew
_QUIET_CELLS: Final = 2


@dataclass(frozen=True, slots=True)
class Bullseye:
    """The middle of the rings in pixels, float64 [2], and the width of one ring."""

    middle: Points
    ring_pixels: float

    @property
    def surroundings(self) -> Points:
        """Corners, float64 [4, 2], of a square that any symbol around the bullseye fills, however it lies."""
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float64)
        return np.asarray(self.middle + corners * (_SURE_HALF * self.ring_pixels), dtype=np.float64)


def find_bullseyes(gray: Pixels, middles: Middles, known: Sequence[Points] = ()) -> list[Bullseye]:
    """Return the bullseyes of a picture, uint8 [h, w], outside of known areas, float64 [4, 2] each and convex.

    `middles` are those of squares of `MIN_SIDE_PIXELS` that may be a part of a symbol; only of a bullseye so large that
    its rings are wider than blocks nothing is asked.
    """
    hulls = [cv2.convexHull(area.astype(np.float32)) for area in known]
    rows = np.ascontiguousarray(gray[::_ROW_STEP])
    found: list[Bullseye] = []
    for x, y, length in _ringed_below(gray, *_ringed(_is_dark(rows).ravel()), rows.shape[1]):
        if length <= _FINE_BLOCKS * middles.block_pixels and not middles.has(x, y):
            continue
        if any(math.dist(eye.middle, (x, y)) < 2 * length for eye in found):
            continue
        if any(cv2.pointPolygonTest(hull, (x, y), measureDist=False) >= 0 for hull in hulls):
            continue
        eye = _confirmed(gray, x, y, length)
        if eye is not None:
            found.append(eye)
        if len(found) == _MAX_BULLSEYES:
            break
    return found


def _ringed_below(
    gray: Pixels, starts: NDArray[np.intp], lengths: NDArray[np.intp], width: int
) -> list[tuple[float, float, float]]:
    """Return (x, y, length) of those runs whose column has a few places light and dark as rings are.

    It is a cheap look, at all of them at once, that spares most dear ones.
    """
    if not len(starts):
        return []
    rows, lefts = np.divmod(starts, width)
    x, y = lefts + lengths / 2, rows * _ROW_STEP + 0.5
    places = y[:, np.newaxis, np.newaxis] + (lengths / _RINGS.sum())[:, np.newaxis, np.newaxis] * (
        _SHIFTS[:, np.newaxis] + _CENTERS
    )
    inside = np.clip(np.round(places).astype(np.intp), 0, gray.shape[0] - 1)
    levels = gray[inside, np.minimum(x, width - 1).astype(np.intp)[:, np.newaxis, np.newaxis]]
    darkest_light, lightest_dark = np.sort(levels[..., ::2])[..., 1], np.sort(levels[..., 1::2])[..., -2]
    kept = (darkest_light > lightest_dark).any(axis=1) & (x < width)  # one of each may be wrong
    return list(zip(x[kept].tolist(), y[kept].tolist(), lengths[kept].tolist(), strict=True))


def redrawn(gray: Pixels, eye: Bullseye) -> Iterator[tuple[Pixels, NDArray[np.float64]]]:
    """Yield the symbol around a bullseye drawn anew, upright, uint8 [h, w], and how it lies.

    That is the map from the symbol's plane to the picture, float64 [3, 3].

    What is yielded first fits least tightly and costs least. Nothing is yielded where the patterns around the bullseye
    are not those of MaxiCode.
    """
    lying = _lying(gray, eye)
    if lying is None:
        return
    for turned in _turned(gray, lying):
        for grid in _tighter(gray, turned):
            field = _field(gray, grid)
            for level in _LEVELS:
                yield _drawn(_dark_modules(field, level)), grid


def outline(gray: Pixels, grid: NDArray[np.float64]) -> Points:
    """Return the corners of a symbol that lies so, float64 [4, 2]; its outermost modules say where they are."""
    tight = _tightened(gray, grid, _REACHES[-1])
    grid = grid if tight is None else tight
    return np.asarray(cv2.perspectiveTransform(_OUTLINE[np.newaxis], grid)[0], dtype=np.float64)


def _modules() -> Points:
    """Return the middles of all modules in the symbol's plane, float64 [rows, columns, 2]."""
    rows, columns = np.mgrid[:_ROWS, :_COLUMNS].astype(np.float64)
    return np.stack([columns - 14 + (rows % 2) / 2, (rows - 16) * _ROW_PITCH], axis=-1)


_MODULES: Final = _modules()
_PATTERNS: Final = np.array([_MODULES[row, column] for column, row, _ in _ORIENTATION])
_PATTERN_SIGNS: Final = np.array([-1.0 if dark else 1.0 for *_, dark in _ORIENTATION])


def _lying(gray: Pixels, eye: Bullseye) -> NDArray[np.float64] | None:
    """Return the map from the symbol's plane to the picture as the rings show it, float64 [3, 3], turned anyhow."""
    middle, module = eye.middle, eye.ring_pixels / _RING
    angles = np.arange(_RAYS) * (2 * math.pi / _RAYS)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for _ in range(2):
        radii = np.linspace(0, _FARTHEST * module, _RADIUS_STEPS)
        places = middle + radii[np.newaxis, :, np.newaxis] * rays[:, np.newaxis]
        crossings = _crossings(_levels(gray, places)) * (radii[1] - radii[0])
        seen = np.isfinite(crossings).all(axis=1)
        if np.count_nonzero(seen) < _MIN_RAYS:
            return None
        # Along a ray the edges lie at start + scale * radius; the starts say how far off the middle is.
        terms = np.stack([np.ones_like(_EDGES), _EDGES], axis=1)
        starts, scales = np.linalg.lstsq(terms, crossings[seen].T, rcond=None)[0]
        middle = middle + np.linalg.lstsq(rays[seen], starts, rcond=None)[0]
    x, y = rays[seen].T
    squares = np.linalg.lstsq(np.stack([x * x, 2 * x * y, y * y], axis=1), scales**-2.0, rcond=None)[0]
    values, vectors = np.linalg.eigh(np.array([squares[:2], squares[1:]]))
    if values[0] <= 0 or values[1] > _MAX_OBLONG**4 * values[0]:
        return None
    lying = np.eye(3)
    lying[:2, :2], lying[:2, 2] = vectors @ np.diag(values**-0.5) @ vectors.T, middle
    return lying


def _crossings(profiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where profiles [rays, steps] from the middle out pass the first five edges of the rings; NaN if never."""
    high, low = profiles.max(axis=1), profiles.min(axis=1)
    away = profiles - ((high + low) / 2)[:, np.newaxis]
    found = np.full((len(profiles), len(_EDGES)), np.nan)
    for ray, line in enumerate(away):
        changes = np.flatnonzero((line[1:] > 0) != (line[:-1] > 0))[: len(_EDGES)]
        if line[0] > 0 and len(changes) == len(_EDGES):
            found[ray] = changes + line[changes] / (line[changes] - line[changes + 1])
    return found


def _levels(gray: Pixels, places: Points) -> NDArray[np.float64]:
    """Return the levels of a picture at places, float64 [a, b, 2]; beyond its edge those of its edge."""
    at = (places - 0.5).astype(np.float32)  # OpenCV counts from pixel centers
    found = cv2.remap(gray, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, dtype=np.float64)


def _turned(gray: Pixels, lying: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the maps, turned so that the patterns around the bullseye look as they should, the likeliest first."""
    angles = np.arange(0, 360, _TURN_STEP_DEGREES)
    turns = np.array([[size * _turn(float(angle)) for angle in angles] for size in _SIZES])
    turned = lying[:2, :2] @ turns
    places = np.einsum("saij,pj->sapi", turned, _PATTERNS) + lying[:2, 2]
    side = max(1, round(0.6 * math.sqrt(abs(np.linalg.det(lying[:2, :2])))))
    levels = _levels(np.asarray(cv2.blur(gray, (side, side)), dtype=np.uint8), places.reshape(-1, len(_PATTERNS), 2))
    away = levels - levels.mean(axis=1, keepdims=True)
    signs = _PATTERN_SIGNS - _PATTERN_SIGNS.mean()
    norms = np.maximum(np.linalg.norm(away, axis=1), 1.0) * np.linalg.norm(signs)
    likeness = ((away @ signs) / norms).reshape(turns.shape[:2])
    found: list[NDArray[np.float64]] = []
    for _ in range(_MAX_TURNS):
        size, at = np.unravel_index(int(likeness.argmax()), likeness.shape)
        if likeness[size, at] < _MIN_LIKENESS:
            break
        grid = lying.copy()
        grid[:2, :2] = turned[size, at]
        found.append(grid)
        likeness[:, np.arange(at - _NEAR_TURNS, at + _NEAR_TURNS + 1) % len(angles)] = -1
    return found


def _turn(degrees: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


_TO_PLANE: Final = np.array(
    [[1 / _SAMPLED, 0, 0.5 / _SAMPLED - _FIELD[0]], [0, 1 / _SAMPLED, 0.5 / _SAMPLED - _FIELD[1]], [0, 0, 1]]
)
"""From pixels of the field, counted from their centers, to the symbol's plane."""


def _field(gray: Pixels, grid: NDArray[np.float64]) -> Pixels:
    """Return the symbol as its plane, uint8 [h, w]: `_SAMPLED` pixels a module, `_FIELD` modules to each side."""
    module = math.sqrt(abs(np.linalg.det(grid[:2, :2])))
    side = max(1, round(module / _SAMPLED))
    soft = cv2.blur(gray, (side, side)) if side > 1 else gray
    to_picture = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]]) @ grid @ _TO_PLANE
    width, height = (2 * _SAMPLED * _FIELD).astype(int).tolist()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpPerspective(soft, to_picture, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, dtype=np.uint8)


def _dark_modules(field: Pixels, level: float) -> NDArray[np.bool_]:
    """Return which modules are darker than a level between the dark and the light around them, bool [rows, columns]."""
    soft = np.asarray(cv2.blur(field, (_SAMPLED // 2 + 1, _SAMPLED // 2 + 1)), dtype=np.uint8)
    window = np.ones((5 * _SAMPLED, 5 * _SAMPLED), dtype=np.uint8)
    high, low = (
        cv2.blur(found, (5 * _SAMPLED, 5 * _SAMPLED)).astype(np.float64)
        for found in (cv2.dilate(soft, window), cv2.erode(soft, window))
    )
    columns, rows = np.moveaxis(np.floor((_MODULES + _FIELD) * _SAMPLED).astype(int), -1, 0)
    dark: NDArray[np.bool_] = soft[rows, columns] < (low + level * (high - low))[rows, columns]
    return dark


def _tighter(gray: Pixels, turned: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield a map as it is, then drawn tight by modules farther and farther out, as long as they fit."""
    grid: NDArray[np.float64] | None = turned
    reaches = iter(_REACHES)
    while grid is not None:
        yield grid
        reach = next(reaches, None)
        grid = _tightened(gray, grid, reach) if reach is not None else None


def _tightened(gray: Pixels, grid: NDArray[np.float64], reach: float) -> NDArray[np.float64] | None:
    """Return the map with the symbol drawn by its own modules, those within reach of the middle, laid over itself.

    The outer ones may be wrong yet (Evangelidis and Psarakis, 2008). None if they do not fit, or if the patterns around
    the bullseye do not.
    """
    field = _field(gray, grid)
    dark = _dark_modules(field, _LEVELS[0])
    ideal = np.full(field.shape, 255, dtype=np.uint8)
    middles = np.round((_MODULES + _FIELD) * _SAMPLED - 0.5).astype(int)
    distances = np.linalg.norm(_MODULES, axis=-1)
    for x, y in middles[dark & (distances > _BULLSEYE)].tolist():
        cv2.circle(ideal, (x, y), _SAMPLED // 2, (0,), -1)
    middle = (_FIELD * _SAMPLED - 0.5).round().astype(int).tolist()
    for number, radius in enumerate((*_EDGES, _EDGES[-1] + _RING)[::-1]):
        cv2.circle(ideal, middle, round(radius * _SAMPLED), (255 * (number % 2),), -1)
    near = np.zeros(field.shape, dtype=np.uint8)
    cv2.circle(near, middle, round(reach * _SAMPLED), (255,), -1)
    if not _has_patterns(field, _MIN_SURE_LIKENESS if reach > _REACHES[0] else _MIN_LIKENESS):
        return None
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-3)
    try:
        _, moved = cv2.findTransformECC(
            ideal, field, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, near, 5
        )
    except cv2.error:  # it does not converge: nothing there looks like it
        return None
    return np.asarray(grid @ _TO_PLANE @ moved.astype(np.float64) @ np.linalg.inv(_TO_PLANE), dtype=np.float64)


def _has_patterns(field: Pixels, least: float) -> bool:
    """Whether the symbol, seen as its plane, has the patterns around its bullseye."""
    soft = cv2.blur(field, (_SAMPLED // 2, _SAMPLED // 2))
    columns, rows = np.floor((_PATTERNS + _FIELD) * _SAMPLED).astype(int).T
    levels = soft[rows, columns].astype(np.float64)
    return levels.std() > 0 and float(np.corrcoef(levels, _PATTERN_SIGNS)[0, 1]) >= least


def _drawn(dark: NDArray[np.bool_]) -> Pixels:
    """Draw modules as blocks, uint8 [h, w], inside a thin frame that says where the symbol ends."""
    inside = np.full((_ROWS * _CELL, _COLUMNS * _CELL), 255, dtype=np.uint8)
    for row, column in np.argwhere(dark).tolist():
        top, left = row * _CELL, column * _CELL + (row % 2) * _CELL // 2
        inside[top : top + _CELL, left : left + _CELL] = 0
    inside[[0, -1]] = 0
    inside[:, [0, -1]] = 0
    return np.pad(inside, _QUIET_CELLS * _CELL, constant_values=255)


def _is_dark(rows: Pixels) -> NDArray[np.bool_]:
    light = cv2.blur(rows, (_LIGHT_PIXELS, 1))
    return np.asarray(cv2.subtract(light, rows) > _DARKER)


def _ringed(dark: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where runs along pixels, bool [n], begin that may be a bullseye's middle, and how long they are.

    Nine runs of light and dark count as one; the most even ones come first.
    """
    nothing = np.zeros(0, dtype=np.intp)
    edges = np.flatnonzero(dark[1:] != dark[:-1]) + 1
    runs = np.diff(edges)
    first = int(dark[edges[0]]) if len(edges) else 0  # light and dark take turns: every second run is light
    if len(runs) < first + _RUNS:
        return nothing, nothing
    count = (len(runs) - first - _RUNS) // 2 + 1
    before, middle, after = (runs[first + _MIDDLE + shift :: 2][:count] for shift in (-1, 0, 1))
    # Most runs of a page fall here, before the dear test.
    fits = (before >= _MIN_RING_PIXELS) & (np.abs(before - after) * 2 <= before + after)
    places = first + 2 * np.flatnonzero(fits & (middle * 2 > before) & (middle < 3 * before))
    windows = runs[places[:, np.newaxis] + np.arange(_RUNS)]
    units = windows.sum(axis=1) / _RINGS.sum()
    errors = np.abs(windows / (units[:, np.newaxis] * _RINGS) - 1).max(axis=1)
    kept = np.flatnonzero((errors <= _MAX_UNEVEN) & (units >= _MIN_RING_PIXELS))
    kept = kept[np.argsort(errors[kept])]
    return edges[places[kept]], windows[kept].sum(axis=1)


def _confirmed(gray: Pixels, x: float, y: float, length: float) -> Bullseye | None:
    """Look along the column through the middle of what a row shows, then along the row through that one's middle."""
    column = _around(gray[:, int(x)], y, length)
    if column is None:
        return None
    row = _around(gray[int(column[0])], x, length)
    if row is None or max(column[1], row[1]) > _MAX_OBLONG * min(column[1], row[1]):
        return None
    ring_pixels = (row[1] + column[1]) / 2 / float(_RINGS.sum())
    return Bullseye(np.array([row[0], column[0]]), ring_pixels)


def _around(profile: Pixels, place: float, length: float) -> tuple[float, float] | None:
    """Return the middle and length of a bullseye's runs along a profile, whose middle lies near a place."""
    low = max(0, int(place - 2 * length))
    part = np.ascontiguousarray(profile[low : int(place + 2 * length)])[np.newaxis]
    starts, lengths = _ringed(_is_dark(part)[0])
    middles = low + starts + lengths / 2
    near = np.flatnonzero(np.abs(middles - place) < length / 4)
    return (float(middles[near[0]]), float(lengths[near[0]])) if len(near) else None
