"""Rows of a picture from libvips, from top to bottom, without holding what was read.

Invariant: libvips decodes in the calling thread only, keeps no cache, and says what it dislikes by exceptions alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import pyvips

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageFormat, ImageHeader, Pixels
from worker.pipeline.decode.background import WHITE, BorderLevels
from worker.pipeline.decode.jpeg import streamed_jpeg
from worker.pipeline.decode.refusals import corrupt
from worker.pipeline.decode.tiff import check_pieces, plain_page
from worker.pipeline.decode.to_bgr import HAVE_ALPHA, SampleLayout, count_borders, write_bgr
from worker.pipeline.header import png, tiff
from worker.pipeline.page_claim import DamagedHeaderError

_ROWS_AT_ONCE: Final = 16  # at least; a multiple of libvips's own 8
_BYTES_AT_ONCE: Final = 256 * 1024  # what stays in a core's cache
_ROWS_OF_BORDERS: Final = 64
_SAMPLES: Final = {"uchar": np.uint8, "ushort": np.uint16}
_LAYOUTS: Final = {1: SampleLayout.GRAY, 2: SampleLayout.GRAY_ALPHA, 3: SampleLayout.RGB, 4: SampleLayout.RGBA}
_COLORS: Final = frozenset({"b-w", "grey16", "srgb", "rgb", "rgb16", "cmyk", "multiband"})

# One thread and no memory of earlier pictures: every file is another one, and the worker's threads are counted.
pyvips.cache_set_max(0)
pyvips.vips_lib.vips_concurrency_set(1)


@dataclass(frozen=True, slots=True)
class RowReader:
    """One page whose rows are read once, from top to bottom.

    libvips reads from the encoded bytes as long as it has the image, and pyvips does not keep them for it: `reopen`
    does, which opens the page anew.
    """

    header: ImageHeader
    number: int
    image: Any
    layout: SampleLayout
    reopen: Callable[[], Any]
    background: int = WHITE

    def read(self, top: int, rows: int) -> Pixels:
        """Return uint8 [rows, width, 3] BGR. Raises JobError IMAGE_CORRUPT; rows passed over cannot be read later."""
        try:
            region = pyvips.Region.new(self.image)  # one a call, for a region belongs to the thread that made it
            width, bands, depth = self._row()
            strip = np.empty((rows, width, 3), np.uint8)
            at_once = max(1, _BYTES_AT_ONCE // (width * bands * _ROWS_AT_ONCE)) * _ROWS_AT_ONCE
            for done in range(0, rows, at_once):
                count = min(at_once, rows - done)
                fetched = np.frombuffer(region.fetch(0, top + done, width, count), depth)
                samples = fetched.reshape(count, width, bands)
                write_bgr(strip[done : done + count], samples, self.layout, self.background)
        except pyvips.Error as error:
            raise corrupt(self.header, self.number, _said(error)) from error
        return strip

    def on_its_background(self) -> "RowReader":
        """Return a reader of the same rows that lays transparent pixels on a background that contrasts with the print.

        It takes a pass over all rows where there is alpha. Raises JobError IMAGE_CORRUPT.
        """
        if self.layout not in HAVE_ALPHA:
            return self
        borders = BorderLevels()
        try:
            region = pyvips.Region.new(self.image)
            height, (width, bands, depth) = self.image.height, self._row()
            for top in range(0, height, _ROWS_OF_BORDERS):
                rows = min(_ROWS_OF_BORDERS, height - top)
                fetched = np.frombuffer(region.fetch(0, top, width, rows), depth)
                count_borders(borders, fetched.reshape(rows, width, bands), self.layout)
            again = self.reopen()
        except pyvips.Error as error:
            raise corrupt(self.header, self.number, _said(error)) from error
        return replace(self, background=borders.background(), image=again)

    def _row(self) -> tuple[int, int, np.dtype[Any]]:
        """Return how many pixels and channels a row has, and the type of its samples: slow to ask libvips for."""
        return self.image.width, self.image.bands, np.dtype(_SAMPLES[self.image.format])


def open_rows(data: bytes, header: ImageHeader, number: int) -> RowReader:
    """Open page `number` of a JPEG, PNG, TIFF or AVIF.

    Raises JobError IMAGE_CORRUPT where it cannot be opened or has another size than its header claimed, and
    IMAGE_UNSUPPORTED for samples that are not read.
    """
    page = header.pages[number]
    try:
        reopen = _opener(data, header, number)
        image = reopen()
    except pyvips.Error as error:
        raise corrupt(header, number, _said(error)) from error
    except (DamagedHeaderError, StopIteration) as error:
        raise corrupt(header, number, f"its directory cannot be read, {error}") from error
    if (image.width, image.height) != (page.width, page.height):
        raise corrupt(header, number, f"it decodes to {image.width} x {image.height} pixels")
    return RowReader(header, number, image, _layout(image), reopen).on_its_background()


def _opener(data: bytes, header: ImageHeader, number: int) -> Callable[[], Any]:
    """Return what opens the page, each time anew. Raises JobError IMAGE_CORRUPT, DamagedHeaderError, StopIteration."""
    match header.format:
        case ImageFormat.JPEG:
            return partial(_open, pyvips.Image.jpegload_source, streamed_jpeg(data, header), fail_on="warning")
        case ImageFormat.PNG:
            return partial(_open, pyvips.Image.pngload_source, png.decodable(data))
        case ImageFormat.TIFF:
            page = tiff.page(data, number)
            check_pieces(data, page, header, number)
            plain = plain_page(data, page)
            if plain is None:
                opener = partial(_open_tiff, data, page=page.directory)
            else:
                # Of JPEG libtiff warns where its end marker is missing, and all else was looked through above.
                warns = page.is_packed and not page.has_jpeg
                opener = partial(_open_tiff, plain, page=0, fail_on="warning" if warns else "error")
            # Where the colors show nothing the page is in the sample whose meaning is not told: it is alpha.
            surplus = page.surplus if page.surplus and _shows(opener(surplus=page.surplus)) else 0
            return partial(opener, surplus=surplus)
        case ImageFormat.AVIF:
            return partial(_open, pyvips.Image.heifload_source, data)
        case _:
            raise AssertionError(header.format)


def _open(load: Callable[..., Any], data: bytes, *, fail_on: str = "error", **options: object) -> Any:  # noqa: ANN401 - pyvips has no types
    return load(pyvips.Source.new_from_memory(data), access="sequential", fail_on=fail_on, **options)


def _open_tiff(data: bytes, *, surplus: int, page: int, fail_on: str = "error") -> Any:  # noqa: ANN401
    # `unlimited` lifts the bound on one encoded strip, which is no longer than the file.
    image = _open(pyvips.Image.tiffload_source, data, fail_on=fail_on, unlimited=True, page=page)
    return image.extract_band(0, n=image.bands - surplus) if image.bands > surplus else image


def _shows(image: Any) -> bool:  # noqa: ANN401
    """Say whether any channel has more than one level; the rows are read as far as the first that tells."""
    region, low, high = pyvips.Region.new(image), None, None
    for top in range(0, image.height, _ROWS_AT_ONCE):
        rows = min(_ROWS_AT_ONCE, image.height - top)
        samples = np.frombuffer(region.fetch(0, top, image.width, rows), _SAMPLES[image.format])
        pixels = samples.reshape(-1, image.bands)
        low = pixels.min(axis=0) if low is None else np.minimum(low, pixels.min(axis=0))
        high = pixels.max(axis=0) if high is None else np.maximum(high, pixels.max(axis=0))
        if (high > low).any():
            return True
    return False


def _layout(image: Any) -> SampleLayout:  # noqa: ANN401
    if image.format not in _SAMPLES or image.bands not in _LAYOUTS or image.interpretation not in _COLORS:
        raise JobError(
            ErrorCode.IMAGE_UNSUPPORTED,
            f"The picture has {image.bands} channels of {image.format} samples ({image.interpretation}), of which only "
            "gray, RGB and CMYK of 8 and 16 bits without sign are read: convert it.",
        )
    return SampleLayout.CMYK if image.interpretation == "cmyk" else _LAYOUTS[image.bands]


def _said(error: Any) -> str:  # noqa: ANN401
    lines = [line.strip() for line in str(error.detail).splitlines()]
    # libheif looks for a file's end by seeking beyond it, which libvips notes each time.
    return "the decoder says: " + " ".join(line for line in lines if line and "bad seek" not in line)[:200]
