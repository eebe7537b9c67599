"""The client against the real server."""

import numpy as np
import pytest

from worker.adapters.clock import SystemClock
from worker.adapters.triton import TritonBackend
from worker.domain.errors import JobError
from worker.domain.events import Event
from worker.local.triton import TritonServer
from worker.ports import InferenceRequest
from worker.settings import TritonSettings

pytestmark = pytest.mark.real

MODEL = "text_detector"


class Deaf:
    def emit(self, event: Event) -> None:
        """Drop an event."""


async def test_real_dictionaries_come_back_unchanged(triton: TritonServer) -> None:
    backend = TritonBackend(TritonSettings(url=triton.grpc_url), Deaf(), SystemClock())
    described = await backend.describe("text_recognizer")
    await backend.close()
    assert described is not None
    assert described.parameters["dictionary"].startswith("[")
    assert "manifest" in described.parameters


async def test_a_batch_over_the_models_limit_is_rejected(triton: TritonServer) -> None:
    backend = TritonBackend(TritonSettings(url=triton.grpc_url), Deaf(), SystemClock())
    described = await backend.describe(MODEL)
    assert described is not None
    images = np.zeros((described.max_batch_size + 1, 32, 32, 3), np.uint8)
    with pytest.raises(JobError, match="INVALID_ARGUMENT"):
        await backend.infer(InferenceRequest(MODEL, {"image": images}, ["probability"]), timeout_seconds=10)
    await backend.close()
