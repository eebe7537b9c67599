"""Strips of a page that is too large to be held at once.

Invariant: no more is held than one strip, what the decoder needs for its own rows, and the encoded bytes.
"""

from collections.abc import Callable, Iterator
from functools import partial

from worker.domain.image import ImageFormat, ImageHeader, Pixels
from worker.pipeline.decode.bitmap import bitmap_ground, read_bitmap
from worker.pipeline.decode.rows import open_rows
from worker.pipeline.decode.whole import check_complete


def decode_strips(data: bytes, header: ImageHeader, rows: int, number: int = 0) -> Iterator[Pixels]:
    """Decode page `number` from top to bottom as it is stored, before EXIF turns it, `rows` rows at a time.

    Yields uint8 [at most `rows`, width, 3] BGR, by the same rules as `decode`. For pages whose header says that they
    stream. Raises JobError as `decode` does, at the strip that is damaged.
    """
    check_complete(data, header)
    page = header.pages[number]
    if header.format is ImageFormat.BMP:
        read: Callable[[int, int], Pixels] = partial(read_bitmap, data, header, bitmap_ground(data, header))
    else:
        read = open_rows(data, header, number).read
    for top in range(0, page.height, rows):
        yield read(top, min(rows, page.height - top))
