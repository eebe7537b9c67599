"""Synthetic labels as the camera of a telephone takes them: 12 megapixels, the label somewhere in the frame.

The sensor lies on its side when the telephone stands, so an upright photo is kept turned, and its EXIF orientation says
how it is shown. Invariant: the truth is in pixels of the photo as EXIF says it stands, exact as that of other labels.
A photo depends on its seed and index alone.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.lab.synth.camera import Conditions, photograph, place_in_frame
from worker.lab.synth.chance import Chance
from worker.lab.synth.dataset import CONTENT, LOOK, SCENE, Progress, drawn, pictured_label, write_labels
from worker.lab.synth.layouts import LAYOUTS, LabelLayout
from worker.lab.synth.truth import SyntheticLabel

SENSOR: Final = (4000, 3000)  # width and height in pixels
_ORIENTATION_TAG: Final = 0x0112
_AS_STORED: Final = 1
_TURN_CLOCKWISE: Final = 6
_PHOTO: Final = "photo"
# How much of the frame the label takes, before it is turned and tilted.
_FILL: Final = (0.62, 0.78)
_TELEPHONE: Final = Conditions(
    angle_degrees=6.0,
    corner_shift=0.025,
    margin=(0.0, 0.0),
    blur_pixels=(0.8, 1.6),
    noise=(2.0, 5.0),
    fade=(0.0, 30.0),
    shadow=(0.05, 0.3),
    jpeg_quality=(88, 95),
)


def photo(seed: int, index: int, *, layouts: Sequence[LabelLayout] = LAYOUTS) -> SyntheticLabel:
    """Return label `index` of the series `seed` as a photo, with its truth. Layouts take turns along the index.

    Raises `LabelwireError` if a font package is missing.
    """
    layout, scene = layouts[index % len(layouts)], Chance(seed, index, SCENE)
    is_upright = layout.height > layout.width
    frame = SENSOR[::-1] if is_upright else SENSOR
    scale = scene.between(*_FILL) * min(frame[0] / layout.width, frame[1] / layout.height)
    sheet = drawn(layout, scale, Chance(seed, index, CONTENT), Chance(seed, index, LOOK))
    height, width = sheet.pixels.shape[:2]
    placement = place_in_frame((width, height), frame, _TELEPHONE, scene)
    pixels = photograph(sheet.pixels, placement, _TELEPHONE, scene)
    image = _stored(pixels, round(scene.between(*_TELEPHONE.jpeg_quality)), is_upright=is_upright)
    return pictured_label(sheet, frame, placement.homography, image, layout.name, _PHOTO)


def write_photos(directory: Path, count: int, seed: int, *, progress: Progress | None = None) -> Path:
    """Write photos and their truth as `write_dataset` does; return the path of the truth.

    Raises `LabelwireError` if the count is under 1 or the directory cannot be written.
    """
    return write_labels(directory, (photo(seed, index) for index in range(count)), count, progress)


def _stored(pixels: NDArray[np.uint8], quality: int, *, is_upright: bool) -> bytes:
    """Return a JPEG as the telephone keeps it; `pixels` is uint8 RGB [H, W, 3], upright."""
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = _TURN_CLOCKWISE if is_upright else _AS_STORED
    as_sensed = np.ascontiguousarray(np.rot90(pixels)) if is_upright else pixels
    encoded = io.BytesIO()
    Image.fromarray(as_sensed).save(encoded, "JPEG", quality=quality, subsampling="4:2:0", exif=exif)
    return encoded.getvalue()
