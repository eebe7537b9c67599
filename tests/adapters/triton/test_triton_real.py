"""The client against the real server, which stops, dies and comes back."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from worker.adapters.clock import SystemClock
from worker.adapters.triton import TritonBackend
from worker.domain.errors import JobError
from worker.domain.events import Event, InferenceFinished
from worker.local.triton import TritonServer
from worker.settings import TritonSettings

pytestmark = pytest.mark.real

MODEL = "text_detector"


class Heard:
    def __init__(self) -> None:
        self.codes: list[str] = []

    def emit(self, event: Event) -> None:
        if isinstance(event, InferenceFinished):
            self.codes.append(event.grpc_code)


def stop(server: TritonServer) -> None:
    server.stop()


def kill(server: TritonServer) -> None:
    server.kill()


@pytest.mark.parametrize("end", [stop, kill])
async def test_no_request_is_lost_while_the_server_is_away(
    triton: TritonServer, end: Callable[[TritonServer], None]
) -> None:
    heard = Heard()
    settings = TritonSettings(url=triton.grpc_url, max_inflight_requests=8, request_timeout_seconds=120)
    backend = TritonBackend(settings, heard, SystemClock())
    image = np.random.default_rng(2).integers(0, 256, (1, 320, 320, 3), dtype=np.uint8)

    async def detect() -> bytes:
        answer = await backend.infer(MODEL, {"image": image}, ["probability"], timeout_seconds=120)
        return answer["probability"].tobytes()

    expected = await detect()
    readings = [asyncio.create_task(detect()) for _ in range(60)]
    await asyncio.sleep(0.3)
    await asyncio.to_thread(end, triton)
    away = await backend.ready()
    await asyncio.to_thread(triton.start)
    answers = await asyncio.gather(*readings)
    assert await backend.ready()
    await backend.close()
    assert not away
    assert set(answers) == {expected}
    assert "UNAVAILABLE" in heard.codes


async def test_real_dictionaries_come_back_unchanged(triton: TritonServer) -> None:
    backend = TritonBackend(TritonSettings(url=triton.grpc_url), Heard(), SystemClock())
    described = await backend.describe("text_recognizer")
    await backend.close()
    assert described is not None
    assert described.parameters["dictionary"].startswith("[")
    assert "manifest" in described.parameters


async def test_a_batch_over_the_models_limit_is_rejected(triton: TritonServer) -> None:
    backend = TritonBackend(TritonSettings(url=triton.grpc_url), Heard(), SystemClock())
    described = await backend.describe(MODEL)
    assert described is not None
    images = np.zeros((described.max_batch_size + 1, 32, 32, 3), np.uint8)
    with pytest.raises(JobError, match="INVALID_ARGUMENT"):
        await backend.infer(MODEL, {"image": images}, ["probability"], timeout_seconds=10)
    await backend.close()
