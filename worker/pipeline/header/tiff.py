"""Headers of TIFF and BigTIFF files (TIFF 6.0), page by page.

Invariant: the chain of directories is followed once, never in a loop, and no further than the limit of pages and a
fixed number of thumbnails and masks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Final

from worker.domain.image import PageHeader
from worker.pipeline.header.exif import DENSITY_TAGS, ORIENTATION_TAG, UPRIGHT, density, known
from worker.pipeline.header.ifd import TagDirectory, open_directories
from worker.pipeline.page_claim import DamagedHeaderError, PageClaim, unsupported

_SUBFILE, _WIDTH, _HEIGHT, _BITS = 254, 256, 257, 258
_COMPRESSION, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT = 259, 262, 277, 339
_ROWS_PER_STRIP, _STRIP_BYTES, _PLANES = 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _DNG = 322, 323, 338, 50706
_TAGS: Final = frozenset(
    {_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANES,
     _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _SAMPLE_FORMAT, _DNG, ORIENTATION_TAG, *DENSITY_TAGS}
)  # fmt: skip
_REDUCED_OR_MASK: Final = 1 | 4
_PLAIN: Final = 1
_JPEG: Final = 7
_DEFLATE: Final = frozenset({8, 32946})
_COMPRESSIONS: Final = frozenset({1, 2, 3, 4, 5, _JPEG, 8, 32773, 32946})
_NAMES: Final = {
    6: "old JPEG",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
}
_YCBCR: Final = 6
_CHANNELS: Final = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, _YCBCR: 3}  # by photometric interpretation
_INKS: Final = 5
_UNSIGNED: Final = 1
_SEPARATE: Final = 2
_WHOLE_BYTE: Final = 8
# What libtiff unpacks at once must fit: a row of tiles, a strip of each plane, or a strip of JPEG. Other strips go row
# by row, but libtiff holds them packed.
_MAX_UNIT_BYTES: Final = 64 * 1024 * 1024
_HELD_UNITS: Final = 2
_HELD_JPEG_UNITS: Final = 4  # as measured: a progressive strip's coefficients, and the strip twice
_MAX_THUMBNAILS_AND_MASKS: Final = 1000
_MEANS_NOTHING: Final = 0


@dataclass(frozen=True, slots=True)
class TiffPage:
    """A page and the place of its directory in the file's chain, thumbnails and masks counted, and in the file.

    `surplus` is how many samples of a pixel, at its end, have no meaning.
    """

    directory: int
    offset: int
    surplus: int
    compression: int
    claim: PageClaim

    @property
    def is_packed(self) -> bool:
        """Whether its pixels are packed in any way."""
        return self.compression != _PLAIN

    @property
    def has_deflate(self) -> bool:
        """Whether they are packed by Deflate."""
        return self.compression in _DEFLATE

    @property
    def has_jpeg(self) -> bool:
        """Whether they are packed as JPEG."""
        return self.compression == _JPEG


def pages(data: bytes) -> Iterator[TiffPage]:
    """Yield the pages without thumbnails and masks, each as it is asked for.

    Raises DamagedHeaderError, JobError IMAGE_UNSUPPORTED.
    """
    for number, offset, directory in _directories(data):
        yield _page(number, offset, directory, len(data))


def page(data: bytes, number: int) -> TiffPage:
    """Return page `number`. Raises as `pages` does, StopIteration where there are not so many."""
    place, offset, directory = next(islice(_directories(data), number, None))
    return _page(place, offset, directory, len(data))


def _directories(data: bytes) -> Iterator[tuple[int, int, TagDirectory]]:
    directories = open_directories(data)
    offset, seen, pages_so_far = directories.first_offset, set[int](), 0
    for number in count():
        if offset in seen:
            raise DamagedHeaderError("its directories form a loop")
        seen.add(offset)
        directory = directories.read(offset, _TAGS)
        if number == 0 or not directory.one(_SUBFILE, 0) & _REDUCED_OR_MASK:
            pages_so_far += 1
            yield number, offset, directory
        elif number - pages_so_far >= _MAX_THUMBNAILS_AND_MASKS:
            raise DamagedHeaderError(f"it has more than {_MAX_THUMBNAILS_AND_MASKS} thumbnails and masks")
        offset = directory.next_offset
        if not offset:
            return


def _page(number: int, offset: int, directory: TagDirectory, size_bytes: int) -> TiffPage:
    # A sample whose meaning is not told may be anything, such as a selection; without the tag it is alpha as a rule.
    surplus = 1 if directory.values.get(_EXTRA, ()) == (_MEANS_NOTHING,) else 0
    compression = directory.one(_COMPRESSION, _PLAIN)
    return TiffPage(number, offset, surplus, compression, _claim(directory, size_bytes))


def _claim(directory: TagDirectory, size_bytes: int) -> PageClaim:
    if _DNG in directory.values:
        raise unsupported("a camera's raw file", instead="save it as JPEG")
    width, height = directory.one(_WIDTH, 0), directory.one(_HEIGHT, 0)
    bits, samples = directory.one(_BITS, 1), directory.one(_SAMPLES, 1)
    _check_kind(directory, bits, samples)
    turned = known(directory.one(ORIENTATION_TAG, UPRIGHT))
    packed_bytes = 0 if directory.one(_COMPRESSION, 1) == 1 else max(directory.values.get(_STRIP_BYTES, (0,)))
    unit_bytes = max(min(packed_bytes, size_bytes), _unit_bytes(directory, width, height, bits * samples))
    page = PageHeader(width, height, turned, streams=unit_bytes <= _MAX_UNIT_BYTES)
    held_units = _HELD_JPEG_UNITS if directory.one(_COMPRESSION, 1) == _JPEG else _HELD_UNITS
    decoded_bytes = page.pixels * (3 if turned == UPRIGHT else 6) + held_units * unit_bytes
    return PageClaim(page, decoded_bytes, stretch=density(directory).stretch(width, height))


def _check_kind(directory: TagDirectory, bits: int, samples: int) -> None:
    compression, photometric = directory.one(_COMPRESSION, 1), directory.one(_PHOTOMETRIC, 1)
    if compression not in _COMPRESSIONS:
        name = _NAMES.get(compression, f"a way of its own ({compression})")
        raise unsupported(f"a TIFF packed by {name}", instead="save it with LZW or JPEG compression")
    if set(directory.values.get(_SAMPLE_FORMAT, (_UNSIGNED,))) != {_UNSIGNED}:
        raise unsupported("a TIFF with samples that are no whole numbers without sign", instead="convert it to 8 bits")
    if len(set(directory.values.get(_BITS, (bits,)))) > 1 or bits not in {1, 2, 4, 8, 16}:
        raise unsupported(f"a TIFF with samples of {bits} bits", instead="convert it to 8 bits")
    if photometric not in _CHANNELS or (photometric == _YCBCR and compression != _JPEG):
        raise unsupported(f"a TIFF with colors of kind {photometric}", instead="convert it to RGB")
    if directory.one(_PLANES, 1) == _SEPARATE and samples > 1 and _TILE_WIDTH in directory.values:
        raise unsupported("a TIFF with a plane of tiles for each color", instead="save it in strips")
    extra = samples - _CHANNELS[photometric]
    if not 0 <= extra <= (0 if photometric == _INKS else 1) or (bits < _WHOLE_BYTE and samples > 1):
        raise unsupported(f"a TIFF with {samples} samples of {bits} bits a pixel", instead="convert it to RGB")


def _unit_bytes(directory: TagDirectory, width: int, height: int, bits_of_pixel: int) -> int:
    """Return how many bytes are unpacked at once."""
    if _TILE_WIDTH in directory.values:
        across, down = directory.one(_TILE_WIDTH, 0), directory.one(_TILE_HEIGHT, 0)
        if not across or not down:
            raise DamagedHeaderError("its tiles have no size")
        return -(-width // across) * across * down * bits_of_pixel // 8
    rows = min(directory.one(_ROWS_PER_STRIP, height), height)
    whole = directory.one(_PLANES, 1) == _SEPARATE or directory.one(_COMPRESSION, 1) == _JPEG
    in_rows = rows if whole else min(rows, 128)
    return in_rows * width * bits_of_pixel // 8
