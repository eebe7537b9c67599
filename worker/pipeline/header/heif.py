"""Headers of HEIF and AVIF files: the boxes of ISO/IEC 14496-12 and 23008-12 that describe the primary picture.

Invariant: boxes are passed over by their lengths, within the box that holds them, and no more than a fixed number of
boxes, items and properties. What is decoded besides what is shown (the tiles of a grid, an alpha plane, what is cut
off) is claimed with it.
"""

import math
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

from worker.domain.image import PageHeader
from worker.pipeline.header.density import Density
from worker.pipeline.page_claim import DamagedHeaderError, PageClaim, unsupported

_MAX_BOXES: Final = 4000
_MAX_ITEMS: Final = 4000
_MAX_LINKS: Final = 10_000  # of items to properties, and to each other; a file as it is made has a few of each
_MAX_CHANNELS: Final = 16
_LENGTH_SIZE_AT: Final = 21  # in what the decoder is told
_FORBIDDEN: Final = re.compile(rb"\0\0[\0-\2]")
_MAX_NAME: Final = 80
# What libheif would put together from others in yet another way has no size that could be asked before.
_CODED: Final = frozenset({b"hvc1", b"av01"})
_GRID: Final = b"grid"
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


def read(data: bytes) -> PageClaim:
    """Return the primary picture's claim. Raises DamagedHeaderError, JobError IMAGE_UNSUPPORTED for animations.

    The page is as the file's own turns leave it, which libheif makes while it decodes; EXIF has no say here.
    """
    if data[8:12] in _ANIMATED:
        raise unsupported("an animated HEIF or AVIF", instead="send its frames one by one")
    try:
        picture = _Picture.read(data)
        properties = picture.properties_of(picture.primary)
        size = next((box for box in properties if box.kind == b"ispe"), None)
        if size is None:
            raise DamagedHeaderError("its primary picture has no size")
        width, height = struct.unpack_from(">4x2I", data, size.start)
        page = PageHeader(*_shown(data, properties, width, height))
        deep = any(_is_deep(data, box) for boxes in picture.properties.values() for box in boxes)
        pixels = max(page.pixels, picture.decoded_pixels())
        stretch = _stretch(data, properties, page)
    except (struct.error, IndexError, ZeroDivisionError) as error:
        raise DamagedHeaderError("one of its boxes is cut short") from error
    decoded_bytes = pixels * (_AVIF_PIXEL if is_avif(data) else _HEIF_PIXEL) * (2 if deep else 1)
    return PageClaim(page, decoded_bytes, stretch=stretch)


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


@dataclass(frozen=True, slots=True)
class _Picture:
    """The items of a file: their kinds, properties, and which others they are made of or add to."""

    data: bytes
    primary: int
    kinds: Mapping[int, bytes]
    properties: Mapping[int, tuple[_Box, ...]]
    references: Mapping[tuple[bytes, int], tuple[int, ...]]

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read them. Raises DamagedHeaderError, struct.error, IndexError."""
        meta = _find(data, 0, len(data), b"meta")
        inside = meta.start + 4, meta.end
        first = _find(data, *inside, b"pitm")
        (primary,) = struct.unpack_from(">I" if data[first.start] else ">H", data, first.start + 4)
        kinds = dict(_kinds(data, _find(data, *inside, b"iinf")))
        return cls(data, primary, kinds, _properties(data, _find(data, *inside, b"iprp")), _references(data, *inside))

    def properties_of(self, item: int) -> tuple[_Box, ...]:
        """Return an item's properties in their order."""
        return self.properties.get(item, ())

    def decoded_pixels(self) -> int:
        """Return the pixels of the largest thing that is decoded for the primary picture.

        Raises JobError IMAGE_UNSUPPORTED for a picture that is put together in other ways than as a grid.
        """
        planes = [
            item
            for (kind, item), others in self.references.items()
            if kind == b"auxl" and self.primary in others and self._is_alpha(item)
        ]
        return max(self._pixels_with_tiles(item) for item in (self.primary, *planes))

    def _is_alpha(self, item: int) -> bool:
        """Say whether an item may be an alpha plane; libheif decodes no other beside a picture."""
        names = [
            self.data[box.start : min(box.end, box.start + _MAX_NAME)]
            for box in self.properties_of(item)
            if box.kind == b"auxC"
        ]
        return any(word in name for name in names for word in (b"alpha", b"auxid:1"))

    def _pixels_with_tiles(self, item: int) -> int:
        tiles = self.references.get((b"dimg", item), ())
        kinds = {self.kinds.get(item), *map(self.kinds.get, tiles)}
        if self.kinds.get(item) == _GRID:
            kinds = set(map(self.kinds.get, tiles))
        elif tiles:
            raise unsupported("a HEIF or AVIF that is put together from others", instead="save it as JPEG")
        if not kinds <= _CODED:
            raise unsupported("a HEIF or AVIF of other than HEVC or AV1", instead="save it as JPEG")
        return max(self._pixels(item), sum(many * self._pixels(tile) for tile, many in Counter(tiles).items()))

    def _pixels(self, item: int) -> int:
        sizes = (box for box in self.properties_of(item) if box.kind == b"ispe")
        return max((math.prod(struct.unpack_from(">4x2I", self.data, box.start)) for box in sizes), default=0)


