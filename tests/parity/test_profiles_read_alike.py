"""The embedded and the onnx profile read the same; `make parity DATA=DIR` says so of more pictures."""

from pathlib import Path

import pytest

from tests.parity import profiles
from worker.lab.evaluation.dataset import load
from worker.lab.evaluation.in_process import InProcessBackend
from worker.lab.synth.camera import Degradation
from worker.lab.synth.dataset import write_dataset
from worker.local.triton import TritonServer

SEED = 11


@pytest.mark.real
async def test_a_few_drawn_labels_read_alike(triton: TritonServer, onnx_repository: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, 3, SEED, degradation=(Degradation.NONE,))
    dataset = load(tmp_path)

    embedded = await profiles.word_f1(dataset, profiles.triton(triton.grpc_url))
    onnx = await profiles.word_f1(dataset, InProcessBackend(onnx_repository))

    assert min(embedded, onnx) > 0.9, "there must be something to read"
    # One word of these few labels weighs more than the bound, which holds for hundreds of lines.
    assert abs(embedded - onnx) <= 0.01 + profiles.MAX_APART
