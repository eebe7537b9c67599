# ruff: noqa: T201 - a command prints
"""Damage that comes out as a good page: `python -m tests.fuzz.silent --rounds 20 [--only webp]` counts it.

Each sound file is damaged in several ways at places drawn by a seed, and read. What is counted is how often a page came
out whose pixels are not those of the sound file.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from tests.pipeline.documents import DOCUMENTS
from tests.pipeline.pictures import packed_bitmap, save, tiled_tiff
from tests.pipeline.test_damaged_jpeg import WAYS as JPEGS
from tests.pipeline.test_damaged_jpeg import label
from worker.domain.errors import JobError
from worker.domain.image import Pixels
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

Damage = Callable[[random.Random, bytes], bytes]


def _tiff(mode: str = "RGB", **options: object) -> Callable[[], bytes]:
    return lambda: save(label().convert(mode), "TIFF", **options)


def _transparent() -> bytes:
    picture = label().convert("RGBA")
    picture.putalpha(label().convert("L").point(lambda level: 255 - level // 2))
    return save(picture, "WEBP", quality=80)


FILES: Final[dict[str, Callable[[], bytes]]] = {
    **{f"jpeg {way}": make for way, make in JPEGS.items()},
    "webp lossy": lambda: save(label(), "WEBP", quality=80),
    "webp lossy with alpha": _transparent,
    "webp lossless": lambda: save(label(), "WEBP", lossless=True),
    "webp lossless of print": lambda: save(label().convert("1").convert("RGB"), "WEBP", lossless=True),
    "png": lambda: save(label(), "PNG"),
    "png palette": lambda: save(label().quantize(16), "PNG"),
    "bmp": lambda: save(label(), "BMP"),
    "bmp packed": lambda: packed_bitmap(
        label().convert("L").point(lambda level: level // 64 * 64).crop((0, 0, 250, 240))
    ),
    "tiff raw": _tiff(),
    "tiff lzw": _tiff(compression="tiff_lzw"),
    "tiff lzw of print": _tiff("1", compression="tiff_lzw"),
    "tiff deflate": _tiff(compression="tiff_adobe_deflate"),
    "tiff packbits": _tiff("1", compression="packbits"),
    "tiff group 3": _tiff("1", compression="group3"),
    "tiff group 4": _tiff("1", compression="group4"),
    "tiff jpeg": _tiff(compression="jpeg", quality=85),
    "tiff tiled lzw": lambda: tiled_tiff(label(), compression="lzw"),
    "heif": lambda: save(label(), "HEIF", quality=80),
    "avif": lambda: save(label(), "AVIF", quality=80),
    **{f"pdf {kind}": make for kind, make in DOCUMENTS.items()},
}


def _place(chance: random.Random, data: bytes, length: int) -> int:
    return chance.randrange(max(1, len(data) - length))


def _lost(length: int) -> Damage:
    def damaged(chance: random.Random, data: bytes) -> bytes:
        at = _place(chance, data, length)
        return data[:at] + data[at + length :]

    return damaged


def _overwritten(written: Callable[[random.Random], bytes]) -> Damage:
    def damaged(chance: random.Random, data: bytes) -> bytes:
        piece = written(chance)
        at = _place(chance, data, len(piece))
        return data[:at] + piece + data[at + len(piece) :]

    return damaged


def _flipped(bits: int) -> Damage:
    def damaged(chance: random.Random, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(bits):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        return bytes(changed)

    return damaged


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(1, len(data))]


def _cut_near_its_end(chance: random.Random, data: bytes) -> bytes:
    return data[: -chance.randint(1, 40)]


DAMAGES: Final[dict[str, Damage]] = {
    "cut": _cut,
    "cut near its end": _cut_near_its_end,
    "cut, then zeros": lambda chance, data: _cut(chance, data).ljust(len(data), b"\0"),
    "1 byte lost": _lost(1),
    "20 bytes lost": _lost(20),
    "200 bytes lost": _lost(200),
    "2000 bytes lost": _lost(2000),
    "1 bit flipped": _flipped(1),
    "8 bits flipped": _flipped(8),
    "64 zeros": _overwritten(lambda _: bytes(64)),
    "512 zeros": _overwritten(lambda _: bytes(512)),
    "64 bytes of noise": _overwritten(lambda chance: chance.randbytes(64)),
    "line ends": lambda _, data: data.replace(b"\n", b"\r\n"),
}


@dataclass(frozen=True, slots=True)
class Count:
    """Of the files of one kind with one damage: how many were read with other pixels, with the same, or refused."""

    silent: int
    same: int
    refused: int


def read(data: bytes) -> Pixels:
    """Return the pixels of the first page. Raises JobError."""
    return decode(data, read_header(data, ImageLimits())).pixels


@cache
def _sound(kind: str) -> tuple[bytes, Pixels]:
    data = FILES[kind]()
    return data, read(data)


def outcome(kind: str, damage: str, seed: int) -> str:
    """Return `silent`, `same` or `refused` for one damaged file."""
    data, pixels = _sound(kind)
    damaged = DAMAGES[damage](random.Random(f"{kind}/{damage}/{seed}"), data)  # noqa: S311 - to be repeated
    try:
        found = read(damaged)
    except JobError:
        return "refused"
    return "same" if np.array_equal(found, pixels) else "silent"


def count(kind: str, damage: str, rounds: int) -> Count:
    """Read so many damaged files of one kind."""
    ends = Counter(outcome(kind, damage, seed) for seed in range(rounds))
    return Count(ends["silent"], ends["same"], ends["refused"])


def _lines(kinds: list[str], rounds: int) -> Iterator[str]:
    yield f"of {rounds} each, silent (and read with the same pixels)"
    for kind in kinds:
        counts = {damage: count(kind, damage, rounds) for damage in DAMAGES}
        told = ", ".join(f"{name} {one.silent}" for name, one in counts.items() if one.silent)
        silent, same = (sum(getattr(one, name) for one in counts.values()) for name in ("silent", "same"))
        yield f"{kind:24} {silent:4} ({same:4}) of {rounds * len(DAMAGES)}: {told}"


def main() -> int:
    """Print how much damage of each kind of file comes out as a good page."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.silent", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how many files of each kind and damage")
    parser.add_argument("--only", default="", help="kinds of files whose name has this")
    options = parser.parse_args()
    for line in _lines([kind for kind in FILES if options.only in kind], options.rounds):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
