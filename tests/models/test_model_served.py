"""The embedded profile on the real Triton: what it says of itself, and that batches change no result."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient import grpc as triton_grpc
from tritonclient.grpc import model_config_pb2

from tests.models.drawing import Pixels, draw_line, draw_page
from tests.models.reference import decoded
from worker.domain.manifest import ModelManifest, dictionary_digest
from worker.local.triton import TritonServer

pytestmark = pytest.mark.real

READER_OUTPUTS = ("token", "confidence", "upside_down")
Answer = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def client(triton: TritonServer) -> Iterator[Any]:
    with triton_grpc.InferenceServerClient(triton.grpc_url) as client:
        yield client


def _tensors(arrays: Mapping[str, NDArray[Any]]) -> list[Any]:
    tensors = []
    for name, array in arrays.items():
        datatype = "UINT8" if array.dtype == np.uint8 else "FP32"
        tensors.append(triton_grpc.InferInput(name, list(array.shape), datatype).set_data_from_numpy(array))
    return tensors


def _infer(client: Any, model: str, arrays: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> Answer:  # noqa: ANN401
    requested = [triton_grpc.InferRequestedOutput(name) for name in outputs]
    result = client.infer(model, _tensors(arrays), outputs=requested)
    return {name: result.as_numpy(name) for name in outputs}


def _read(client: Any, pictures: Pixels, upside_down: float = 0.0) -> Answer:  # noqa: ANN401
    sides = np.full((len(pictures), 1), upside_down, dtype=np.float32)
    return _infer(client, "text_recognizer", {"line": pictures, "upside_down": sides}, ("token", "confidence"))


def _dictionary(client: Any) -> list[str]:  # noqa: ANN401
    parameters = client.get_model_config("text_recognizer").config.parameters
    dictionary: list[str] = json.loads(parameters["dictionary"].string_value)
    return dictionary


@pytest.mark.parametrize(
    ("model", "inputs", "outputs"),
    [
        ("text_detector", {"image": [-1, -1, -1, 3]}, {"probability": [-1, -1, -1]}),
        ("line_orientation", {"line": [-1, 48, -1, 3]}, {"upside_down": [-1, 1]}),
        (
            "text_recognizer",
            {"line": [-1, 48, -1, 3], "upside_down": [-1, 1]},
            {"token": [-1, -1, 4], "confidence": [-1, -1, 4]},
        ),
        (
            "text_reader",
            {"line": [-1, 48, -1, 3]},
            {"token": [-1, -1, 4], "confidence": [-1, -1, 4], "upside_down": [-1, 1]},
        ),
    ],
)
def test_signatures_are_those_of_the_design(
    client: Any,  # noqa: ANN401
    model: str,
    inputs: Mapping[str, list[int]],
    outputs: Mapping[str, list[int]],
) -> None:
    metadata = client.get_model_metadata(model)

    assert {tensor.name: list(tensor.shape) for tensor in metadata.inputs} == inputs
    assert {tensor.name: list(tensor.shape) for tensor in metadata.outputs} == outputs


def test_manifest_and_dictionary_come_back_unchanged(client: Any, model_repository: Path) -> None:  # noqa: ANN401
    for model in ("text_detector", "line_orientation", "text_recognizer", "text_reader"):
        text = (model_repository / model / "config.pbtxt").read_text(encoding="ascii")
        written = text_format.Parse(text, model_config_pb2.ModelConfig()).parameters

        served = client.get_model_config(model).config.parameters

        assert {name: value.string_value for name, value in served.items()} == {
            name: value.string_value for name, value in written.items()
        }
    manifest = ModelManifest.model_validate_json(served["manifest"].string_value)
    assert manifest.dictionary_sha256 == dictionary_digest(_dictionary(client))


def test_the_reader_reads_a_line_and_a_turned_line(client: Any) -> None:  # noqa: ANN401
    line = draw_line("1Z 999 AA1 01 2345 6784")
    both = np.stack([line, line[::-1, ::-1]])

    answer = _infer(client, "text_reader", {"line": both}, READER_OUTPUTS)

    assert answer["upside_down"][0, 0] < 0.5 < answer["upside_down"][1, 0]
    texts = [decoded(token[:, 0], _dictionary(client)).replace(" ", "") for token in answer["token"]]
    assert texts == ["1Z999AA10123456784"] * 2


def test_a_line_reads_the_same_alone_and_among_others_of_any_width(client: Any) -> None:  # noqa: ANN401
    line = draw_line("Weight 12.5 kg")
    others = [draw_line(text, seed) for seed, text in enumerate(("No", "SHIP TO: Hamburg, 07/03/2025", "9,80"))]
    alone = _read(client, line[None])
    crowd = [np.stack([other] * 3) for other in others] + [np.stack([line[:, ::-1], line, line[::-1], line, line])]

    before = _executions(client, "text_recognizer")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda pictures: _read(client, pictures), crowd * 4))

    assert _executions_of(client, "text_recognizer", 16, before) < 16, "requests must have met in a batch"
    for answer in answers[3::4]:
        for row in (1, 3, 4):
            np.testing.assert_array_equal(answer["token"][row], alone["token"][0])
            np.testing.assert_allclose(answer["confidence"][row], alone["confidence"][0], atol=1e-3)


def test_tiles_of_different_shapes_meet_in_one_batch(client: Any) -> None:  # noqa: ANN401
    page = draw_page()
    tiles = [np.ascontiguousarray(page[None, : 32 * side]) for side in range(3, 11)]

    before = _executions(client, "text_detector")
    with ThreadPoolExecutor(8) as pool:
        maps = list(pool.map(lambda tile: _infer(client, "text_detector", {"image": tile}, ("probability",)), tiles))

    assert _executions_of(client, "text_detector", 8, before) < 8
    assert [answer["probability"].shape for answer in maps] == [tile.shape[:3] for tile in tiles]
    assert max(answer["probability"].max() for answer in maps) > 200


def _executions_of(client: Any, model: str, requests: int, before: NDArray[np.int64]) -> int:  # noqa: ANN401
    """Return in how many batches so many requests were answered; the server counts an answer after it is sent."""
    deadline = time.monotonic() + 10
    while (counted := _executions(client, model) - before)[0] < requests:
        assert time.monotonic() < deadline, f"the server counted {counted[0]} of {requests} requests"
        time.sleep(0.05)
    return int(counted[1])


def _executions(client: Any, model: str) -> NDArray[np.int64]:  # noqa: ANN401
    """Return how many requests and how many batches a model has answered."""
    (statistics,) = client.get_inference_statistics(model).model_stats
    return np.array([statistics.inference_stats.success.count, statistics.execution_count])
