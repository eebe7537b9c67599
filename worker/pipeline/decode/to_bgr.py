"""Decoded samples of any layout to uint8 BGR.

Invariant: the same samples give the same pixels, whichever library decoded them and however many rows at a time.
"""

from enum import Enum
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import Pixels
from worker.pipeline.decode.background import BorderLevels

_OPAQUE: Final = 255
_BAND_ROWS: Final = 64  # what is mixed at once stays in the cache, and needs no memory for a page
_GRAY_DIMENSIONS: Final = 2


class SampleLayout(Enum):
    """What the channels of a sample mean."""

    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGBA = 4
    BGR = 5
    BGRA = 6
    CMYK = 7  # 0 is no ink


_TO_BGR: Final = {
    SampleLayout.GRAY: cv2.COLOR_GRAY2BGR,
    SampleLayout.RGB: cv2.COLOR_RGB2BGR,
}


HAVE_ALPHA: Final = frozenset({SampleLayout.GRAY_ALPHA, SampleLayout.RGBA, SampleLayout.BGRA})


def to_bgr(samples: NDArray[Any], layout: SampleLayout, background: int | None = None) -> Pixels:
    """Return uint8 [height, width, 3] BGR of `samples`, [height, width] or [height, width, channels].

    Transparent pixels become `background`, a level of gray, or one that contrasts with what borders on them. 16-bit
    levels are scaled to 8, inks are mixed without a profile. Raises JobError IMAGE_UNSUPPORTED for sample types other
    than 8 and 16 bits.
    """
    if layout in HAVE_ALPHA:
        levels = _to_bgra(samples, layout)
        if int(levels[:, :, 3].min()) == _OPAQUE:
            return np.asarray(cv2.cvtColor(levels, cv2.COLOR_BGRA2BGR), dtype=np.uint8)
        if background is None:
            borders = BorderLevels()
            borders.add(levels)
            background = borders.background()
        return _on_background(levels, background)
    levels = _to_bytes(samples)
    if layout is SampleLayout.BGR:
        return levels
    if layout is SampleLayout.CMYK:
        return _mixed(levels)
    return np.asarray(cv2.cvtColor(levels, _TO_BGR[layout]), dtype=np.uint8)


def write_bgr(target: Pixels, samples: NDArray[Any], layout: SampleLayout, background: int) -> None:
    """Write what `to_bgr` returns to `target`; where channels only change places, without a copy. Raises as it does."""
    if layout in _TO_BGR and samples.dtype == np.uint8:
        cv2.cvtColor(samples, _TO_BGR[layout], dst=target)
    else:
        target[:] = to_bgr(samples, layout, background)


def count_borders(borders: BorderLevels, samples: NDArray[Any], layout: SampleLayout) -> None:
    """Count the pixels of samples with alpha that border on transparent ones. Raises as `to_bgr` does."""
    borders.add(_to_bgra(samples, layout))


def _to_bgra(samples: NDArray[Any], layout: SampleLayout) -> Pixels:
    levels = _to_bytes(samples)
    if layout is SampleLayout.GRAY_ALPHA:
        return np.ascontiguousarray(levels[:, :, [0, 0, 0, 1]])
    return (
        levels if layout is SampleLayout.BGRA else np.asarray(cv2.cvtColor(levels, cv2.COLOR_RGBA2BGRA), dtype=np.uint8)
    )


def opencv_layout(samples: NDArray[Any]) -> SampleLayout:
    """Return what the channels of an array mean that OpenCV decoded unchanged."""
    if samples.ndim == _GRAY_DIMENSIONS:
        return SampleLayout.GRAY
    return {1: SampleLayout.GRAY, 3: SampleLayout.BGR, 4: SampleLayout.BGRA}[samples.shape[2]]


def _to_bytes(samples: NDArray[Any]) -> Pixels:
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    if samples.dtype == np.uint16:
        return np.asarray(cv2.convertScaleAbs(samples, alpha=1 / 257), dtype=np.uint8).reshape(samples.shape)
    raise JobError(
        ErrorCode.IMAGE_UNSUPPORTED,
        f"The picture has {samples.dtype} samples, of which only 8 and 16 bits without sign are read: convert it.",
    )


def _on_background(levels: Pixels, background: int) -> Pixels:
    """Lay BGRA on paper of a level of gray."""
    mixed = np.empty((*levels.shape[:2], 3), np.uint8)
    for top in range(0, len(levels), _BAND_ROWS):
        band = levels[top : top + _BAND_ROWS].astype(np.uint16)
        weight = band[:, :, 3:]
        mixed[top : top + _BAND_ROWS] = (
            band[:, :, :3] * weight + (background * (_OPAQUE - weight) + _OPAQUE // 2)
        ) // _OPAQUE
    return mixed


def _mixed(levels: Pixels) -> Pixels:
    """Mix inks: each color is what its ink and the black leave of the paper."""
    mixed = np.empty((*levels.shape[:2], 3), np.uint8)
    for top in range(0, len(levels), _BAND_ROWS):
        paper = _OPAQUE - levels[top : top + _BAND_ROWS].astype(np.uint16)
        mixed[top : top + _BAND_ROWS] = (paper[:, :, 2::-1] * paper[:, :, 3:] + _OPAQUE // 2) // _OPAQUE
    return mixed
