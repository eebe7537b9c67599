"""Which offsets of one partition are done, and what may be committed.

The rules, for one partition during one assignment:

1. Offsets are delivered in rising order, with gaps: transaction markers and compaction take offsets, and so a gap
   counts as done.
2. `base` is the lowest offset that is not done. It never passes an offset that was delivered and is not done.
3. A commit is `base`, with a map of what is done above it in its metadata, so that a successor skips that.
4. A map that is corrupt, foreign or made for another base is ignored: the offsets above `base` are then read again.
5. Every commit says how far its member had read, and the last one that it ended in an orderly way. If that last commit
   is missing, a record in flight may have killed the member. Then all that was not done up to that offset is suspect,
   and as many offsets beyond it as a member takes between two commits. So is what an earlier member left as suspect.
6. Every commit names the id of its topic, if the broker has ids: a topic that was deleted and created again has the
   same name and the same offsets, but other records.

A tracker lives as long as its assignment. A job completes the tracker it was delivered under; after a rebalance that
tracker is no longer asked, so completions of an old assignment have no effect.
"""

import base64
import struct
import zlib
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from worker.domain.records import CommitPoint

MAX_WINDOW = 8192
_MAGIC = b"LW"
_VERSION = 1
_DONE = 1
_CLEAN_END = 2
_REACHED = 3
_TOPIC_ID = 4
_FRAME = struct.Struct(">2sBI")
_FIELD = struct.Struct(">BH")
_DISTANCE = struct.Struct(">Q")


class OffsetTracker:
    """The state of one partition.

    `intake` is the most records that a member may hold at once: so many more than its last commit says may have been in
    its hands when it died. `topic_id` is what commits name where there is no `committed`, which has one of its own.
    """

    def __init__(
        self, committed: CommitPoint | None = None, *, window: int = MAX_WINDOW, intake: int = 0, topic_id: str = ""
    ) -> None:
        self._window = min(window, MAX_WINDOW)
        self._topic_id = topic_id if committed is None else committed.topic_id
        self._suspects_end = 0 if committed is None else suspects_end(committed, intake)
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

    @property
    def topic_id(self) -> str:
        """The id of the topic that the offsets belong to; empty if the broker has no ids."""
        return self._topic_id

    def is_suspect(self, offset: int) -> bool:
        """Say whether this offset may have crashed the worker that had it in flight."""
        return offset < self._suspects_end

    def complete(self, offset: int) -> None:
        """Note that an offset that was delivered is done. Raises KeyError if it is not open."""
        del self._open[offset]

    @property
    def base(self) -> int | None:
        """The lowest offset that is not done; None before anything is known."""
        return self._base_over(self._open)

    def _base_over(self, still_open: Collection[int]) -> int | None:
        if still_open or self._next is None:
            return next(iter(still_open), None)
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
        return self._spread >= self._window

    @property
    def crowded_below(self) -> int | None:
        """Where half of the window is used up, the offset below which all should be done to free half of that."""
        if self._next is None or 2 * self._spread < self._window:
            return None
        return self._next - self._window // 4

    @property
    def _spread(self) -> int:
        base = self.base
        return 0 if base is None or self._next is None else self._next - base

    def commit_point(self, *, clean_end: bool = False, also_done: Collection[int] = ()) -> CommitPoint | None:
        """Return what may be committed now; None before anything is known.

        `also_done` are open offsets that will be done if this very commit succeeds, as in a transaction.
        """
        still_open = self._open if not also_done else [offset for offset in self._open if offset not in also_done]
        base = self._base_over(still_open)
        if base is None or self._next is None:
            return None
        mapped = range(base + 1, min(self._next, base + MAX_WINDOW))  # a gap may be as wide as it likes
        done = set(mapped).difference(still_open)
        done |= {offset for offset in self._inherited if offset > base}
        self._inherited = {offset for offset in self._inherited if offset >= self._next}
        reached = self._suspects_end if clean_end else max(self._next, self._suspects_end)
        metadata = encode_metadata(base, done, reached=reached, clean_end=clean_end, topic_id=self._topic_id)
        return CommitPoint(base, metadata, self._topic_id)


