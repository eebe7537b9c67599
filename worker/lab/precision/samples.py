"""What the models are calibrated with: tiles and lines exactly as the worker sends them for pictures.

Invariant: blurred and faint ones are among them, for they have the activations that sharp print has not. The same
pictures give the same samples, in whatever order they were read.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.domain.manifest import ModelRole
from worker.lab.precision.errors import CalibrationError
from worker.ports import InferenceBackend, InferenceRequest, ModelDescription, Tensor

Pixels = NDArray[np.uint8]
Request = Mapping[str, NDArray[Any]]
"""The inputs of one tile or one line, by name, each with a first dimension of 1."""

# By the models' names, which are their roles in the repository of the gate.
_MOST: Final[Mapping[str, int]] = {ModelRole.DETECTOR: 12, ModelRole.RECOGNIZER: 192}
_TILE_PIXELS: Final = 640  # a part of a tile shows what the whole one does, sooner
_TILE_STEP_PIXELS: Final = 32

_BLUR_PIXELS: Final = 2.0  # deviation, in a line of 48 pixels: just readable
_FADED_TO: Final = 0.35  # of the contrast
_BLURRED_SLOPE: Final = (
    0.3  # of the contrast in one pixel; of sharp print it is 0.35 to 0.65, of the copies 0.2 to 0.25
)
_FAINT_LEVELS: Final = 90.0
_MIN_HARD_SHARE: Final = 0.05
_EVERY: Final = 3  # sample is copied in each way


@dataclass(slots=True)
class Recorder:
    """An `InferenceBackend` that keeps some of what is asked of another one."""

    inner: InferenceBackend
    _kept: dict[ModelRole, dict[int, Request]] = field(default_factory=dict)

    async def ready(self) -> bool:
        """Say what the other says."""
        return await self.inner.ready()

    async def describe(self, model: str) -> ModelDescription | None:
        """Say what the other says."""
        return await self.inner.describe(model)

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        """Keep a request's rows if it is one to a detector or a recognizer, and let the other answer."""
        if request.model in _MOST:
            for row in range(len(next(iter(request.inputs.values())))):
                inputs = {name: tensor[row : row + 1].copy() for name, tensor in request.inputs.items()}
                self._keep(ModelRole(request.model), inputs)
        return await self.inner.infer(request, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """Close the other."""
        await self.inner.close()

    def requests(self, role: ModelRole) -> list[Request]:
        """Return what was kept for a model, in an order that does not depend on when it was read."""
        return [request for _, request in sorted(self._kept.get(role, {}).items(), key=lambda item: item[0])]

    def _keep(self, role: ModelRole, request: Request) -> None:
        """Keep those whose checksums are lowest: a choice at random that is the same each time."""
        kept = self._kept.setdefault(role, {})
        kept[zlib.crc32(b"".join(tensor.tobytes() for tensor in request.values()))] = request
        if len(kept) > _MOST[role]:
            del kept[max(kept)]


def check_hard(lines: Sequence[Request], where: str, pad_value: int) -> None:
    """Raise CalibrationError unless at least one line of twenty is blurred and one is faint.

    `pad_value` is the gray that fills the lines' buckets.
    """
    pixels = [_content(line["line"][0], pad_value) for line in lines]
    wanted = max(1, round(_MIN_HARD_SHARE * len(pixels)))
    blurred, faint = sum(map(_is_blurred, pixels)), sum(map(_is_faint, pixels))
    if min(blurred, faint) < wanted:
        raise CalibrationError(
            f"{where} has {blurred} blurred and {faint} faint lines among {len(pixels)}, but at least {wanted} of each "
            "are needed to calibrate: add pictures that are out of focus and pictures that are faded, or leave "
            "--calibration out, so that such copies are made of the pictures of --data"
        )


def check_count(requests: Mapping[ModelRole, Sequence[Request]], where: str) -> None:
    """Raise CalibrationError for a model with fewer than two requests: one half measures, the other half is tried."""
    for role, some in requests.items():
        if len(some) < 2:  # noqa: PLR2004  halves
            raise CalibrationError(
                f"too little of {where} reaches {role.value} to calibrate it, {len(some)} where at least 2 are needed: "
                "add pictures"
            )


def with_hard_copies(requests: Sequence[Request], pad_value: int) -> list[Request]:
    """Return requests, and of every third one a blurred copy, of every third a faint one.

    The gray `pad_value`, which fills the buckets of lines, stays as it is.
    """
    blurred = [_changed(request, _blurred, pad_value) for request in requests[::_EVERY]]
    faint = [_changed(request, _faded, pad_value) for request in requests[1::_EVERY]]
    return [*requests, *blurred, *faint]


def part_of_tile(request: Request) -> Request:
    """Return the middle of a tile, at most 640 pixels a side."""
    image = request["image"]
    height, width = (min(_TILE_PIXELS, side // _TILE_STEP_PIXELS * _TILE_STEP_PIXELS) for side in image.shape[1:3])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return {"image": np.ascontiguousarray(image[:, top : top + height, left : left + width])}


def _changed(request: Request, change: Callable[[Pixels], Pixels], pad_value: int) -> Request:
    name = "line" if "line" in request else "image"
    pixels = request[name][0].copy()
    inside = _content(pixels, pad_value) if name == "line" else pixels
    pixels[:, : inside.shape[1]] = change(inside)
    return {**request, name: pixels[np.newaxis]}


def _content(line: Pixels, pad_value: int) -> Pixels:
    """Return a line without the gray that fills its bucket."""
    used = np.flatnonzero((line != pad_value).any(axis=(0, 2)))
    return line[:, : int(used[-1]) + 1] if used.size else line


def _blurred(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), _BLUR_PIXELS), dtype=np.uint8)


def _faded(pixels: Pixels) -> Pixels:
    paper = np.median(pixels)
    return np.clip(paper + _FADED_TO * (pixels.astype(np.float32) - paper), 0, 255).astype(np.uint8)


def _is_blurred(line: Pixels) -> bool:
    gray = _gray(line)
    slopes = np.concatenate([np.abs(np.diff(gray, axis=axis)).ravel() for axis in (0, 1)])
    return bool(np.percentile(slopes, 99) < _BLURRED_SLOPE * max(_contrast(gray), 1.0))


def _is_faint(line: Pixels) -> bool:
    return _contrast(_gray(line)) < _FAINT_LEVELS


def _gray(line: Pixels) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(line, cv2.COLOR_BGR2GRAY), dtype=np.float32)


def _contrast(gray: NDArray[np.float32]) -> float:
    low, high = np.percentile(gray, (2, 98))
    return float(high - low)
