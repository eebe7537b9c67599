"""Pictures with boxes as a page shows them.

A figure is a scaled JPEG inside a data URI, under an SVG whose coordinates are the picture's own pixels.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Corner = tuple[float, float]

_LONG_SIDE_PIXELS = 1000
_JPEG_QUALITY = 72
# Confidence from which a line counts as sure, and from which as doubtful.
_SURE = 0.9
_DOUBTFUL = 0.75


@dataclass(frozen=True, slots=True)
class Outline:
    """A line on a picture: corners in its pixels, what to say of it, and a class of the stylesheet."""

    corners: Sequence[Corner]
    title: str
    kind: str

    @property
    def points(self) -> str:
        """The corners as SVG wants them."""
        return " ".join(f"{x:.0f},{y:.0f}" for x, y in self.corners)


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture, its size in pixels as EXIF says it stands, and what lies on it; no `uri` where it cannot be shown."""

    uri: str | None
    width: int
    height: int
    outlines: Sequence[Outline] = ()


def figure(encoded: bytes, outlines: Sequence[Outline] = (), long_side_pixels: int = _LONG_SIDE_PIXELS) -> Figure:
    """Return the figure of an encoded picture; one that OpenCV cannot decode has no size and shows nothing."""
    data = np.frombuffer(encoded, dtype=np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        return Figure(None, 0, 0, ())
    height, width = pixels.shape[:2]
    scale = min(1.0, long_side_pixels / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return Figure(f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}", width, height, outlines)


def confidence_kind(confidence: float) -> str:
    """Return the stylesheet's class for a confidence."""
    if confidence >= _SURE:
        return "sure"
    return "doubtful" if confidence >= _DOUBTFUL else "unsure"
