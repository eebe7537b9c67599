"""WebP files of which all pixels are there, told from those that libwebp decodes to something else (RFC 9649).

Neither of its packings has a checksum, and libwebp notices only where it wants more bytes than there are. But coded
pixels that were changed are of another length as a rule, and then some are left over. Invariant: a sound picture cannot
do without the last of its bytes, so each part of it is decoded without them first, which must fail. What is whole but
for what follows its pixels, or has a wrong length in its first bytes, is sound.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from worker.domain.image import ImageHeader
from worker.pipeline.decode.refusals import corrupt

_CANVAS, _ALPHA, _LOSSY, _LOSSLESS = b"VP8X", b"ALPH", b"VP8 ", b"VP8L"
_KEPT: Final = frozenset({_CANVAS, _ALPHA, _LOSSY, _LOSSLESS})
_FRAMES: Final = frozenset({_LOSSY, _LOSSLESS})
_BEHIND: Final = (b"EXIF", b"XMP ")
_MAX_CHUNKS: Final = 1000
_HAS_ALPHA: Final = 0x10
_PACKING: Final = 0x03  # of the alpha, in its first byte; 0 is none
_FRAME_HEADER: Final = 10
_SIZE_BYTES: Final = 3  # of the length of a partition
# Encoders leave at most 3 bytes that libwebp does not need, and that of VP8 4 zeros (RFC 6386, 7.3). The lossless kind
# is read 8 bytes ahead, and its last pixels may come out of what was read before: one of 2,867 files did without 11.
_SPARE_LOSSY: Final = 8
_SPARE_LOSSLESS: Final = 24
_MIN_BYTES: Final = 20  # behind the first 12, for OpenCV to take it for a file
_LOSSLESS_HEADER: Final = 5


def sound_webp(data: bytes, header: ImageHeader) -> bytes:
    """Return the file with nothing but its pixels. It is decoded once more for that, per partition that it has.

    Raises JobError IMAGE_CORRUPT where pixels are missing or changed, MemoryError.
    """
    chunks = _chunks(data, header)
    for shortened in _shortened(chunks):
        if _decodes(_joined({**chunks, **shortened})):
            raise corrupt(header, 0, "some of its pixels are missing or changed")
    return _joined(chunks)


def _chunks(data: bytes, header: ImageHeader) -> dict[bytes, bytes]:
    """Return the chunks that its pixels need, by their kinds. Raises JobError IMAGE_CORRUPT."""
    found: dict[bytes, bytes] = {}
    (told,) = struct.unpack_from("<I", data, 4)
    at, lacks = 12, told > len(data) - 8
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data) or not found.keys().isdisjoint(_FRAMES):
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        stop = at + 8 + length
        if kind in _KEPT:
            found.setdefault(kind, data[at + 8 : stop])
        if stop > len(data) or (kind in _FRAMES and lacks and not _ends_there(data, stop, length)):
            raise corrupt(header, 0, "bytes of its pixels are missing")
        at = stop + (length & 1)
    if lacks and _LOSSY in found and _ALPHA not in found and found.get(_CANVAS, b"\0")[0] & _HAS_ALPHA:
        raise corrupt(header, 0, "its transparency is missing")
    return found


def _ends_there(data: bytes, stop: int, length: int) -> bool:
    """Say whether a chunk ends where it says, in a file that lacks bytes: at the file's end, or before another chunk.

    An even end is made by a zero. Where the file ends with one, and lacks a byte, that byte was of the pixels.
    """
    if length & 1 and stop == len(data):
        return data[-1] != 0
    following = data[stop + (length & 1) :][:4]
    return any(kind.startswith(following) for kind in _BEHIND)


def _joined(chunks: Mapping[bytes, bytes]) -> bytes:
    """Return a file of chunks, which zeros behind its end make as long as OpenCV wants it."""
    body = b"".join(
        struct.pack("<4sI", kind, len(chunk)) + chunk + bytes(len(chunk) & 1) for kind, chunk in chunks.items()
    )
    return struct.pack("<4sI4s", b"RIFF", len(body) + 4, b"WEBP") + body.ljust(_MIN_BYTES, b"\0")


def _shortened(chunks: Mapping[bytes, bytes]) -> Iterator[dict[bytes, bytes]]:
    """Yield chunks without their last bytes, one a time, none of which can be decoded if the file is sound."""
    if lossless := chunks.get(_LOSSLESS):
        yield from ({_LOSSLESS: one} for one in _without_end(lossless, _LOSSLESS_HEADER, _SPARE_LOSSLESS))
    elif lossy := chunks.get(_LOSSY):
        yield from ({_LOSSY: one} for one in _without_ends_of_partitions(lossy))
        alpha = chunks.get(_ALPHA)
        if _CANVAS in chunks and alpha and alpha[0] & _PACKING:
            yield from ({_ALPHA: one} for one in _without_end(alpha, 1, _SPARE_LOSSLESS))


def _without_end(coded: bytes, start: int, spare: int) -> Iterator[bytes]:
    """Yield `coded` without its last bytes, if so many lie behind `start`."""
    if len(coded) - spare > start:
        yield coded[: len(coded) - spare]


def _without_ends_of_partitions(frame: bytes) -> Iterator[bytes]:
    """Yield the frame as often as it has partitions of coefficients, each time with a shorter one."""
    if len(frame) < _FRAME_HEADER:
        return
    tag = int.from_bytes(frame[:3], "little")
    first = _FRAME_HEADER + (tag >> 5)
    count = 1 << _Bits(frame[_FRAME_HEADER:first]).log2_of_partitions()
    at = first + _SIZE_BYTES * (count - 1)
    sizes = [int.from_bytes(frame[place : place + _SIZE_BYTES], "little") for place in range(first, at, _SIZE_BYTES)]
    for number, size in enumerate([*sizes, len(frame) - at - sum(sizes)]):
        for shorter in _without_end(frame[at : at + size], 0, _SPARE_LOSSY):
            table = b"".join(
                (len(shorter) if number == place else other).to_bytes(_SIZE_BYTES, "little")
                for place, other in enumerate(sizes)
            )
            before = frame[first + len(table) : at]
            yield b"".join((frame[:first], table, before, shorter, frame[at + size :]))
        at += size


@dataclass(slots=True)
class _Bits:
    """Even bits of VP8's arithmetic coding (RFC 6386, 7.3); zeros behind the end."""

    coded: bytes
    at: int = 0
    value: int = 0
    range: int = 255
    left: int = 0

    def next(self, count: int) -> int:
        """Return a number of so many bits."""
        number = 0
        for _ in range(count):
            while self.left < 8:  # noqa: PLR2004 - a byte, which is looked at
                self.value = self.value << 8 | (self.coded[self.at] if self.at < len(self.coded) else 0)
                self.at, self.left = self.at + 1, self.left + 8
            split = 1 + ((self.range - 1) * 128 >> 8)
            high = split << (self.left - 8)
            bit = self.value >= high
            self.value -= high if bit else 0
            self.range = self.range - split if bit else split
            while self.range < 128:  # noqa: PLR2004 - half of what it may be
                self.range, self.left = self.range << 1, self.left - 1
            number = number << 1 | bit
        return number

    def log2_of_partitions(self) -> int:
        """Read the frame's header up to the number of partitions of coefficients (RFC 6386, 9.2 to 9.5)."""
        self.next(2)  # colors, clamping
        if self.next(1):  # segments
            map_follows, values_follow = self.next(1), self.next(1)
            if values_follow:
                self.next(1)
                self._skip_values(4, 8)
                self._skip_values(4, 7)
            if map_follows:
                self._skip_values(3, 8)
        self.next(10)  # the loop filter
        if self.next(1) and self.next(1):
            self._skip_values(8, 7)
        return self.next(2)

    def _skip_values(self, count: int, bits: int) -> None:
        for _ in range(count):
            if self.next(1):
                self.next(bits)


def _decodes(encoded: bytes) -> bool:
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED) is not None
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(error.err) from error
        return False
