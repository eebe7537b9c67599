"""Where bars stand on a page, and how to see them straight, evenly lit and without the noise.

Bars are found by the structure tensor: their gradients all point along one line, those of
text and of matrix codes do not. A photograph's tilt takes a long low symbol out of every row of pixels, and a shadow
defeats a threshold that holds for a row; straightened, averaged along the bars and brought to even light most of them
decode. Invariant: nothing here decides what a symbol says.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points, Transform
from worker.domain.image import Pixels
from worker.pipeline.barcodes.texture import Texture, outside
from worker.pipeline.warp import warped

_MIN_COHERENCE: Final = 0.5  # PDF417 has 0.55
_MIN_ENERGY: Final = 900.0  # of squared Sobel gradients: bars of some 30 gray levels
_MIN_BLOCKS: Final = 8
_RULE_BLOCKS: Final = 5  # a printed rule reaches over fewer, with its neighborhood
_MIN_LENGTH_PIXELS: Final = 72.0
_MIN_STACKED_BLOCKS: Final = 24
_MIN_SUM: Final = 0.42  # coherence of all of PDF417; it has 0.5 to 0.64, text and pictures of that shape less
_MIN_FILLED: Final = 0.7  # of its rectangle; it has 0.8 to 1, for blocks are coarse
_MAX_STACKED: Final = 16
_MAX_AREAS: Final = 24
_PIXELS_PER_AREA: Final = 80_000  # in a large picture there may be more

_QUIET_SHARE: Final = 0.08
_QUIET_PIXELS: Final = 24.0
_WIDEST_PIXELS: Final = 3000

_MIN_CONTRAST: Final = 25
_BAND_ROWS: Final = 8

_SAMPLED_ROWS: Final = 12
_MIN_TURNS: Final = 22  # no symbol has fewer than 25
_MIN_STACKED_TURNS: Final = 34  # of PDF417, which has 41
_MIN_LIKENESS: Final = 0.55  # of rows next to each other; of bars that decode 0.8

_SAMPLES: Final = 128
_FIRST_REACH_PIXELS: Final = 500.0
_MAX_REACH_ROWS: Final = 100
_MIN_CORRELATION: Final = 0.6


@dataclass(frozen=True, slots=True)
class BarArea:
    """A rectangle of bars: its middle, the unit vector across the bars (the way a reader goes), and its size.

    `even_rows` says that its rows are alike, as those of linear symbols are; those of PDF417 are not.
    """

    middle: Points
    across: Points
    length: float
    height: float
    even_rows: bool = True

    @property
    def quad(self) -> Points:
        """Corners, float64 [4, 2], in order around the rectangle."""
        along = self.across * (self.length / 2)
        down = np.array([-self.across[1], self.across[0]]) * (self.height / 2)
        return np.array([self.middle + x * along + y * down for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))])


@dataclass(frozen=True, slots=True)
class _Direction:
    """A way across bars, and the blocks along it that tell them from a rule."""

    radians: float
    kernel: NDArray[np.uint8]


_DIRECTIONS: Final = (
    _Direction(0.0, np.ones((1, _RULE_BLOCKS + 1), dtype=np.uint8)),
    _Direction(math.pi / 4, np.eye(_RULE_BLOCKS, dtype=np.uint8)),
    _Direction(math.pi / 2, np.ones((_RULE_BLOCKS + 1, 1), dtype=np.uint8)),
    _Direction(3 * math.pi / 4, np.eye(_RULE_BLOCKS, dtype=np.uint8)[::-1].copy()),
)


def find_bars(gray: Pixels, found: Texture, known: Sequence[Points] = ()) -> list[BarArea]:
    """Return where a picture, uint8 [h, w], shows parallel bars, the largest first; not all of them are barcodes.

    What has its middle in one of the `known` areas, float64 [4, 2] each and convex, is left out.
    """
    fresh = outside(found, known)
    xx, yy, xy = found.tensor
    energy = xx + yy
    strong = ((energy > _MIN_ENERGY) * fresh).astype(np.uint8)
    if cv2.countNonZero(strong) < _MIN_BLOCKS:
        return []
    parts = [part for direction in _DIRECTIONS for part in _parts((xx - yy, 2 * xy, energy), direction, fresh)]
    parts.sort(key=lambda part: int(part.sum()), reverse=True)
    most = max(_MAX_AREAS, gray.size // _PIXELS_PER_AREA)
    hulls = [cv2.convexHull(area.astype(np.float32)) for area in known]
    areas = [_area(part, found.tensor, found.block_pixels) for part in parts[:most]]
    fresh_areas = (
        area
        for area in areas
        if area.length >= _MIN_LENGTH_PIXELS
        and not any(cv2.pointPolygonTest(hull, area.middle.tolist(), measureDist=False) >= 0 for hull in hulls)
    )
    return [looked for area in fresh_areas for looked in _looked_at(gray, area)]


def find_stacked(found: Texture, known: Sequence[Points] = ()) -> list[BarArea]:
    """Return where a picture shows a rectangle of stacked bars (PDF417), turned anyhow; not all of them are barcodes.

    Rows of it differ, so that its blocks hardly agree on a direction; all of them together do, and they fill a
    rectangle along it, which text and pictures do not. `known` areas are left out, as by `find_bars`.
    """
    busy = ((found.tensor[0] + found.tensor[1] > _MIN_ENERGY) * outside(found, known)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(busy, connectivity=4)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    areas: list[BarArea] = []
    for part in np.argsort(-sizes)[:_MAX_STACKED]:
        mask = labels == part + 1
        if sizes[part] < _MIN_STACKED_BLOCKS or _coherence(found.tensor, mask) < _MIN_SUM:
            continue
        area = _area(mask, found.tensor, found.block_pixels)
        if sizes[part] * found.block_pixels**2 >= _MIN_FILLED * area.length * area.height:
            areas.append(replace(area, even_rows=False))
    return areas


def _coherence(tensor: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Return how far the gradients of a mask's blocks agree on one line: 0 not at all, 1 wholly."""
    xx, yy, xy = (float(part[mask].sum()) for part in tensor)
    return math.hypot(xx - yy, 2 * xy) / max(xx + yy, 1.0)


