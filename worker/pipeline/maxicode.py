"""Where a page may show MaxiCode, and how to cut it out: zxing-cpp reads only upright symbols on bare paper.

The symbol is found by its bullseye (ISO/IEC 16023, 4.11): rings of even width, seen alike along a row and a column.
Invariant: nothing here decides what a symbol says.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points, Transform
from worker.domain.image import Pixels
from worker.pipeline.bars import resample

_ROW_STEP: Final = 4
_LIGHT_PIXELS: Final = 61  # a threshold follows the light over this length
_DARKER: Final = 8
_RUNS: Final = 9
_MIDDLE: Final = 4
_LEAST_RING_PIXELS: Final = 2.0
_MOST_UNEVEN: Final = 0.45
_MOST_OBLONG: Final = 1.3
_RINGS: Final = np.array([1, 1, 1, 1, 1.5, 1, 1, 1, 1])  # from the outer light ring over the middle to its other side
_CENTRES: Final = np.array([-4.25, -3.25, -2.25, -1.25, 0, 1.25, 2.25, 3.25, 4.25])
_SHIFTS: Final = np.array([-0.6, -0.3, 0.0, 0.3, 0.6])  # a row may meet the middle off its centre

# In widths of a ring: one module, the symbol's size, and how far its middle lies right of the bullseye's.
_MODULE: Final = 1.24
_WIDTH: Final = 37.1
_HEIGHT: Final = 34.3
_OFFSET: Final = 0.62
_MARGIN: Final = 0.4
_SURE_HALF: Final = 15.0

_RING_PIXELS_CUT: Final = 8.0
_SIZES: Final = (1.0, 1.06, 0.95)
_STEP_DEGREES: Final = 1.5
_MOST_SKEW_DEGREES: Final = 16
_MOST_BULLSEYES: Final = 16


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


def find_bullseyes(grey: Pixels) -> list[Bullseye]:
    """Return the bullseyes of a picture, uint8 [h, w]."""
    rows = np.ascontiguousarray(grey[::_ROW_STEP])
    found: list[Bullseye] = []
    for x, y, length in _ringed_below(grey, _ringed(_is_dark(rows).ravel()), rows.shape[1]):
        if any(np.hypot(*(eye.middle - (x, y))) < 2 * length for eye in found):
            continue
        eye = _confirmed(grey, x, y, length)
        if eye is not None:
            found.append(eye)
        if len(found) == _MOST_BULLSEYES:
            break
    return found


def _ringed_below(grey: Pixels, runs: Sequence["_Run"], width: int) -> list[tuple[float, float, float]]:
    """Return (x, y, length) of those runs whose column has a few places light and dark as rings are.

    It is a cheap look, at all of them at once, that spares most dear ones.
    """
    if not runs:
        return []
    rows, lefts = np.divmod([run.start for run in runs], width)
    lengths = np.array([run.length for run in runs], dtype=np.float64)
    x, y = lefts + lengths / 2, rows * _ROW_STEP + 0.5
    places = y[:, np.newaxis, np.newaxis] + (lengths / _RINGS.sum())[:, np.newaxis, np.newaxis] * (
        _SHIFTS[:, np.newaxis] + _CENTRES
    )
    inside = np.clip(np.round(places).astype(np.intp), 0, grey.shape[0] - 1)
    levels = grey[inside, np.minimum(x, width - 1).astype(np.intp)[:, np.newaxis, np.newaxis]]
    darkest_light, lightest_dark = np.sort(levels[..., ::2])[..., 1], np.sort(levels[..., 1::2])[..., -2]
    kept = (darkest_light > lightest_dark).any(axis=1) & (x < width)  # one of each may be wrong
    return list(zip(x[kept].tolist(), y[kept].tolist(), lengths[kept].tolist(), strict=True))


def cut_out(grey: Pixels, eye: Bullseye) -> Iterator[tuple[Pixels, Transform]]:
    """Yield the symbol upright on white, uint8 [h, w], with the map to the picture, for each way it may lie.

    Upright ways come first; skew and size, which print and blur change against the rings', are tried in steps that
    zxing-cpp forgives.
    """
    steps = round(_MOST_SKEW_DEGREES / _STEP_DEGREES)
    skews = sorted(range(-steps, steps + 1), key=abs)
    for quarter, size, skew in itertools.product(range(4), _SIZES, skews):
        sized = Bullseye(eye.middle, eye.ring_pixels * size)
        yield _cut(grey, sized, np.deg2rad(90.0 * quarter + skew * _STEP_DEGREES))


def _cut(grey: Pixels, eye: Bullseye, radians: float) -> tuple[Pixels, Transform]:
    scale = eye.ring_pixels / _RING_PIXELS_CUT
    right = np.array([np.cos(radians), np.sin(radians)])
    linear = np.stack([right, (-right[1], right[0])], axis=1) * scale
    size = np.array([_WIDTH + 2 * _MARGIN, _HEIGHT + 2 * _MARGIN]) * _RING_PIXELS_CUT
    middle = size / 2 - (_OFFSET * _RING_PIXELS_CUT, 0.0)
    to_picture = Transform(np.column_stack([linear, eye.middle - linear @ middle]))
    cut = resample(grey, to_picture, (round(size[0]), round(size[1])))
    border = round(_RING_PIXELS_CUT * _MODULE)
    framed = cv2.copyMakeBorder(cut, border, border, border, border, cv2.BORDER_CONSTANT, value=(255,))
    into_cut = Transform.scale_then_shift(1.0, 1.0, -border, -border)
    return np.asarray(framed, dtype=np.uint8), into_cut.then(to_picture)


def _is_dark(rows: Pixels) -> NDArray[np.bool_]:
    light = cv2.blur(rows, (_LIGHT_PIXELS, 1))
    return np.asarray(cv2.subtract(light, rows) > _DARKER)


@dataclass(frozen=True, slots=True)
class _Run:
    """Runs of light and dark as a bullseye's middle leaves them: where they start, how long, how far from even."""

    start: int
    length: int
    error: float


