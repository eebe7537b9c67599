"""One thing wrong with the picture of a label, all else right: what each does to reading can be told apart.

Strengths are drawn over the range from hardly seen to hardly legible. Lengths count in dots of the label printer, since
what they do to a letter depends on its size. Invariant: the map that is returned is exact, so the truth stays exact.
"""

from collections.abc import Callable, Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.lab.synth.camera import Degradation, Homography
from worker.lab.synth.chance import Chance

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

_QUALITY: Final = 92
_PAPER: Final = 255.0


def degraded(pixels: Pixels, kind: Degradation, scale: float, chance: Chance) -> tuple[Pixels, Homography, int]:
    """Return the degraded picture, the map from the sheet to it, and the JPEG quality to keep it with.

    `pixels` is uint8 RGB [H, W, 3], `scale` the pixels of a dot. Raises KeyError for a kind that is not of
    `SINGLE_FACTORS`.
    """
    if kind is Degradation.JPEG:
        return pixels, Homography(np.eye(3)), chance.whole(8, 26)
    if kind is Degradation.TURNED:
        return *_turned(pixels, chance), _QUALITY
    if kind is Degradation.LOW_RESOLUTION:
        return *_coarse(pixels, scale, chance), _QUALITY
    return _rounded(_PHOTOMETRIC[kind](pixels.astype(np.float32), scale, chance)), Homography(np.eye(3)), _QUALITY


def _turned(pixels: Pixels, chance: Chance) -> tuple[Pixels, Homography]:
    """Turn clockwise by one, two or three quarters."""
    height, width = pixels.shape[:2]
    quarters = chance.whole(1, 3)
    maps = {
        1: [[0, -1, height], [1, 0, 0], [0, 0, 1]],
        2: [[-1, 0, width], [0, -1, height], [0, 0, 1]],
        3: [[0, 1, 0], [-1, 0, width], [0, 0, 1]],
    }
    return np.ascontiguousarray(np.rot90(pixels, -quarters)), Homography(np.array(maps[quarters], dtype=np.float64))


def _coarse(pixels: Pixels, scale: float, chance: Chance) -> tuple[Pixels, Homography]:
    """Take the picture from afar: 73 to 122 pixels an inch."""
    height, width = pixels.shape[:2]
    share = min(1.0, chance.between(0.36, 0.6) / scale)
    size = max(1, round(width * share)), max(1, round(height * share))
    smaller = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return smaller, Homography(np.diag([size[0] / width, size[1] / height, 1.0]))


def _blurred(pixels: Floats, scale: float, chance: Chance) -> Floats:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), max(0.3, chance.between(0.6, 2.6) * scale)), np.float32)


