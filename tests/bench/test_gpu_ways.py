"""Which way a host serves its models, and the sentence on each better way that it does not take."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.gpu_hosts import H200, write_nvidia_smi
from worker.lab.bench.gpu.ways import GpuHost, find_gpu_host, serving_ways
from worker.lab.evaluation.errors import MeasurementError
from worker.local import provision
from worker.local.cache import CACHE_VARIABLE, content_key, entry_path
from worker.settings import TritonSettings

TRITON = Path("/opt/tritonserver/bin/tritonserver")
CONTAINER = GpuHost(H200, TRITON, frozenset({"onnxruntime", "tensorrt"}), "10.6.0.26", "", "10.6.0")
PLANS, ONNX = "TensorRT plans on Triton", "ONNX Runtime with CUDA on Triton"
HERE = "ONNX Runtime with CUDA in this process"
NO_MODULE = "the Python module tensorrt cannot be imported (No module), so no plan can be built: build where it is"


@pytest.mark.parametrize(
    ("host", "titles", "reason"),
    [
        (CONTAINER, [PLANS, ONNX], ""),
        (replace(CONTAINER, tensorrt=None, no_tensorrt=NO_MODULE), [ONNX], NO_MODULE),
        (replace(CONTAINER, tensorrt_served=None), [ONNX], "the library of Triton's TensorRT does not load"),
        (
            replace(CONTAINER, tensorrt="10.5.0.18"),
            [ONNX],
            "the Python module tensorrt is 10.5.0.18 and Triton's TensorRT 10.6.0: install",
        ),
        (replace(CONTAINER, backends=frozenset({"onnxruntime"})), [ONNX], f"{TRITON} has no backend tensorrt"),
        (replace(CONTAINER, backends=frozenset({"tensorrt"})), [PLANS], f"{TRITON} has no backend onnxruntime"),
        (GpuHost(H200), [HERE], "tritonserver is not on the PATH: run this in Triton's container"),
    ],
)
def test_the_best_way_comes_first_and_others_are_passed_over(host: GpuHost, titles: list[str], reason: str) -> None:
    ways, passed_over = serving_ways(host, TritonSettings())

    assert [way.title for way in ways] == titles
    assert len(passed_over) == (1 if reason else 0)
    assert all(f"passed over, because {reason}" in sentence for sentence in passed_over)


def test_a_triton_that_can_serve_neither_is_refused() -> None:
    with pytest.raises(
        MeasurementError, match=r"no backend tensorrt\. .* no backend onnxruntime\. Install one of them"
    ):
        serving_ways(replace(CONTAINER, backends=frozenset()), TritonSettings())


def test_a_container_is_known_by_its_server_and_its_backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in ("onnxruntime", "python"):
        (tmp_path / "backends" / backend).mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    server = tmp_path / "bin" / "tritonserver"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    write_nvidia_smi(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    host = find_gpu_host()

    assert (host.gpu, host.tritonserver) == (H200, server)
    assert host.backends == {"onnxruntime", "python"}
    assert "the Python module tensorrt cannot be imported" in host.no_tensorrt


def _called(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "worker", "gpu-bench"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": str(folder), **environment},
    )


def test_without_a_gpu_there_is_one_sentence(tmp_path: Path) -> None:
    done = _called(tmp_path)

    assert done.returncode == 1
    assert re.fullmatch(
        r"There is nothing to measure, because nvidia-smi is not on the PATH.*: run it on a host with an NVIDIA GPU, "
        r"or rehearse it with --rehearse\.\n",
        done.stderr,
    )


def test_a_host_without_triton_takes_the_onnx_runtime_of_the_cuda_environment(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    lock = Path(provision.__file__).with_name("locks") / "cuda.txt"
    key = content_key(lock.read_text(), sys.version, sys.base_prefix)
    package = cache / entry_path("cuda", key).name / "lib" / f"python{provision.python_version()}" / "site-packages"
    (package / "onnxruntime").mkdir(parents=True)
    said = "raise SystemExit('ONNX Runtime of the CUDA environment on GPU ' + os.environ['CUDA_VISIBLE_DEVICES'])"
    (package / "onnxruntime" / "__init__.py").write_text(f"import os\n{said}\n")
    write_nvidia_smi(tmp_path)

    done = _called(tmp_path, **{CACHE_VARIABLE: str(cache), "CUDA_VISIBLE_DEVICES": "2"})

    assert done.stderr == "ONNX Runtime of the CUDA environment on GPU 2\n"


def test_onnx_runtime_for_cuda_is_of_the_version_for_the_cpu() -> None:
    root = Path(provision.__file__).parents[2]
    locks = (root / ".ci" / "dev.lock.txt", root / "worker" / "local" / "locks" / "cuda.txt")
    versions = {re.findall(r"^onnxruntime(?:-gpu)?==(\S+)", lock.read_text(), re.MULTILINE)[0] for lock in locks}

    assert len(versions) == 1
