"""Streams of PDF documents, looked through for damage that PDFium passes over: it draws what is left, or nothing.

Invariant: a document that is put together oddly is no damaged one. What shows that bytes were lost is a stream that its
own packing calls broken or cut short, and, where the table of objects lies elsewhere than the document says, a stream
of another length than it says or an object that is named and missing. Encrypted documents are not looked at, nor are
streams beyond a number of bytes, nor what PDF packs without a checksum or an end of its own.
"""

import base64
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

import pyvips

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import ImageFormat, ImageHeader
from worker.pipeline.decode.jpeg import sound_jpeg
from worker.pipeline.header import jpeg
from worker.pipeline.page_claim import DamagedHeaderError

_OBJECT: Final = re.compile(rb"(?<!\d)(\d{1,10})[\0\t\n\f\r ]+(\d{1,5})[\0\t\n\f\r ]+obj\b")
# What ends a dictionary that has a stream, what ends an object, and where another one begins.
_STREAM_OR_END: Final = re.compile(rb"\bstream(?:\r\n|\n|\r)|\bendobj\b")
_STREAM_END: Final = re.compile(rb"(?:\r\n|\n|\r)?endstream\b")
_STARTXREF: Final = re.compile(rb"startxref[\0\t\n\f\r ]+(\d{1,12})")
_LENGTH: Final = re.compile(rb"/Length[\0\t\n\f\r ]*(\d{1,12})(?![\0\t\n\f\r ]+\d+[\0\t\n\f\r ]+R)")
_FILTERS: Final = re.compile(rb"/Filter[\0\t\n\f\r ]*(/[A-Za-z0-9]+|\[[^\]]{0,400}\])")
_NAME: Final = re.compile(rb"/([A-Za-z0-9]+)")
_REFERENCE: Final = re.compile(rb"(?<!\d)(\d{1,10})[\0\t\n\f\r ]+\d{1,5}[\0\t\n\f\r ]+R\b")
_SECTION: Final = re.compile(rb"(\d{1,10})[ \t]+\d{1,10}[ \t]*[\r\n]+((?:\d{10} \d{5} [nf][ \r\n]{1,2})+)")
_ENTRY: Final = re.compile(rb"\d{10} \d{5} ([nf])")
_COMMENT_OR_TEXT: Final = re.compile(rb"%[^\r\n]*|\((?:[^()\\]|\\.)*\)", re.DOTALL)
_KNOWN_FILTERS: Final = frozenset({
    b"ASCIIHexDecode", b"ASCII85Decode", b"LZWDecode", b"FlateDecode", b"RunLengthDecode", b"CCITTFaxDecode",
    b"JBIG2Decode", b"DCTDecode", b"JPXDecode", b"Crypt", b"AHx", b"A85", b"LZW", b"Fl", b"RL", b"CCF", b"DCT",
})  # fmt: skip
# What no page shows.
_BESIDE_PAGES: Final = re.compile(rb"/(?:Metadata|EmbeddedFile)\b")
_FLATE: Final = frozenset({b"FlateDecode", b"Fl"})
_DCT: Final = frozenset({b"DCTDecode", b"DCT"})
_FAX: Final = frozenset({b"CCITTFaxDecode", b"CCF"})
_ASCII_85: Final = frozenset({b"ASCII85Decode", b"A85"})
_END_OF_ASCII_85: Final = b"~>"
_OF_OBJECTS: Final = b"/ObjStm"
_MAX_OBJECTS: Final = 1_000_000
# Of a document, beside so many times its own bytes; Deflate gives some 300 megabytes a second.
_MAX_UNPACKED_BYTES: Final = 256 * 1024 * 1024
_UNPACKED_OF_A_BYTE: Final = 16
_MAX_KEPT_BYTES: Final = 64 * 1024 * 1024  # of what is packed twice
_UNPACKED_AT_ONCE: Final = 1 << 16
_CHECKSUM_BYTES: Final = 4
_MAX_JPEG_BYTES: Final = 256 * 1024 * 1024  # that it takes to look through one
_START_OF_JPEG: Final = b"\xff\xd8"
_CHANNELS: Final = 3
_FAX_COLUMNS: Final = 1728  # where a document does not say it (ISO 32000-1, table 11)
_ALIGNED: Final = re.compile(rb"/EncodedByteAlign[\0\t\n\f\r ]*true")
_ROWS_AT_ONCE: Final = 16
_MAX_SIDE: Final = 30_000
_END: Final = b"%%EOF"
_END_BYTES: Final = 2048  # within which a document says where its table lies


