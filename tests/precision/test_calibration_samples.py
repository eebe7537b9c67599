"""What models are calibrated with: recorded as it is sent, the same each time, with hard samples among them."""

from collections.abc import Mapping

import cv2
import numpy as np
import pytest

from worker.domain.manifest import ModelRole
from worker.lab.precision.errors import CalibrationError
from worker.lab.precision.samples import (
    Pixels,
    Recorder,
    Request,
    check_count,
    check_hard,
    part_of_tile,
    with_hard_copies,
)
from worker.ports import InferenceRequest, ModelDescription, Tensor


def _sharp(count: int, pad_value: int = 127) -> list[Request]:
    """Return lines of black print on white paper, as drawn, padded with a gray."""
    lines = []
    for number in range(count):
        pixels = np.full((48, 320, 3), pad_value, dtype=np.uint8)
        pixels[:, :260] = 250
        cv2.putText(pixels, f"SHARP {number:04d}", (6, 34), cv2.FONT_HERSHEY_DUPLEX, 1.0, (10, 10, 10), 2)
        lines.append(_request(pixels))
    return lines


def _request(pixels: Pixels) -> Request:
    return {"line": pixels[np.newaxis], "upside_down": np.zeros((1, 1), dtype=np.float32)}


def test_a_set_without_hard_samples_is_refused() -> None:
    with pytest.raises(
        CalibrationError,
        match=r"parcels has 0 blurred and 0 faint lines among 40, but at least 2 of each are needed .* leave --calibra",
    ):
        check_hard(_sharp(40), "parcels", 127)


def test_blurred_ones_alone_are_not_enough() -> None:
    blurred = [
        _request(np.asarray(cv2.GaussianBlur(line["line"][0], (0, 0), 2.2), dtype=np.uint8)) for line in _sharp(20)
    ]

    with pytest.raises(CalibrationError, match="has 20 blurred and 0 faint lines among 40"):
        check_hard([*_sharp(20), *blurred], "parcels", 127)


def test_copies_make_a_set_hard_and_leave_the_padding_alone() -> None:
    sharp = _sharp(40)

    hard = with_hard_copies(sharp, 127)

    check_hard(hard, "parcels", 127)
    assert len(hard) == 40 + 14 + 13
    assert all((request["line"][0, :, 262:] == 127).all() for request in hard)
    assert all(np.array_equal(one["line"], other["line"]) for one, other in zip(sharp, hard, strict=False))


def test_lines_that_are_padded_with_black_are_judged_and_copied_without_it() -> None:
    sharp = _sharp(40, pad_value=0)
    faint = [_request(np.where(line["line"][0] > 0, line["line"][0] // 4 + 180, 0).astype(np.uint8)) for line in sharp]

    hard = with_hard_copies(sharp, 0)

    assert all((request["line"][0, :, 262:] == 0).all() for request in hard)
    with pytest.raises(CalibrationError, match="has 0 blurred and 40 faint lines among 80"):
        check_hard([*sharp, *faint], "parcels", 0)


def test_a_model_that_is_hardly_asked_cannot_be_calibrated() -> None:
    with pytest.raises(
        CalibrationError, match="too little of parcels reaches text_detector to calibrate it, 1 where at least 2"
    ):
        check_count({ModelRole.DETECTOR: _sharp(1), ModelRole.RECOGNIZER: _sharp(2)}, "parcels")


def test_a_part_of_a_tile_is_its_middle() -> None:
    tile = np.arange(1 * 1056 * 736 * 3, dtype=np.uint32).reshape(1, 1056, 736, 3).astype(np.uint8)

    part = part_of_tile({"image": tile})["image"]

    assert part.shape == (1, 640, 640, 3)
    np.testing.assert_array_equal(part, tile[:, 208:848, 48:688])
    assert part_of_tile({"image": tile[:, :320, :96]})["image"].shape == (1, 320, 96, 3)


class _Silent:
    """A backend that answers with nothing."""

    async def ready(self) -> bool:
        return True

    async def describe(self, model: str) -> ModelDescription | None:  # noqa: ARG002
        return None

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:  # noqa: ARG002
        return {}

    async def close(self) -> None:
        return


async def test_the_same_requests_are_kept_in_whatever_order_they_came() -> None:
    lines = _sharp(300)
    recorders = [Recorder(_Silent()), Recorder(_Silent())]

    for recorder, order in zip(recorders, (lines, lines[::-1]), strict=True):
        for line in order:
            await recorder.infer(InferenceRequest(ModelRole.RECOGNIZER, line, ("token",)), timeout_seconds=1)
        await recorder.infer(InferenceRequest("line_orientation", lines[0], ("upside_down",)), timeout_seconds=1)

    first, second = (recorder.requests(ModelRole.RECOGNIZER) for recorder in recorders)
    assert len(first) == 192
    assert all(np.array_equal(one["line"], other["line"]) for one, other in zip(first, second, strict=True))
    assert recorders[0].requests(ModelRole.DETECTOR) == []


async def test_each_row_of_a_request_is_a_sample() -> None:
    recorder = Recorder(_Silent())
    rows = {
        "line": np.concatenate([line["line"] for line in _sharp(3)]),
        "upside_down": np.array([[0], [1], [0]], dtype=np.float32),
    }

    await recorder.infer(InferenceRequest(ModelRole.RECOGNIZER, rows, ("token",)), timeout_seconds=1)

    kept = recorder.requests(ModelRole.RECOGNIZER)
    assert sorted(float(request["upside_down"][0, 0]) for request in kept) == [0, 0, 1]
    assert {request["line"].shape for request in kept} == {(1, 48, 320, 3)}
