"""A PNG whose end marker alone is missing is read, one that lacks pixels is not, whole and in strips."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from tests.pipeline.pictures import png_chunk
from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import Pixels
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

WIDTH, HEIGHT = 80, 60
START = b"\x89PNG\r\n\x1a\n"
END = png_chunk(b"IEND", b"")


def grain() -> Pixels:
    return np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def packed() -> list[bytes]:
    """The pixels of `grain` as so many chunks."""
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in grain()))
    return [body[at : at + 1000] for at in range(0, len(body), 1000)]


def built(pieces: list[bytes], end: bytes = END) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">2I5B", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
    return START + head + b"".join(png_chunk(b"IDAT", piece) for piece in pieces) + end


def pixels(data: bytes) -> list[Pixels]:
    """The page, decoded whole and in strips."""
    header = read_header(data, ImageLimits())
    return [decode(data, header).pixels, np.concatenate(list(decode_strips(data, header, 7)))]


@pytest.mark.parametrize("end", [*(END[:kept] for kept in range(len(END))), bytes(40)])
def test_what_lacks_its_end_marker_or_a_part_of_it_is_read(end: bytes) -> None:
    for page in pixels(built(packed(), end)):
        assert np.array_equal(page, grain()[:, :, ::-1])


DAMAGES: dict[str, Callable[[], bytes]] = {
    "half its chunks, then the end marker": lambda: built(packed()[: len(packed()) // 2]),
    "all chunks but the last, no end marker": lambda: built(packed()[:-1], b""),
    "half its chunks, no end marker": lambda: built(packed()[: len(packed()) // 2], b""),
    "a chunk missing inside, no end marker": lambda: built(packed()[:3] + packed()[4:], b""),
    "a byte of the last chunk missing": lambda: built(packed(), b"")[:-1],
    "the last chunk's check sum missing": lambda: built(packed(), b"")[:-4],
    "zeros in place of the second half": lambda: built(packed()[: len(packed()) // 2], b"") + bytes(9000),
    "a bit changed": lambda: built(packed(), b"").replace(packed()[1], packed()[1][::-1]),
    "no pixels at all": lambda: built([], b""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_lacks_pixels_is_corrupt(damage: str) -> None:
    data = DAMAGES[damage]()
    for door in (lambda header: [decode(data, header)], lambda header: list(decode_strips(data, header, 7))):
        with pytest.raises(JobError) as raised:
            door(read_header(data, ImageLimits()))
        assert raised.value.code is ErrorCode.IMAGE_CORRUPT
