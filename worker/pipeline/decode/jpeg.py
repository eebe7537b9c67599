"""JPEG files of which all pixels are there, told from those that libjpeg would only warn about.

libjpeg fills what is missing with gray and warns. To libvips a warning is an error, so it decodes large files if their
rows stream (`streamed_jpeg`). The others are for OpenCV, which drops warnings (`sound_jpeg`): libvips passes over their
entropy-coded data first, at an eighth of the size, which takes 0.8 of the time of decoding the picture. Invariant: what
is whole but for its end marker, or has padding or odd segments beside its pixels, is sound; what lacks anything of a
pixel is not.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import pyvips

from worker.domain.image import ImageHeader
from worker.pipeline.decode.refusals import corrupt, is_out_of_memory

_START: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
_BASELINE, _EXTENDED, _PROGRESSIVE, _SOI, _EOI, _SOS, _JFIF, _ADOBE = 0xC0, 0xC1, 0xC2, 0xD8, 0xD9, 0xDA, 0xE0, 0xEE
_FRAMES: Final = frozenset({_BASELINE, _EXTENDED, _PROGRESSIVE})
_TABLES: Final = frozenset({0xC4, 0xDB, 0xDD})
_WITHOUT_BODY: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in entropy-coded data all others are data
_MAX_SEGMENTS: Final = 4000
# libjpeg warns of a version of JFIF that it does not know, and of transforms that Adobe does not have.
_PLAIN_JFIF: Final = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
_TRANSFORMS: Final = {3: (0, 1), 4: (0, 2)}  # by the number of components; the last is what libjpeg takes others for
_TRANSFORM_AT: Final = 15
_INKS: Final = 4
_COEFFICIENTS: Final = 64
_EIGHTH: Final = 8
_MAX_ROWS: Final = 65_500  # that libjpeg takes
_PIECE_BYTES: Final = 4096
# Of so many ones come the longest codes that a file has; libjpeg looks up to 8 bytes ahead of what it decodes.
_LONG_CODES: Final = b"\xfe" * 12
_SIDES_AT, _COUNT_AT, _COMPONENTS_AT, _TABLE_AT = 5, 9, 10, 12  # within the segment of a frame


@dataclass(frozen=True, slots=True)
class _Scan:
    """The components of a scan, its coefficients [`first`, `last`], and how many of their bits lack before and then."""

    components: bytes
    first: int
    last: int
    lacking_before: int
    lacking: int


@dataclass(frozen=True, slots=True)
class _Parts:
    """A file in its parts.

    `tables` are the segments before the first scan that its pixels need, beside `frame`; `scans` begins with the first
    scan and ends where the picture does; `rest` begins with the end marker.
    """

    tables: tuple[bytes, ...]
    frame: bytes
    scans: memoryview
    rest: bytes

    @property
    def components(self) -> bytes:
        """The names of its components, a byte each."""
        return self.frame[_COMPONENTS_AT::3][: self.frame[_COUNT_AT]]

    @property
    def smaller_side(self) -> int:
        """Its width or height in pixels."""
        height, width = struct.unpack_from(">2H", self.frame, _SIDES_AT)
        return int(min(height, width))

    def joined(self) -> bytes:
        """Return the file."""
        return b"".join((_START, *self.tables, self.frame, self.scans, self.rest))


def sound_jpeg(data: bytes, header: ImageHeader) -> bytes:
    """Return the file as decoders take it: with an end marker, without padding and odd segments.

    Raises JobError IMAGE_CORRUPT where pixels are missing or changed.
    """
    sound, warning = _judged(data, header)
    if sound is None:
        raise corrupt(header, 0, "some of its pixels are missing or changed") from warning
    return sound.joined()


def has_inks(data: bytes) -> bool:
    """Say whether a JPEG holds four inks, which decoders mix in ways of their own."""
    frames = (data[start:stop] for marker, start, stop in _segments(data) if marker in _FRAMES)
    frame = next(frames, b"")
    return len(frame) > _COUNT_AT and frame[_COUNT_AT] == _INKS


def is_sound(data: bytes, header: ImageHeader) -> bool:
    """Say whether a JPEG within a file of another kind has all its pixels. Raises JobError IMAGE_CORRUPT as well."""
    sound, _ = _judged(data, header)
    return sound is not None


def _judged(data: bytes, header: ImageHeader) -> tuple[_Parts | None, Exception | None]:
    """Return the parts of a file that has all its pixels, without padding, or what libjpeg says of those of another.

    Raises JobError IMAGE_CORRUPT.
    """
    parts = _parts(data, header)
    warning = None
    for scans in (parts.scans, *_without_padding(parts.scans)):
        candidate = replace(parts, scans=scans)
        warning = _warning(candidate)
        if warning is None:
            return candidate, None
    return None, warning


def streamed_jpeg(data: bytes, header: ImageHeader) -> bytes:
    """Return the file as `sound_jpeg` does, for libvips to decode row by row, a warning being an error.

    libvips looks neither behind the last row nor at what is said of it. So what is left over is looked for here, which
    takes a third of the time of decoding the picture, and in place of the end marker stand bytes that make pixels:
    where some are missing libvips asks for more and finds the file's end. Raises JobError IMAGE_CORRUPT.
    """
    parts = _parts(data, header)
    for scans in (parts.scans, *_without_padding(parts.scans)):
        if _asks_for_more(replace(parts, scans=_without_last_byte(scans), rest=b"")):
            # Bytes that fill up before the marker would make one of the first that follows.
            return replace(parts, scans=scans[: _stop_without(scans, b"\xff")], rest=_LONG_CODES).joined()
    raise corrupt(header, 0, "more pixels follow its last row")


def _parts(data: bytes, header: ImageHeader) -> _Parts:
    tables, frame, scans_at = list[bytes](), b"", 0
    for marker, start, stop in _segments(data):
        segment = data[start:stop]
        if marker == _SOS:
            scans_at = start
            break
        if marker in _FRAMES:
            frame = frame or segment
        elif marker in _TABLES or (marker == _ADOBE and segment[4:9] == b"Adobe" and len(segment) > _TRANSFORM_AT):
            tables.append(segment)
        elif marker == _JFIF and segment[4:9] == b"JFIF\0" and _PLAIN_JFIF not in tables:
            tables.insert(0, _PLAIN_JFIF)
    if not frame or len(frame) < _COMPONENTS_AT + 3 * frame[_COUNT_AT] or not scans_at:
        raise corrupt(header, 0, "it is cut short before its pixels begin")
    scans, end = _scans(data, scans_at)
    known = [_known_transform(table, frame[_COUNT_AT]) for table in tables]
    rest = data[end:] if data.startswith(_END, end) else _END
    parts = _Parts(tuple(known), frame, memoryview(data)[scans_at:end], rest)
    if not _complete(parts, scans):
        raise corrupt(header, 0, "it is cut short, the last of its scans are missing")
    return parts


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and stop of the segments from the file's start on; what lies between them is passed over."""
    at = len(_START)
    for _ in range(_MAX_SEGMENTS):
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker in {0x00, 0xFF} or marker in _WITHOUT_BODY:
            at += 1 if marker == 0xFF else 2  # noqa: PLR2004 - a byte that fills up
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, at, at + 2 + length
        at += 2 + length


