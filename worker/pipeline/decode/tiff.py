"""Pages of TIFF files as libvips takes them: with the tags that their pixels need, and nothing else.

libtiff complains of other tags, and libvips takes each complaint for an error. Invariant: what libtiff says of a page
that was prepared here is of its pixels. JPEG and Deflate in a TIFF are looked through strip by strip before that, for
libtiff stops where a strip has given its rows, and does not say what it left.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from worker.domain.image import ImageHeader
from worker.pipeline.decode.jpeg import is_sound
from worker.pipeline.decode.refusals import corrupt
from worker.pipeline.header.ifd import DirectoryReader, TagEntry, open_directories
from worker.pipeline.header.tiff import TiffPage
from worker.pipeline.page_claim import DamagedHeaderError

_OFFSETS, _LENGTHS, _TILE_OFFSETS, _TILE_LENGTHS, _JPEG_TABLES = 273, 279, 324, 325, 347
_TAGS: Final = frozenset({
    256, 257, 258, 259, 262, 266, _OFFSETS, 277, 278, _LENGTHS, 284, 292, 293, 317, 320, 322, 323, _TILE_OFFSETS,
    _TILE_LENGTHS, 332, 334, 338, 339, _JPEG_TABLES, 529, 530, 531, 532,
})  # fmt: skip
# A larger file is not held a second time for its directory's sake.
_MAX_COPIED_BYTES: Final = 64 * 1024 * 1024
_MAX_BYTES_OF_A_PIXEL: Final = 16  # five samples of 16 bits, and what a tile holds beyond the page's edge
_UNPACKED_AT_ONCE: Final = 1 << 16
_START_OF_IMAGE, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"


def plain_page(data: bytes, page: TiffPage) -> bytes | None:
    """Return a file whose only page is this one, or None for one that is too large to be copied.

    Raises DamagedHeaderError for a page of which a strip or tile lies outside of the file.
    """
    if len(data) > _MAX_COPIED_BYTES:
        return None
    directories = open_directories(data)
    entries = directories.entries(page.offset, _TAGS)
    if any(offset + length > len(data) for offset, length in _pieces(directories, entries)):
        raise DamagedHeaderError("a strip or tile lies outside of the file")
    return directories.with_directory(entries)


def check_pieces(data: bytes, page: TiffPage, header: ImageHeader, number: int) -> None:
    """Refuse a page of which a strip or tile of JPEG or Deflate is damaged.

    Raises JobError IMAGE_CORRUPT, DamagedHeaderError.
    """
    if not (page.has_jpeg or page.has_deflate):
        return
    directories = open_directories(data)
    entries = directories.entries(page.offset, _TAGS)
    tables = b"".join(bytes(directories.numbers(entry)) for entry in entries if entry.tag == _JPEG_TABLES)
    shared = tables.removeprefix(_START_OF_IMAGE).removesuffix(_END_OF_IMAGE)
    left = page.claim.page.width * page.claim.page.height * _MAX_BYTES_OF_A_PIXEL
    for place, (offset, length) in enumerate(_pieces(directories, entries)):
        piece = data[offset : offset + length]
        if page.has_deflate:
            try:
                left = _inflate(piece, left)
            except zlib.error as error:
                raise corrupt(header, number, f"its strip or tile {place} of Deflate: {error}") from error
        elif not is_sound(_START_OF_IMAGE + shared + piece.removeprefix(_START_OF_IMAGE), header):
            raise corrupt(header, number, f"its strip or tile {place} of JPEG has lost pixels")


def _inflate(piece: bytes, left: int) -> int:
    """Unpack at most `left` bytes for the sake of the checksum behind them, and return how many are left then.

    libtiff stops where it has its rows, and does not come to the checksum. Raises zlib.error.
    """
    unpacker = zlib.decompressobj()
    while piece and left > 0:
        left -= len(unpacker.decompress(piece, min(left, _UNPACKED_AT_ONCE)))
        piece = unpacker.unconsumed_tail
    return left


def _pieces(directories: DirectoryReader, entries: Iterable[TagEntry]) -> Iterator[tuple[int, int]]:
    """Yield where the strips or tiles of a page lie, and how long they are."""
    known = {entry.tag: entry for entry in entries}
    offsets, lengths = known.get(_TILE_OFFSETS, known.get(_OFFSETS)), known.get(_TILE_LENGTHS, known.get(_LENGTHS))
    if offsets is None or lengths is None:
        raise DamagedHeaderError("it does not say where its pixels lie")
    return zip(directories.numbers(offsets), directories.numbers(lengths), strict=False)