def _ringed(dark: NDArray[np.bool_]) -> list[_Run]:
    """Return the runs along pixels, bool [n], that may come from a bullseye's middle, the most even first."""
    edges = np.flatnonzero(dark[1:] != dark[:-1]) + 1
    runs = np.diff(edges)
    first = int(dark[edges[0]]) if len(edges) else 0  # light and dark take turns: every second run is light
    if len(runs) < first + _RUNS:
        return []
    count = (len(runs) - first - _RUNS) // 2 + 1
    before, middle, after = (runs[first + _MIDDLE + shift :: 2][:count] for shift in (-1, 0, 1))
    # Most runs of a page fall here, before the dear test.
    fits = (before >= _LEAST_RING_PIXELS) & (np.abs(before - after) * 2 <= before + after)
    places = first + 2 * np.flatnonzero(fits & (middle * 2 > before) & (middle < 3 * before))
    windows = runs[places[:, np.newaxis] + np.arange(_RUNS)]
    units = windows.sum(axis=1) / _RINGS.sum()
    errors = np.abs(windows / (units[:, np.newaxis] * _RINGS) - 1).max(axis=1)
    return [
        _Run(int(edges[places[at]]), int(windows[at].sum()), float(errors[at]))
        for at in np.argsort(errors)
        if errors[at] <= _MOST_UNEVEN and units[at] >= _LEAST_RING_PIXELS
    ]


def _confirmed(grey: Pixels, x: float, y: float, length: float) -> Bullseye | None:
    """Look along the column through the middle of what a row shows, then along the row through that one's middle."""
    column = _around(grey[:, int(x)], y, length)
    if column is None:
        return None
    row = _around(grey[int(column[0])], x, length)
    if row is None or max(column[1], row[1]) > _MOST_OBLONG * min(column[1], row[1]):
        return None
    ring_pixels = (row[1] + column[1]) / 2 / float(_RINGS.sum())
    return Bullseye(np.array([row[0], column[0]]), ring_pixels)


def _around(profile: Pixels, place: float, length: float) -> tuple[float, float] | None:
    """Return the middle and length of a bullseye's runs along a profile, whose middle lies near a place."""
    low = max(0, int(place - 2 * length))
    part = np.ascontiguousarray(profile[low : int(place + 2 * length)])[np.newaxis]
    for run in _ringed(_is_dark(part)[0]):
        middle = low + run.start + run.length / 2
        if abs(middle - place) < length / 4:
            return middle, float(run.length)
    return None
