"""Pages of PDF documents, by size and as pixels.

Invariant: a page's size is checked before its pixels are taken.
"""

import atexit
import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import PageHeader, Pixels
from worker.pipeline.options import ImageLimits
from worker.pipeline.page_claim import DamagedHeaderError, PageClaim, unsupported
from worker.pipeline.pdf.child import SIZE, PdfAnswer, PdfRequest
from worker.pipeline.pdf.process import PdfProcess

_POINTS_PER_INCH: Final = 72
_BYTES_OF_A_PIXEL: Final = 5  # the page, and what PDFium holds of the pictures on it, as measured
# Of the processor. A page takes some 5 milliseconds a megapixel and whatever the pictures on it take to unpack.
_SECONDS_TO_OPEN: Final = 1.5
_SECONDS_TO_DRAW: Final = 1.5
_SECONDS_A_MEGAPIXEL: Final = 2.0

PROCESS: Final = PdfProcess()
atexit.register(PROCESS.close)


def claims(data: bytes, limits: ImageLimits) -> Iterator[PageClaim]:
    """Yield the claim of each page at the limits' resolution.

    Raises DamagedHeaderError, JobError IMAGE_UNSUPPORTED for documents that are locked or ask for too much,
    IMAGE_TOO_LARGE for too many pages; MemoryError.
    """
    answer, sizes = PROCESS.ask(PdfRequest.SIZES, limits.max_pages, (0, 0), _SECONDS_TO_OPEN, data)
    if answer is PdfAnswer.TOO_MANY_PAGES:
        raise JobError(
            ErrorCode.IMAGE_TOO_LARGE,
            f"The PDF document has more than {limits.max_pages} pages: send it in parts or raise the limit.",
        )
    _check(answer)
    for width, height in SIZE.iter_unpack(sizes):
        page = PageHeader(_pixels(width, limits), _pixels(height, limits))
        yield PageClaim(page, page.pixels * _BYTES_OF_A_PIXEL)


def render(data: bytes, number: int, page: PageHeader) -> Pixels:
    """Render a page to uint8 [height, width, 3] BGR on white.

    Raises DamagedHeaderError for one that cannot be rendered, JobError IMAGE_UNSUPPORTED for one that asks for too
    much; MemoryError.
    """
    seconds = _SECONDS_TO_DRAW + _SECONDS_A_MEGAPIXEL * page.pixels / 1e6
    answer, pixels = PROCESS.ask(PdfRequest.PIXELS, number, (page.width, page.height), seconds, data)
    _check(answer)
    return np.frombuffer(pixels, np.uint8).reshape(page.height, page.width, 3)


def _check(answer: PdfAnswer) -> None:
    if answer is PdfAnswer.LOCKED:
        raise unsupported("a PDF document that is locked by a password", instead="send it unlocked")
    if answer is PdfAnswer.DAMAGED:
        raise DamagedHeaderError("it is no PDF document that can be opened")


def _pixels(points: float, limits: ImageLimits) -> int:
    if not math.isfinite(points):
        raise DamagedHeaderError("a page has no size")
    return max(1, round(points / _POINTS_PER_INCH * limits.pdf_dots_per_inch))
