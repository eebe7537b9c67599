"""Headers of PNG files (ISO/IEC 15948).

Invariant: chunks are passed over by their lengths and never unpacked. Deflate packs no tighter than 1 : 1032.
"""

import struct
from typing import Final

from worker.domain.image import PageHeader
from worker.pipeline.header.density import Density, stretch_of
from worker.pipeline.header.exif import UPRIGHT, densities, orientation
from worker.pipeline.page_claim import BEYOND_ITS_BYTES, DamagedHeaderError, PageClaim, unsupported

START: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = struct.Struct(">I4s2I5B")
_DENSITY: Final = struct.Struct(">2IB")
_MAX_CHUNKS: Final = 100_000
_TIGHTEST: Final = 1032
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS: Final = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_PALETTE: Final = 3
_TEXTS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"sPLT"})
_END: Final = b"IEND"
_END_CHUNK: Final = bytes.fromhex("00000000 49454e44 ae426082")
_COLOR_AT: Final = 25
_WHOLE_BYTE: Final = 8


def read(data: bytes) -> PageClaim:
    """Return the file's claim. Raises DamagedHeaderError, JobError IMAGE_UNSUPPORTED for animations."""
    if len(data) < len(START) + _HEADER.size:
        raise DamagedHeaderError("it ends within its header")
    length, kind, width, height, depth, color, packing, filtering, interlace = _HEADER.unpack_from(data, len(START))
    if (length, kind, packing, filtering) != (13, b"IHDR", 0, 0) or interlace > 1:
        raise DamagedHeaderError("its header is wrong")
    if depth not in _DEPTHS.get(color, ()):
        raise DamagedHeaderError(f"its header claims colors of kind {color} with {depth} bits")
    turned, claimed, packed_bytes, fault = _walk(data)
    page = PageHeader(width, height, turned, streams=not interlace)
    if not fault and page.pixels * _CHANNELS[color] * depth > packed_bytes * _TIGHTEST * 8:
        fault = BEYOND_ITS_BYTES
    stretch = stretch_of(claimed, width, height)
    return PageClaim(page, page.pixels * _bytes_of_a_pixel(color, depth, turned), fault, stretch)


def decodable(data: bytes) -> bytes:
    """Return the file as it can be decoded: with its end marker, and without its texts and profiles.

    libpng would unpack those, each to 50 megabytes if it can. What follows the end is not looked at: nobody reads it,
    and it may be long.
    """
    kept, since, at = list[memoryview](), 0, len(START)
    while at + 12 <= len(data) and not lacks_end(data, at):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if kind == _END:
            return b"".join((*kept, memoryview(data)[since:])) if kept else data
        if kind in _TEXTS:
            kept.append(memoryview(data)[since:at])
            since = end
        at = end
    return b"".join((*kept, memoryview(data)[since:at], _END_CHUNK))


def lacks_end(data: bytes, at: int) -> bool:
    """Say whether what stands behind the last whole chunk is a part of the end marker, zeros or nothing.

    Then nothing but the marker is missing, if there are pixels enough.
    """
    if len(data) - at < len(_END_CHUNK):
        return _END_CHUNK.startswith(data[at:])
    return not data[at : at + 8].strip(b"\0") and not data[at:].strip(b"\0")


def hides_a_gray(data: bytes) -> bool:
    """Say whether the file holds grays of which one is transparent. For files whose header was read."""
    return data[_COLOR_AT] == 0 and data.find(b"tRNS", 0, data.find(b"IDAT")) > 0


def _walk(data: bytes) -> tuple[int, list[Density], int, str]:
    """Return orientation, densities, how many bytes of packed pixels there are, and what is wrong with the chunks."""
    turned, claimed, packed_bytes, at = UPRIGHT, list[Density](), 0, len(START)
    for _ in range(_MAX_CHUNKS):
        if packed_bytes and lacks_end(data, at):
            return turned, claimed, packed_bytes, ""
        (length,) = struct.unpack_from(">I", data, at) if at + 12 <= len(data) else (0,)
        if at + 12 + length > len(data):
            return turned, claimed, packed_bytes, "a chunk is longer than the file"
        kind = data[at + 4 : at + 8]
        if kind == b"IDAT":
            packed_bytes += length
        elif kind == b"eXIf":
            block = memoryview(data)[at + 8 : at + 8 + length]
            turned = orientation(block)
            claimed += densities(block)
        elif kind == b"pHYs" and length == _DENSITY.size:
            across, down, unit = _DENSITY.unpack_from(data, at + 8)
            claimed.insert(0, Density.per_meter(across, down) if unit == 1 else Density(across, down, per_inch=False))
        elif kind == b"acTL":
            raise unsupported("an animated PNG", instead="send its frames one by one")
        elif kind == _END:
            return turned, claimed, packed_bytes, ""
        at += 12 + length
    raise DamagedHeaderError(f"it has more than {_MAX_CHUNKS} chunks")


def _bytes_of_a_pixel(color: int, depth: int, turned: int) -> int:
    """Return what the decoder unpacks to, its levels in bytes, the page, and the page once more if it is turned."""
    channels = 4 if color in {_PALETTE, 4} else _CHANNELS[color]
    deep = depth > _WHOLE_BYTE
    return channels * (2 if deep else 1) + (channels if deep else 0) + 4 + (0 if turned == UPRIGHT else 3)
