"""Pixels of a picture, upright.

Invariant: EXIF orientation is applied exactly once, and a page has the size that its header claimed; a picture that is
cut short is refused, never filled up with grey.
"""

from typing import Final

import cv2
import numpy as np
from cv2.typing import MatLike

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageFormat, ImageHeader, PageImage, Pixels

_SIDEWAYS: Final = frozenset({5, 6, 7, 8})
_GREY_DIMENSIONS: Final = 2
_CHANNELS_WITH_ALPHA: Final = 4
_OPAQUE: Final = 255
_START_OF_SCAN: Final = b"\xff\xda"
_END_OF_IMAGE: Final = b"\xff\xd9"


def decode(data: bytes, header: ImageHeader) -> PageImage:
    """Decode the first page of an encoded picture to uint8 [height, width, 3] BGR, as EXIF says it stands.

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
        return _page(_to_bgr(stored), header)
    return _page(_turn(_to_bgr(stored), header.orientation), header)


def _page(pixels: Pixels, header: ImageHeader) -> PageImage:
    expected = (header.height, header.width)
    if header.orientation in _SIDEWAYS:
        expected = (header.width, header.height)
    if pixels.shape[:2] != expected:
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
    return JobError(
        ErrorCode.IMAGE_CORRUPT,
        f"The {header.format} picture of {header.width} x {header.height} pixels is damaged ({what}): send it again.",
    )
