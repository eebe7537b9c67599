"""Pixels of a page, upright.

Invariant: EXIF orientation is applied exactly once, and a page has the size that its header claimed; a picture that is
cut short is refused, never filled up with gray.
"""

from typing import Final

import cv2
import numpy as np
from cv2.typing import MatLike

from worker.domain.image import ImageFormat, ImageHeader, PageImage, Pixels
from worker.pipeline.decode.bitmap import bitmap_to_bgr
from worker.pipeline.decode.heif import decode_heif
from worker.pipeline.decode.jpeg import has_inks, sound_jpeg
from worker.pipeline.decode.libvips import open_rows
from worker.pipeline.decode.pdf_streams import check_streams
from worker.pipeline.decode.refusals import corrupt, telling_lack_of_memory
from worker.pipeline.decode.to_bgr import opencv_layout, to_bgr
from worker.pipeline.decode.webp import sound_webp
from worker.pipeline.header import bmp, png
from worker.pipeline.page_claim import DamagedHeaderError
from worker.pipeline.pdf.pages import render

_IN_ROWS_FROM_PIXELS: Final = 4_000_000  # fewer pixels reuse memory at hand, and then a copy costs less than rows do
_MAX_BYTES_OF_A_PIXEL: Final = 18  # that decoding takes, of 8 bits a sample
_FLIPS: Final = {2: 1, 3: -1, 4: 0, 7: -1}  # as OpenCV names the axes; of 7 what is left after transposing
_TRANSPOSED: Final = frozenset({5, 7})
_TURNS: Final = {6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_PACKED: Final = frozenset({ImageFormat.JPEG, ImageFormat.WEBP, ImageFormat.HEIF, ImageFormat.AVIF})
_BEGINNING_BYTES: Final = 32 * 1024
_LINE_FEEDS: Final = 8  # of which by chance all have a carriage return before them: once in 2 ** 64 files


def decode(data: bytes, header: ImageHeader, number: int = 0) -> PageImage:
    """Decode page `number` of an encoded picture to uint8 [height, width, 3] BGR, as EXIF says it stands.

    Transparent pixels become white, or a background that contrasts with the print; 16-bit levels are scaled to 8.
    Raises JobError IMAGE_CORRUPT for a damaged or truncated picture, IMAGE_UNSUPPORTED for sample types other than 8
    and 16 bits; MemoryError.
    """
    page = header.pages[number]
    with telling_lack_of_memory(page.width * page.height * _MAX_BYTES_OF_A_PIXEL):
        check_complete(data, header)
        stored = _stored(data, header, number)
    if stored.shape[1::-1] != (page.width, page.height):
        raise corrupt(header, number, f"it decodes to {stored.shape[1]} x {stored.shape[0]} pixels")
    return PageImage(np.ascontiguousarray(upright(stored, page.orientation)))


def _stored(data: bytes, header: ImageHeader, number: int) -> Pixels:
    page = header.pages[number]
    match header.format:
        case ImageFormat.TIFF | ImageFormat.AVIF:
            return open_rows(data, header, number).read(0, page.height)
        case ImageFormat.PNG if png.hides_a_gray(data):
            # OpenCV passes over it.
            return open_rows(data, header, number).read(0, page.height)
        case ImageFormat.JPEG if page.pixels > _IN_ROWS_FROM_PIXELS and page.streams and not has_inks(data):
            # Straight into the page's memory: OpenCV makes a copy, and its pages are looked through in memory as large.
            return open_rows(data, header, number).read(0, page.height)
        case ImageFormat.HEIF:
            return decode_heif(data, header)
        case ImageFormat.PDF:
            try:
                if number == 0:  # once for all pages
                    check_streams(data)
                return render(data, number, page)
            except DamagedHeaderError as error:
                raise corrupt(header, number, str(error)) from error
        case _:
            return _opencv(data, header, number)


def check_complete(data: bytes, header: ImageHeader) -> None:
    """Refuse what shows from outside that it is damaged, and that its decoder would not notice.

    That is a packed picture of which each line feed has a carriage return before it. Raises JobError IMAGE_CORRUPT.
    """
    if header.format in _PACKED:
        beginning = data[:_BEGINNING_BYTES]
        if beginning.count(b"\n") != beginning.count(b"\r\n"):
            return  # as nearly always: to count them in all of a photo takes 2 ms
        line_feeds = data.count(b"\n")
        if line_feeds >= _LINE_FEEDS and data.count(b"\r\n") == line_feeds:
            raise corrupt(header, 0, "its line ends were changed, as a transfer in text mode does")


def _opencv(data: bytes, header: ImageHeader, number: int) -> Pixels:
    if header.format is ImageFormat.PNG:
        data = png.decodable(data)
    if header.format is ImageFormat.JPEG:
        data = sound_jpeg(data, header)
    if header.format is ImageFormat.WEBP:
        data = sound_webp(data, header)
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(error.err) from error
        raise corrupt(header, number, f"the decoder says: {error.err}") from error
    if stored is None:
        raise corrupt(header, number, "it cannot be decoded")
    if header.format is ImageFormat.BMP:
        return bitmap_to_bgr(stored, bmp.layout(data))
    return to_bgr(stored, opencv_layout(stored))


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Return the stored pixels as the EXIF orientation wants them shown (EXIF 2.32, tag 0x0112), in C order.

    OpenCV turns them by blocks that stay in the cache: numpy's copy of a turned view takes four times as long.
    """
    shown: MatLike = pixels
    if orientation in _TRANSPOSED:
        shown = cv2.transpose(shown)
    if orientation in _FLIPS:
        shown = cv2.flip(shown, _FLIPS[orientation])
    if orientation in _TURNS:
        shown = cv2.rotate(shown, _TURNS[orientation])
    return np.asarray(shown, dtype=np.uint8)
