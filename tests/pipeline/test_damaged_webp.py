"""WebP files whose decoder fills up what is missing are refused, and those that are whole beside an oddity are read."""

import struct
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.pictures import save
from tests.pipeline.test_damaged_jpeg import label
from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import Pixels
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits


def read(data: bytes) -> Pixels:
    return decode(data, read_header(data, ImageLimits())).pixels


def _print() -> Image.Image:
    return label().convert("1", dither=Image.Dither.NONE).convert("RGB")


def _transparent(**options: object) -> bytes:
    picture = label().convert("RGBA")
    picture.putalpha(label().convert("L").point(lambda level: 255 - level // 2))
    return save(picture, "WEBP", **options)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[305] = "writer"
    return exif


WAYS: dict[str, Callable[[], bytes]] = {
    "lossy": lambda: save(label(), "WEBP", quality=80),
    "lossy, best method": lambda: save(label(), "WEBP", quality=60, method=6),
    "lossy with alpha": lambda: _transparent(quality=80),
    "lossy with EXIF": lambda: save(label(), "WEBP", quality=80, exif=_exif()),
    "lossless": lambda: save(label(), "WEBP", lossless=True),
    "lossless of print": lambda: save(_print(), "WEBP", lossless=True),
    "lossless with alpha": lambda: _transparent(lossless=True),
}


@cache
def sound(way: str) -> bytes:
    return WAYS[way]()


def frame(data: bytes) -> tuple[int, int]:
    """Where the coded pixels lie."""
    at = data.index(b"VP8L") if b"VP8L" in data else data.index(b"VP8 ")
    (length,) = struct.unpack_from("<I", data, at + 4)
    return at + 8, at + 8 + length


def middle(data: bytes) -> int:
    return sum(frame(data)) // 2


def with_lengths(data: bytes) -> bytes:
    """With the lengths that a file has whose pixels were cut short by whoever wrote it."""
    start, _ = frame(data)
    data = data[:-1] if (len(data) - start) % 2 else data
    lengths = (struct.pack("<I", size) for size in (len(data) - 8, len(data) - start))
    return data[:4] + next(lengths) + data[8 : start - 4] + next(lengths) + data[start:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda data: data[: middle(data)],
    "half, then zeros": lambda data: data[: middle(data)].ljust(len(data), b"\0"),
    "half, with right lengths": lambda data: with_lengths(data[: middle(data)]),
    "a byte missing": lambda data: data[: middle(data)] + data[middle(data) + 1 :],
    "bytes missing": lambda data: data[: middle(data)] + data[middle(data) + 500 :],
    "bytes twice": lambda data: data[: middle(data)] + data[middle(data) - 500 :],
    "a hole of zeros": lambda data: data[: middle(data)] + bytes(600) + data[middle(data) + 600 :],
    "a piece of another file": lambda data: (
        data[: middle(data)] + np.random.default_rng(5).bytes(400) + data[middle(data) + 400 :]
    ),
    "line ends changed": lambda data: data.replace(b"\n", b"\r\n"),
}
# Its codes soon fit again, and the bits that it takes by chance as well.
NOT_NOTICED = {(way, "a piece of another file") for way in ("lossless", "lossless with alpha")}


@pytest.mark.parametrize(
    ("way", "damage"), [(way, damage) for way in WAYS for damage in DAMAGE if (way, damage) not in NOT_NOTICED]
)
def test_a_damaged_webp_is_corrupt(way: str, damage: str) -> None:
    with pytest.raises(JobError) as caught:
        read(DAMAGE[damage](sound(way)))
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT


def test_a_webp_that_lost_its_transparency_is_corrupt() -> None:
    data = sound("lossy with alpha")
    at = data.index(b"ALPH")
    (length,) = struct.unpack_from("<I", data, at + 4)
    with pytest.raises(JobError, match="transparency is missing"):
        read(data[:at] + data[at + 8 + length + length % 2 :])


def test_alpha_that_was_changed_is_corrupt() -> None:
    data = sound("lossy with alpha")
    at = data.index(b"ALPH") + 2000
    with pytest.raises(JobError, match="missing or changed"):
        read(data[:at] + bytes(800) + data[at + 800 :])


ODDITIES: dict[str, Callable[[bytes], bytes]] = {
    "a length of nothing in its first bytes": lambda data: data[:4] + bytes(4) + data[8:],
    "a length beyond its end": lambda data: data[:4] + struct.pack("<I", len(data) + 5000) + data[8:],
    "cut within what follows its pixels": lambda data: data[: frame(data)[1] + frame(data)[1] % 2 + 3],
    "nothing behind its pixels": lambda data: data[: frame(data)[1]],
    "something behind it": lambda data: data + b"LABELWIRE" * 9,
}


# Its last byte is zero, as is the one that makes its length even: none can say which of the two was lost.
IN_DOUBT = {("lossless of print", "nothing behind its pixels")}


@pytest.mark.parametrize(
    ("way", "oddity"), [(way, oddity) for way in WAYS for oddity in ODDITIES if (way, oddity) not in IN_DOUBT]
)
def test_a_whole_webp_with_an_oddity_is_read(way: str, oddity: str) -> None:
    data = sound(way)
    assert np.array_equal(read(ODDITIES[oddity](data)), read(data))


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (16, 16), (17, 16), (65, 7), (300, 2)])
@pytest.mark.parametrize("options", [{"quality": 1}, {"quality": 100}, {"lossless": True}, {"method": 0}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("ground", ["grain", "white"])
def test_a_sound_webp_of_any_size_is_read(
    ground: str, mode: str, options: dict[str, object], size: tuple[int, int]
) -> None:
    picture = label().resize(size) if ground == "grain" else Image.new("RGB", size, "white")
    data = save(picture.convert(mode), "WEBP", **options)
    assert read(data).shape[1::-1] == size


def test_the_shortest_files_are_read() -> None:
    """A picture of one color takes 28 bytes."""
    coded = bytes.fromhex("2f63c01810888808")
    data = b"RIFF" + struct.pack("<I", 20) + b"WEBPVP8L" + struct.pack("<I", 8) + coded
    assert read(data).shape == (100, 100, 3)
