"""Strips of a page that is too large to be held at once.

Invariant: no more is held than one strip, what the decoder needs for its own rows, and the encoded bytes.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from worker.domain.image import ImageFormat, ImageHeader, Pixels
from worker.pipeline.decode.bitmap import bitmap_background, read_bitmap
from worker.pipeline.decode.libvips import open_rows
from worker.pipeline.decode.refusals import telling_lack_of_memory
from worker.pipeline.decode.whole import check_complete

_MAX_BYTES_OF_A_PIXEL: Final = 18
_ROWS_HELD: Final = 256  # by libvips for itself: a strip or a row of tiles


def decode_strips(data: bytes, header: ImageHeader, rows: int, number: int = 0) -> Iterator[Pixels]:
    """Decode page `number` from top to bottom as it is stored, before EXIF turns it, `rows` rows at a time.

    Yields uint8 [at most `rows`, width, 3] BGR, by the same rules as `decode`. For pages whose header says that they
    stream. Raises JobError as `decode` does, at the strip that is damaged.
    """
    page = header.pages[number]
    needed_bytes = page.width * max(rows, _ROWS_HELD) * _MAX_BYTES_OF_A_PIXEL
    with telling_lack_of_memory(needed_bytes):
        check_complete(data, header)
        if header.format is ImageFormat.BMP:
            read: Callable[[int, int], Pixels] = partial(read_bitmap, data, header, bitmap_background(data, header))
        else:
            read = open_rows(data, header, number).read
    for top in range(0, page.height, rows):
        with telling_lack_of_memory(needed_bytes):
            strip = read(top, min(rows, page.height - top))
        yield strip
