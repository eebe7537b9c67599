"""One thing wrong with a picture at a time, by a known amount, so that measures can be held against it.

Invariant: nothing moves, so the truth of a picture stays its truth, save for `resolution`, which scales it; the same
chance gives the same picture.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.image import Pixels
from worker.lab.synth.chance import Chance

_WHITE: Final = 255.0
_VEIL: Final = 45.0  # scattered light in a lens lifts black before it clips white
_SENSOR_NOISE: Final = 4.0


class Factor(StrEnum):
    """What is wrong."""

    DEFOCUS = "defocus"
    MOTION = "motion"
    OVER_EXPOSURE = "over_exposure"
    UNDER_EXPOSURE = "under_exposure"
    CONTRAST = "contrast"
    NOISE = "noise"
    RESOLUTION = "resolution"
    GLARE = "glare"
    OCCLUSION = "occlusion"


def degrade(pixels: Pixels, factor: Factor, amount: float, chance: Chance) -> Pixels:
    """Return a picture, uint8 [H, W, 3] of any channel order, with one thing wrong.

    `amount` is the Gaussian's sigma in pixels (defocus), the path in pixels (motion), the gain of the exposure, the
    share of the contrast that is left, the standard deviation of the noise in levels, the scale of the sides
    (resolution), or the share of the picture that is covered (glare, occlusion).
    """
    return _FACTORS[factor](pixels, amount, chance)


def _defocused(pixels: Pixels, sigma: float, _: Chance) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), dtype=np.uint8)


def _moved(pixels: Pixels, length: float, chance: Chance) -> Pixels:
    """Smear along a straight path in a direction of chance."""
    size = 2 * int(np.ceil(length / 2)) + 1
    angle = chance.between(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    steps = np.linspace(-1, 1, 8 * size)[:, None] * reach + size // 2
    path = np.zeros((size, size), dtype=np.float32)
    np.add.at(path, (np.rint(steps[:, 1]).astype(int), np.rint(steps[:, 0]).astype(int)), 1)
    return np.asarray(cv2.filter2D(pixels, -1, path / path.sum(), borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)


def _over_exposed(pixels: Pixels, gain: float, chance: Chance) -> Pixels:
    levels = np.arange(256) * (1 - _VEIL / _WHITE) + _VEIL
    return _noisy(_mapped(pixels, levels * gain), _SENSOR_NOISE, chance)


def _under_exposed(pixels: Pixels, gain: float, chance: Chance) -> Pixels:
    return _noisy(_mapped(pixels, np.arange(256) * gain), _SENSOR_NOISE, chance)


def _faded(pixels: Pixels, share: float, _: Chance) -> Pixels:
    return _mapped(pixels, _WHITE - (_WHITE - np.arange(256)) * share)


def _mapped(pixels: Pixels, levels: NDArray[np.floating]) -> Pixels:
    return np.asarray(cv2.LUT(pixels, np.clip(np.rint(levels), 0, 255).astype(np.uint8)), dtype=np.uint8)


def _noisy(pixels: Pixels, deviation: float, chance: Chance) -> Pixels:
    noise = deviation * chance.generator.standard_normal(pixels.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(pixels + noise), 0, 255), dtype=np.uint8)


def _scaled(pixels: Pixels, scale: float, _: Chance) -> Pixels:
    height, width = pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _glaring(pixels: Pixels, share: float, chance: Chance) -> Pixels:
    """Lay soft white spots over the picture: lamps mirrored by a film."""
    height, width = pixels.shape[:2]
    cover = np.zeros((height, width), dtype=np.float32)
    while float((cover > 0).mean()) < share:
        radius = max(4, int(chance.between(0.08, 0.2) * min(height, width)))
        middle = (chance.whole(0, width), chance.whole(0, height))
        cv2.ellipse(cover, middle, (radius, max(2, radius // 2)), chance.between(0, 180), 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(cover, (0, 0), 0.01 * min(height, width) + 1)[..., None]
    return np.asarray(np.clip(pixels + 1.2 * _WHITE * soft, 0, 255), dtype=np.uint8)


def _occluded(pixels: Pixels, share: float, chance: Chance) -> Pixels:
    """Lay strips of brown tape across the picture."""
    height, width = pixels.shape[:2]
    covered = np.zeros((height, width), dtype=np.uint8)
    diagonal = int(np.hypot(height, width))
    while float(covered.mean()) < share:
        middle = np.array([chance.between(0, width), chance.between(0, height)])
        along = chance.between(0, np.pi)
        reach = np.array([np.cos(along), np.sin(along)]) * diagonal
        start, end = (tuple(int(part) for part in middle + side * reach) for side in (-1, 1))
        cv2.line(covered, start, end, 1, max(2, int(chance.between(0.06, 0.12) * min(height, width))))
    tape = np.array(chance.pick(((96, 140, 186), (60, 60, 62), (186, 140, 96))), dtype=np.float32)
    taped = _noisy(np.broadcast_to(tape, pixels.shape).astype(np.uint8), _SENSOR_NOISE, chance)
    return np.where(covered[..., None] > 0, taped, pixels)


_FACTORS: Final[Mapping[Factor, Callable[[Pixels, float, Chance], Pixels]]] = {
    Factor.DEFOCUS: _defocused,
    Factor.MOTION: _moved,
    Factor.OVER_EXPOSURE: _over_exposed,
    Factor.UNDER_EXPOSURE: _under_exposed,
    Factor.CONTRAST: _faded,
    Factor.NOISE: _noisy,
    Factor.RESOLUTION: _scaled,
    Factor.GLARE: _glaring,
    Factor.OCCLUSION: _occluded,
}
