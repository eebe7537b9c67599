"""Pixels of HEIF files, whose HEVC pictures only libheif decodes.

Invariant: libheif makes the turns and mirrors that the file asks for, and nobody makes them again.
"""

from typing import Final

import numpy as np
import pi_heif

from worker.domain.image import ImageHeader, Pixels
from worker.pipeline.decode.refusals import corrupt
from worker.pipeline.decode.to_bgr import SampleLayout, to_bgr
from worker.pipeline.header.heif import check_coded
from worker.pipeline.page_claim import DamagedHeaderError, unsupported

_LAYOUTS: Final = {
    "L": SampleLayout.GRAY,
    "I;16": SampleLayout.GRAY,
    "LA": SampleLayout.GRAY_ALPHA,
    "BGR": SampleLayout.BGR,
    "BGRA": SampleLayout.BGRA,
}

pi_heif.options.DECODE_THREADS = 1  # the worker's threads are counted


def decode_heif(data: bytes, header: ImageHeader) -> Pixels:
    """Decode the primary picture to uint8 [height, width, 3] BGR. Raises JobError IMAGE_CORRUPT."""
    try:
        check_coded(data)
    except DamagedHeaderError as error:
        raise corrupt(header, 0, str(error)) from error
    try:
        picture = pi_heif.open_heif(data, convert_hdr_to_8bit=True, bgr_mode=True)
        page = header.pages[0]
        if picture.size != (page.width, page.height):
            raise corrupt(header, 0, f"it decodes to {picture.size[0]} x {picture.size[1]} pixels")
        if picture.mode not in _LAYOUTS:
            raise unsupported(f"a HEIF with colors of kind {picture.mode}", instead="save it as JPEG")
        # A copy: an array that only looks at the decoder's memory outlives it, and shows what is put there next.
        return to_bgr(np.array(picture, copy=True), _LAYOUTS[picture.mode])
    except SyntaxError as error:  # what libheif has not learnt, by pi_heif's way to say so
        raise unsupported(f"a HEIF of another kind ({error})", instead="save it as JPEG") from error
    except (RuntimeError, ValueError, EOFError, OSError, IndexError) as error:
        raise corrupt(header, 0, f"the decoder says: {error}") from error
