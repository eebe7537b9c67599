"""Recording requests and replaying them, on a backend that answers at once."""

import asyncio
from collections.abc import Mapping

import cv2
import numpy as np
import pytest

from worker.lab.bench.bare import RecordedRequest, RecordingBackend, repeated, replay
from worker.lab.bench.decode_cost import decode_cpu_seconds
from worker.ports import InferenceRequest, ModelDescription, Tensor


class EchoBackend:
    """Answers with nothing after a moment, and remembers how many requests were under way at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.most_at_once = 0
        self._at_once = 0

    async def ready(self) -> bool:
        return True

    async def describe(self, model: str) -> ModelDescription | None:
        return ModelDescription(model, "1", 4, (), (), {})

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        assert request.inputs
        assert request.outputs
        assert timeout_seconds > 0
        assert request.version == ""
        self.asked.append(f"{request.model}{request.request_id}")
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(0.002)
        self._at_once -= 1
        return {}

    async def close(self) -> None:
        self.asked.append("close")


def request(picture: int, model: str = "text_detector") -> RecordedRequest:
    return RecordedRequest(
        picture, InferenceRequest(model, {"image": np.zeros((1, 2, 2, 3), np.uint8)}, ("probability",))
    )


async def test_what_passes_is_kept_as_it_was() -> None:
    inner = EchoBackend()
    backend = RecordingBackend(inner)
    tensor = np.zeros((1, 2), np.uint8)

    backend.picture = 3
    sent = InferenceRequest("text_detector", {"image": tensor}, ("probability",), request_id="/a")
    await backend.infer(sent, timeout_seconds=1)
    tensor[:] = 9

    (kept,) = backend.requests
    assert (kept.picture, kept.request.model, kept.request.outputs) == (3, "text_detector", ("probability",))
    assert kept.request.inputs["image"].tolist() == [[0, 0]]
    assert inner.asked == ["text_detector/a"]
    assert await backend.ready()
    described = await backend.describe("m")
    assert described is not None
    assert described.name == "m"
    await backend.close()
    assert inner.asked[-1] == "close"


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_replay_sends_everything_with_so_many_at_once(concurrency: int) -> None:
    backend = EchoBackend()

    replayed = await replay(backend, [request(picture) for picture in (0, 0, 1, 1, 2, 2)], concurrency)

    assert len(backend.asked) == 6
    assert backend.most_at_once == concurrency
    assert len(replayed.milliseconds) == 3
    assert max(replayed.milliseconds) <= replayed.seconds * 1000


def test_a_repeated_backlog_has_each_copy_as_a_picture_of_its_own() -> None:
    requests = [request(0), request(0, "text_reader"), request(1)]

    assert [one.picture for one in repeated(requests, 2)] == [0, 0, 1, 2, 2, 3]
    assert repeated(requests, 1) == requests
    assert repeated([], 3) == []


def test_decoding_costs_time_and_leaves_opencv_as_it_was() -> None:
    _, jpeg = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (800, 800, 3), np.uint8))
    threads = cv2.getNumThreads()

    assert 0 < decode_cpu_seconds([jpeg.tobytes()]) < 5
    assert decode_cpu_seconds([]) == 0
    assert cv2.getNumThreads() == threads
