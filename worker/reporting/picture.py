"""Pictures with boxes as a page shows them.

A figure is a scaled JPEG inside a data URI, under an SVG whose coordinates are the picture's own pixels.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from worker.domain.errors import JobError
from worker.pipeline.decode.encoded import EncodedPage
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

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
    """Return the figure of a picture's first page; what cannot be decoded has no size and shows nothing."""
    try:
        page = EncodedPage(encoded, read_header(encoded, ImageLimits()), 0)
        small = page.reduced(long_side_pixels)
    except JobError:
        return Figure(None, 0, 0, ())
    _, jpeg = cv2.imencode(".jpg", small.pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    uri = f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"
    return Figure(uri, *page.page.upright_size, outlines)


def confidence_kind(confidence: float) -> str:
    """Return the stylesheet's class for a confidence."""
    if confidence >= _SURE:
        return "sure"
    return "doubtful" if confidence >= _DOUBTFUL else "unsure"
