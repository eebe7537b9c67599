"""The pages of a picture as training sees them: the pixels that the worker read.

Invariant: the file that is written has the pixels of the page as EXIF says it stands, for any reader. So it is the
picture byte for byte if a reader that knows no EXIF sees those pixels in it, and a PNG of them otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from worker.domain.errors import ErrorCode, JobError
from worker.domain.geometry import Points, Transform
from worker.domain.image import ImageFormat, PageImage, Pixels
from worker.pipeline.decode.encoded import EncodedPage
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits, PipelineOptions

_SUFFIXES: Final = {ImageFormat.JPEG: ".jpg", ImageFormat.PNG: ".png"}
# Pages above this are not held whole by the worker either.
_MAX_PIXELS: Final = PipelineOptions().streamed_from_pixels


@dataclass(frozen=True, slots=True)
class UprightPage:
    """One page: `content` is the file to write, `width` and `height` are its pixels.

    `square` is the page with square pixels, which lines are cut from, and `to_square` takes the file's coordinates to
    those.
    """

    number: int
    content: bytes
    suffix: str
    width: int
    height: int
    square: PageImage
    to_square: Transform

    def on_square(self, polygon: Points) -> Points:
        """Return corners, float64 [4, 2] in pixels of the file, in pixels of `square`."""
        return self.to_square.apply(polygon)


def upright_pages(picture: bytes, limits: ImageLimits) -> Iterator[UprightPage]:
    """Yield the pages of a picture, decoded one after the other.

    Raises JobError for a picture that the worker would not decode, or that has a page of over 24 megapixels.
    """
    header = read_header(picture, replace(limits, max_pixels=min(limits.max_pixels, _MAX_PIXELS)))
    for number in range(len(header.pages)):
        encoded = EncodedPage(picture, header, number)
        page, square = encoded.decode(), encoded.decode_squared()
        content, suffix = picture, _SUFFIXES.get(header.format, "")
        if not suffix or encoded.page.orientation != 1 or not _reads_as(picture, page.pixels):
            content, suffix = encoded_png(page.pixels), ".png"
        scale = square.width / page.width, square.height / page.height
        to_square = Transform.scale_then_shift(*scale, 0.0, 0.0)
        yield UprightPage(number, content, suffix, page.width, page.height, square, to_square)


def _reads_as(picture: bytes, pixels: Pixels) -> bool:
    """Whether OpenCV with its usual flags sees these pixels; an alpha channel or 16 bits are read in many ways."""
    read = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    return read is not None and np.array_equal(read, pixels)


def encoded_png(pixels: Pixels) -> bytes:
    """Return uint8 [height, width, 3] BGR as a PNG file. Raises JobError."""
    written, encoded = cv2.imencode(".png", pixels)
    if not written:
        height, width = pixels.shape[:2]
        raise JobError(ErrorCode.IMAGE_UNSUPPORTED, f"A page of {width} x {height} pixels cannot be written as PNG.")
    return encoded.tobytes()
