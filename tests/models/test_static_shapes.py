"""Graphs of fixed sizes on the real Triton: they read as the graph with free sizes does."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient import grpc as triton_grpc

from tests.models.drawing import Pixels, draw_line, draw_page
from worker.cli.quantize import read_set, serve_embedded
from worker.lab.evaluation.dataset import load
from worker.lab.precision.gate import Gate, Limits
from worker.local.triton import TritonServer
from worker.models.build import build_repository
from worker.models.configs import read_config
from worker.models.model_card import LineFormat
from worker.models.profiles import select_profile

RECEIPTS = Path(__file__).parents[2].parent / "shared" / "eval" / "sroie-dev"
EVERY = 3  # of the receipts

STATIC_WIDTHS = (320, 352)
STATIC_TILES = ((160, 352), (192, 352))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Both in one server, in FP32: other precisions round where layers end, and graphs of fixed sizes fuse more."""
    folder = tmp_path_factory.mktemp("static")
    free = replace(select_profile("embedded", precision="fp32", cores=1), static_widths=(), static_tiles=())
    static = replace(free, static_widths=STATIC_WIDTHS, static_tiles=STATIC_TILES)
    repositories = [
        build_repository(free, folder / "free", alphabet="latin"),
        build_repository(static, folder / "static", alphabet="latin", model_set="static"),
    ]
    with (
        TritonServer(repositories, run_dir=tmp_path_factory.mktemp("triton")) as server,
        triton_grpc.InferenceServerClient(server.grpc_url) as client,
    ):
        yield client


def _infer(client: Any, model: str, arrays: dict[str, Any], outputs: tuple[str, ...]) -> list[Any]:  # noqa: ANN401
    tensors = [
        triton_grpc.InferInput(name, list(array.shape), "UINT8" if array.dtype == np.uint8 else "FP32")
        for name, array in arrays.items()
    ]
    for tensor, array in zip(tensors, arrays.values(), strict=True):
        tensor.set_data_from_numpy(array)
    result = client.infer(model, tensors, outputs=[triton_grpc.InferRequestedOutput(name) for name in outputs])
    return [result.as_numpy(name) for name in outputs]


@pytest.mark.real
@pytest.mark.parametrize("width", [*STATIC_WIDTHS, 384])
def test_lines_read_the_same(client: Any, width: int) -> None:  # noqa: ANN401
    line = _padded(draw_line("SHIP TO: Hamburg"), width)
    lines = np.stack([line, line[::-1, ::-1], _padded(draw_line("9,80"), width)])
    sides = np.array([[0], [1], [0]], dtype=np.float32)

    answers = [
        _infer(client, model, {"line": lines, "upside_down": sides}, ("token", "confidence"))
        for model in ("text_recognizer", "text_recognizer.static")
    ]

    assert np.count_nonzero(answers[0][0]) > 20, "something was read"
    np.testing.assert_array_equal(answers[0][0][0], answers[0][0][1])
    np.testing.assert_array_equal(answers[1][0][..., 0], answers[0][0][..., 0])
    np.testing.assert_allclose(answers[1][1], answers[0][1], atol=1e-3)


@pytest.mark.real
@pytest.mark.parametrize("rows", [160, 192, 224])
def test_tiles_give_the_same_map(client: Any, rows: int) -> None:  # noqa: ANN401
    tile = np.ascontiguousarray(draw_page()[None, :rows])

    free, static = (
        _infer(client, model, {"image": tile}, ("probability",))[0]
        for model in ("text_detector", "text_detector.static")
    )

    assert free.max() > 200
    np.testing.assert_allclose(static.astype(int), free.astype(int), atol=1)


@pytest.mark.real
def test_what_is_built_by_default_passes_the_gate_on_real_pictures(model_repository: Path, tmp_path: Path) -> None:
    """Against plain graphs: FP32 and free sizes."""
    if not RECEIPTS.is_dir():
        pytest.skip("the folder shared/eval/sroie-dev of receipts is not beside this checkout")
    receipts = load(RECEIPTS)
    some = replace(receipts, samples=receipts.samples[::EVERY])
    plain = replace(select_profile("embedded", precision="fp32"), static_widths=(), static_tiles=())
    with serve_embedded(build_repository(plain, tmp_path / "plain")) as backend:
        in_fp32 = read_set(some, backend)

    verdict = Gate(some, {}, plain, Limits(), serve_embedded, read_set, in_fp32).judge_repository(model_repository)

    assert verdict.word_f1_fp32 > 0.9, "the receipts were read"
    assert verdict.passed, verdict


def _padded(line: Pixels, width: int) -> Pixels:
    padded = np.full((line.shape[0], width, 3), 127, dtype=np.uint8)
    shown = min(width, line.shape[1])
    padded[:, :shown] = line[:, :shown]
    return padded


def test_a_config_names_the_shapes_that_have_a_graph_of_their_own(tmp_path: Path) -> None:
    profile = replace(select_profile("embedded"), static_widths=(64, 96), static_tiles=((64, 96),))
    repository = build_repository(profile, tmp_path / "embedded", alphabet="latin")

    shapes = {
        name: read_config(repository / name / "config.pbtxt").parameters["static_shapes"].string_value
        for name in ("text_detector", "text_recognizer", "line_orientation")
    }

    assert shapes == {
        "text_detector": "[[64, 96, 3]]",
        "text_recognizer": "[[48, 64, 3], [48, 96, 3]]",
        "line_orientation": "[[48, 192, 3]]",
    }


def test_static_widths_follow_the_recognizers_lines() -> None:
    profile = select_profile("embedded")

    assert set(profile.static_widths) < set(profile.buckets)
    coarse = profile.of_lines(LineFormat(height=32, stride=4))
    assert set(coarse.static_widths) <= set(coarse.buckets)
    assert profile.of_lines(LineFormat(height=32, width=128)).static_widths == (192,)