def _smeared(pixels: Floats, scale: float, chance: Chance) -> Floats:
    """Move the camera along a straight line while the shutter is open."""
    reach = chance.between(3, 12) * scale / 2
    angle = chance.between(0, np.pi)
    side = 2 * int(np.ceil(reach)) + 3
    path = np.zeros((side, side), dtype=np.float32)
    offset = np.array([np.cos(angle), np.sin(angle)]) * reach
    start, end = ((int(16 * (side // 2 + x)), int(16 * (side // 2 + y))) for x, y in (-offset, offset))
    cv2.line(path, start, end, 1.0, 1, cv2.LINE_AA, shift=4)
    return np.asarray(cv2.filter2D(pixels, -1, path / path.sum(), borderType=cv2.BORDER_REPLICATE), np.float32)


def _dimmed(pixels: Floats, _: float, chance: Chance) -> Floats:
    """Take too little light, unevenly, with a sensor that hisses for it."""
    light = chance.between(0.12, 0.4) * _slope(pixels.shape[:2], chance.between(0.0, 0.5), chance)
    return pixels * light[..., None] + _grain(pixels, chance.between(3, 8), chance)


def _glaring(pixels: Floats, _: float, chance: Chance) -> Floats:
    """Expose too long, with a lamp mirrored by the film over the label."""
    height, width = pixels.shape[:2]
    veil = np.zeros((height, width), dtype=np.float32)
    for _number in range(chance.whole(1, 2)):
        axes = tuple(int(chance.between(0.05, 0.14) * max(height, width)) for _axis in range(2))
        middle = chance.whole(0, width), chance.whole(0, height)
        cv2.ellipse(veil, middle, axes, chance.between(0, 180), 0, 360, chance.between(120, 330), -1)
    soft = cv2.GaussianBlur(veil, (0, 0), 0.03 * max(height, width))
    lifted = pixels + chance.between(10, 60)
    return lifted * chance.between(1.0, 1.25) + np.asarray(soft, np.float32)[..., None]


def _bleached(pixels: Floats, scale: float, chance: Chance) -> Floats:
    """Print on a worn thermal head long ago: pale ink, paler on one side, and columns that never print."""
    width = pixels.shape[1]
    left = chance.between(0.12, 0.5) * np.linspace(1, chance.between(0.8, 1.6), width, dtype=np.float32)
    for _number in range(chance.whole(0, 3)):
        column = chance.whole(0, width - 1)
        left[column : column + max(1, round(scale))] = 0.02
    return np.asarray(_PAPER - (_PAPER - pixels) * left[None, :, None], np.float32) + _grain(pixels, 2.0, chance)


def _noisy(pixels: Floats, _: float, chance: Chance) -> Floats:
    return pixels + _grain(pixels, chance.between(10, 32), chance)


def _covered(pixels: Floats, scale: float, chance: Chance) -> Floats:
    """Lay packing tape across the label, fold it, or stick something small on it."""
    return chance.pick((_taped, _taped, _creased, _wrinkled, _stuck))(pixels, scale, chance)


def _taped(pixels: Floats, scale: float, chance: Chance) -> Floats:
    """Lay one or two strips of brownish film, which dim the print and shine at their edges."""
    for _number in range(chance.whole(1, 2)):
        middle, normal = _line_of_chance(pixels, chance)
        away = _distance(pixels, middle, normal)
        half = chance.between(35, 75) * scale
        inside = (np.abs(away) < half)[..., None]
        tint = np.array([chance.between(196, 226), chance.between(176, 206), chance.between(138, 180)], np.float32)
        clearness = np.float32(chance.between(0.35, 0.75))
        edge = (np.abs(np.abs(away) - half) < scale)[..., None]
        pixels = np.where(inside, pixels * clearness + tint * (1 - clearness), pixels)
        pixels = np.where(edge, np.float32(236.0), pixels)
    return pixels


def _creased(pixels: Floats, scale: float, chance: Chance) -> Floats:
    """Fold the label once to three times: along a crease the ink flakes off and a shadow stays."""
    for _number in range(chance.whole(1, 3)):
        middle, normal = _line_of_chance(pixels, chance)
        away = _distance(pixels, middle, normal)
        flaked = (np.abs(away) < chance.between(0.8, 2.2) * scale)[..., None]
        shade = 1 - chance.between(0.15, 0.4) * np.exp(-np.abs(away) / (chance.between(10, 40) * scale))
        pixels = np.where(flaked, np.float32(232.0), pixels * np.where(away > 0, shade, 1)[..., None])
    return np.asarray(pixels, np.float32)


def _wrinkled(pixels: Floats, scale: float, chance: Chance) -> Floats:
    """Crumple the film over the label: ridges of light and shade."""
    height, width = pixels.shape[:2]
    grid = max(3, int(max(height, width) / (chance.between(60, 140) * scale)))
    relief = chance.generator.standard_normal((grid, grid), dtype=np.float32)
    ridges = np.abs(np.asarray(cv2.resize(relief, (width, height), interpolation=cv2.INTER_CUBIC), np.float32))
    light = 1 - chance.between(0.2, 0.45) * np.exp(-6 * ridges) + chance.between(0.05, 0.3) * np.exp(-30 * ridges)
    return np.asarray(pixels * light[..., None], np.float32)


def _stuck(pixels: Floats, scale: float, chance: Chance) -> Floats:
    """Stick a small colored dot or slip over a part of the label."""
    height, width = pixels.shape[:2]
    side = chance.between(40, 110) * scale
    left, top = chance.between(0, width - side), chance.between(0, height - side)
    color = tuple(float(part) for part in chance.pick(((232, 74, 60), (250, 220, 70), (70, 160, 90), (240, 240, 236))))
    covered = np.ascontiguousarray(pixels)
    if chance.likely(0.5):
        cv2.circle(covered, (int(left + side / 2), int(top + side / 2)), int(side / 2), color, -1, cv2.LINE_AA)
    else:
        cv2.rectangle(covered, (int(left), int(top)), (int(left + side), int(top + side / 2)), color, -1)
    return covered


def _line_of_chance(pixels: Floats, chance: Chance) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a point of the picture and the normal of a line through it."""
    height, width = pixels.shape[:2]
    middle = np.array([chance.between(0.1, 0.9) * width, chance.between(0.1, 0.9) * height])
    angle = chance.between(0, np.pi)
    return middle, np.array([np.cos(angle), np.sin(angle)])


def _distance(pixels: Floats, middle: NDArray[np.float64], normal: NDArray[np.float64]) -> Floats:
    """Return how far each pixel is from the line, float32 [H, W], negative on one side."""
    y, x = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    return np.asarray((x - middle[0]) * normal[0] + (y - middle[1]) * normal[1], dtype=np.float32)


def _slope(shape: tuple[int, ...], depth: float, chance: Chance) -> Floats:
    """Return light that falls off across the picture by `depth`, float32 [H, W] up to 1."""
    angle = chance.between(0, 2 * np.pi)
    y, x = np.ogrid[: shape[0], : shape[1]]
    along = (x / shape[1] - 0.5) * np.cos(angle) + (y / shape[0] - 0.5) * np.sin(angle)
    return np.asarray(1 - depth * (along + 0.5), dtype=np.float32)


def _grain(pixels: Floats, deviation: float, chance: Chance) -> Floats:
    return np.float32(deviation) * chance.generator.standard_normal(pixels.shape, dtype=np.float32)


def _rounded(pixels: Floats) -> Pixels:
    return np.asarray(np.clip(np.rint(pixels), 0, 255), dtype=np.uint8)


_PHOTOMETRIC: Final[Mapping[Degradation, Callable[[Floats, float, Chance], Floats]]] = {
    Degradation.BLUR: _blurred,
    Degradation.MOTION: _smeared,
    Degradation.LOW_LIGHT: _dimmed,
    Degradation.GLARE: _glaring,
    Degradation.FADE: _bleached,
    Degradation.NOISE: _noisy,
    Degradation.OCCLUSION: _covered,
}
SINGLE_FACTORS: Final = frozenset({*_PHOTOMETRIC, Degradation.JPEG, Degradation.TURNED, Degradation.LOW_RESOLUTION})
