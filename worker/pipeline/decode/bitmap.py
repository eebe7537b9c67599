"""Rows of a Windows bitmap that is not packed: they lie in the file as they are.

Invariant: rows are decoded by cutting them out as a smaller bitmap, so that they become what the whole page would.
"""

import struct
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.image import ImageHeader, Pixels
from worker.pipeline.decode.background import BorderLevels
from worker.pipeline.decode.refusals import corrupt
from worker.pipeline.decode.to_bgr import HAVE_ALPHA, count_borders, opencv_layout, to_bgr
from worker.pipeline.header import bmp

_OLD_HEADER: Final = 12
_HEADER_SIZE_AT: Final = 14
_GRAY_DIMENSIONS: Final = 2
_ROWS_AT_ONCE: Final = 64


def read_bitmap(data: bytes, header: ImageHeader, background: int, top: int, rows: int) -> Pixels:
    """Return rows [top, top + rows) as uint8 [rows, width, 3] BGR, transparent ones on a background.

    Raises JobError IMAGE_CORRUPT.
    """
    return bitmap_to_bgr(_stored(data, header, top, rows), bmp.layout(data), background)


def bitmap_background(data: bytes, header: ImageHeader) -> int:
    """Return what transparent pixels are to be laid on, having read all rows. Raises JobError IMAGE_CORRUPT."""
    bitmap, borders = bmp.layout(data), BorderLevels()
    for top in range(0, 0 if bitmap.opaque else bitmap.height, _ROWS_AT_ONCE):
        stored = _stored(data, header, top, min(_ROWS_AT_ONCE, bitmap.height - top))
        if opencv_layout(stored) in HAVE_ALPHA:
            count_borders(borders, stored, opencv_layout(stored))
    return borders.background()


def _stored(data: bytes, header: ImageHeader, top: int, rows: int) -> NDArray[Any]:
    bitmap = bmp.layout(data)
    above = top if bitmap.top_down else bitmap.height - top - rows
    start = bitmap.first_row + above * bitmap.row_bytes
    head = bytearray(data[: bitmap.first_row])
    if head[_HEADER_SIZE_AT] == _OLD_HEADER:
        struct.pack_into("<H", head, 20, rows)
    else:
        struct.pack_into("<i", head, 22, -rows if bitmap.top_down else rows)
    cut = np.frombuffer(b"".join((head, memoryview(data)[start : start + rows * bitmap.row_bytes])), np.uint8)
    stored = cv2.imdecode(cut, cv2.IMREAD_UNCHANGED)
    if stored is None or stored.shape[:2] != (rows, bitmap.width):
        raise corrupt(header, 0, "its rows cannot be decoded")
    return stored


def bitmap_to_bgr(stored: NDArray[Any], bitmap: bmp.Bitmap, background: int | None = None) -> Pixels:
    """Return uint8 BGR of what OpenCV decoded, which takes bytes of the pixels for a mask where there is none."""
    if bitmap.opaque:
        stored = np.ascontiguousarray(stored[:, :, :3]) if stored.ndim > _GRAY_DIMENSIONS else stored
    return to_bgr(stored, opencv_layout(stored), background)