@dataclass(frozen=True, slots=True)
class _Stream:
    """An object's dictionary, and where its packed bytes begin and end."""

    number: int
    dictionary: bytes
    start: int
    stop: int

    @property
    def told_length(self) -> int | None:
        """How long it says it is, where it says so itself."""
        found = _LENGTH.search(self.dictionary)
        return int(found[1]) if found else None

    @property
    def filters(self) -> list[bytes]:
        """The names of its packings, the outermost first; none where they stand elsewhere."""
        found = _FILTERS.search(self.dictionary)
        return _NAME.findall(found[1]) if found else []


class _Kept(Enum):
    """Whether the table of objects lies where the document's end says, which every lost byte before it changes."""

    WHOLE = 0
    MOVED = 1
    CUT = 2  # it has lost its end


_TABLE: Final = _Stream(0, b"", 0, 0)  # stands for what follows the last object


def check_streams(data: bytes) -> None:
    """Look through the streams of a document, whose pages PDFium may draw without what is broken.

    Raises DamagedHeaderError, MemoryError.
    """
    if b"/Encrypt" in data:
        return
    kept, left = _kept(data), _MAX_UNPACKED_BYTES + _UNPACKED_OF_A_BYTE * len(data)
    defined, named = set[int](), set[int]()
    for one, written in islice(_walk(data, defined, kept), _MAX_OBJECTS):
        if kept is not _Kept.WHOLE:
            named |= _named(written, is_table=one is _TABLE)
        if one is None or one is _TABLE or _BESIDE_PAGES.search(one.dictionary):
            continue
        if kept is not _Kept.WHOLE and not _has_its_length(data, one, kept):
            raise DamagedHeaderError(f"object {one.number} holds another number of bytes than it says")
        unpacked, left = _unpack(data, one, left)
        defined |= _packed_objects(one, unpacked)
        named |= {int(found[1]) for found in _REFERENCE.finditer(unpacked)}
    if kept is not _Kept.WHOLE and defined and not named <= defined:
        raise DamagedHeaderError(f"object {min(named - defined)} is missing")


def _named(written: bytes, *, is_table: bool) -> set[int]:
    """Return the numbers of the objects that an object names, or the table and the trailer.

    Raises DamagedHeaderError where the object is in pieces.
    """
    plain = _COMMENT_OR_TEXT.sub(b"", written)
    if not is_table and (b"endstream" in plain or plain.count(b"<<") != plain.count(b">>")):
        raise DamagedHeaderError("a piece of it is missing")
    return {int(found[1]) for found in _REFERENCE.finditer(plain)} | (set(_in_table(written)) if is_table else set())


def _kept(data: bytes) -> _Kept:
    end = data[-_END_BYTES:]
    found = list(_STARTXREF.finditer(end))
    if not found:
        return _Kept.WHOLE if _END in end else _Kept.CUT  # what people write by hand often has no table
    at = int(found[-1][1])
    for place in (at, at + max(0, data.find(b"%PDF-"))):
        if data.startswith(b"xref", place) or _OBJECT.match(data, place) is not None:
            return _Kept.WHOLE
    return _Kept.MOVED


def _has_its_length(data: bytes, one: _Stream, kept: _Kept) -> bool:
    """Say whether a stream is as long as it says.

    The end of a line before its end is no part of it, but many writers count it. Where bytes were lost, though, one
    that is counted stands for another byte.
    """
    told = one.told_length
    if told is None:
        return True
    line_end = data[one.start : one.stop].endswith((b"\n", b"\r"))
    return one.stop - one.start == told and not (line_end and kept is _Kept.MOVED)


