"""The orientation and density in a block of EXIF. A damaged block does not spoil the pixels: it counts as none."""

from typing import Final

from worker.pipeline.header.density import Density
from worker.pipeline.header.ifd import TagDirectory, open_directories
from worker.pipeline.page_claim import DamagedHeaderError

ORIENTATION_TAG: Final = 0x0112
_ACROSS_TAG, _DOWN_TAG, _UNIT_TAG = 0x011A, 0x011B, 0x0128
DENSITY_TAGS: Final = frozenset({_ACROSS_TAG, _DOWN_TAG, _UNIT_TAG})
_INCH: Final = 2
EXIF_START: Final = b"Exif\0\0"
_ORIENTATIONS: Final = range(1, 9)
UPRIGHT: Final = 1


def orientation(block: bytes | memoryview) -> int:
    """Return the EXIF orientation, 1 to 8, of a block with or without the start that JPEG gives it."""
    directory = _directory(block)
    return UPRIGHT if directory is None else known(directory.one(ORIENTATION_TAG, UPRIGHT))


def densities(block: bytes | memoryview) -> tuple[Density, ...]:
    """Return the density of a block's main picture, if it has one."""
    directory = _directory(block)
    return () if directory is None else (density(directory),)


def density(directory: TagDirectory) -> Density:
    """Return the density that a directory of TIFF or EXIF tells; 0 where it tells none."""
    across, down = directory.ratio(_ACROSS_TAG), directory.ratio(_DOWN_TAG)
    match directory.one(_UNIT_TAG, _INCH):
        case 1:
            return Density(across, down, per_inch=False)
        case 3:
            return Density.per_centimeter(across, down)
        case _:
            return Density(across, down)


def _directory(block: bytes | memoryview) -> TagDirectory | None:
    if bytes(block[: len(EXIF_START)]) == EXIF_START:
        block = block[len(EXIF_START) :]
    try:
        directories = open_directories(block)
        return directories.read(directories.first_offset, {ORIENTATION_TAG, *DENSITY_TAGS})
    except DamagedHeaderError:
        return None


def known(value: int) -> int:
    """Return an orientation that exists."""
    return value if value in _ORIENTATIONS else UPRIGHT