def _parts(
    doubled: tuple[NDArray[np.float32], ...], direction: "_Direction", fresh: NDArray[np.uint8]
) -> list[NDArray[np.bool_]]:
    """Return the connected masks of blocks whose gradients point along one direction, rules left out.

    `doubled` are the cosine and sine of the doubled angle, in which opposite gradients agree, and the energy.
    """
    cosine, sine, energy = doubled
    agreement = cosine * math.cos(2 * direction.radians) + sine * math.sin(2 * direction.radians)
    mask = ((agreement > _MIN_COHERENCE * energy) & (energy > _MIN_ENERGY)).astype(np.uint8)
    if cv2.countNonZero(mask & fresh) < _MIN_BLOCKS:
        return []
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, direction.kernel)
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, direction.kernel)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= _MIN_BLOCKS) + 1
    return [labels == label for label in large]


def _area(mask: NDArray[np.bool_], tensor: NDArray[np.float32], block_pixels: float) -> BarArea:
    xx, yy, xy = (float(part[mask].sum()) for part in tensor)
    angle = 0.5 * math.atan2(2 * xy, xx - yy)
    across = np.array([math.cos(angle), math.sin(angle)])
    rows, columns = np.nonzero(mask)
    places = (np.stack([columns, rows], axis=1) + 0.5) * block_pixels
    frame = np.stack([across, (-across[1], across[0])], axis=1)
    turned = places @ frame
    low, high = turned.min(axis=0) - block_pixels / 2, turned.max(axis=0) + block_pixels / 2
    length, height = (high - low).tolist()
    return BarArea(frame @ ((low + high) / 2), across, length, height)


