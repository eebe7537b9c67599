"""Pages of PDF documents, rendered.

Invariant: one thread at a time is inside of PDFium, which is not made for two; a page's size is checked before its
pixels are taken, and a page that takes too long is given up.
"""

import ctypes
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pypdfium2.raw as pdfium

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import PageHeader, Pixels
from worker.pipeline.header.claim import Claim, DamagedHeaderError, unsupported
from worker.pipeline.options import ImageLimits

_POINTS_PER_INCH: Final = 72
_MAX_SECONDS: Final = 20.0  # of the processor, for one page
_BYTES_OF_A_PIXEL: Final = 5  # the page, and what PDFium holds of the pictures on it, as measured

_inside = threading.Lock()


def claims(data: bytes, limits: ImageLimits) -> Iterator[Claim]:
    """Yield the claim of each page at the limits' resolution.

    Raises DamagedHeaderError, JobError IMAGE_UNSUPPORTED for documents that are locked, IMAGE_TOO_LARGE for too many
    pages.
    """
    with _opened(data) as document:
        count = pdfium.FPDF_GetPageCount(document)
        if count < 1:
            raise DamagedHeaderError("it has no pages")
        if count > limits.max_pages:
            raise JobError(
                ErrorCode.IMAGE_TOO_LARGE,
                f"The PDF document has {count} pages, more than the limit of {limits.max_pages}: send it in parts or "
                "raise the limit.",
            )
        sizes = [_size_points(document, number) for number in range(count)]
    for width, height in sizes:
        page = PageHeader(_pixels(width, limits), _pixels(height, limits))
        yield Claim(page, page.pixels * _BYTES_OF_A_PIXEL)


def render(data: bytes, number: int, page: PageHeader) -> Pixels:
    """Render a page to uint8 [height, width, 3] BGR on white.

    Raises DamagedHeaderError for one that cannot be rendered, JobError IMAGE_UNSUPPORTED for one that takes too long.
    """
    pixels = np.full((page.height, page.width, 3), 255, np.uint8)
    with _opened(data) as document:
        handle = pdfium.FPDF_LoadPage(document, number)
        if not handle:
            raise DamagedHeaderError("a page cannot be read")
        try:
            _draw(handle, pixels)
        finally:
            pdfium.FPDF_ClosePage(handle)
    return pixels


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    with _inside:
        document = pdfium.FPDF_LoadMemDocument64(data, len(data), None)
        if not document:
            if pdfium.FPDF_GetLastError() in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}:
                raise unsupported("a PDF document that is locked by a password", instead="send it unlocked")
            raise DamagedHeaderError("it is no PDF document that can be opened")
        try:
            yield document
        finally:
            pdfium.FPDF_CloseDocument(document)


def _size_points(document: Any, number: int) -> tuple[float, float]:  # noqa: ANN401 - a pointer
    size = pdfium.FS_SIZEF()
    if not pdfium.FPDF_GetPageSizeByIndexF(document, number, size):
        raise DamagedHeaderError(f"its page {number + 1} cannot be read")
    return float(size.width), float(size.height)


def _pixels(points: float, limits: ImageLimits) -> int:
    if not math.isfinite(points):
        raise DamagedHeaderError("a page has no size")
    return max(1, round(points / _POINTS_PER_INCH * limits.pdf_dots_per_inch))


def _draw(page: Any, pixels: Pixels) -> None:  # noqa: ANN401 - a pointer
    height, width = pixels.shape[:2]
    bitmap = pdfium.FPDFBitmap_CreateEx(
        width, height, pdfium.FPDFBitmap_BGR, pixels.ctypes.data_as(ctypes.c_void_p), width * 3
    )
    if not bitmap:
        raise MemoryError
    until = time.thread_time() + _MAX_SECONDS
    pause = pdfium.IFSDK_PAUSE(version=1)
    pause.NeedToPauseNow = type(pause.NeedToPauseNow)(lambda _: time.thread_time() > until)
    try:
        flags = pdfium.FPDF_ANNOT
        state = pdfium.FPDF_RenderPageBitmap_Start(bitmap, page, 0, 0, width, height, 0, flags, pause)
        pdfium.FPDF_RenderPage_Close(page)
    finally:
        pdfium.FPDFBitmap_Destroy(bitmap)
    if state == pdfium.FPDF_RENDER_TOBECONTINUED:
        raise unsupported(f"a PDF page that takes over {_MAX_SECONDS:.0f} seconds to draw", instead="send it as PNG")
    if state != pdfium.FPDF_RENDER_DONE:
        raise DamagedHeaderError("a page cannot be rendered")
