"""How the C library's allocator treats large blocks.

glibc raises the size from which a block is mapped by itself to that of the largest one freed so far, up to 32 MiB. A
worker's pictures, tiles and crops then share one heap, whose holes are never given back: on a picture of 105 megapixels
that cost 200 MB.
"""

import contextlib
import ctypes
from typing import Final

_MMAP_THRESHOLD: Final = -3  # M_MMAP_THRESHOLD of <malloc.h>
_LARGE_BYTES: Final = 2 * 1024 * 1024


def return_large_blocks() -> None:
    """Have blocks of 2 MiB and more mapped one by one, so that each is given back when it is freed.

    Does nothing on a C library without `mallopt`.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
