"""The machine and the versions that figures were measured on."""

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import psutil

from worker.runtime.cores import usable_cores

_PACKAGES = ("labelwire", "confluent-kafka", "tritonclient", "numpy", "opencv-python-headless")


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory and versions."""
    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for row in cpuinfo.read_text(errors="replace").splitlines():
            name, _, value = row.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
