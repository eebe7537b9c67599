"""One page of an encoded picture."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worker.domain.image import ImageHeader, PageHeader, PageImage, Pixels
from worker.pipeline.decode.page_rows import STRIP_ROWS
from worker.pipeline.decode.square_pixels import squared, squared_strips
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.thumbnail import Thumbnail
from worker.pipeline.decode.whole import decode, upright


@dataclass(frozen=True, slots=True)
class EncodedPage:
    """Page `number` of a picture, not decoded."""

    picture: bytes
    header: ImageHeader
    number: int

    @property
    def page(self) -> PageHeader:
        """What the page claims to be."""
        return self.header.pages[self.number]

    def decode(self) -> PageImage:
        """Decode it whole and upright. Raises JobError, MemoryError."""
        return decode(self.picture, self.header, self.number)

    def reduced(self, long_side_pixels: int) -> PageImage:
        """Decode it upright, its long side brought to `long_side_pixels` if it is longer.

        No more than a strip is held of a page that streams and is twice as long. Raises JobError, MemoryError.
        """
        page = self.page
        long_side = max(page.width, page.height)
        if long_side <= long_side_pixels:
            return self.decode()
        if not page.streams or long_side < 2 * long_side_pixels:
            thumbnail = Thumbnail(*page.upright_size, long_side_pixels)
            thumbnail.add(self.decode().pixels)
            return PageImage(thumbnail.pixels())
        thumbnail = Thumbnail(page.width, page.height, long_side_pixels)
        for strip in self.strips(mirrored=False):
            thumbnail.add(strip)
        return PageImage(np.ascontiguousarray(upright(thumbnail.pixels(), page.orientation)))

    def decode_squared(self) -> PageImage:
        """Decode it whole and upright, with square pixels. Raises JobError, MemoryError."""
        page = self.decode()
        return page if self.page.is_square else squared(page, self.page)

    def squared_strips(self, *, mirrored: bool) -> Iterator[Pixels]:
        """Decode it as `strips` does, with square pixels. Raises JobError."""
        strips = self.strips(mirrored=mirrored)
        return strips if self.page.is_square else squared_strips(strips, self.page, STRIP_ROWS)

    def strips(self, *, mirrored: bool) -> Iterator[Pixels]:
        """Decode it as it is stored, `STRIP_ROWS` rows at a time, each row turned round if `mirrored`.

        Raises JobError.
        """
        strips = decode_strips(self.picture, self.header, STRIP_ROWS, self.number)
        return (strip[:, ::-1] if mirrored else strip for strip in strips)
