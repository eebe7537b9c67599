"""Headers of HEIF and AVIF files: the boxes of ISO/IEC 14496-12 and 23008-12 that describe the primary picture.

Invariant: boxes are passed over by their lengths, within the box that holds them, and no more than a fixed number.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from worker.domain.image import PageHeader
from worker.pipeline.header.claim import Claim, DamagedHeaderError, unsupported

_MAX_BOXES: Final = 4000
_MAX_ITEMS: Final = 4000
_WHOLE_BYTE: Final = 8
_AVIF_BRANDS: Final = frozenset({b"avif"})
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2"})
_ANIMATED: Final = frozenset({b"avis", b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"})


# Bytes that are held for a pixel of 8-bit samples, with alpha, as measured: planes, the same interleaved, the page.
_HEIF_PIXEL: Final = 8
_AVIF_PIXEL: Final = 18


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int
    end: int


def is_avif(data: bytes) -> bool:
    """Say whether the file calls itself AVIF."""
    return bool(_AVIF_BRANDS & set(_brands(data)))


def is_heif(data: bytes) -> bool:
    """Say whether the file calls itself a picture of this family."""
    return data[4:8] == b"ftyp" and bool((_AVIF_BRANDS | _HEIF_BRANDS | _ANIMATED) & set(_brands(data)))


def read(data: bytes) -> Claim:
    """Return the primary picture's claim. Raises DamagedHeaderError, JobError IMAGE_UNSUPPORTED for animations.

    The page is as the file's own turns leave it, which libheif makes while it decodes; EXIF has no say here.
    """
    if data[8:12] in _ANIMATED:
        raise unsupported("an animated HEIF or AVIF", instead="send its frames one by one")
    try:
        properties = list(_primary_properties(data))
        size = next((box for box in properties if box.kind == b"ispe"), None)
        if size is None:
            raise DamagedHeaderError("its primary picture has no size")
        width, height = struct.unpack_from(">4x2I", data, size.start)
        page = PageHeader(*_shown(data, properties, width, height))
        deep = any(_is_deep(data, box) for box in properties)
    except (struct.error, IndexError, ZeroDivisionError) as error:
        raise DamagedHeaderError("one of its boxes is cut short") from error
    return Claim(page, page.pixels * (_AVIF_PIXEL if is_avif(data) else _HEIF_PIXEL) * (2 if deep else 1))


def _brands(data: bytes) -> Iterator[bytes]:
    yield data[8:12]
    for at in range(16, min(int.from_bytes(data[:4], "big"), len(data), 128), 4):
        yield data[at : at + 4]


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", data, start + 8), 16
        stop = end if length == 0 else start + length
        if 0 < length < head or stop > end:
            raise DamagedHeaderError("a box is longer than what holds it")
        yield _Box(kind, start + head, stop)
        start = stop
    raise DamagedHeaderError(f"it has more than {_MAX_BOXES} boxes")


def _find(data: bytes, start: int, end: int, kind: bytes) -> _Box:
    found = next((box for box in _boxes(data, start, end) if box.kind == kind), None)
    if found is None:
        raise DamagedHeaderError(f"it has no box {kind.decode()}")
    return found


def _primary_properties(data: bytes) -> Iterator[_Box]:
    meta = _find(data, 0, len(data), b"meta")
    inside = meta.start + 4, meta.end
    first = _find(data, *inside, b"pitm")
    (primary,) = struct.unpack_from(">I" if data[first.start] else ">H", data, first.start + 4)
    holder = _find(data, *inside, b"iprp")
    container = _find(data, holder.start, holder.end, b"ipco")
    properties = list(_boxes(data, container.start, container.end))
    for box in _boxes(data, holder.start, holder.end):
        if box.kind == b"ipma":
            for index in _associated(data, box, primary):
                yield properties[index - 1]


def _associated(data: bytes, box: _Box, primary: int) -> Iterator[int]:
    """Yield the numbers of the properties of an item, counted from 1."""
    wide_items, wide_numbers = data[box.start] > 0, data[box.start + 3] & 1
    (items,) = struct.unpack_from(">I", data, box.start + 4)
    at = box.start + 8
    for _ in range(min(items, _MAX_ITEMS)):
        (item,) = struct.unpack_from(">I" if wide_items else ">H", data, at)
        at += 4 if wide_items else 2
        many = data[at]
        numbers = struct.unpack_from(f">{many}{'H' if wide_numbers else 'B'}", data, at + 1)
        at += 1 + many * (2 if wide_numbers else 1)
        if item == primary:
            yield from (number & (0x7FFF if wide_numbers else 0x7F) for number in numbers if number & 0x7FFF)


def _is_deep(data: bytes, box: _Box) -> bool:
    """Say whether a property tells of samples of more than 8 bits."""
    return box.kind == b"pixi" and any(bits > _WHOLE_BYTE for bits in data[box.start + 5 : box.end])


def _shown(data: bytes, properties: list[_Box], width: int, height: int) -> tuple[int, int]:
    """Return the size that the clean aperture and the turns leave, in their order."""
    for box in properties:
        if box.kind == b"clap":
            across, across_by, down, down_by = struct.unpack_from(">4I", data, box.start)
            width, height = min(width, round(across / across_by)), min(height, round(down / down_by))
        elif box.kind == b"irot" and data[box.start] & 1:
            width, height = height, width
    return width, height
