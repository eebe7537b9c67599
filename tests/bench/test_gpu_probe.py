"""What nvidia-smi says of a GPU, by a script that prints what the real one prints."""

import time
from pathlib import Path

import pytest

from tests.bench.gpu_hosts import write_nvidia_smi
from worker.lab.bench.gpu.probe import GpuProbe, GpuSample, GpuWatch, gpu_environment
from worker.lab.evaluation.errors import MeasurementError


@pytest.fixture(autouse=True)
def _path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("printed", "sample"),
    [
        ("37, 4512, 143771", GpuSample(37, 4512, 143771)),
        ("[N/A], 4512, 143771", GpuSample(None, 4512, 143771)),
        ("[Not Supported], [N/A], [N/A]", GpuSample(None, None, None)),
    ],
)
def test_a_gpu_is_busy_and_has_memory(tmp_path: Path, printed: str, sample: GpuSample) -> None:
    write_nvidia_smi(tmp_path, printed)

    assert GpuProbe().sample() == sample


def test_the_gpu_is_the_first_that_cuda_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nvidia_smi(tmp_path, "1, 2, 3", asked=tmp_path / "asked")
    assert gpu_environment()["CUDA_VISIBLE_DEVICES"] == "0"

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    GpuProbe().sample()

    assert gpu_environment() == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "3"}
    assert "--id=3 " in (tmp_path / "asked").read_text()


def test_two_gpus_at_once_are_refused(tmp_path: Path) -> None:
    write_nvidia_smi(tmp_path, "1, 2, 3\n4, 5, 6")

    with pytest.raises(MeasurementError, match="name one GPU in CUDA_VISIBLE_DEVICES"):
        GpuProbe().sample()


def test_a_watch_takes_the_mean_and_ends_with_its_block(tmp_path: Path) -> None:
    write_nvidia_smi(tmp_path, "40, 1000, 16000")

    with GpuWatch(GpuProbe()) as watch:
        time.sleep(0.7)

    seen = len(watch.samples)
    assert seen >= 2
    assert watch.busy_percent == 40
    time.sleep(0.6)
    assert len(watch.samples) == seen


def test_a_gpu_that_does_not_answer_ends_the_watch_with_a_sentence(tmp_path: Path) -> None:
    write_nvidia_smi(tmp_path, "40, 1000, 16000", exit_status=9)

    with pytest.raises(MeasurementError, match=r"nvidia-smi .* does not answer .*9"), GpuWatch(GpuProbe()):
        time.sleep(0.2)


def test_without_a_probe_nothing_is_seen() -> None:
    with GpuWatch(None) as watch:
        time.sleep(0.1)

    assert watch.busy_percent is None
    assert watch.samples == []
