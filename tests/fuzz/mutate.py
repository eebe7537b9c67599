"""Damaged files, made from whole ones by chance. A seed gives the same file wherever and whenever it is asked for."""

import random
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Final

_ODD_BYTES: Final = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_ODD_NUMBERS: Final = (0, 1, 2, 7, 0x7FFF, 0x8000, 0xFFFF, 16_384, 65_500, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEAD_BYTES: Final = 700
# What stands beside a length or a count in one of the formats.
_LANDMARKS: Final = re.compile(
    rb"IHDR|PLTE|IDAT|tRNS|iCCP|eXIf|IEND|\xff[\xc0-\xfe]|VP8[ LX]|ALPH|EXIF|RIFF|ftyp|meta|iloc|ipco|ipma|ispe|pixi|"
    rb"hvcC|av1C|mdat|idat|iinf|infe|pitm|irot|imir|clap|auxC|iref|dimg|auxl|grid|"
    rb"[\x00\x01][\x00\x01\x02\x03\x04\x05\x11\x15\x16\x17\x1a\x42\x43][\x00-\x05]\x00"
)
_PDF_NUMBER: Final = re.compile(rb"\d+(\.\d+)?")
_PDF_ODD: Final = (b"0", b"-1", b"1e9", b"99999999999", b"2147483648", b"0.00001", b"65536", b"14400", b"3 0 R", b"[ ]")
_BOMB: Final = zlib.compress(bytes(30_000_000), 9)


def mutant(seed: int, files: Sequence[bytes]) -> bytes:
    """Return one of the files with one to four kinds of damage."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    data = bytearray(chance.choice(files))
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        data = chance.choice(_DAMAGES)(chance, data, files) or data
    if data.startswith(b"\x89PNG") and chance.random() < 0.7:
        data = _with_right_checksums(data)
    return bytes(data)


def _flip_bits(chance: random.Random, data: bytearray, _files: Sequence[bytes]) -> bytearray:
    for _ in range(chance.randint(1, 16)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _set_bytes(chance: random.Random, data: bytearray, _files: Sequence[bytes]) -> bytearray:
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.choice(_ODD_BYTES)
    return data


def _cut(chance: random.Random, data: bytearray, _files: Sequence[bytes]) -> bytearray:
    return data[: chance.randrange(len(data))]


def _splice(chance: random.Random, data: bytearray, files: Sequence[bytes]) -> bytearray:
    other = chance.choice(files)
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


def _repeat(chance: random.Random, data: bytearray, _files: Sequence[bytes]) -> bytearray:
    start = chance.randrange(len(data))
    piece = data[start : start + chance.randint(1, 400)]
    return data[:start] + piece * chance.choice((2, 3, 50)) + data[start:]


def _drop(chance: random.Random, data: bytearray, _files: Sequence[bytes]) -> bytearray:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randint(1, 64) :]


def _lie_in_the_head(chance: random.Random, data: bytearray, _files: Sequence[bytes]) -> bytearray:
    for _ in range(chance.randint(1, 3)):
        _put_number(chance, data, chance.randrange(min(len(data), _HEAD_BYTES)))
    return data


def _lie_beside_a_landmark(chance: random.Random, data: bytearray, _files: Sequence[bytes]) -> bytearray:
    landmarks = [found.span() for found in _LANDMARKS.finditer(data)]
    if landmarks:
        start, end = chance.choice(landmarks)
        _put_number(chance, data, chance.choice((max(0, start - 4), start, end, end + 2, end + 4, end + 8)))
    return data


def _lie_about_a_size(chance: random.Random, data: bytearray, _files: Sequence[bytes]) -> bytearray:
    """Write another number wherever one of the scene's own sides stands."""
    code = chance.choice((">H", "<H", ">I", "<I"))
    side = struct.pack(code, chance.choice((64, 48, 63, 47)))
    places = [found.start() for found in re.finditer(re.escape(side), bytes(data))]
    if places:
        claimed = chance.choice((0, 1, 47, 100, 1000, 1400, 16_383, 65_535))
        struct.pack_into(code, data, chance.choice(places), claimed)
    return data


def _plant_a_bomb(chance: random.Random, data: bytearray, _files: Sequence[bytes]) -> bytearray:
    if not data.startswith(b"\x89PNG"):
        return _splice(chance, data, (_BOMB,))
    kind = chance.choice((b"zTXt", b"iTXt", b"iCCP", b"IDAT"))
    start = {b"zTXt": b"C\0\0", b"iTXt": b"C\0\1\0\0\0", b"iCCP": b"C\0\0", b"IDAT": b""}[kind] + _BOMB
    chunk = struct.pack(">I", len(start)) + kind + start + struct.pack(">I", zlib.crc32(kind + start))
    return data[:33] + chunk + data[33:]


def _odd_words_of_pdf(chance: random.Random, data: bytearray, files: Sequence[bytes]) -> bytearray:
    numbers = [found.span() for found in _PDF_NUMBER.finditer(data)] if b"%PDF" in data[:1024] else []
    if not numbers:
        return _set_bytes(chance, data, files)
    start, end = chance.choice(numbers)
    return data[:start] + chance.choice(_PDF_ODD) + data[end:]


def _put_number(chance: random.Random, data: bytearray, at: int) -> None:
    number = chance.choice((*_ODD_NUMBERS, chance.randrange(1 << 16), chance.randrange(1 << 32)))
    code = chance.choice(("B", ">H", "<H", ">I", "<I"))
    number &= (1 << 8 * struct.calcsize(code)) - 1
    if at + struct.calcsize(code) <= len(data):
        struct.pack_into(code, data, at, number)


def _with_right_checksums(data: bytearray) -> bytearray:
    """Let the damage through to what lies behind the checksums."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return data


_Damage = Callable[[random.Random, bytearray, Sequence[bytes]], bytearray]
_DAMAGES: Final[tuple[_Damage, ...]] = (
    _flip_bits, _flip_bits, _set_bytes, _cut, _splice, _repeat, _drop, _lie_in_the_head, _lie_in_the_head,
    _lie_beside_a_landmark, _lie_beside_a_landmark, _lie_about_a_size, _lie_about_a_size, _plant_a_bomb,
    _odd_words_of_pdf,
)  # fmt: skip