def _known_transform(segment: bytes, components: int) -> bytes:
    known = _TRANSFORMS.get(components)
    if segment[1] != _ADOBE or known is None or segment[_TRANSFORM_AT] in known:
        return segment
    return segment[:_TRANSFORM_AT] + bytes([known[-1]]) + segment[_TRANSFORM_AT + 1 :]


def _scans(data: bytes, at: int) -> tuple[list[_Scan], int]:
    """Return the scans from `at` on, and where the picture ends."""
    scans = list[_Scan]()
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None:
            return scans, len(data)
        start, marker = found.start(), data[found.start() + 1]
        if marker in {_EOI, _SOI}:
            return scans, start
        if marker in _WITHOUT_BODY:
            at = start + 2
            continue
        if start + 4 > len(data):
            return scans, start
        (length,) = struct.unpack_from(">H", data, start + 2)
        at = start + 2 + length
        body = data[start + 4 : at]
        if marker == _SOS and len(body) >= 4 and len(body) >= 4 + 2 * body[0]:  # noqa: PLR2004 - the fixed part
            first, last, bits = body[1 + 2 * body[0] :][:3]
            scans.append(_Scan(body[1 : 1 + 2 * body[0] : 2], first, last, bits >> 4, bits & 15))
    return scans, len(data)


