"""A recorded Triton describes the recorded models and answers recorded rows, in whatever batches they come."""

import socket
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from worker.adapters.clock import SystemClock
from worker.adapters.triton.client import TritonBackend
from worker.adapters.triton.recording import RecordingError, RowRecorder, read_models, read_rows
from worker.domain.errors import ErrorCode, JobError, LocalStackError
from worker.local.recorded_triton import RecordedTritonServer
from worker.ports import InferenceRequest, ModelDescription, Tensor, TensorSpec
from worker.settings import TritonSettings
from worker.testing.events import RecordedEvents

RECOGNIZER = ModelDescription(
    "text_recognizer",
    "17",
    32,
    (TensorSpec("line", "UINT8", (48, -1, 3)), TensorSpec("upside_down", "FP32", (1,))),
    (TensorSpec("token", "INT32", (-1, 1)), TensorSpec("confidence", "FP32", (-1, 1))),
    {"manifest": "{}", "dictionary": '["", "ß"]'},
)


def lines(*seeds: int) -> dict[str, Tensor]:
    pixels = [np.random.default_rng(seed).integers(0, 255, (48, 320, 3), np.uint8) for seed in seeds]
    return {"line": np.stack(pixels), "upside_down": np.zeros((len(seeds), 1), np.float32)}


def answer(*seeds: int) -> Mapping[str, Tensor]:
    tokens = np.stack([np.full((40, 1), seed, np.int32) for seed in seeds])
    return {"token": tokens, "confidence": tokens.astype(np.float32)}


def request(*seeds: int, version: str = "17") -> InferenceRequest:
    return InferenceRequest("text_recognizer", lines(*seeds), ("token", "confidence"), version)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    recorder = RowRecorder()
    recorder.add(request(1, 2, 3), answer(1, 2, 3))
    recorder.add(request(3, 4), answer(3, 4))
    assert recorder.count == 4
    recorder.write(tmp_path / "recording", [RECOGNIZER])
    return tmp_path / "recording"


async def test_rows_are_answered_in_any_batch_and_unknown_ones_refused(recording: Path, tmp_path: Path) -> None:
    with RecordedTritonServer(recording, run_dir=tmp_path / "run") as server:
        backend = TritonBackend(TritonSettings(url=server.grpc_url), RecordedEvents(), SystemClock())
        try:
            assert await backend.ready()
            assert await backend.describe("text_recognizer") == RECOGNIZER
            assert await backend.describe("text_reader") is None
            answered = await backend.infer(request(4, 1), timeout_seconds=10)
            assert answered["token"].tolist() == answer(4, 1)["token"].tolist()
            assert answered["confidence"].tolist() == answer(4, 1)["confidence"].tolist()
            with pytest.raises(JobError, match="was not recorded") as refusal:
                await backend.infer(request(1, 5), timeout_seconds=10)
            assert refusal.value.code is ErrorCode.INFERENCE_REJECTED
            with pytest.raises(JobError) as other:
                await backend.infer(request(1, version="18"), timeout_seconds=10)
            assert other.value.code is ErrorCode.MODELS_CHANGED
        finally:
            await backend.close()


def test_a_row_with_two_answers_is_no_recording() -> None:
    recorder = RowRecorder()
    recorder.add(request(1), answer(1))
    with pytest.raises(RecordingError, match=r"text_recognizer answered row 1 .* in two ways"):
        recorder.add(request(2, 1), answer(2, 7))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    for read in (read_models, read_rows):
        with pytest.raises(RecordingError, match="No such file"):
            read(tmp_path)
    with pytest.raises(LocalStackError, match="record the models first"):
        RecordedTritonServer(tmp_path / "nowhere").start()


def test_it_ends_when_it_is_told_to(recording: Path, tmp_path: Path) -> None:
    with RecordedTritonServer(recording, run_dir=tmp_path / "run") as server:
        address = server.grpc_url.split(":")
        server.restart()
        assert server.is_ready()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address[0], int(address[1])), 1)
