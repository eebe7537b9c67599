"""A photograph of a label: where the sheet lies in the picture, the light, the lens and the sensor, all seeded.

One exact projective map carries the sheet's pixels and its truth to the picture, so that the truth stays exact. What
is done to the pixels afterwards moves nothing.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.geometry import Points
from worker.lab.synth.chance import Chance

Floats = NDArray[np.float32]
Range = tuple[float, float]

# Cardboard, kraft paper, a dark conveyor, a steel table, a white film: RGB.
_GROUNDS: Final = ((178, 140, 98), (196, 166, 124), (58, 60, 64), (142, 146, 150), (224, 222, 218))


class Degradation(Enum):
    """What is wrong with the picture: nothing, a little or much of everything, or one thing alone."""

    NONE = "none"
    MILD = "mild"
    STRONG = "strong"
    BLUR = "blur"
    MOTION = "motion"
    LOW_LIGHT = "low-light"
    GLARE = "glare"
    FADE = "fade"
    NOISE = "noise"
    LOW_RESOLUTION = "low-resolution"
    JPEG = "jpeg"
    SKEW = "skew"
    TURNED = "turned"
    PERSPECTIVE = "perspective"
    OCCLUSION = "occlusion"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a degradation draws from. Lengths are shares of the sheet's long side where they are not in pixels."""

    angle_degrees: float
    corner_shift: float
    margin: Range
    blur_pixels: Range
    noise: Range
    fade: Range
    shadow: Range
    jpeg_quality: Range


def _placed(angle_degrees: float, corner_shift: float) -> Conditions:
    return Conditions(
        angle_degrees=angle_degrees,
        corner_shift=corner_shift,
        margin=(0.02, 0.06),
        blur_pixels=(0.3, 0.5),
        noise=(1.0, 3.0),
        fade=(0.0, 20.0),
        shadow=(0.0, 0.1),
        jpeg_quality=(85, 93),
    )


CONDITIONS: Final = {
    Degradation.MILD: Conditions(
        angle_degrees=2.5,
        corner_shift=0.008,
        margin=(0.01, 0.05),
        blur_pixels=(0.3, 0.8),
        noise=(1.5, 5.0),
        fade=(0.0, 45.0),
        shadow=(0.04, 0.2),
        jpeg_quality=(76, 93),
    ),
    Degradation.STRONG: Conditions(
        angle_degrees=9.0,
        corner_shift=0.03,
        margin=(0.03, 0.1),
        blur_pixels=(1.1, 2.3),
        noise=(8.0, 18.0),
        fade=(30.0, 110.0),
        shadow=(0.25, 0.55),
        jpeg_quality=(30, 60),
    ),
    # Where only the place of the label is wrong, the light is even and the lens sharp.
    Degradation.SKEW: _placed(angle_degrees=15.0, corner_shift=0.0),
    Degradation.PERSPECTIVE: _placed(angle_degrees=3.0, corner_shift=0.075),
}


