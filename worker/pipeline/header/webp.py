"""Headers of WebP files (RFC 9649)."""

import struct
from typing import Final

from worker.domain.image import PageHeader
from worker.pipeline.header.density import Density, stretch_of
from worker.pipeline.header.exif import UPRIGHT, densities, orientation
from worker.pipeline.page_claim import DamagedHeaderError, PageClaim, unsupported

_ANIMATED: Final = 0x02
_CANVAS_BYTES: Final = 10
_MAX_CHUNKS: Final = 1000
_SIDE_BITS: Final = 0x3FFF


def read(data: bytes) -> PageClaim:
    """Return the file's claim. Raises DamagedHeaderError, JobError IMAGE_UNSUPPORTED for animations."""
    try:
        width, height, turned, claimed, held = _walk(data)
    except (struct.error, IndexError) as error:
        raise DamagedHeaderError("it ends within its header") from error
    page = PageHeader(width, height, turned)
    decoded_bytes = page.pixels * (held + 3 + (0 if turned == UPRIGHT else 3))
    return PageClaim(page, decoded_bytes, stretch=stretch_of(claimed, width, height))


def _walk(data: bytes) -> tuple[int, int, int, tuple[Density, ...], int]:
    """Return width, height, orientation, densities and how many bytes the decoder holds for each pixel."""
    size, turned, at = None, UPRIGHT, 12
    claimed: tuple[Density, ...] = ()
    for _ in range(_MAX_CHUNKS):
        kind = data[at : at + 4]
        if at + 8 > len(data) and size:  # the file's end, or it lacks some of what is beside its pixels
            break
        (length,) = struct.unpack_from("<I", data, at + 4)
        body = at + 8
        if kind == b"VP8X" and size is None:
            if length != _CANVAS_BYTES:
                raise DamagedHeaderError(f"its canvas takes {length} bytes")
            if data[body] & _ANIMATED:
                raise unsupported("an animated WebP", instead="send its frames one by one")
            size = (_three(data, body + 4) + 1, _three(data, body + 7) + 1, 8)
        elif kind == b"VP8 " and size is None:
            size = (*_lossy_size(data, body), 4)
        elif kind == b"VP8L" and size is None:
            (bits,) = struct.unpack_from("<I", data, body + 1)
            size = ((bits & _SIDE_BITS) + 1, (bits >> 14 & _SIDE_BITS) + 1, 8)
        elif kind == b"EXIF":
            block = memoryview(data)[body : body + length]
            turned, claimed = orientation(block), densities(block)
        at = body + length + (length & 1)
    if size is None:
        raise DamagedHeaderError("it has no frame")
    width, height, held = size
    return width, height, turned, claimed, held


def _three(data: bytes, at: int) -> int:
    (low, high) = struct.unpack_from("<HB", data, at)
    return int(low | high << 16)


def _lossy_size(data: bytes, at: int) -> tuple[int, int]:
    (code, width, height) = struct.unpack_from("<3s2H", data, at + 3)
    if code != b"\x9d\x01\x2a":
        raise DamagedHeaderError("its frame is wrong")
    return width & _SIDE_BITS, height & _SIDE_BITS