def encode_metadata(
    base: int, done: Collection[int], *, reached: int = 0, clean_end: bool = False, topic_id: str = ""
) -> str:
    """Return the commit metadata: base85 of magic, version, checksum and type-length-value fields.

    The checksum covers `base`, so that a map is never applied to another offset. `done` are offsets above `base`, of
    which those within `MAX_WINDOW` are kept; 8,192 of them take 1,024 bytes, 1,280 characters. What is not done below
    `reached` may have been in progress; nothing is said of it where it is not above `base`. Readers pass over fields
    that they do not know.
    """
    fields = b""
    near = [offset - base for offset in done if 0 < offset - base < MAX_WINDOW]
    if near:
        bitmap = bytearray(max(near) // 8 + 1)
        for distance in near:
            bitmap[distance // 8] |= 1 << distance % 8
        fields += _FIELD.pack(_DONE, len(bitmap)) + bitmap
    if reached > base:
        fields += _FIELD.pack(_REACHED, _DISTANCE.size) + _DISTANCE.pack(reached - base)
    if clean_end:
        fields += _FIELD.pack(_CLEAN_END, 0)
    if topic_id:
        named = topic_id.encode()
        fields += _FIELD.pack(_TOPIC_ID, len(named)) + named
    return base64.b85encode(_FRAME.pack(_MAGIC, _VERSION, _checksum(base, fields)) + fields).decode("ascii")


def decode_done(committed: CommitPoint) -> frozenset[int]:
    """Return the offsets above the committed one that its metadata says are done; none if the metadata is not ours."""
    bitmap = _fields(committed).found.get(_DONE, b"")
    bits = int.from_bytes(bitmap, "little")
    return frozenset(committed.offset + n for n in range(1, bits.bit_length()) if bits >> n & 1)


def suspects_end(committed: CommitPoint, intake: int) -> int:
    """Return the offset below which what is not done is suspect; the committed one where nothing is.

    `intake` is the most records that a member may hold at once.
    """
    fields = _fields(committed)
    if not fields.ours:
        return committed.offset
    distance = fields.found.get(_REACHED, b"")
    reached = _DISTANCE.unpack(distance)[0] if len(distance) == _DISTANCE.size else 0
    return committed.offset + int(reached) + (0 if _CLEAN_END in fields.found else intake)


def topic_id_of(committed: CommitPoint) -> str:
    """Return the id of the topic that a commit was made for; empty where it names none."""
    return _fields(committed).found.get(_TOPIC_ID, b"").decode("utf-8", "replace")


def within_log(committed: CommitPoint, low: int, end: int) -> CommitPoint:
    """Return the same position for a log that holds offsets from `low` up to `end` by now.

    What was not done below `low` is gone. What is said to be done from `end` on was truncated, and others will have
    those offsets. A commit that lies within the log is returned as it is.
    """
    done = decode_done(committed)
    known = {offset for offset in done if offset < end}
    base = max(committed.offset, low)
    if base == committed.offset and len(known) == len(done):
        return committed
    while base in known:
        base += 1
    fields = _fields(committed)
    if not fields.ours:
        return replace(committed, offset=base, metadata="")
    metadata = encode_metadata(
        base,
        known,
        reached=suspects_end(committed, 0),
        clean_end=_CLEAN_END in fields.found,
        topic_id=topic_id_of(committed),
    )
    return replace(committed, offset=base, metadata=metadata)


class _Fields(NamedTuple):
    ours: bool
    found: dict[int, bytes]


_FOREIGN = _Fields(ours=False, found={})


def _fields(committed: CommitPoint) -> _Fields:
    try:
        raw = base64.b85decode(committed.metadata)
    except ValueError:
        return _FOREIGN
    if len(raw) < _FRAME.size:
        return _FOREIGN
    magic, version, checksum = _FRAME.unpack_from(raw)
    body = raw[_FRAME.size :]
    if (magic, version, checksum) != (_MAGIC, _VERSION, _checksum(committed.offset, body)):
        return _FOREIGN
    return _Fields(ours=True, found=_split(body))


def _split(body: bytes) -> dict[int, bytes]:
    fields = {}
    while body:
        kind, length = _FIELD.unpack_from(body)
        fields[kind] = body[_FIELD.size : _FIELD.size + length]
        body = body[_FIELD.size + length :]
    return fields


def _checksum(base: int, fields: bytes) -> int:
    return zlib.crc32(fields, zlib.crc32(str(base).encode()))
