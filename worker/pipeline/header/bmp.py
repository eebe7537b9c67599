"""Headers of Windows bitmaps."""

import struct
from dataclasses import dataclass
from typing import Final

from worker.domain.image import PageHeader
from worker.pipeline.header.density import Density
from worker.pipeline.page_claim import BEYOND_ITS_BYTES, SQUARE, DamagedHeaderError, PageClaim, unsupported

_FILE_HEADER: Final = 14
_OLD_HEADER: Final = 12
_DENSITY_AT: Final = 38
_HEADERS: Final = frozenset({40, 52, 56, 64, 108, 124})
_FIRST_WITH_ALPHA: Final = 56
_DEPTHS: Final = frozenset({1, 4, 8, 16, 24, 32})
_NONE, _RLE8, _RLE4, _MASKS = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Bitmap:
    """Where the rows of a bitmap lie: `row_bytes` each from `first_row` on, the lowest row first unless `top_down`.

    `opaque` says that its header has no mask for alpha, whatever the fourth byte of a pixel holds.
    """

    width: int
    height: int
    top_down: bool
    first_row: int
    row_bytes: int
    packed: bool
    opaque: bool


def read(data: bytes) -> PageClaim:
    """Return the file's claim. Raises DamagedHeaderError, JobError IMAGE_UNSUPPORTED for kinds that nobody writes."""
    bitmap = layout(data)
    page = PageHeader(bitmap.width, bitmap.height, streams=not bitmap.packed)
    possible = bitmap.packed or bitmap.first_row + bitmap.row_bytes * bitmap.height <= len(data)
    return PageClaim(page, page.pixels * 7, "" if possible else BEYOND_ITS_BYTES, _stretch(data, bitmap))


def _stretch(data: bytes, bitmap: Bitmap) -> tuple[float, float]:
    """Return the stretch by the header's dots a meter, which the old header has not. For files with a layout."""
    if data[_FILE_HEADER] == _OLD_HEADER or len(data) < _DENSITY_AT + 8:
        return SQUARE
    across, down = struct.unpack_from("<2i", data, _DENSITY_AT)
    return Density.per_meter(across, down).stretch(bitmap.width, bitmap.height)


def layout(data: bytes) -> Bitmap:
    """Return where the rows lie. Raises DamagedHeaderError, JobError IMAGE_UNSUPPORTED."""
    try:
        (first_row, size) = struct.unpack_from("<II", data, 10)
        if size == _OLD_HEADER:
            (width, height, _, depth), packing = struct.unpack_from("<4H", data, 18), _NONE
        elif size in _HEADERS:
            (width, height, _, depth, packing) = struct.unpack_from("<2i2HI", data, 18)
        else:
            raise DamagedHeaderError(f"its header claims {size} bytes for itself")
    except struct.error as error:
        raise DamagedHeaderError("it ends within its header") from error
    if first_row < _FILE_HEADER + size:
        raise DamagedHeaderError("its pixels begin within its header")
    if depth not in _DEPTHS or packing not in {_NONE, _RLE8, _RLE4, _MASKS}:
        raise unsupported(f"a bitmap of {depth} bits packed in way {packing}")
    row_bytes, packed = (width * depth + 31) // 32 * 4, packing in {_RLE8, _RLE4}
    return Bitmap(width, abs(height), height < 0, first_row, row_bytes, packed, size < _FIRST_WITH_ALPHA)
