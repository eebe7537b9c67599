"""Photos of labels: their size, the way they are kept, and truth that stays on the print."""

import io

import cv2
import numpy as np
import pytest
import zxingcpp
from PIL import Image

from worker.lab.synth.camera import CONDITIONS, Degradation, place_in_frame
from worker.lab.synth.chance import Chance
from worker.lab.synth.photos import photo
from worker.lab.synth.truth import SyntheticLabel

_SEED = 20
_UPRIGHT, _WIDE = 2, 3
_ORIENTATION = 0x0112


@pytest.fixture(scope="module", params=[_UPRIGHT, _WIDE])
def taken(request: pytest.FixtureRequest) -> SyntheticLabel:
    return photo(_SEED, request.param)


def test_a_photo_has_the_sensors_size_and_says_how_it_stands(taken: SyntheticLabel) -> None:
    with Image.open(io.BytesIO(taken.image)) as picture:
        assert picture.size == (4000, 3000)
        is_turned = picture.getexif()[_ORIENTATION] == 6
    assert (taken.width, taken.height) == ((3000, 4000) if is_turned else (4000, 3000))
    assert is_turned == (taken.layout == "air_waybill")


def test_the_truth_lies_on_the_print_of_the_photo_as_it_is_shown(taken: SyntheticLabel) -> None:
    shown = cv2.imdecode(np.frombuffer(taken.image, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape[:2] == (taken.height, taken.width)
    read = {code.text: code.position for code in zxingcpp.read_barcodes(shown)}
    for code in taken.barcodes:
        quad = np.array(code.polygon, np.float32)
        found = read[code.value]
        middle = (
            sum(corner.x for corner in (found.top_left, found.bottom_right)) / 2,
            sum(corner.y for corner in (found.top_left, found.bottom_right)) / 2,
        )
        assert cv2.pointPolygonTest(quad, middle, measureDist=False) > 0
    for line in taken.lines:
        left, top, width, height = cv2.boundingRect(np.array(line.polygon, np.float32))
        printed = shown[top : top + height, left : left + width].min(axis=2).astype(int)
        assert np.ptp(printed) > 60, line


def test_a_sheet_that_is_too_large_for_the_frame_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a sheet of \(4000, 3000\) pixels, turned and tilted, does not fit"):
        place_in_frame((4000, 3000), (4000, 3000), CONDITIONS[Degradation.STRONG], Chance(1))
