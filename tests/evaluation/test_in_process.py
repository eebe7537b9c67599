"""What ONNX Runtime in this process does beyond what every backend must do."""

from pathlib import Path

import numpy as np
import pytest

from worker.domain.errors import ErrorCode, JobError, SettingsError
from worker.lab.evaluation.in_process import InProcessBackend
from worker.ports import InferenceRequest


def tile(side: int, rows: int = 1) -> InferenceRequest:
    return InferenceRequest("text_detector", {"image": np.zeros((rows, side, side, 3), np.uint8)}, ["probability"])


async def test_runs_are_counted_by_model_and_batch_size(onnx_on_gpu: Path) -> None:
    backend = InProcessBackend(onnx_on_gpu)
    for rows in (1, 2, 2):
        await backend.infer(tile(32, rows), timeout_seconds=60)

    counted = backend.statistics()

    assert list(counted) == ["text_detector"]
    assert (counted["text_detector"].requests, counted["text_detector"].executions) == (3, 3)
    assert counted["text_detector"].batches == {1: 1, 2: 2}
    await backend.close()


async def test_a_graph_that_fails_is_a_failure_of_the_request(onnx_on_gpu: Path) -> None:
    backend = InProcessBackend(onnx_on_gpu)

    with pytest.raises(JobError, match="ONNX Runtime failed on text_detector: ") as caught:
        await backend.infer(tile(40), timeout_seconds=60)

    assert caught.value.code is ErrorCode.INFERENCE_FAILED
    assert "\n" not in str(caught.value)
    assert backend.statistics() == {}
    await backend.close()


def test_an_onnx_runtime_without_cuda_does_not_stand_in_for_a_gpu(onnx_on_gpu: Path) -> None:
    with pytest.raises(SettingsError, match="is built without CUDA: install onnxruntime-gpu"):
        InProcessBackend(onnx_on_gpu, device="gpu")
