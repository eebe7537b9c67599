"""`labelwire doctor` on real Triton servers: one as it was built, and one with planted faults."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.adapters.triton.serving import read_serving
from worker.local.triton import TritonServer
from worker.models.configs import ModelConfig, read_config, write_config
from worker.settings import TritonSettings

pytestmark = pytest.mark.real


def doctor(url: str, **settings: str) -> tuple[int, str]:
    """Return the exit code, and what is printed in one line."""
    command = [sys.executable, "-m", "worker", "doctor", "--url", url]
    environment = {**os.environ, "COLUMNS": "500", **settings}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


def change_manifest(config: ModelConfig, **changes: object) -> None:
    parameter = config.parameters["manifest"]
    parameter.string_value = json.dumps(json.loads(parameter.string_value) | changes)


@pytest.fixture(scope="module")
def faulty(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("faulty") / "models"
    shutil.copytree(model_repository, folder)
    configs = {path.parent.name: read_config(path) for path in folder.glob("*/config.pbtxt")}
    configs["text_recognizer"].ClearField("dynamic_batching")
    del configs["text_recognizer"].model_warmup[:]
    configs["text_detector"].max_batch_size = 2
    del configs["text_detector"].model_warmup[:]
    change_manifest(configs["line_orientation"], device="gpu")
    for name, config in configs.items():
        write_config(config, folder / name / "config.pbtxt")
    with TritonServer(folder, run_dir=tmp_path_factory.mktemp("faulty-triton")) as server:
        yield server


def test_nothing_is_found_on_what_was_built(triton: TritonServer) -> None:
    code, printed = doctor(triton.grpc_url)
    assert code == 0, printed
    assert "Nothing was found." in printed
    assert all(f"\n{model}" in "\n" + printed for model in ("text_detector", "line_orientation", "text_recognizer"))
    assert "golden page, alone: " in printed


def test_planted_faults_are_found_and_broken_promises_come_first(faulty: TritonServer) -> None:
    code, printed = doctor(faulty.grpc_url)
    assert code == 1
    found = [line.partition(". ")[2] for line in printed.splitlines() if line[:1].isdigit() and line[1:2] == "."]
    assert [line.partition(":")[0] for line in found[:3]] == ["broken promise"] * 3
    assert {line.partition(": ")[2] for line in found[:3]} == {
        "a model is not what its build wrote: its version does not fit its manifest.",
        "line_orientation runs on the CPU though its manifest says GPU.",
        "text_detector takes batches of 2 though its manifest says 4.",
    }
    costs = " ".join(found[3:])
    assert "text_recognizer has no dynamic batching: each request is computed alone." in costs
    assert "text_recognizer is not warmed up" in costs
    assert "text_detector is not warmed up" in costs
    assert len(found) == 6


def test_a_model_that_is_not_there_is_served_in_no_way(triton: TritonServer) -> None:
    assert read_serving(TritonSettings(url=triton.grpc_url), "no_such_model") is None


def test_a_server_that_no_worker_can_use_is_one_finding(triton: TritonServer) -> None:
    code, printed = doctor(triton.grpc_url, LABELWIRE_TRITON__DEVICE="gpu")
    assert code == 1
    assert printed.startswith(
        "1. broken promise: The server's models were built for a cpu, but LABELWIRE_TRITON__DEVICE"
    )
    assert "→ serve a repository of `labelwire models build --profile onnx --device gpu`." in printed
