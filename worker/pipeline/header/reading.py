"""What a picture claims to be, read from its bytes.

Invariant: no memory for pixels is taken here, whatever the header claims, and nothing but JobError is raised, whatever
the bytes are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageFormat, ImageHeader, PageHeader
from worker.pipeline.header import bmp, heif, jpeg, png, tiff, webp
from worker.pipeline.options import ImageLimits
from worker.pipeline.page_claim import ACCEPTED, DamagedHeaderError, PageClaim, unsupported
from worker.pipeline.pdf.pages import claims as pdf_claims

_STARTS: Final = {
    b"\xff\xd8\xff": ImageFormat.JPEG,
    png.START: ImageFormat.PNG,
    b"II*\0": ImageFormat.TIFF,
    b"MM\0*": ImageFormat.TIFF,
    b"II+\0": ImageFormat.TIFF,  # BigTIFF
    b"MM\0+": ImageFormat.TIFF,
    b"BM": ImageFormat.BMP,
}
_SINGLE: Final = {
    ImageFormat.JPEG: jpeg.read,
    ImageFormat.PNG: png.read,
    ImageFormat.WEBP: webp.read,
    ImageFormat.BMP: bmp.read,
    ImageFormat.HEIF: heif.read,
    ImageFormat.AVIF: heif.read,
}
_PDF_START: Final = b"%PDF-"
_PDF_START_WITHIN: Final = 1024
_FOREIGN_BEGINNINGS: Final = {
    b"GIF8": "a GIF",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "gzip data",
    b"\0\0\0\x0cjP": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL": "a JPEG XL picture",
    b"8BPS": "a Photoshop document",
    b"\0\0\x01\0": "an icon",
    b"%!PS": "a PostScript document",
    b"^XA": "a ZPL program for a label printer",
    b"<svg": "an SVG drawing",
    b"<!DOCTYPE html": "a web page",
    b"<html": "a web page",
}
# What is under way at once is counted in pixels, so that a page may not take much more than its pixels let on.
_MAX_BYTES_OF_A_PIXEL: Final = 40
_MAX_BYTES_BESIDE: Final = 64 * 1024 * 1024
_BYTES_OF_A_SQUARE_PIXEL: Final = 3  # the page stretched, beside the page as it is stored


def read_header(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Return what the encoded picture claims to be.

    Raises JobError IMAGE_UNSUPPORTED for an empty value and what is no picture of a known kind, IMAGE_CORRUPT for
    a header that cannot be read, and IMAGE_TOO_LARGE for one that claims more than the limits.
    """
    if not data:
        raise JobError(ErrorCode.IMAGE_UNSUPPORTED, f"The value is empty: {ACCEPTED} bytes as the record's value.")
    picture_format = _format(data)
    if picture_format is None:
        raise _unidentified(data)
    try:
        pages = tuple(_within(picture_format, _claims(data, picture_format, limits), limits))
    except DamagedHeaderError as error:
        raise _corrupt(data, str(error)) from error
    return ImageHeader(picture_format, pages)


def _format(data: bytes) -> ImageFormat | None:
    for start, picture_format in _STARTS.items():
        if data.startswith(start):
            return picture_format
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ImageFormat.WEBP
    if heif.is_heif(data):
        return ImageFormat.AVIF if heif.is_avif(data) else ImageFormat.HEIF
    return ImageFormat.PDF if _PDF_START in data[:_PDF_START_WITHIN] else None


def _claims(data: bytes, picture_format: ImageFormat, limits: ImageLimits) -> Iterable[PageClaim]:
    if picture_format is ImageFormat.TIFF:
        return (page.claim for page in tiff.pages(data))
    if picture_format is ImageFormat.PDF:
        return pdf_claims(data, limits)
    return (_SINGLE[picture_format](data),)


def _within(picture_format: ImageFormat, claims: Iterable[PageClaim], limits: ImageLimits) -> Iterator[PageHeader]:
    """Yield the pages, each checked before the next one is looked at."""
    pixels = 0
    for number, claim in enumerate(claims, 1):
        page = claim.page
        if number > limits.max_pages:
            raise _too_large(picture_format, f"has more than {limits.max_pages} pages", "send it in parts")
        if min(page.width, page.height) < 1:
            raise DamagedHeaderError(f"its header claims {page.width} x {page.height} pixels")
        _check_page(picture_format, claim, limits)
        pixels += page.pixels
        if pixels > limits.max_total_pixels:
            what = f"has more than {limits.max_total_pixels} pixels on all its pages"
            raise _too_large(picture_format, what, "send it in parts")
        yield _squared(claim, limits)


def _squared(claim: PageClaim, limits: ImageLimits) -> PageHeader:
    """Return the page with its stretch, if it is within the limits with it; else it is read as it is stored."""
    page = replace(claim.page, stretch=claim.stretch)
    width, height = page.squared.upright_size
    held = claim.decoded_bytes + page.pixels * _BYTES_OF_A_SQUARE_PIXEL
    within = page.pixels <= limits.max_pixels and max(width, height) <= limits.max_side_pixels
    if not within or (not page.streams and held > limits.max_decoded_bytes):
        return claim.page
    return page


def _check_page(picture_format: ImageFormat, claim: PageClaim, limits: ImageLimits) -> None:
    page = claim.page
    if page.pixels > limits.max_pixels or max(page.width, page.height) > limits.max_side_pixels:
        what = (
            f"claims {page.width} x {page.height} pixels, more than the limit of {limits.max_pixels} pixels and "
            f"{limits.max_side_pixels} along a side"
        )
        raise _too_large(picture_format, what, "send a smaller picture")
    if not page.streams and claim.decoded_bytes > limits.max_decoded_bytes:
        what = (
            f"claims {page.width} x {page.height} pixels in a form that must be decoded whole, which takes "
            f"{claim.decoded_bytes} bytes, more than the limit of {limits.max_decoded_bytes}"
        )
        raise _too_large(picture_format, what, "save it as a baseline JPEG or as a PNG without interlacing")
    if claim.decoded_bytes > _MAX_BYTES_OF_A_PIXEL * page.pixels + _MAX_BYTES_BESIDE:
        size = f"{page.width} x {page.height} pixels"
        shown = f"a {picture_format} of {size} that takes {claim.decoded_bytes} bytes to decode"
        raise unsupported(shown, instead="save it without what it does not show")
    if claim.fault:
        raise DamagedHeaderError(claim.fault)


def _too_large(picture_format: ImageFormat, what: str, remedy: str) -> JobError:
    return JobError(ErrorCode.IMAGE_TOO_LARGE, f"The {picture_format} header {what}: {remedy} or raise the limit.")


def _unidentified(data: bytes) -> JobError:
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if data.startswith((b"\x89PNG", b"\xff\xd8")):
        return _corrupt(data, "its first bytes are wrong")
    for beginning, name in _FOREIGN_BEGINNINGS.items():
        if start.startswith(beginning):
            return JobError(ErrorCode.IMAGE_UNSUPPORTED, f"The value is {name}, which is not read: {ACCEPTED}.")
    kind = "text" if _looks_like_text(data[:512]) else "not a picture of a known format"
    return JobError(ErrorCode.IMAGE_UNSUPPORTED, f"The value ({len(data)} bytes) is {kind}: {ACCEPTED}.")


def _looks_like_text(start: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in start)  # noqa: PLR2004 - the first printable character


def _corrupt(data: bytes, what: str) -> JobError:
    return JobError(
        ErrorCode.IMAGE_CORRUPT, f"The picture ({len(data)} bytes) is damaged or cut short ({what}): send it again."
    )
