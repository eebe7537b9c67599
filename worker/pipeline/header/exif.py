"""The orientation in a block of EXIF. A damaged block does not spoil the pixels: it counts as upright."""

from typing import Final

from worker.pipeline.header.claim import DamagedHeaderError
from worker.pipeline.header.ifd import open_directories

ORIENTATION_TAG: Final = 0x0112
EXIF_START: Final = b"Exif\0\0"
_ORIENTATIONS: Final = range(1, 9)
UPRIGHT: Final = 1


def orientation(block: bytes | memoryview) -> int:
    """Return the EXIF orientation, 1 to 8, of a block with or without the start that JPEG gives it."""
    if bytes(block[: len(EXIF_START)]) == EXIF_START:
        block = block[len(EXIF_START) :]
    try:
        directories = open_directories(block)
        value = directories.read(directories.first_offset, {ORIENTATION_TAG}).one(ORIENTATION_TAG, UPRIGHT)
    except DamagedHeaderError:
        return UPRIGHT
    return known(value)


def known(value: int) -> int:
    """Return an orientation that exists."""
    return value if value in _ORIENTATIONS else UPRIGHT
