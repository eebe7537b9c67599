"""Which repository a host serves, and the one sentence on each that it does not serve."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worker.models import choice
from worker.models.choice import ChoiceError, Gpu, GpuError, Host, choose, find_gpu, tensorrt_version, this_host

L4 = Gpu("NVIDIA L4", "8.9", "550.54.15")
HOST = Host(L4, "", "10.5.0")
SCRIPT = Path(choice.__file__)


@pytest.fixture
def repositories(tmp_path: Path) -> list[Path]:
    """The same models as plans, as ONNX for a GPU and as ONNX for a CPU, as far as a choice sees them."""
    plan = tmp_path / "tensorrt" / "text_detector" / "7" / "sm89.plan"
    plan.parent.mkdir(parents=True)
    plan.write_bytes(b"plan")
    target = {"gpu": "NVIDIA L4", "compute_capability": "8.9", "driver": "550.54.15", "tensorrt": "10.5.0.18"}
    sha256 = hashlib.sha256(b"plan").hexdigest()
    plans = {"target": target, "files": {"text_detector/7/sm89.plan": sha256}}
    _stamp(tmp_path / "tensorrt", {"profile": "tensorrt", "device": "gpu", "plans": plans})
    _stamp(tmp_path / "onnx-gpu", {"profile": "onnx", "device": "gpu"})
    _stamp(tmp_path / "onnx-cpu", {"profile": "onnx", "device": "cpu"})
    return [tmp_path / name for name in ("tensorrt", "onnx-gpu", "onnx-cpu")]


def _stamp(repository: Path, content: dict[str, Any]) -> None:
    repository.mkdir(exist_ok=True)
    (repository / "labelwire.json").write_text(json.dumps(content), encoding="utf-8")


def _fake_nvidia_smi(folder: Path, script: str) -> None:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def test_plans_are_served_where_they_were_built(repositories: list[Path]) -> None:
    assert choose(repositories, HOST) == choice.Choice(repositories[0], ())


def _without_plan(folder: Path) -> None:
    (folder / "text_detector" / "7" / "sm89.plan").unlink()


def _with_half_a_plan(folder: Path) -> None:
    (folder / "text_detector" / "7" / "sm89.plan").write_bytes(b"pl")


def _without_stamp(folder: Path) -> None:
    (folder / "labelwire.json").unlink()


def _as_it_is(folder: Path) -> None:
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("host", "change", "reason"),
    [
        (
            replace(HOST, gpu=Gpu("NVIDIA H200", "9.0", "560.35.03")),
            _as_it_is,
            "its plans are for compute capability 8.9 (NVIDIA L4) and this host has 9.0 (NVIDIA H200)",
        ),
        (replace(HOST, tensorrt="10.6.0"), _as_it_is, "its plans are of TensorRT 10.5.0.18 and this host has 10.6.0"),
        (replace(HOST, tensorrt="11.0.0"), _as_it_is, "its plans are of TensorRT 10.5.0.18 and this host has 11.0.0"),
        (
            replace(HOST, tensorrt=None),
            _as_it_is,
            "its plans need TensorRT 10.5.0.18 and this host has no libnvinfer.so.11 or libnvinfer.so.10",
        ),
        (HOST, _without_plan, "the plan text_detector/7/sm89.plan is missing"),
        (HOST, _with_half_a_plan, "the plan text_detector/7/sm89.plan is not the one that was built"),
        (HOST, _without_stamp, "no `labelwire models build` wrote it"),
    ],
    ids=["gpu", "tensorrt", "newer tensorrt", "no tensorrt", "missing", "damaged", "foreign"],
)
def test_the_onnx_profile_is_served_instead_and_it_is_said_why(
    repositories: list[Path], host: Host, change: Callable[[Path], None], reason: str
) -> None:
    change(repositories[0])

    assert choose(repositories, host) == choice.Choice(
        repositories[1], (f"{repositories[0]} is not served, because {reason}",)
    )


def test_without_a_gpu_the_repository_for_a_cpu_is_served(repositories: list[Path]) -> None:
    host = Host(None, "nvidia-smi is not on the PATH", None)

    chosen = choose(repositories, host)

    assert chosen.repository == repositories[2]
    assert chosen.passed_over == tuple(
        f"{passed} is not served, because nvidia-smi is not on the PATH" for passed in repositories[:2]
    )


def test_if_none_can_be_served_every_reason_is_given(repositories: list[Path]) -> None:
    with pytest.raises(ChoiceError, match=r"tensorrt is not served, because no GPU; .*onnx-gpu is not served, because"):
        choose(repositories[:2], Host(None, "no GPU", None))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'NVIDIA-SMI has failed'; exit 9", r"finds no GPU on this host \(NVIDIA-SMI has failed\)"),
        ("exit 0", r"finds no GPU on this host \(it names none\)"),
        ("echo 'NVIDIA L4, 8.9, 550'; echo 'NVIDIA T4, 7.5, 550'", "GPUs of the compute capabilities 7.5, 8.9"),
        ("echo 'NVIDIA L4, [N/A], 450'", "names no compute capability"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, words: str
) -> None:
    _fake_nvidia_smi(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GpuError, match=words):
        find_gpu()
    assert this_host().gpu is None


def test_two_gpus_of_one_make_are_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fake_nvidia_smi(tmp_path, "echo 'NVIDIA L4, 8.9, 550.54.15'; echo 'NVIDIA L4, 8.9, 550.54.15'")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_gpu() == L4


@pytest.mark.skipif(shutil.which("cc") is None, reason="a C compiler makes the library")
@pytest.mark.parametrize(("number", "version"), [(100500, "10.5.0"), (110203, "11.2.3")])
def test_the_version_is_what_the_library_says(tmp_path: Path, number: int, version: str) -> None:
    library = tmp_path / "libnvinfer.so"
    source = f"int getInferLibVersion(void) {{ return {number}; }}"
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=source, text=True, check=True)

    assert tensorrt_version(["libnvinfer.so.none", str(library)]) == version
    assert tensorrt_version(["libnvinfer.so.none"]) is None


@pytest.mark.parametrize("command", [["-I", "-S", str(SCRIPT)], ["-m", "worker", "models", "choose"]])
def test_it_runs_as_a_file_alone_and_as_a_command(
    repositories: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    """Triton's image has Python, but not this package."""
    monkeypatch.setenv("PATH", str(tmp_path))

    ended = subprocess.run(
        [sys.executable, *command, *map(str, repositories)], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout) == (0, f"{repositories[2]}\n")
    said = ended.stderr.splitlines()
    assert len(said) == 2
    assert all(line.endswith(f"; {repositories[2]} is served instead") for line in said)
    failed = subprocess.run(
        [sys.executable, *command, str(repositories[0])], capture_output=True, text=True, check=False
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "is not served, because nvidia-smi is not on the PATH" in failed.stderr


def test_it_becomes_the_server_of_what_it_chose(
    repositories: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = tmp_path / "tritonserver"
    server.write_text('#!/bin/sh\necho "$$ $@"\n', encoding="utf-8")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    command = [sys.executable, "-I", "-S", str(SCRIPT), *map(str, repositories), "--"]

    with subprocess.Popen(
        [*command, "tritonserver", "--model-repository={}", "--http-port=8000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        out, err = started.communicate(timeout=60)

    assert out == f"{started.pid} --model-repository={repositories[2]} --http-port=8000\n", "it is the same process"
    assert len(err.splitlines()) == 2


def test_no_server_is_started_if_nothing_fits(repositories: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(repositories[0]), "--", "tritonserver"]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert ended.stderr.count("is not served, because") == 1