def _looked_at(gray: Pixels, area: BarArea) -> Iterator[BarArea]:
    """Yield an area along which dark and light take turns as often as in the shortest symbol; most print does not."""
    rows = max(1, min(_SAMPLED_ROWS, round(area.height / _BAND_ROWS)))
    width = min(round(area.length), _WIDEST_PIXELS)
    down = np.array([-area.across[1], area.across[0]]) * (area.height / rows)
    corner = area.middle - area.across * (area.length / 2) - down * (rows / 2)
    linear = np.column_stack([area.across * (area.length / width), down])
    sample = warped(gray, Transform(np.column_stack([linear, corner])), (width, rows), cv2.INTER_LINEAR)
    away = cv2.subtract(sample, cv2.blur(sample, (max(9, width // 12 | 1), 1)), dtype=cv2.CV_32F)
    paper = away > _MIN_CONTRAST / 2
    turns = float(np.median(np.count_nonzero(paper[:, 1:] != paper[:, :-1], axis=1)))
    if turns < _MIN_TURNS:
        return
    lengths = np.maximum(np.sqrt(np.einsum("ij,ij->i", away, away)), 1.0)
    likeness = np.einsum("ij,ij->i", away[1:], away[:-1]) / (lengths[1:] * lengths[:-1])
    even_rows = not likeness.size or bool(np.median(likeness) >= _MIN_LIKENESS)
    if even_rows or turns >= _MIN_STACKED_TURNS:
        yield replace(area, even_rows=even_rows)


def straighten(gray: Pixels, area: BarArea) -> tuple[Pixels, Transform]:
    """Return the area turned level, with room for a quiet zone, uint8 [h, w], and the map from it to the picture."""
    room = max(_QUIET_PIXELS, _QUIET_SHARE * area.length)
    width, height = area.length + 2 * room, area.height
    scale = max(1.0, width / _WIDEST_PIXELS)
    down = np.array([-area.across[1], area.across[0]])
    linear = np.stack([area.across, down], axis=1) * scale
    corner = area.middle - area.across * (width / 2) - down * (height / 2)
    size = max(1, round(width / scale)), max(1, round(height / scale))
    to_picture = Transform(np.column_stack([linear, corner]))
    return warped(gray, to_picture, size, cv2.INTER_LINEAR), to_picture


def clearer(straight: Pixels) -> Iterator[tuple[Pixels, float]]:
    """Yield pictures of straightened bars that are easier to read, the most promising first, and their rows' height.

    Each row of such a picture stands for so many rows of `straight`, none for two: what decodes in several of them was
    seen several times.
    """
    for rows, sigma_pixels, strength in ((_BAND_ROWS, 2.5, 2.0), (_BAND_ROWS, 1.5, 1.0), (2 * _BAND_ROWS, 2.5, 1.0)):
        bands = max(1, straight.shape[0] // rows)
        averaged = cv2.resize(straight, (straight.shape[1], bands), interpolation=cv2.INTER_AREA).astype(np.float32)
        soft = cv2.GaussianBlur(averaged, (0, 0), sigma_pixels, sigmaY=0.01)
        sharp = np.clip(averaged + strength * (averaged - soft), 0, 255).astype(np.uint8)
        yield evenly_lit(sharp), straight.shape[0] / bands


def evenly_lit(straight: Pixels) -> Pixels:
    """Stretch the light between the darkest and the lightest of each neighborhood to the full range."""
    height, width = straight.shape
    small = cv2.resize(straight, (max(1, width // 4), height), interpolation=cv2.INTER_AREA)
    reach = max(9, small.shape[1] // 12 | 1)
    window = np.ones((1, reach), dtype=np.uint8)
    high, low = (
        cv2.resize(cv2.blur(found, (reach, 1)), (width, height)).astype(np.float32)
        for found in (cv2.dilate(small, window), cv2.erode(small, window))
    )
    even = (straight - low) * (255 / np.maximum(high - low, _MIN_CONTRAST))
    return np.asarray(np.clip(even, 0, 255), dtype=np.uint8)


def whole_bars(gray: Pixels, seen: Points) -> Points:
    """Return the rectangle over the full height of the bars of which `seen`, float64 [4, 2], shows a part.

    Its ends along the symbol are those of `seen`. It grows up and down as long as the rows look like those in its
    middle; rows far from it are looked at only if all near ones do.
    """
    left, right = (seen[0] + seen[3]) / 2, (seen[1] + seen[2]) / 2
    across = _across(gray, seen)
    across = across if across @ (right - left) >= 0 else -across
    down = np.array([-across[1], across[0]])
    middle, length = (left + right) / 2, float(across @ (right - left))
    columns, farthest = max(2, min(_SAMPLES, round(length / 2) * 2)), math.hypot(*gray.shape)
    reach = min(length, _FIRST_REACH_PIXELS)
    while True:
        row_pixels = max(1.0, reach / _MAX_REACH_ROWS)
        rows = 2 * round(reach / row_pixels) + 1
        corner = middle - across * (length / 2) - down * (rows * row_pixels / 2)
        linear = np.stack([across * length / columns, down * row_pixels], axis=1)
        to_picture = Transform(np.column_stack([linear, corner]))
        # Rows beyond the picture's edge must not look like its last one.
        profile = warped(gray, to_picture, (columns, rows), cv2.INTER_LINEAR, fill=0)
        halves = np.array([_alike(half.astype(np.float32), rows // 2) for half in np.split(profile, 2, axis=1)])
        if reach >= farthest or (halves[:, 0].all() and (halves[:, 1] < rows).all()):
            break
        reach *= 2
    # In a photograph the ends of the bars need not be square to them: carry what the halves say on to the ends.
    slope = (halves[1] - halves[0]) / 2
    ends = (np.array([halves[0] - slope, halves[1] + slope]) - rows / 2) * row_pixels
    (top_left, bottom_left), (top_right, bottom_right) = ends
    start, end = middle - across * (length / 2), middle + across * (length / 2)
    return np.array(
        [start + down * top_left, end + down * top_right, end + down * bottom_right, start + down * bottom_left]
    )


def _across(gray: Pixels, seen: Points) -> Points:
    """Return the unit vector along the gradients inside a quadrilateral's box."""
    low = np.clip(np.floor(seen.min(axis=0)).astype(int) - 2, 0, None)
    high = np.ceil(seen.max(axis=0)).astype(int) + 3
    around = np.ascontiguousarray(gray[low[1] : high[1], low[0] : high[0]])
    dx, dy = (part.astype(np.float32).ravel() for part in cv2.spatialGradient(around))
    angle = 0.5 * math.atan2(2 * float(dx @ dy), float(dx @ dx - dy @ dy))
    return np.array([math.cos(angle), math.sin(angle)])


def _alike(profile: NDArray[np.float32], middle: int) -> tuple[int, int]:
    """Return the run [first, last) of rows around the middle that correlate with those in it."""
    pattern = profile[max(0, middle - 1) : middle + 2].mean(axis=0)
    pattern = pattern - pattern.mean()
    spreads = np.einsum("ij,ij->i", profile, profile) - profile.sum(axis=1) ** 2 / profile.shape[1]
    norms = np.sqrt(np.maximum(spreads, 0)) * np.linalg.norm(pattern)
    unlike = (profile @ pattern) / np.maximum(norms, 1.0) < _MIN_CORRELATION
    above, below = np.flatnonzero(unlike[:middle]), np.flatnonzero(unlike[middle + 1 :])
    return int(above[-1]) + 1 if len(above) else 0, middle + 1 + int(below[0]) if len(below) else len(profile)
