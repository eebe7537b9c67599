"""PDF documents that show one label, each by another kind of stream."""

import struct
import zlib
from collections.abc import Callable

from PIL import Image

from tests.pipeline.pictures import save
from tests.pipeline.test_damaged_jpeg import label
from tests.pipeline.test_damaged_tiff import strip

SHOWN = b"q 115.2 0 0 86.4 0 0 cm /Im0 Do Q"  # 320 x 240 pixels at 200 dots an inch
_COLORS = b"/ColorSpace /DeviceRGB /BitsPerComponent 8"
_PRINT = b"/ColorSpace /DeviceGray /BitsPerComponent 1"


def document(
    content: bytes, *others: bytes, packed: bool = False, resources: bytes = b"/XObject << /Im0 5 0 R >>"
) -> bytes:
    """A document of one page that draws `content`; `others` are its objects from 5 on."""
    if packed:
        content = zlib.compress(content)
    filtered = b"/Filter /FlateDecode " if packed else b""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 115.2 86.4] /Contents 4 0 R /Resources << %s >> >>" % resources,
        b"<< %s/Length %d >>\nstream\n%s\nendstream" % (filtered, len(content), content),
        *others,
    ]
    written, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    written_with_table = written + b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(places) + 1, table)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, len(written))
    return written_with_table + trailer


def picture(coded: bytes, packed_by: bytes, *, colors: bytes = _COLORS, beside: bytes = b"") -> bytes:
    """An object that is the label as a picture."""
    kind = b"/Type /XObject /Subtype /Image /Width 320 /Height 240"
    head = b"<< %s %s /Filter /%s %s /Length %d >>" % (kind, colors, packed_by, beside, len(coded))
    return b"%s\nstream\n%s\nendstream" % (head, coded)


def _print() -> Image.Image:
    return label().convert("1", dither=Image.Dither.NONE)


def _group_4() -> bytes:
    data = save(_print(), "TIFF", compression="group4")
    start, length = strip(data)
    return data[start : start + length]


def _jbig2() -> bytes:
    """A page and a region of it that is packed as a fax is (ITU-T T.88, MMR)."""
    region = struct.pack(">4IBB", 320, 240, 0, 0, 0, 1) + _group_4()
    page = struct.pack(">4IBH", 320, 240, 0, 0, 0, 0)
    return b"".join(
        struct.pack(">I3BI", number, kind, 0, 1, len(body)) + body
        for number, (kind, body) in enumerate([(48, page), (38, region)])
    )


def _text() -> bytes:
    lines = b" ".join(b"1 0 0 1 6 %d Tm (PARCEL %d WEIGHT %d.50 KG) Tj" % (y, y * 7919, y) for y in range(4, 84, 5))
    return b"BT /F0 5 Tf %s ET" % lines


_FAX = b"/DecodeParms << /K -1 /Columns 320 /Rows 240 >>"
_FONT = b"/Font << /F0 5 0 R >>"
_HELVETICA = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
DOCUMENTS: dict[str, Callable[[], bytes]] = {
    "dct": lambda: document(SHOWN, picture(save(label(), "JPEG", quality=85), b"DCTDecode")),
    "flate": lambda: document(SHOWN, picture(zlib.compress(label().tobytes()), b"FlateDecode")),
    "fax": lambda: document(SHOWN, picture(_group_4(), b"CCITTFaxDecode", colors=_PRINT, beside=_FAX)),
    "jbig2": lambda: document(SHOWN, picture(_jbig2(), b"JBIG2Decode", colors=_PRINT)),
    "jpx": lambda: document(SHOWN, picture(save(label(), "JPEG2000"), b"JPXDecode")),
    "text": lambda: document(_text(), _HELVETICA, resources=_FONT),
    "packed text": lambda: document(_text(), _HELVETICA, packed=True, resources=_FONT),
}
