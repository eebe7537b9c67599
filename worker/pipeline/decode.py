"""Pixels of a picture, upright.

Invariant: EXIF orientation is applied exactly once, and a page has the size that its header claimed; a picture that is
cut short is refused, never filled up with grey.
"""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
import pyvips
from cv2.typing import MatLike

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageFormat, ImageHeader, PageImage, Pixels

_SIDEWAYS: Final = frozenset({5, 6, 7, 8})
_GREY_DIMENSIONS: Final = 2
_CHANNELS_WITH_ALPHA: Final = 4
_OPAQUE: Final = 255
_START_OF_SCAN: Final = b"\xff\xda"
_END_OF_IMAGE: Final = b"\xff\xd9"


def decode(data: bytes, header: ImageHeader, number: int = 0) -> PageImage:
    """Decode page `number` of an encoded picture to uint8 [height, width, 3] BGR, as EXIF says it stands.

    Transparent pixels become white, 16-bit levels are scaled to 8. Raises JobError IMAGE_CORRUPT for a damaged or
    truncated picture, IMAGE_UNSUPPORTED for sample types other than 8 and 16 bits; MemoryError.
    """
    _check_complete(data, header)
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(error.err) from error
        raise _corrupt(header, f"the decoder says: {error.err}") from error
    if stored is None:
        raise _corrupt(header, "it cannot be decoded")
    if header.format is ImageFormat.TIFF:  # OpenCV's TIFF reader has turned it already
        return _page(_to_bgr(stored), header, number)
    return _page(_turn(_to_bgr(stored), header.pages[number].orientation), header, number)


def _page(pixels: Pixels, header: ImageHeader, number: int) -> PageImage:
    if pixels.shape[1::-1] != header.pages[number].upright_size:
        raise _corrupt(header, f"it decodes to {pixels.shape[1]} x {pixels.shape[0]} pixels")
    return PageImage(np.ascontiguousarray(pixels))


def _check_complete(data: bytes, header: ImageHeader) -> None:
    """Refuse a JPEG without an end marker: libjpeg would fill the rest with grey. Other formats notice themselves."""
    if header.format is not ImageFormat.JPEG:
        return
    scan = data.rfind(_START_OF_SCAN)
    if scan < 0 or data.find(_END_OF_IMAGE, scan) < 0:
        raise _corrupt(header, "it is cut short, its end marker is missing")


def _to_bgr(stored: MatLike) -> Pixels:
    levels = _to_bytes(stored)
    if levels.ndim == _GREY_DIMENSIONS:
        return np.asarray(cv2.cvtColor(levels, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    if levels.shape[2] == _CHANNELS_WITH_ALPHA:
        return _on_white(levels)
    return levels


def _to_bytes(stored: MatLike) -> Pixels:
    if stored.dtype == np.uint8:
        return stored.astype(np.uint8, copy=False)
    if stored.dtype == np.uint16:
        return np.asarray(cv2.convertScaleAbs(stored, alpha=1 / 257), dtype=np.uint8)
    raise JobError(
        ErrorCode.IMAGE_UNSUPPORTED,
        f"The picture has {stored.dtype} samples, of which only 8 and 16 bits without sign are read: convert it.",
    )


def _on_white(levels: Pixels) -> Pixels:
    alpha = levels[:, :, 3:]
    colour = levels[:, :, :3]
    if int(alpha.min()) == _OPAQUE:
        return colour
    weight = alpha.astype(np.uint16)
    mixed = (colour * weight + (_OPAQUE * (_OPAQUE - weight) + _OPAQUE // 2)) // _OPAQUE
    return mixed.astype(np.uint8)


def decode_strips(data: bytes, header: ImageHeader, rows: int, number: int = 0) -> Iterator[Pixels]:
    """Decode page `number` from top to bottom as it is stored, before EXIF turns it, `rows` rows at a time.

    Yields uint8 [at most `rows`, width, 3] BGR, by the same rules as `decode`, and holds one strip at a time where the
    page's header says that it streams. Raises JobError as `decode` does, at the strip that is damaged.
    """
    page = header.pages[number]
    image = pyvips.Image.new_from_buffer(data, "", access="sequential")
    for top in range(0, page.height, rows):
        strip = image.crop(0, top, page.width, min(rows, page.height - top)).numpy()
        yield np.asarray(cv2.cvtColor(strip, cv2.COLOR_RGB2BGR), dtype=np.uint8)


def _turn(pixels: Pixels, orientation: int) -> Pixels:
    """Return a view of the stored pixels as the EXIF orientation wants them shown (EXIF 2.32, tag 0x0112)."""
    if orientation in _SIDEWAYS:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels


def _corrupt(header: ImageHeader, what: str) -> JobError:
    size = f"{header.pages[0].width} x {header.pages[0].height}"
    return JobError(
        ErrorCode.IMAGE_CORRUPT,
        f"The {header.format} picture of {size} pixels is damaged ({what}): send it again.",
    )