def _kinds(data: bytes, box: _Box) -> Iterator[tuple[int, bytes]]:
    """Yield the items' numbers and kinds."""
    start = box.start + (8 if data[box.start] else 6)
    for entry in _boxes(data, start, box.end):
        if entry.kind == b"infe":
            number, kind = struct.unpack_from(">4xI2x4s" if data[entry.start] > 2 else ">4xH2x4s", data, entry.start)  # noqa: PLR2004 - the version with long numbers
            yield number, kind


def _properties(data: bytes, holder: _Box) -> dict[int, tuple[_Box, ...]]:
    container = _find(data, holder.start, holder.end, b"ipco")
    properties = list(_boxes(data, container.start, container.end))
    found: dict[int, tuple[_Box, ...]] = {}
    left = _MAX_LINKS
    for box in _boxes(data, holder.start, holder.end):
        if box.kind == b"ipma":
            for item, numbers in _associated(data, box):
                left = _left(left, len(numbers))
                found[item] = found.get(item, ()) + tuple(properties[number - 1] for number in numbers if number)
    return found


def _references(data: bytes, start: int, end: int) -> dict[tuple[bytes, int], tuple[int, ...]]:
    """Return which items each item refers to, by the kind of the reference."""
    holder = next((box for box in _boxes(data, start, end) if box.kind == b"iref"), None)
    found: dict[tuple[bytes, int], tuple[int, ...]] = {}
    if holder is not None:
        code, left = "I" if data[holder.start] else "H", _MAX_LINKS
        for box in _boxes(data, holder.start + 4, holder.end):
            item, many = struct.unpack_from(f">{code}H", data, box.start)
            left = _left(left, many)
            others = struct.unpack_from(f">{many}{code}", data, box.start + struct.calcsize(f">{code}H"))
            found[box.kind, item] = found.get((box.kind, item), ()) + others
    return found


def _left(left: int, many: int) -> int:
    if many >= left:
        raise DamagedHeaderError(f"its items have more than {_MAX_LINKS} properties or references")
    return left - many - 1


def _associated(data: bytes, box: _Box) -> Iterator[tuple[int, list[int]]]:
    """Yield the items with the numbers of their properties, counted from 1; 0 is none."""
    wide_items, wide_numbers = data[box.start] > 0, data[box.start + 3] & 1
    (items,) = struct.unpack_from(">I", data, box.start + 4)
    at = box.start + 8
    for _ in range(min(items, _MAX_ITEMS)):
        (item,) = struct.unpack_from(">I" if wide_items else ">H", data, at)
        at += 4 if wide_items else 2
        many = data[at]
        numbers = struct.unpack_from(f">{many}{'H' if wide_numbers else 'B'}", data, at + 1)
        at += 1 + many * (2 if wide_numbers else 1)
        yield item, [number & (0x7FFF if wide_numbers else 0x7F) for number in numbers]


def _is_deep(data: bytes, box: _Box) -> bool:
    """Say whether a property tells of samples of more than 8 bits: it, or what the decoder is told."""
    match box.kind:
        case b"pixi":
            depths = data[box.start + 5 : min(box.end, box.start + 5 + _MAX_CHANNELS)]
            return any(bits > _WHOLE_BYTE for bits in depths)
        case b"av1C":
            return bool(data[box.start + 2] & 0x40)  # high_bitdepth
        case b"hvcC":
            return bool((data[box.start + 17] | data[box.start + 18]) & 7)  # bit depths of luma and chroma, less 8
        case _:
            return False


