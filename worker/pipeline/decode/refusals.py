"""What it means that a decoder failed: a damaged picture, or a lack of memory.

Decoders have few words for a lack of memory, and some have none: OpenCV gives no picture, libheif and libpng a general
failure. So a picture is called damaged only where the memory that decoding it may take can be had. Invariant: the words
are of libraries whose texts quote nothing of a picture, and none of them is about a size that a damaged file claims.
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageHeader

# By the module of the error: of libvips, of libjpeg through libvips, of OpenCV.
_WORDS: Final = {
    "pyvips": ("out of memory -- size", "Insufficient memory (case"),
    "cv2": (":Insufficient memory)",),
}


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether a decoder's error tells that it got no memory."""
    if isinstance(error, MemoryError):
        return True
    words = _WORDS.get(type(error).__module__.partition(".")[0], ())
    return any(text in str(error) for text in words)


@contextmanager
def telling_lack_of_memory(needed_bytes: int) -> Iterator[None]:
    """Turn what is called damage into MemoryError where `needed_bytes` cannot be had, or a decoder told so."""
    try:
        yield
    except JobError as error:
        if error.code is not ErrorCode.IMAGE_CORRUPT:
            raise
        if error.__cause__ is not None and is_out_of_memory(error.__cause__):
            raise MemoryError("a decoder had no memory for the picture") from error
        try:
            mmap.mmap(-1, needed_bytes).close()  # reserved, and never touched
        except OSError as refusal:
            raise MemoryError(f"there are no {needed_bytes} bytes to decode the picture in") from refusal
        raise


def corrupt(header: ImageHeader, number: int, what: str) -> JobError:
    """Return the refusal of page `number`, whose bytes are damaged."""
    page = header.pages[number]
    size = f"{page.width} x {page.height}"
    place = f" on page {number + 1}" if len(header.pages) > 1 else ""
    return JobError(
        ErrorCode.IMAGE_CORRUPT,
        f"The {header.format} picture of {size} pixels is damaged{place} ({what}): send it again.",
    )
