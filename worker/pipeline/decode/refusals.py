"""The sentences with which a picture's pixels are refused."""

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageHeader


def corrupt(header: ImageHeader, number: int, what: str) -> JobError:
    """Return the refusal of page `number`, whose bytes are damaged."""
    page = header.pages[number]
    size = f"{page.width} x {page.height}"
    place = f" on page {number + 1}" if len(header.pages) > 1 else ""
    return JobError(
        ErrorCode.IMAGE_CORRUPT,
        f"The {header.format} picture of {size} pixels is damaged{place} ({what}): send it again.",
    )
