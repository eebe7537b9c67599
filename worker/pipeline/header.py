"""What a picture claims to be, read from its first bytes.

Invariant: no memory for pixels is taken here, whatever the header claims, and nothing but JobError is raised, whatever
the bytes are.
"""

import io
import struct
import threading
import warnings
from typing import Final

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageFormat, ImageHeader, PageHeader
from worker.pipeline.options import ImageLimits

_PLUGINS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
_FORMATS: Final = {
    "JPEG": ImageFormat.JPEG,
    "MPO": ImageFormat.JPEG,  # a JPEG with more pictures behind it, as some telephones write
    "PNG": ImageFormat.PNG,
    "WEBP": ImageFormat.WEBP,
    "TIFF": ImageFormat.TIFF,
    "BMP": ImageFormat.BMP,
}
_PNG_START: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_SIZE: Final = struct.Struct(">16x2I")
_KNOWN_BEGINNINGS: Final = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")
_FOREIGN_BEGINNINGS: Final = {
    b"GIF8": "a GIF",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "gzip data",
    b"\0\0\0\x0cjP": "a JPEG 2000 picture",
    b"<svg": "an SVG drawing",
}
_HEIF_BRANDS: Final = (b"ftyphei", b"ftypmif", b"ftypavif")
_ORIENTATION_TAG: Final = 0x0112
_ORIENTATIONS: Final = range(1, 9)
_ACCEPTED: Final = "send JPEG, PNG, WebP, TIFF or BMP"

# Pillow warns of odd metadata and of large pictures by the `warnings` module, whose filters belong to the process.
_warning_filters = threading.Lock()


def read_header(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Return what the encoded picture claims to be.

    Raises JobError IMAGE_UNSUPPORTED for an empty value and what is no picture of a known format, IMAGE_CORRUPT for
    a header that cannot be read, and IMAGE_TOO_LARGE for one that claims more than the limits.
    """
    if not data:
        raise JobError(ErrorCode.IMAGE_UNSUPPORTED, f"The value is empty: {_ACCEPTED} bytes as the record's value.")
    if data.startswith(_PNG_START) and len(data) >= _PNG_SIZE.size:
        # Pillow reads on to the pixels' chunk, and a header that lies need not have one.
        _check_limits(ImageFormat.PNG, PageHeader(*_PNG_SIZE.unpack_from(data)), limits)
    header = _read(data)
    for page in header.pages:
        if min(page.width, page.height) < 1:
            raise _corrupt(data, f"its header claims {page.width} x {page.height} pixels")
        _check_limits(header.format, page, limits)
    return header


def _read(data: bytes) -> ImageHeader:
    try:
        with _warning_filters, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Only headers are read here; `load` is never called.
            with Image.open(io.BytesIO(data), formats=_PLUGINS) as picture:
                page = PageHeader(*_stored_size(picture), _orientation(picture), _streams(picture))
                return ImageHeader(_FORMATS[str(picture.format)], (page,))
    except Image.DecompressionBombError as error:
        raise JobError(ErrorCode.IMAGE_TOO_LARGE, f"The picture is too large: {error}.") from error
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged bytes
        raise _corrupt(data, str(error)) from error


def _stored_size(picture: Image.Image) -> tuple[int, int]:
    """Return (width, height) as stored; Pillow swaps those of a TIFF by its orientation."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return int(picture.tag_v2[TiffImagePlugin.IMAGEWIDTH]), int(picture.tag_v2[TiffImagePlugin.IMAGELENGTH])
    return picture.size


def _streams(picture: Image.Image) -> bool:
    """Say whether rows can be decoded a few at a time: not where they are stored in several passes over the page."""
    if picture.format in {"JPEG", "MPO"}:
        return "progressive" not in picture.info
    return picture.format == "TIFF" or (picture.format == "PNG" and not picture.info.get("interlace"))


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation. `getexif` would load a PNG's pixels, so the raw EXIF block is parsed instead."""
    exif = Image.Exif()
    if picture.format == "TIFF":
        exif = picture.getexif()
    elif picture.info.get("exif"):
        try:
            exif.load(picture.info["exif"])
        except Exception:  # noqa: BLE001 - a damaged EXIF block does not spoil the pixels
            return 1
    value = exif.get(_ORIENTATION_TAG, 1)
    return value if isinstance(value, int) and value in _ORIENTATIONS else 1


def _check_limits(picture_format: ImageFormat, page: PageHeader, limits: ImageLimits) -> None:
    if page.pixels > limits.max_pixels or max(page.width, page.height) > limits.max_side_pixels:
        raise JobError(
            ErrorCode.IMAGE_TOO_LARGE,
            f"The {picture_format} header claims {page.width} x {page.height} pixels, more than the limit of "
            f"{limits.max_pixels} pixels and {limits.max_side_pixels} along a side: send a smaller picture or raise "
            "the limit.",
        )


def _unidentified(data: bytes) -> JobError:
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if data.startswith(_KNOWN_BEGINNINGS) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP"):
        return _corrupt(data, "the header cannot be read")
    for beginning, name in _FOREIGN_BEGINNINGS.items():
        if start.startswith(beginning):
            return JobError(ErrorCode.IMAGE_UNSUPPORTED, f"The value is {name}, which is not read: {_ACCEPTED}.")
    if any(brand in data[:16] for brand in _HEIF_BRANDS):
        return JobError(ErrorCode.IMAGE_UNSUPPORTED, f"The value is HEIF or AVIF, which is not read: {_ACCEPTED}.")
    kind = "text" if _looks_like_text(data[:512]) else "not a picture of a known format"
    return JobError(ErrorCode.IMAGE_UNSUPPORTED, f"The value ({len(data)} bytes) is {kind}: {_ACCEPTED}.")


def _looks_like_text(start: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in start)  # noqa: PLR2004 - the first printable character


def _corrupt(data: bytes, what: str) -> JobError:
    return JobError(
        ErrorCode.IMAGE_CORRUPT, f"The picture ({len(data)} bytes) is damaged or cut short ({what}): send it again."
    )
