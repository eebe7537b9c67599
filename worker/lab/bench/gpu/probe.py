"""How busy a GPU is and how much of its memory is taken, as `nvidia-smi` says it.

What is measured is the whole GPU: a container often does not see which process takes what.
"""

import os
import subprocess
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from worker.lab.evaluation.errors import MeasurementError

_INTERVAL_SECONDS: Final = 0.5
_ANSWER_SECONDS: Final = 30.0
_FIELDS: Final = "utilization.gpu,memory.used,memory.total"


def gpu_environment() -> dict[str, str]:
    """Return the environment in which CUDA has the one GPU that `GpuProbe` asks for, whatever else the host has.

    It is the first that CUDA_VISIBLE_DEVICES names, else the first of the host. CUDA's own order is by speed;
    `nvidia-smi` counts by the bus.
    """
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": _gpu_id()}


def _gpu_id() -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip() or "0"


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One look at a GPU; None is what its driver does not tell.

    `busy_percent` is the share of the driver's last sampling period (a sixth of a second to a second) in which
    something ran on the GPU. Memory is in MiB, that of all processes together.
    """

    busy_percent: float | None
    used_mib: float | None
    total_mib: float | None


class GpuProbe:
    """Asks `nvidia-smi` for the GPU that is measured."""

    def sample(self) -> GpuSample:
        """Return how the GPU is now. Raises MeasurementError if `nvidia-smi` does not answer for it."""
        command = ["nvidia-smi", f"--id={_gpu_id()}", f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(  # noqa: S603  our own words, and an id that nvidia-smi checks
                command, capture_output=True, text=True, check=True, timeout=_ANSWER_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise MeasurementError(
                f"{' '.join(command)} does not answer ({error}), so the GPU cannot be watched: see that it runs by hand"
            ) from error
        values = done.stdout.strip().split(",")
        if len(values) != len(_FIELDS.split(",")):
            raise MeasurementError(
                f"nvidia-smi says {done.stdout.strip()!r} to {_FIELDS} of the GPU {_gpu_id()}: name one GPU in "
                "CUDA_VISIBLE_DEVICES"
            )
        return GpuSample(*map(_number, values))


def _number(text: str) -> float | None:
    """Return a value of nvidia-smi; None for `[N/A]` and its like."""
    stripped = text.strip()
    return float(stripped) if stripped.replace(".", "", 1).isdigit() else None


class GpuWatch:
    """Samples a GPU twice a second; a context manager. Without a probe it has no samples."""

    def __init__(self, probe: GpuProbe | None) -> None:
        self._probe = probe
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu-watch", daemon=True)
        self._error: MeasurementError | None = None
        self.samples: list[GpuSample] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    @property
    def busy_percent(self) -> float | None:
        """The mean of the samples; None without any."""
        known = [sample.busy_percent for sample in self.samples if sample.busy_percent is not None]
        return sum(known) / len(known) if known else None

    def _watch(self) -> None:
        while self._probe is not None:
            try:
                self.samples.append(self._probe.sample())
            except MeasurementError as error:
                self._error = error  # raised where the block ends
                return
            if self._ended.wait(_INTERVAL_SECONDS):
                return
