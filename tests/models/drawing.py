"""Drawn pages and lines of text, the same at each run."""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def draw_page() -> Pixels:
    """A page of 480 by 352 pixels with a few lines of text."""
    picture = np.full((480, 352, 3), 235, dtype=np.uint8)
    for row, text in enumerate(("SHIP TO", "Hafenstrasse 12", "20457 Hamburg", "1Z 999 AA1 01")):
        cv2.putText(picture, text, (20, 60 + 90 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20, 20, 20), 2)
    return _with_noise(picture, seed=7)


def draw_line(text: str, seed: int = 0) -> Pixels:
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.1, 2)
    picture = np.full((48, -(-(width + 12) // 32) * 32, 3), 230, dtype=np.uint8)
    cv2.putText(picture, text, (6, 35), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (15, 15, 15), 2)
    return _with_noise(picture, seed)


def _with_noise(picture: Pixels, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).integers(-12, 12, picture.shape)
    noisy: Pixels = np.clip(picture + noise, 0, 255).astype(np.uint8)
    return noisy
