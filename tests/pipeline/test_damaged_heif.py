"""HEIF pictures whose decoder makes up what it misses are refused where their units show it."""

import struct
from collections.abc import Callable

import pytest

from tests.pipeline.pictures import save
from tests.pipeline.test_damaged_jpeg import label
from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import Pixels
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.heif import check_coded
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits
from worker.pipeline.page_claim import DamagedHeaderError


def read(data: bytes) -> Pixels:
    return decode(data, read_header(data, ImageLimits())).pixels


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "half, then zeros": lambda data: data[: len(data) // 2].ljust(len(data), b"\0"),
    "a hole of zeros": lambda data: data[: len(data) // 2] + bytes(64) + data[len(data) // 2 + 64 :],
    "line ends changed": lambda data: data.replace(b"\n", b"\r\n"),
    "bytes missing, filled up": lambda data: data[: len(data) // 2] + data[len(data) // 2 + 99 :] + bytes(99),
    "half": lambda data: data[: len(data) // 2],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_damaged_heif_is_corrupt(mode: str, damage: str) -> None:
    data = save(label().convert(mode), "HEIF", quality=80)
    assert read(data).shape == (240, 320, 3)
    with pytest.raises(JobError) as caught:
        read(DAMAGE[damage](data))
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT


@pytest.mark.parametrize("quality", [1, 30, 60, 90, 100, -1])
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 130), (320, 240)])
def test_a_sound_heif_is_read(size: tuple[int, int], quality: int) -> None:
    data = save(label().resize(size), "HEIF", quality=quality)
    assert read(data).shape[1::-1] == size


def test_items_that_share_their_bytes_are_not_put_together_without_end() -> None:
    data = save(label(), "HEIF", quality=80)
    with pytest.raises(DamagedHeaderError, match="longer than the file"):
        check_coded(with_pieces(data, 4000))


def with_pieces(data: bytes, pieces: int) -> bytes:
    """With the places of the picture in a list of so many times the same, behind its other boxes."""
    kinds = [data.index(kind) for kind in (b"meta", b"iloc")]
    meta, iloc = (place - 4 for place in kinds)
    size = int.from_bytes(data[iloc : iloc + 4], "big")
    places = b"".join(struct.pack(">II", 100, len(data) // 2) for _ in range(pieces))
    item = int.from_bytes(data[data.index(b"pitm") + 8 : data.index(b"pitm") + 10], "big")
    body = struct.pack(">I2B4H", 0, 0x44, 0, 1, item, 0, pieces) + places
    box = struct.pack(">I4s", 8 + len(body), b"iloc") + body
    grown = int.from_bytes(data[meta : meta + 4], "big") + len(box) - size
    return data[:meta] + struct.pack(">I", grown) + data[meta + 4 : iloc] + box + data[iloc + size :]
