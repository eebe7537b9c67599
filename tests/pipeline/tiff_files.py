"""TIFF files out of directories written by hand."""

import struct


def ifd(*tags: tuple[int, int, int], following: int = 0) -> bytes:
    """A little-endian directory of SHORT (3) and LONG (4) values that stand in it."""
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags))
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def tiff(*directories: bytes) -> bytes:
    return b"II*\0\x08\0\0\0" + b"".join(directories)