def _in_table(written: bytes) -> Iterator[int]:
    """Yield the numbers of the objects in use in a table of objects, if there is one."""
    for section in _SECTION.finditer(written):
        for place, entry in enumerate(_ENTRY.findall(section[2])):
            if entry == b"n":
                yield int(section[1]) + place


def _walk(data: bytes, defined: set[int], kept: _Kept) -> Iterator[tuple[_Stream | None, bytes]]:
    """Yield each object's stream, if it has one, and what stands before it, then the table and the trailer.

    `defined` gets the objects' numbers. Raises DamagedHeaderError where an object has no end, and the document neither.
    """
    at = 0
    while found := _OBJECT.search(data, at):
        end = _STREAM_OR_END.search(data, found.end())
        if end is None:
            if kept is not _Kept.WHOLE:
                raise DamagedHeaderError(f"it is cut short within object {found[1].decode()}")
            return
        at, before = end.end(), data[found.end() : end.start()]
        # Where a writer left out an end, another object begins within this one.
        defined.update(int(one[1]) for one in (found, *_OBJECT.finditer(before)))
        if end[0] == b"endobj":
            yield None, before
            continue
        stop = _stream_stop(data, before, at)
        if stop is None:
            raise DamagedHeaderError(f"it is cut short within the stream of object {found[1].decode()}")
        yield _Stream(int(found[1]), before, at, stop), before
        at = stop
    yield _TABLE, data[at:]


def _stream_stop(data: bytes, dictionary: bytes, start: int) -> int | None:
    """Return where a stream ends: where it says, if that is an end, or at the next end."""
    told = _LENGTH.search(dictionary)
    if told and (end := _STREAM_END.match(data, start + int(told[1]))):
        return end.start()
    if end := _STREAM_END.search(data, start):
        return end.start()
    stop = start + int(told[1]) if told else len(data)
    return stop if stop < len(data) else None


def _packed_objects(one: _Stream, unpacked: bytes) -> set[int]:
    """Return the numbers of the objects in a stream of objects: it begins with pairs of number and place."""
    if _OF_OBJECTS not in one.dictionary:
        return set()
    count, first = (re.search(rb"/%s[\0\t\n\f\r ]*(\d{1,8})" % name, one.dictionary) for name in (b"N", b"First"))
    if count is None or first is None:
        return set()
    return {int(number) for number in unpacked[: int(first[1])].split()[: 2 * int(count[1]) : 2] if number.isdigit()}


def _unpack(data: bytes, one: _Stream, left: int) -> tuple[bytes, int]:
    """Unpack a stream as far as its packings tell damage; return what was kept, and how many bytes are left to unpack.

    Raises DamagedHeaderError.
    """
    packed = data[one.start : one.stop]
    filters = one.filters if packed.strip(b"\r\n") else []
    for place, name in enumerate(filters):
        if name not in _KNOWN_FILTERS:
            raise DamagedHeaderError(f"object {one.number} is packed in a way that PDF does not have")
        keep = place + 1 < len(filters) or _OF_OBJECTS in one.dictionary
        if name in _FLATE:
            packed, left = _inflate(packed, left, one.number, keep=keep)
        elif name in _ASCII_85 and len(packed) < _MAX_KEPT_BYTES:
            packed = _from_ascii_85(packed, one.number)
        elif name in _DCT:
            left = _check_jpeg(packed, left, one.number)
        elif name in _FAX:
            left = _check_fax(packed, left, one)
        if name not in _FLATE and name not in _ASCII_85:
            return b"", left
        if left <= 0 or len(packed) >= _MAX_KEPT_BYTES:
            return b"", left
    return packed if filters and _OF_OBJECTS in one.dictionary else b"", left


