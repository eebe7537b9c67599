"""Which offsets of one partition are done, and what may be committed.

The rules, for one partition during one assignment:

1. Offsets are delivered in rising order, with gaps: transaction markers and compaction take offsets, and so a gap
   counts as done.
2. `base` is the lowest offset that is not done. It never passes an offset that was delivered and is not done.
3. A commit is `base`, with a map of what is done above it in its metadata, so that a successor skips that.
4. A map that is corrupt, foreign or made for another base is ignored: the offsets above `base` are then read again.

A tracker lives as long as its assignment. A job completes the tracker it was delivered under; after a rebalance that
tracker is no longer asked, so completions of an old assignment have no effect.
"""

import base64
import struct
import zlib
from collections.abc import Collection

from worker.domain.records import CommitPoint

MAX_WINDOW = 8192
_MAGIC = b"LW"
_VERSION = 1
_DONE = 1
_CLEAN_END = 2
_FRAME = struct.Struct(">2sBI")
_FIELD = struct.Struct(">BH")


class OffsetTracker:
    """The state of one partition."""

    def __init__(self, committed: CommitPoint | None = None, *, window: int = MAX_WINDOW) -> None:
        self._window = min(window, MAX_WINDOW)
        self._next = None if committed is None else committed.offset
        self._open: dict[int, None] = {}  # delivered and not done, rising: the first key is the lowest
        self._inherited = set() if committed is None else set(decode_done(committed))

    def is_rewound_by(self, offset: int) -> bool:
        """Say whether this offset lies before what was delivered: the log was truncated or its offsets were reset."""
        return self._next is not None and offset < self._next

    def deliver(self, offset: int) -> bool:
        """Note a delivered offset and say whether it is to be processed; False where it is known to be done.

        Raises ValueError if the offset lies before what was delivered.
        """
        if self.is_rewound_by(offset):
            raise ValueError(f"offset {offset} came after a later one; begin a new tracker")
        self._next = offset + 1
        if offset in self._inherited:
            return False
        self._open[offset] = None
        return True

    def complete(self, offset: int) -> None:
        """Note that an offset that was delivered is done. Raises KeyError if it is not open."""
        del self._open[offset]

    @property
    def base(self) -> int | None:
        """The lowest offset that is not done; None before anything is known."""
        if self._open or self._next is None:
            return next(iter(self._open), None)
        base = self._next
        while base in self._inherited:
            base += 1
        return base

    @property
    def open_offsets(self) -> Collection[int]:
        """Delivered and not done, rising."""
        return self._open.keys()

    @property
    def is_full(self) -> bool:
        """Whether the window between `base` and the next offset is used up."""
        base = self.base
        return base is not None and self._next is not None and self._next - base >= self._window

    def commit_point(self, *, clean_end: bool = False) -> CommitPoint | None:
        """Return what may be committed now; None before anything is known."""
        base = self.base
        if base is None or self._next is None:
            return None
        mapped = range(base + 1, min(self._next, base + MAX_WINDOW))  # a gap may be as wide as it likes
        done = {offset for offset in mapped if offset not in self._open}
        done |= {offset for offset in self._inherited if offset > base}
        self._inherited = {offset for offset in self._inherited if offset >= self._next}
        return CommitPoint(base, encode_metadata(base, done, clean_end=clean_end))


def encode_metadata(base: int, done: Collection[int], *, clean_end: bool = False) -> str:
    """Return the commit metadata: base85 of magic, version, checksum and type-length-value fields.

    The checksum covers `base`, so that a map is never applied to another offset. `done` are offsets above `base`, of
    which those within `MAX_WINDOW` are kept; 8,192 of them take 1,024 bytes, 1,280 characters.
    """
    fields = b""
    near = [offset - base for offset in done if 0 < offset - base < MAX_WINDOW]
    if near:
        bits = sum(1 << distance for distance in near)
        bitmap = bits.to_bytes(bits.bit_length() // 8 + 1, "little").rstrip(b"\0")
        fields += _FIELD.pack(_DONE, len(bitmap)) + bitmap
    if clean_end:
        fields += _FIELD.pack(_CLEAN_END, 0)
    if not fields:
        return ""
    return base64.b85encode(_FRAME.pack(_MAGIC, _VERSION, _checksum(base, fields)) + fields).decode("ascii")


def decode_done(committed: CommitPoint) -> frozenset[int]:
    """Return the offsets above the committed one that its metadata says are done; none if the metadata is not ours."""
    bitmap = _fields(committed).get(_DONE, b"")
    bits = int.from_bytes(bitmap, "little")
    return frozenset(committed.offset + n for n in range(1, bits.bit_length()) if bits >> n & 1)


def ended_clean(committed: CommitPoint) -> bool:
    """Say whether the member that committed this had finished all that it had begun."""
    return _CLEAN_END in _fields(committed)


def _fields(committed: CommitPoint) -> dict[int, bytes]:
    try:
        raw = base64.b85decode(committed.metadata)
    except ValueError:
        return {}
    if len(raw) < _FRAME.size:
        return {}
    magic, version, checksum = _FRAME.unpack_from(raw)
    body = raw[_FRAME.size :]
    if (magic, version, checksum) != (_MAGIC, _VERSION, _checksum(committed.offset, body)):
        return {}
    return _split(body)


def _split(body: bytes) -> dict[int, bytes]:
    fields = {}
    while body:
        kind, length = _FIELD.unpack_from(body)
        fields[kind] = body[_FIELD.size : _FIELD.size + length]
        body = body[_FIELD.size + length :]
    return fields


def _checksum(base: int, fields: bytes) -> int:
    return zlib.crc32(fields, zlib.crc32(str(base).encode()))
