"""Drawn lines of text, on which plans are compared with their graphs.

Invariant: the same seed gives the same pixels. No picture of anybody is needed, and none is shipped.
"""

import string

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from worker.models.model_card import LINE_HEIGHT_PIXELS
from worker.models.rewriting import PAD_VALUE

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_COMPLEX_SMALL,
)
_CHARACTERS = string.ascii_letters + string.ascii_uppercase + string.digits * 3 + " " * 12 + ".,:-/#()&%$"
_WIDTH_STEP_PIXELS = 32
_WIDEST_PIXELS = 1280
_CANVAS_HEIGHT_PIXELS = 2 * LINE_HEIGHT_PIXELS  # drawn large and shrunk, as photographs are


def draw_lines(count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Return lines UINT8 [1, 48, W, 3] (BGR), padded on the right to a W that is a multiple of 32.

    Fonts, sizes, contrast, light, skew, blur and noise vary as on photographs of print.
    """
    random = np.random.default_rng(seed)
    return [_padded(_photographed(_drawn(random), random)) for _ in range(count)]


def _drawn(random: Generator) -> NDArray[np.uint8]:
    text = "".join(random.choice(list(_CHARACTERS), random.integers(3, 34)))
    font, thickness = int(random.choice(_FONTS)), int(random.integers(1, 4))
    (_, unit_height), _ = cv2.getTextSize(text, font, 1, thickness)
    scale = random.uniform(30, 62) / unit_height
    (width, height), _ = cv2.getTextSize(text, font, scale, thickness)
    paper = random.uniform(120, 255)
    ink = random.uniform(0, paper - 70)
    canvas = np.full((_CANVAS_HEIGHT_PIXELS, width + 40, 3), paper, dtype=np.uint8)
    foot = (_CANVAS_HEIGHT_PIXELS + height) // 2
    cv2.putText(canvas, text, (20, foot), font, scale, (ink, ink, ink), thickness, cv2.LINE_AA)
    return canvas


def _photographed(canvas: NDArray[np.uint8], random: Generator) -> NDArray[np.uint8]:
    slant = random.uniform(-0.03, 0.03)
    height, width = canvas.shape[:2]
    skewed = cv2.warpAffine(
        canvas, np.array([[1, slant, 0], [slant, 1, 0]]), (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    blurred = cv2.GaussianBlur(skewed, (0, 0), random.uniform(0.3, 2.2))
    size = (max(8, round(width * random.uniform(0.35, 0.6))), LINE_HEIGHT_PIXELS)
    shrunk = cv2.resize(blurred, size, interpolation=cv2.INTER_AREA)[:, :_WIDEST_PIXELS].astype(np.float32)
    light = np.linspace(-1, 1, shrunk.shape[1])[None, :, None] * random.uniform(0, 25)
    noisy = shrunk + light + random.normal(0, random.uniform(0, 10), shrunk.shape)
    pixels: NDArray[np.uint8] = np.clip(noisy, 0, 255).astype(np.uint8)
    return pixels


def _padded(line: NDArray[np.uint8]) -> NDArray[np.uint8]:
    missing = -line.shape[1] % _WIDTH_STEP_PIXELS
    return np.pad(line, ((0, 0), (0, missing), (0, 0)), constant_values=PAD_VALUE)[None]