def _inflate(packed: bytes, left: int, number: int, *, keep: bool) -> tuple[bytes, int]:
    """Unpack Deflate to its checksum, and through it where it lacks: what is whole but for its end is whole.

    Raises DamagedHeaderError.
    """
    kept, before = bytearray(), left
    for wbits, skipped in ((zlib.MAX_WBITS, 0), (-zlib.MAX_WBITS, 2)):
        unpacker, piece, left = zlib.decompressobj(wbits), packed[skipped:], before
        kept.clear()
        try:
            while not unpacker.eof and left > 0:
                unpacked = unpacker.decompress(piece, min(left, _UNPACKED_AT_ONCE))
                left -= len(unpacked)
                if keep and len(kept) < _MAX_KEPT_BYTES:
                    kept += unpacked
                if not unpacked and not unpacker.unconsumed_tail:
                    break
                piece = unpacker.unconsumed_tail
        except zlib.error as error:
            if wbits < 0:
                raise DamagedHeaderError(f"object {number} is packed by Deflate, and {error}") from error
            continue
        if left <= 0 or (unpacker.eof and wbits > 0):
            return bytes(kept), left
        if wbits < 0 and unpacker.eof and len(unpacker.unused_data.strip(b"\r\n")) < _CHECKSUM_BYTES:
            return bytes(kept), left
    raise DamagedHeaderError(f"object {number} is packed by Deflate, and is cut short or does not fit its checksum")


def _from_ascii_85(text: bytes, number: int) -> bytes:
    try:
        return base64.a85decode(text.partition(_END_OF_ASCII_85)[0].strip().removeprefix(b"<~"))
    except (ValueError, struct.error) as error:
        raise DamagedHeaderError(f"object {number} is packed as text, and {error}") from error


def _check_jpeg(packed: bytes, left: int, number: int) -> int:
    """Look through a JPEG, and return how many bytes are left to unpack then. Raises DamagedHeaderError."""
    encoded = packed[max(0, packed.find(_START_OF_JPEG)) :]
    try:
        claim = jpeg.read(encoded)
        left -= claim.page.pixels * _CHANNELS
        if claim.decoded_bytes > _MAX_JPEG_BYTES or left < 0:
            return left
        if claim.fault:
            raise DamagedHeaderError(f"object {number} is a JPEG, and {claim.fault}")
        sound_jpeg(encoded, ImageHeader(ImageFormat.JPEG, (claim.page,)))
    except JobError as error:
        if error.code is ErrorCode.IMAGE_CORRUPT:
            raise DamagedHeaderError(f"object {number} is a JPEG of which pixels are missing or changed") from error
    return left


def _check_fax(packed: bytes, left: int, one: _Stream) -> int:
    """Look through a fax of Group 4, and return how many bytes are left to unpack then.

    The other groups may have lines of any length. Raises DamagedHeaderError.
    """
    told = {name: _number(one.dictionary, name) for name in (b"K", b"Columns", b"Rows", b"Height")}
    width, height = told[b"Columns"] or _FAX_COLUMNS, told[b"Rows"] or told[b"Height"] or 0
    if (told[b"K"] or 0) >= 0 or _ALIGNED.search(one.dictionary):
        return left
    left -= width * height // 8
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE) or left < 0:
        return left
    encoded = _fax_file(packed, width, height)  # held here, for pyvips does not
    try:
        source = pyvips.Source.new_from_memory(encoded)
        image = pyvips.Image.tiffload_source(source, access="sequential", fail_on="warning")
        region = pyvips.Region.new(image)
        for top in range(0, height, _ROWS_AT_ONCE):
            region.fetch(0, top, width, min(_ROWS_AT_ONCE, height - top))
    except pyvips.Error as error:
        raise DamagedHeaderError(f"object {one.number} is a fax that is cut short or has wrong codes") from error
    return left


def _number(dictionary: bytes, name: bytes) -> int | None:
    found = re.search(rb"/%s[\0\t\n\f\r ]*(-?\d{1,9})(?![\0\t\n\f\r ]+\d+[\0\t\n\f\r ]+R)" % name, dictionary)
    return int(found[1]) if found else None


def _fax_file(packed: bytes, width: int, height: int) -> bytes:
    """Return a TIFF of one strip (TIFF 6.0): 1 bit, Group 4, white is zero."""
    values = {256: width, 257: height, 258: 1, 259: 4, 262: 0, 273: 8, 277: 1, 278: height, 279: len(packed)}
    directory = 8 + len(packed) + len(packed) % 2
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    head = struct.pack("<2sHI", b"II", 42, directory)
    return b"".join((head, packed, bytes(len(packed) % 2), struct.pack("<H", len(values)), entries, bytes(4)))
