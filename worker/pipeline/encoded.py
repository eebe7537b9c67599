"""One page of an encoded picture."""

from collections.abc import Iterator
from dataclasses import dataclass

from worker.domain.image import ImageHeader, PageHeader, PageImage, Pixels
from worker.pipeline.decode import decode, decode_strips
from worker.pipeline.survey import STRIP_ROWS


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

    def strips(self, *, mirrored: bool) -> Iterator[Pixels]:
        """Decode it as it is stored, `STRIP_ROWS` rows at a time, each row turned round if `mirrored`.

        Raises JobError.
        """
        strips = decode_strips(self.picture, self.header, STRIP_ROWS, self.number)
        return (strip[:, ::-1] if mirrored else strip for strip in strips)
