"""What a page's header claims, and what decoding it whole would take."""

from dataclasses import dataclass
from typing import Final

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import PageHeader

SQUARE: Final = (1.0, 1.0)  # pixels as wide as high: no stretch
ACCEPTED: Final = "send JPEG, PNG, WebP, TIFF, BMP, HEIF, AVIF or PDF"


class DamagedHeaderError(Exception):
    """The header cannot be read; the message is half a sentence that says why."""


@dataclass(frozen=True, slots=True)
class PageClaim:
    """One page.

    `decoded_bytes` is what its decoder and the page in uint8 BGR hold at the worst moment. `fault` is half a sentence
    that says why the file's bytes cannot hold what is claimed; empty where they may. `stretch` is by what its stored
    pixels are to be stretched across and down to be square.
    """

    page: PageHeader
    decoded_bytes: int
    fault: str = ""
    stretch: tuple[float, float] = SQUARE


BEYOND_ITS_BYTES: Final = "it claims more pixels than its bytes can hold"


def unsupported(what: str, *, instead: str = "save it in another way") -> JobError:
    """Return the refusal of a picture whose kind is known and not read."""
    return JobError(ErrorCode.IMAGE_UNSUPPORTED, f"The picture is {what}, which is not read: {instead}.")