def _shown(data: bytes, properties: Iterable[_Box], width: int, height: int) -> tuple[int, int]:
    """Return the size that the clean aperture and the turns leave, in their order."""
    for box in properties:
        if box.kind == b"clap":
            across, across_by, down, down_by = struct.unpack_from(">4I", data, box.start)
            width, height = min(width, round(across / across_by)), min(height, round(down / down_by))
        elif box.kind == b"irot" and data[box.start] & 1:
            width, height = height, width
    return width, height


def _stretch(data: bytes, properties: Iterable[_Box], page: PageHeader) -> tuple[float, float]:
    """Return the stretch by the shape of a pixel (`pasp`), as it stands after the file's turns."""
    shape, turned = (1, 1), False
    for box in properties:
        if box.kind == b"pasp":
            shape = struct.unpack_from(">2I", data, box.start)
        elif box.kind == b"irot":
            turned ^= bool(data[box.start] & 1)
    across, down = reversed(shape) if not turned else shape  # wide pixels are few across
    return Density(across, down, per_inch=False).stretch(page.width, page.height)


def check_coded(data: bytes) -> None:
    """Look through the HEVC pictures of a file, whose decoder makes up what it misses and does not say so.

    Their units follow each other by their lengths, and no unit has two zeros and a byte below 3 in a row (ITU-T H.265,
    7.4.2): what is overwritten with zeros or moved on breaks one or the other. Raises DamagedHeaderError.
    """
    try:
        picture = _Picture.read(data)
        meta = _find(data, 0, len(data), b"meta")
        places = dict(_places(data, _find(data, meta.start + 4, meta.end, b"iloc")))
        left = 2 * len(data)  # items may share bytes, but a file as it is made has no use for it
        for item, kind in picture.kinds.items():
            settings = next((box for box in picture.properties_of(item) if box.kind == b"hvcC"), None)
            if kind == b"hvc1" and settings is not None and item in places:
                left -= sum(min(length, max(0, len(data) - start)) for start, length in places[item])
                if left < 0:
                    raise DamagedHeaderError("its pictures are longer than the file")
                coded = b"".join(data[start : start + length] for start, length in places[item])
                _check_units(coded, (data[settings.start + _LENGTH_SIZE_AT] & 3) + 1)
    except (struct.error, IndexError) as error:
        raise DamagedHeaderError("one of its boxes is cut short") from error


def _check_units(coded: bytes, size_bytes: int) -> None:
    at = 0
    while at < len(coded):
        stop = at + size_bytes + int.from_bytes(coded[at : at + size_bytes], "big")
        if stop > len(coded):
            raise DamagedHeaderError("its coded pixels end within a unit")
        if _FORBIDDEN.search(coded, at + size_bytes, stop):
            raise DamagedHeaderError("its coded pixels were overwritten")
        at = stop


def _places(data: bytes, box: _Box) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield the items whose bytes lie in the file, with start and length of their pieces (ISO/IEC 14496-12, 8.11.3)."""
    version = data[box.start]
    offset_bytes, length_bytes = data[box.start + 4] >> 4, data[box.start + 4] & 15
    base_bytes, index_bytes = data[box.start + 5] >> 4, data[box.start + 5] & 15 if version else 0
    reader = _Numbers(data, box.start + 6)
    wide = 4 if version == 2 else 2  # noqa: PLR2004 - the version with long numbers
    for _ in range(min(reader.next(wide), _MAX_ITEMS)):
        item = reader.next(wide)
        method = reader.next(2) & 15 if version else 0
        reader.next(2)
        base = reader.next(base_bytes)
        pieces = []
        for _ in range(min(reader.next(2), _MAX_LINKS)):
            reader.next(index_bytes)
            start, length = reader.next(offset_bytes), reader.next(length_bytes)
            pieces.append((base + start, length or len(data)))
        if method == 0:
            yield item, pieces


@dataclass(slots=True)
class _Numbers:
    """Whole numbers that follow each other."""

    data: bytes
    at: int

    def next(self, size_bytes: int) -> int:
        """Return the next one, of so many bytes; 0 of none. Raises IndexError behind the end."""
        if self.at + size_bytes > len(self.data):
            raise IndexError
        self.at += size_bytes
        return int.from_bytes(self.data[self.at - size_bytes : self.at], "big")
