"""Rows of a picture from libvips, from top to bottom, without holding what was read.

Invariant: libvips decodes in the calling thread only, keeps no cache, and says what it dislikes by exceptions alone.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyvips

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageFormat, ImageHeader, Pixels
from worker.pipeline.decode.jpeg import streamed_jpeg
from worker.pipeline.decode.levels import Layout, to_bgr
from worker.pipeline.decode.refusals import corrupt
from worker.pipeline.header import png, tiff
from worker.pipeline.header.claim import DamagedHeaderError

_ROWS_AT_ONCE: Final = 16
_SAMPLES: Final = {"uchar": np.uint8, "ushort": np.uint16}
_LAYOUTS: Final = {1: Layout.GREY, 2: Layout.GREY_ALPHA, 3: Layout.RGB, 4: Layout.RGBA}
_COLOURS: Final = frozenset({"b-w", "grey16", "srgb", "rgb", "rgb16", "cmyk", "multiband"})

# One thread and no memory of earlier pictures: every file is another one, and the worker's threads are counted.
pyvips.cache_set_max(0)
pyvips.vips_lib.vips_concurrency_set(1)


@dataclass(frozen=True, slots=True)
class RowReader:
    """One page whose rows are read once, from top to bottom.

    libvips reads from `data` as long as it has the image, and pyvips does not keep it for it.
    """

    header: ImageHeader
    number: int
    image: Any
    layout: Layout
    data: bytes

    def read(self, top: int, rows: int) -> Pixels:
        """Return uint8 [rows, width, 3] BGR. Raises JobError IMAGE_CORRUPT; rows passed over cannot be read later."""
        strip = np.empty((rows, self.image.width, 3), np.uint8)
        try:
            region = pyvips.Region.new(self.image)  # one a call, for a region belongs to the thread that made it
            for done in range(0, rows, _ROWS_AT_ONCE):
                count = min(_ROWS_AT_ONCE, rows - done)
                fetched = region.fetch(0, top + done, self.image.width, count)
                strip[done : done + count] = to_bgr(self._samples(fetched, count), self.layout)
        except pyvips.Error as error:
            raise corrupt(self.header, self.number, _said(error)) from error
        return strip

    def _samples(self, fetched: Any, rows: int) -> Any:  # noqa: ANN401 - cffi's buffer; an array of either depth
        return np.frombuffer(fetched, _SAMPLES[self.image.format]).reshape(rows, self.image.width, self.image.bands)


def open_rows(data: bytes, header: ImageHeader, number: int) -> RowReader:
    """Open page `number` of a JPEG, PNG, TIFF or AVIF.

    Raises JobError IMAGE_CORRUPT where it cannot be opened or has another size than its header claimed, and
    IMAGE_UNSUPPORTED for samples that are not read.
    """
    page = header.pages[number]
    if header.format is ImageFormat.PNG:
        data = png.without_texts(data)
    if header.format is ImageFormat.JPEG:
        data = streamed_jpeg(data, header)
    try:
        image = _open(data, header.format, number)
    except pyvips.Error as error:
        raise corrupt(header, number, _said(error)) from error
    except (DamagedHeaderError, StopIteration) as error:
        raise corrupt(header, number, f"its directory cannot be read, {error}") from error
    if (image.width, image.height) != (page.width, page.height):
        raise corrupt(header, number, f"it decodes to {image.width} x {image.height} pixels")
    return RowReader(header, number, image, _layout(image), data)


def _open(data: bytes, picture_format: ImageFormat, number: int) -> Any:  # noqa: ANN401 - pyvips has no types
    source = pyvips.Source.new_from_memory(data)
    how = {"access": "sequential", "fail_on": "error"}
    match picture_format:
        case ImageFormat.JPEG:
            return pyvips.Image.jpegload_source(source, access="sequential", fail_on="warning")
        case ImageFormat.PNG:
            return pyvips.Image.pngload_source(source, **how)
        case ImageFormat.TIFF:
            page = tiff.page(data, number)
            # `unlimited` lifts the bound on one encoded strip, which is no longer than the file.
            image = pyvips.Image.tiffload_source(source, page=page.directory, unlimited=True, **how)
            return image.extract_band(0, n=image.bands - page.surplus) if image.bands > page.surplus else image
        case ImageFormat.AVIF:
            return pyvips.Image.heifload_source(source, **how)
        case _:
            raise AssertionError(picture_format)


def _layout(image: Any) -> Layout:  # noqa: ANN401
    if image.format not in _SAMPLES or image.bands not in _LAYOUTS or image.interpretation not in _COLOURS:
        raise JobError(
            ErrorCode.IMAGE_UNSUPPORTED,
            f"The picture has {image.bands} channels of {image.format} samples ({image.interpretation}), of which only "
            "grey, RGB and CMYK of 8 and 16 bits without sign are read: convert it.",
        )
    return Layout.CMYK if image.interpretation == "cmyk" else _LAYOUTS[image.bands]


def _said(error: Any) -> str:  # noqa: ANN401
    lines = [line.strip() for line in str(error.detail).splitlines()]
    # libheif looks for a file's end by seeking beyond it, which libvips notes each time.
    return "the decoder says: " + " ".join(line for line in lines if line and "bad seek" not in line)[:200]
