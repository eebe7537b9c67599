"""TIFF pages: damage that libtiff only warns about is refused, odd tags are none, and what is not read is named."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from tests.pipeline.pictures import save
from tests.pipeline.test_damaged_jpeg import label
from tests.pipeline.tiff_files import ifd, tiff
from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import Pixels
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

WAYS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: save(label(), "TIFF", compression="jpeg", quality=85),
    "gray jpeg": lambda: save(label().convert("L"), "TIFF", compression="jpeg", quality=85),
    "lzw": lambda: save(label(), "TIFF", compression="tiff_lzw"),
    "deflate": lambda: save(label(), "TIFF", compression="tiff_adobe_deflate"),
    "group 3": lambda: save(label().convert("1", dither=Image.Dither.NONE), "TIFF", compression="group3"),
    "group 4": lambda: save(label().convert("1", dither=Image.Dither.NONE), "TIFF", compression="group4"),
}


def read(data: bytes) -> Pixels:
    header = read_header(data, ImageLimits())
    whole = decode(data, header).pixels
    assert np.array_equal(np.concatenate(list(decode_strips(data, header, 50))), whole)
    return whole


def refused(data: bytes) -> ErrorCode:
    with pytest.raises(JobError) as caught:
        read(data)
    return caught.value.code


def strip(data: bytes) -> tuple[int, int]:
    """Where the first strip of a little-endian file lies, and how long it is."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = [struct.unpack_from("<HHII", data, at + 2 + 12 * place) for place in range(count)]
    found = {tag: (many, value) for tag, _, many, value in entries}
    (many, offset), (_, length) = found[273], found[279]
    if many == 1:
        return offset, length
    (offset,), (length,) = struct.unpack_from("<I", data, offset), struct.unpack_from("<I", data, length)
    return offset, length


def overwritten(data: bytes, share: float, written: bytes) -> bytes:
    start, length = strip(data)
    at = start + int(length * share)
    return data[:at] + written + data[at + len(written) :]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: overwritten(data, 0.3, np.random.default_rng(3).bytes(400)),
        lambda data: overwritten(data, 0.5, bytes(400)),
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"\n", b"\r\n"),
    ],
    ids=["another file", "zeros", "half", "line ends"],
)
def test_a_damaged_strip_is_corrupt(way: str, damage: Callable[[bytes], bytes]) -> None:
    data = WAYS[way]()
    assert read(data).shape == (240, 320, 3)
    assert refused(damage(data)) is ErrorCode.IMAGE_CORRUPT


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    """With another value of a tag that stands in the directory of a little-endian file."""
    (at,) = struct.unpack_from("<I", data, 4)
    changed = bytearray(data)
    for place in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12):
        if struct.unpack_from("<H", data, place) == (tag,):
            struct.pack_into("<I", changed, place + 8, value)
    assert changed != data
    return bytes(changed)


@pytest.mark.parametrize("way", ["jpeg", "lzw", "group 3"])
@pytest.mark.parametrize(("tag", "value"), [(274, 0), (274, 9), (296, 0), (296, 9), (305, 1_000_000), (282, 1_000_000)])
def test_a_tag_that_is_wrong_but_not_of_the_pixels_is_no_damage(way: str, tag: int, value: int) -> None:
    info = {274: 1, 305: "writer", 282: IFDRational(200), 283: IFDRational(200), 296: 2, 65000: "private"}
    with Image.open(io.BytesIO(WAYS[way]())) as stored:
        compression = stored.info["compression"]
        data = save(stored.copy(), "TIFF", compression=compression, tiffinfo=info)
    assert np.array_equal(read(with_tag(data, tag, value)), read(data))


@pytest.mark.parametrize("compression", [1, 5, 7, 8])
def test_planes_of_tiles_are_unsupported_and_not_damaged(compression: int) -> None:
    tags = [(256, 4, 64), (257, 4, 64), (258, 3, 8), (259, 3, compression), (262, 3, 2), (277, 3, 3), (284, 3, 2)]
    tiles = [(322, 4, 16), (323, 4, 16), (324, 4, 8), (325, 4, 8)]
    with pytest.raises(JobError, match="plane of tiles") as caught:
        read_header(tiff(ifd(*tags, *tiles)), ImageLimits())
    assert caught.value.code is ErrorCode.IMAGE_UNSUPPORTED


@pytest.mark.parametrize("number", [0, 1, 2])
def test_each_page_is_prepared_by_itself(number: int) -> None:
    pages = [label(), label().convert("L").crop((0, 0, 99, 50)), label().crop((10, 20, 210, 120))]
    data = save(pages[0], "TIFF", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    page = decode(data, read_header(data, ImageLimits()), number).pixels
    assert np.array_equal(page, np.asarray(pages[number].convert("RGB"))[:, :, ::-1])


@pytest.mark.parametrize("way", ["jpeg", "gray jpeg"])
def test_a_strip_of_jpeg_without_its_end_marker_is_read(way: str) -> None:
    data = WAYS[way]()
    start, length = strip(data)
    end = start + length - 2
    assert data[end : end + 2] == b"\xff\xd9"
    assert np.array_equal(read(data[:end] + bytes(2) + data[end + 2 :]), read(data))
