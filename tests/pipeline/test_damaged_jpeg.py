"""JPEG files that libjpeg only warns about are refused, and those that are whole beside an oddity are read."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.pipeline.pictures import save
from worker.domain.errors import ErrorCode, JobError
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

Pixels = NDArray[np.uint8]


@cache
def label() -> Image.Image:
    """Print on grain, so that no part of the file is like another."""
    grain = np.random.default_rng(7).normal(215, 12, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(grain)
    for top in range(10, 230, 22):
        ImageDraw.Draw(picture).text((12, top), f"PARCEL {top * 7919} WEIGHT {top}.50 KG", fill=(20, 20, 40))
    return picture


# What a writer may choose, and what decides how libjpeg goes through the file.
WAYS: dict[str, Callable[[], bytes]] = {
    "baseline": lambda: save(label(), "JPEG", quality=85),
    "gray": lambda: save(label().convert("L"), "JPEG", quality=85),
    "four inks": lambda: save(label().convert("CMYK"), "JPEG", quality=85),
    "full color": lambda: save(label(), "JPEG", quality=85, subsampling=0),
    "own codes": lambda: save(label(), "JPEG", quality=85, optimize=True),
    "restarts": lambda: save(label(), "JPEG", quality=85, restart_marker_blocks=6),
    "progressive": lambda: save(label(), "JPEG", quality=85, progressive=True),
}
STREAMING = [way for way in WAYS if way != "progressive"]


def read_whole(data: bytes) -> Pixels:
    return decode(data, read_header(data, ImageLimits())).pixels


def read_in_strips(data: bytes) -> Pixels:
    return np.concatenate(list(decode_strips(data, read_header(data, ImageLimits()), 64)))


def pixels_at(data: bytes) -> int:
    """Where the entropy-coded data of the first scan begin."""
    start = data.index(b"\xff\xda")
    return start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")


def part(data: bytes, share: float) -> int:
    return pixels_at(data) + int((len(data) - pixels_at(data)) * share)


def overwritten(data: bytes, written: bytes) -> bytes:
    return data[: part(data, 0.4)] + written + data[part(data, 0.4) + len(written) :]


def other_line_ends(data: bytes) -> bytes:
    return data[: pixels_at(data)] + data[pixels_at(data) :].replace(b"\n", b"\r\n")


def without_an_interval(data: bytes) -> bytes:
    """Without what stands between two restart markers, or else without as much."""
    markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)] or [part(data, 0.4), part(data, 0.5)]
    return data[: markers[0]] + data[markers[1] :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "half, then the end marker": lambda data: data[: part(data, 0.5)] + b"\xff\xd9",
    "nearly all, then the end marker": lambda data: data[: part(data, 0.97)] + b"\xff\xd9",
    "half": lambda data: data[: part(data, 0.5)],
    "half, then zeros": lambda data: data[: part(data, 0.5)].ljust(len(data), b"\0"),
    "bytes missing": lambda data: data[: part(data, 0.4)] + data[part(data, 0.4) + 2000 :],
    "bytes twice": lambda data: data[: part(data, 0.4)] + data[part(data, 0.4) - 2000 :],
    "a hole of zeros": lambda data: overwritten(data, bytes(1000)),
    "a piece of another file": lambda data: overwritten(
        data, np.random.default_rng(3).bytes(1000).replace(b"\xff", b"")
    ),
    "line ends changed": lambda data: data.replace(b"\n", b"\r\n"),
    "line ends changed in its pixels": other_line_ends,
    "as text in UTF-8": lambda data: data[: pixels_at(data)] + data[pixels_at(data) :].decode("latin-1").encode(),
    "without an interval": without_an_interval,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_jpeg_is_corrupt(way: str, damage: str) -> None:
    damaged = DAMAGE[damage](WAYS[way]())
    with pytest.raises(JobError) as caught:
        read_whole(damaged)
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("way", STREAMING)
def test_a_damaged_jpeg_that_streams_is_corrupt(way: str, damage: str) -> None:
    damaged = DAMAGE[damage](WAYS[way]())
    with pytest.raises(JobError) as caught:
        read_in_strips(damaged)
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT


def without_last_scans(data: bytes, scans: int) -> bytes:
    at = [found.start() for found in re.finditer(rb"\xff\xda", data)]
    return data[: at[-scans]] + b"\xff\xd9"


@pytest.mark.parametrize("scans", [1, 2, 5, 9])
def test_a_progressive_jpeg_without_its_last_scans_is_corrupt(scans: int) -> None:
    with pytest.raises(JobError, match="scans are missing") as caught:
        read_whole(without_last_scans(WAYS["progressive"](), scans))
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT


def behind_the_start(data: bytes, segment: bytes) -> bytes:
    return data[:2] + segment + data[2:]


ODDITIES: dict[str, Callable[[bytes], bytes]] = {
    "no end marker": lambda data: data[:-2],
    "half an end marker": lambda data: data[:-1],
    "zeros before its end marker": lambda data: data[:-2] + bytes(512) + data[-2:],
    "zeros in place of its end marker": lambda data: data[:-2] + bytes(512),
    "filling bytes before its end marker": lambda data: data[:-2] + b"\xff" * 9 + data[-2:],
    "something behind its end marker": lambda data: data + b"LABELWIRE" * 9,
    "another picture behind it": lambda data: data + data,
    "a comment": lambda data: behind_the_start(data, b"\xff\xfe\0\x08PARCEL"),
    "bytes between segments": lambda data: behind_the_start(data, b"\xff\xe1\0\x08EXTRAS-beyond"),
    "another version of JFIF": lambda data: data.replace(b"JFIF\0\1", b"JFIF\0\7"),
}


@pytest.mark.parametrize("oddity", ODDITIES)
@pytest.mark.parametrize("way", WAYS)
def test_a_whole_jpeg_with_an_oddity_is_read(way: str, oddity: str) -> None:
    data = WAYS[way]()
    odd = ODDITIES[oddity](data)
    assert np.array_equal(read_whole(odd), read_whole(data))
    if way in STREAMING:
        assert np.array_equal(read_in_strips(odd), read_in_strips(data))


@pytest.mark.parametrize("way", ["baseline", "four inks"])
def test_a_transform_that_adobe_does_not_have_is_taken_for_the_usual_one(way: str) -> None:
    usual = {"baseline": 1, "four inks": 2}[way]
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
    data = re.sub(rb"\xff\xee\0\x0eAdobe.{7}", b"", WAYS[way](), flags=re.DOTALL)
    known, unknown = (behind_the_start(data, adobe + bytes([transform])) for transform in (usual, 9))
    assert np.array_equal(read_whole(unknown), read_whole(known))
    assert np.array_equal(read_in_strips(unknown), read_in_strips(known))


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (7, 9), (8, 8), (17, 16), (65, 7)])
@pytest.mark.parametrize("way", [{}, {"optimize": True}, {"progressive": True}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_sound_jpeg_of_any_size_is_read_as_before(mode: str, way: dict[str, object], size: tuple[int, int]) -> None:
    data = save(label().convert(mode).resize(size), "JPEG", **way)
    stored = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert np.array_equal(read_whole(data), stored)


@pytest.mark.parametrize("height", range(225, 241))
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_sound_jpeg_of_any_height_streams(subsampling: int, height: int) -> None:
    """Its last row of blocks may have a row or two."""
    noise = Image.effect_noise((320, height), 40).convert("RGB")
    data = save(noise, "JPEG", subsampling=subsampling)
    assert np.array_equal(read_in_strips(data), read_whole(data))


@pytest.mark.parametrize("height", [240, 237])
def test_a_jpeg_has_the_pixels_that_opencv_gives_all_others(height: int) -> None:
    data = save(label().crop((0, 0, 320, height)), "JPEG", quality=85, subsampling="4:2:0")
    seen = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert np.array_equal(read_whole(data), seen)


@pytest.mark.parametrize("enlarged", [1, 7])  # the larger one goes on behind the beginning that is looked at first
def test_changed_line_ends_are_named(enlarged: int) -> None:
    data = save(label().resize((320 * enlarged, 240 * enlarged)), "JPEG", quality=85)
    changed, partly = data.replace(b"\n", b"\r\n"), data.replace(b"\n", b"\r\n", 40)
    for damaged, is_named in ((changed, True), (partly, False)):
        with pytest.raises(JobError) as caught:
            read_whole(damaged)
        assert ("line ends were changed" in caught.value.message) is is_named


def test_no_python_runs_while_libvips_warns(caplog: pytest.LogCaptureFixture) -> None:
    """Where it does, it may close a file that libvips warns of as well, and GLib aborts the process."""
    for damage in DAMAGE.values():
        with pytest.raises(JobError):
            read_whole(damage(WAYS["gray"]()))
    assert not caplog.records


def test_a_blank_page_in_short_codes_is_no_padding() -> None:
    """Its entropy-coded data end in zeros, which are pixels."""
    blank = Image.new("RGB", (400, 500), "white")
    ImageDraw.Draw(blank).text((20, 20), "PARCEL 4711", fill="black")
    for height in range(480, 500):
        data = save(blank.crop((0, 0, 400, height)), "JPEG", optimize=True)
        assert read_whole(data).shape == read_in_strips(data).shape == (height, 400, 3)


def test_the_small_files_that_users_sent_are_told_apart() -> None:
    cases = Path(__file__).parents[2].parent / "shared" / "cases"
    if not cases.is_dir():
        pytest.skip("the folder shared/cases is not beside this checkout")
    damaged = sorted((cases / "damaged-jpeg").glob("*.jpg"))
    assert damaged
    for path in damaged:
        with pytest.raises(JobError) as caught:
            read_whole(path.read_bytes())
        assert caught.value.code is ErrorCode.IMAGE_CORRUPT
    assert read_whole((cases / "pictures" / "jpeg-without-end-marker.jpg").read_bytes()).shape == (600, 900, 3)


@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_large_jpeg_is_decoded_in_rows_as_opencv_does_and_its_damage_is_seen(subsampling: int) -> None:
    large = label().resize((2500, 1611))
    data = save(large, "JPEG", quality=60, subsampling=subsampling)
    stored = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert np.array_equal(read_whole(data), stored)
    for damage in ("nearly all, then the end marker", "bytes missing", "a piece of another file"):
        with pytest.raises(JobError) as caught:
            read_whole(DAMAGE[damage](data))
        assert caught.value.code is ErrorCode.IMAGE_CORRUPT
    inks = save(large.convert("CMYK"), "JPEG", quality=60)
    assert np.array_equal(read_whole(inks), np.asarray(cv2.imdecode(np.frombuffer(inks, np.uint8), cv2.IMREAD_COLOR)))


@pytest.mark.parametrize("height", [897, 900, 903, 904, 905])
@pytest.mark.parametrize("way", [{}, {"subsampling": 2}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_sound_jpeg_of_any_height_streams_and_its_last_rows_are_looked_at(
    mode: str, way: dict[str, object], height: int
) -> None:
    data = save(Image.new(mode, (64, height), "white"), "JPEG", quality=90, **way)
    assert np.array_equal(read_in_strips(data), read_whole(data))
    for read in (read_in_strips, read_whole):
        with pytest.raises(JobError) as caught:
            read(data[:-5] + data[-2:])
        assert caught.value.code is ErrorCode.IMAGE_CORRUPT


def test_a_byte_that_begins_a_marker_does_not_hide_what_is_missing_behind_it() -> None:
    """The last row of blocks holds one row, so libvips does not hear what libjpeg says of it."""
    grain = np.random.default_rng(1).integers(0, 255, (81, 198), dtype=np.uint8)
    data = save(Image.fromarray(grain), "JPEG", quality=55, restart_marker_blocks=1)
    cuts = [at for at in range(len(data) - 400, len(data) - 40) if data[at - 1] == 0xFF and data[at] == 0]
    assert cuts
    for at in cuts:
        with pytest.raises(JobError):
            read_in_strips(data[:at] + data[-2:])