def _complete(parts: _Parts, scans: list[_Scan]) -> bool:
    """Say whether the scans hold each bit of each coefficient; libjpeg takes a file without its last ones for whole."""
    if parts.frame[1] != _PROGRESSIVE:
        return set(parts.components) <= {name for scan in scans for name in scan.components}
    lacking = {name: [-1] * _COEFFICIENTS for name in parts.components}
    for scan in scans:
        for name in scan.components:
            for place in range(scan.first, min(scan.last, _COEFFICIENTS - 1) + 1):
                known = lacking.get(name, [-1] * _COEFFICIENTS)
                if scan.lacking_before == 0 or known[place] == scan.lacking_before:
                    known[place] = scan.lacking
    return not any(bits for known in lacking.values() for bits in known)


def _without_padding(scans: memoryview) -> Iterator[memoryview]:
    """Yield the scans without the zeros that some cameras write behind them, then with one zero, which may be data."""
    stop = _stop_without(scans, b"\0")
    if stop and scans[stop - 1] == 0xFF:  # noqa: PLR2004 - which is one byte of data together with the zero behind it
        stop += 1
    if stop < len(scans):
        yield scans[:stop]
        yield scans[: stop + 1]


def _without_last_byte(scans: memoryview) -> memoryview:
    """Return the scans without their last byte and what fills up behind it."""
    return scans[: max(0, _stop_without(scans, b"\xff") - 1)]


def _stop_without(scans: memoryview, filling: bytes) -> int:
    """Return where the scans end without the same byte at their end."""
    stop = len(scans)
    while stop:
        kept = bytes(scans[max(0, stop - _PIECE_BYTES) : stop]).rstrip(filling)
        if kept:
            return max(0, stop - _PIECE_BYTES) + len(kept)
        stop = max(0, stop - _PIECE_BYTES)
    return stop


def _warning(parts: _Parts) -> Exception | None:
    """Return what libjpeg says of the pixels, if anything."""
    tables = tuple(table for table in parts.tables if table[1] != _ADOBE)  # its colors are of other components
    checked = replace(parts, tables=tables, frame=_frame_read_to_its_end(parts.frame), rest=_END).joined()
    try:
        _pass_over(checked, parts.smaller_side, "warning")
    except pyvips.Error as error:
        warning: Exception = error
        return warning
    return None


def _asks_for_more(parts: _Parts) -> bool:
    whole = replace(parts, frame=_frame_of_whole_blocks(parts.frame))
    try:
        _pass_over(whole.joined(), whole.smaller_side, "truncated")
    except pyvips.Error:
        return True
    return False


def _pass_over(encoded: bytes, smaller_side: int, fail_on: str) -> None:
    """Decode all there is. Raises pyvips.Error, and MemoryError where it is not the file's fault."""
    shrink = _EIGHTH if smaller_side >= _EIGHTH else 1
    source = pyvips.Source.new_from_memory(encoded)
    try:
        image = pyvips.Image.jpegload_source(source, access="sequential", fail_on=fail_on, shrink=shrink)
        pyvips.Region.new(image).fetch(0, image.height - 1, image.width, 1)
    except pyvips.Error as error:
        if is_out_of_memory(error):
            raise MemoryError("libjpeg had no memory for the picture") from error
        raise


def _frame_of_whole_blocks(frame: bytes) -> bytes:
    """Return the frame as high as the blocks that it is coded in.

    At an eighth of its size libvips rounds a height down, and the last blocks would be looked at by nobody.
    """
    (height,) = struct.unpack_from(">H", frame, _SIDES_AT)
    down = max(sampling & 15 for sampling in frame[_COMPONENTS_AT + 1 :: 3]) if frame[_COUNT_AT] > 1 else 1
    unit = _EIGHTH * down
    higher = -(-height // unit) * unit
    if higher > _MAX_ROWS:
        return frame
    return frame[:_SIDES_AT] + struct.pack(">H", higher) + frame[_SIDES_AT + 2 :]


def _frame_read_to_its_end(frame: bytes) -> bytes:
    """Return the frame with components that no scan has, so that libjpeg decodes all scans before it gives a row.

    Otherwise what it says of the last rows, and of bytes left over behind them, would come too late for libvips.
    """
    names = frame[_COMPONENTS_AT::3][: frame[_COUNT_AT]]
    added = 2 if len(names) == 1 else 1  # libvips takes no picture of two
    free = [name for name in range(256) if name not in names][:added]
    body = b"".join(bytes([name, 0x11, frame[_TABLE_AT]]) for name in free)
    head = frame[:2] + struct.pack(">H", len(frame) - 2 + len(body)) + frame[4:_COUNT_AT]
    return head + bytes([len(names) + added]) + frame[_COMPONENTS_AT : _COMPONENTS_AT + 3 * len(names)] + body
