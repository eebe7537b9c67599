"""Memory of large pages: a strip's, however high the page."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyvips

from worker.domain.errors import ErrorCode, JobError
from worker.pipeline.decode.strips import decode_strips
from worker.pipeline.decode.whole import decode
from worker.pipeline.header.reading import read_header
from worker.pipeline.options import ImageLimits

SIDE = 8192
DECODED_BYTES = SIDE * SIDE * 3
ROOT = Path(__file__).parents[2]


def paper() -> Any:  # noqa: ANN401 - pyvips has no types
    """A large page with print all over, drawn while it is written."""
    piece = cv2.putText(np.full((256, 256, 3), 230, np.uint8), "LABEL 4711", (8, 140), 0, 1.1, (40, 20, 10), 3)
    image = pyvips.Image.new_from_array(piece, interpretation="srgb")
    return image.replicate(SIDE // 256, SIDE // 256)


WRITERS: dict[str, Callable[[Path], object]] = {
    "jpg": lambda path: paper().jpegsave(path, Q=85),
    "png": lambda path: paper().pngsave(path, compression=1),
    "strips.tif": lambda path: paper().tiffsave(path, compression="lzw"),
    "tiles.tif": lambda path: paper().tiffsave(path, compression="jpeg", tile=True, tile_width=256, tile_height=256),
    "plain.tif": lambda path: paper().tiffsave(path),
    "bmp": lambda path: cv2.imwrite(str(path), paper().numpy()),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_strips_take_a_fraction_of_the_page(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"page.{suffix}"
    WRITERS[suffix](path)
    child = [sys.executable, "-m", "tests.pipeline.strips_child", str(path)]
    rows, taken = subprocess.run(child, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert int(rows) == SIDE
    assert 0 < int(taken) < DECODED_BYTES / 2


def test_damage_is_refused_at_the_strip_that_has_it(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    paper().extract_area(0, 0, 2048, 2048).pngsave(path, compression=0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    header = read_header(bytes(data), ImageLimits())
    coming = decode_strips(bytes(data), header, 64)
    assert next(coming).shape == (64, 2048, 3)
    with pytest.raises(JobError) as caught:
        list(coming)
    assert caught.value.code is ErrorCode.IMAGE_CORRUPT
    with pytest.raises(JobError):
        decode(bytes(data), header)