@dataclass(frozen=True, slots=True)
class Homography:
    """A projective map between two pictures' coordinates; `matrix` is float64 [3, 3], scaled as it comes."""

    matrix: NDArray[np.float64]

    @classmethod
    def between(cls, source: Points, target: Points) -> "Homography":
        """Return the map that takes four points to four others, both float64 [4, 2], no three of them on a line."""
        matrix = cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))
        return cls(np.asarray(matrix, dtype=np.float64))

    def apply(self, points: Points) -> Points:
        """Map points, float64 [..., 2] in and out."""
        mapped = np.asarray(points, dtype=np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return mapped[..., :2] / mapped[..., 2:]

    def between_pixel_centers(self) -> NDArray[np.float64]:
        """Return the matrix as OpenCV wants it, which calls the middle of the first pixel (0, 0)."""
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        return np.asarray(np.linalg.inv(half) @ self.matrix @ half, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the sheet lies: the map from its pixels to those of a picture of the given size."""

    homography: Homography
    width: int
    height: int


def place_sheet(width: int, height: int, conditions: Conditions, chance: Chance) -> Placement:
    """Turn and tilt a sheet of that many pixels, and frame it with a margin; every corner stays in the picture."""
    flat, corners = _tilted(width, height, conditions, chance)
    margins = chance.generator.uniform(*conditions.margin, (2, 2)) * max(width, height)
    low, high = corners.min(axis=0) - margins[0], corners.max(axis=0) + margins[1]
    size = np.ceil(high - low).astype(int)
    return Placement(Homography.between(flat, corners - low), int(size[0]), int(size[1]))


def place_in_frame(sheet: tuple[int, int], frame: tuple[int, int], conditions: Conditions, chance: Chance) -> Placement:
    """Turn and tilt a sheet, and lay it anywhere in a frame; both sizes are width and height in pixels.

    Raises ValueError if the sheet does not fit.
    """
    flat, corners = _tilted(*sheet, conditions, chance)
    low, high = corners.min(axis=0), corners.max(axis=0)
    free = np.array(frame) - (high - low)
    if free.min() < 0:
        raise ValueError(f"a sheet of {sheet} pixels, turned and tilted, does not fit into {frame}")
    corner = chance.generator.uniform(0, 1, 2) * free
    return Placement(Homography.between(flat, corners - low + corner), *frame)


def _tilted(width: int, height: int, conditions: Conditions, chance: Chance) -> tuple[Points, Points]:
    """Return the corners of a sheet, float64 [4, 2], as it is drawn and as it is turned and tilted."""
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    angle = np.deg2rad(chance.between(-conditions.angle_degrees, conditions.angle_degrees))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tilt = chance.generator.uniform(-1, 1, (4, 2)) * conditions.corner_shift * max(width, height)
    return flat, flat @ turn.T + tilt


def photograph(
    pixels: NDArray[np.uint8], placement: Placement, conditions: Conditions, chance: Chance
) -> NDArray[np.uint8]:
    """Return the picture of a sheet, uint8 RGB [H, W, 3] in and out."""
    matrix, size = placement.homography.between_pixel_centers(), (placement.width, placement.height)
    sheet = _faded(pixels, conditions, chance).astype(np.float32)
    warped = cv2.warpPerspective(sheet, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    cover: Floats = np.asarray(cv2.warpPerspective(np.ones(pixels.shape[:2], np.float32), matrix, size), np.float32)
    share = cover[..., None]
    ground = _ground(placement, chance) * _edge_shadow(cover, chance)
    scene = (np.asarray(warped, np.float32) * share + ground * (1 - share)) * _light(placement, conditions, chance)
    seen = cv2.GaussianBlur(scene, (0, 0), chance.between(*conditions.blur_pixels))
    noise = chance.between(*conditions.noise) * chance.generator.standard_normal(seen.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(seen + noise), 0, 255), dtype=np.uint8)


def _faded(pixels: NDArray[np.uint8], conditions: Conditions, chance: Chance) -> NDArray[np.uint8]:
    """Lift the ink toward gray and yellow the paper a little, as thermal print does with time."""
    dark = chance.between(*conditions.fade)
    paper = np.array([chance.between(240, 253), chance.between(238, 251), chance.between(226, 248)])
    ramp = dark + (paper[None, :] - dark) * (np.arange(256) / 255.0)[:, None]
    return np.asarray(cv2.LUT(pixels, np.rint(ramp).astype(np.uint8)[None]), dtype=np.uint8)


def _ground(placement: Placement, chance: Chance) -> Floats:
    """Return what the label lies on: a tone with coarse patches and fibres along one direction."""
    size = (placement.width, placement.height)
    coarse = chance.generator.standard_normal((9, 9), dtype=np.float32)
    fibres = chance.generator.standard_normal((placement.height // 3, 24), dtype=np.float32)
    patches = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    strands = cv2.resize(fibres, size, interpolation=cv2.INTER_LINEAR)
    relief = np.asarray(7 * patches + 4 * strands, dtype=np.float32)[..., None]
    return np.array(chance.pick(_GROUNDS), dtype=np.float32) + relief


def _edge_shadow(cover: Floats, chance: Chance) -> Floats:
    """Return the darkening of the ground around the label's edge, to the lower right."""
    shift = chance.between(2, 6)
    move = np.array([[1, 0, shift], [0, 1, shift]], dtype=np.float64)
    cast = cv2.warpAffine(cover, move, (cover.shape[1], cover.shape[0]))
    soft = cv2.GaussianBlur(cast, (0, 0), shift)
    return 1 - np.float32(0.45) * np.asarray(soft, dtype=np.float32)[..., None]


def _light(placement: Placement, conditions: Conditions, chance: Chance) -> Floats:
    """Return the light at each pixel: a slope across the picture and one soft shadow, with a tint."""
    depth = chance.between(*conditions.shadow)
    angle = chance.between(0, 2 * np.pi)
    y, x = np.mgrid[0 : placement.height, 0 : placement.width].astype(np.float32)
    along = (x / placement.width - 0.5) * np.cos(angle) + (y / placement.height - 0.5) * np.sin(angle)
    edge = chance.between(-0.35, 0.35)
    softness = chance.between(0.03, 0.15)
    shadow = 1 / (1 + np.exp(-(along - edge) / softness))
    light = 1.02 - 0.12 * depth * (along + 0.5) - depth * shadow
    tint = np.array([chance.between(0.96, 1.02), 1.0, chance.between(0.93, 1.02)])
    return np.asarray(light[..., None] * tint, dtype=np.float32)
