"""Directories of tags as TIFF and EXIF have them (TIFF 6.0, BigTIFF).

Invariant: only the tags that are asked for are looked at, at most a few values of each, so that no directory, however
long, takes memory.
"""

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.pipeline.page_claim import DamagedHeaderError

_BIG: Final = 43
_CLASSIC: Final = 42
_MAX_TAGS: Final = 1024
_MAX_VALUES: Final = 16
_BYTE, _SHORT, _LONG, _RATIONAL, _LONG8 = 1, 3, 4, 5, 16
# Whole numbers with a sign (6, 8, 9, 17) count, too: libtiff takes them for sizes, though none may be negative.
_CODES: Final = {_BYTE: "B", _SHORT: "H", _LONG: "I", 6: "b", 8: "h", 9: "i", 13: "I", _LONG8: "Q", 17: "q", 18: "Q"}

SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True, slots=True)
class TagDirectory:
    """The tags that were asked for, each with its first values and the count of all, and where the next one lies.

    `fractions` are those whose one value is a fraction, numerator and denominator.
    """

    values: Mapping[int, tuple[int, ...]]
    counts: Mapping[int, int]
    fractions: Mapping[int, tuple[int, int]]
    next_offset: int

    def one(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        return self.values[tag][0] if self.values.get(tag) else default

    def ratio(self, tag: int) -> float:
        """Return the value of a tag that is a fraction or a whole number; 0 where it has none."""
        if tag in self.fractions:
            numerator, denominator = self.fractions[tag]
            return numerator / denominator if denominator else 0.0
        return float(self.one(tag, 0))


@dataclass(frozen=True, slots=True)
class TagEntry:
    """A tag as it stands in its directory: `raw`, and where its `count` values of a kind lie in the file."""

    tag: int
    kind: int
    count: int
    values_at: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class DirectoryReader:
    """Reads directories out of `data`, whose offsets count from its start."""

    data: bytes | memoryview
    order: str
    big: bool
    first_offset: int

    def read(self, offset: int, tags: Collection[int]) -> TagDirectory:
        """Return the directory at `offset`. Raises DamagedHeaderError."""
        try:
            return self._read(offset, tags)
        except (struct.error, OverflowError) as error:
            raise DamagedHeaderError("a directory lies outside of the file") from error

    def _read(self, offset: int, tags: Collection[int]) -> TagDirectory:
        (count,) = struct.unpack_from(self.order + ("Q" if self.big else "H"), self.data, offset)
        if not 0 < count <= _MAX_TAGS:
            raise DamagedHeaderError(f"a directory claims {count} tags")
        entry = struct.Struct(self.order + ("HHQ" if self.big else "HHI"))
        width, start = (20, offset + 8) if self.big else (12, offset + 2)
        values, counts, fractions = {}, {}, {}
        for place in range(start, start + count * width, width):
            tag, kind, many = entry.unpack_from(self.data, place)
            if tag in tags and kind in _CODES and many and tag not in values:
                values[tag] = self._values(place + entry.size, kind, many)
                counts[tag] = many
            elif tag in tags and kind == _RATIONAL and many == 1 and tag not in fractions:
                fractions[tag] = self._fraction(place + entry.size)
        (following,) = struct.unpack_from(self._offset_code(), self.data, start + count * width)
        return TagDirectory(values, counts, fractions, following)

    def entries(self, offset: int, tags: Collection[int]) -> list[TagEntry]:
        """Return the first entry of each of the tags in the directory at `offset`, by their numbers.

        For a directory that was read.
        """
        (count,) = struct.unpack_from(self.order + ("Q" if self.big else "H"), self.data, offset)
        entry = struct.Struct(self.order + ("HHQ" if self.big else "HHI"))
        width, start, inline = (20, offset + 8, 8) if self.big else (12, offset + 2, 4)
        found: dict[int, TagEntry] = {}
        for place in range(start, start + count * width, width):
            tag, kind, many = entry.unpack_from(self.data, place)
            at = place + entry.size
            if SIZES.get(kind, 0) * many > inline:
                (at,) = struct.unpack_from(self._offset_code(), self.data, at)
            if tag in tags and tag not in found:
                found[tag] = TagEntry(tag, kind, many, at, bytes(self.data[place : place + width]))
        return [found[tag] for tag in sorted(found)]

    def numbers(self, entry: TagEntry) -> Iterator[int]:
        """Yield the whole numbers of an entry. Raises DamagedHeaderError where they lie outside of the file."""
        one = struct.Struct(self.order + _CODES.get(entry.kind, "B"))
        stop = entry.values_at + one.size * entry.count
        if stop > len(self.data):
            raise DamagedHeaderError("a tag's values lie outside of the file")
        return (number for (number,) in one.iter_unpack(self.data[entry.values_at : stop]))

    def with_directory(self, entries: Sequence[TagEntry]) -> bytes:
        """Return the file with one directory only, behind all else, of entries in the order of their tags."""
        count = struct.pack(self.order + ("Q" if self.big else "H"), len(entries))
        directory = count + b"".join(entry.raw for entry in entries) + bytes(8 if self.big else 4)
        head, at = (16, 8) if self.big else (8, 4)
        padding = bytes(-len(self.data) % 8)
        first = struct.pack(self._offset_code(), len(self.data) + len(padding))
        return b"".join((self.data[:at], first, self.data[head:], padding, directory))

    def _values(self, place: int, kind: int, many: int) -> tuple[int, ...]:
        one = struct.Struct(self.order + _CODES[kind])
        if one.size * many > (8 if self.big else 4):
            (place,) = struct.unpack_from(self._offset_code(), self.data, place)
            if place + one.size * many > len(self.data):
                raise DamagedHeaderError("a tag's values lie outside of the file")
        values = tuple(
            int(one.unpack_from(self.data, place + one.size * index)[0]) for index in range(min(many, _MAX_VALUES))
        )
        if min(values, default=0) < 0:
            raise DamagedHeaderError("a tag has a value below zero")
        return values

    def _fraction(self, place: int) -> tuple[int, int]:
        """Return a fraction, or 0 / 0 where it lies outside of the file: no page is worse for it."""
        if not self.big:
            (place,) = struct.unpack_from(self._offset_code(), self.data, place)
        if place + 8 > len(self.data):
            return 0, 0
        numerator, denominator = struct.unpack_from(self.order + "II", self.data, place)
        return numerator, denominator

    def _offset_code(self) -> str:
        return self.order + ("Q" if self.big else "I")


def open_directories(data: bytes | memoryview) -> DirectoryReader:
    """Return a reader of the directories in `data`. Raises DamagedHeaderError where it is no TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    try:
        if order:
            (kind, first) = struct.unpack_from(order + "HI", data, 2)
            if kind == _CLASSIC:
                return DirectoryReader(data, order, big=False, first_offset=first)
            (kind, width, zero, first) = struct.unpack_from(order + "HHHQ", data, 2)
            if (kind, width, zero) == (_BIG, 8, 0):
                return DirectoryReader(data, order, big=True, first_offset=first)
    except struct.error as error:
        raise DamagedHeaderError("it ends within its first bytes") from error
    raise DamagedHeaderError("its first bytes are wrong")
