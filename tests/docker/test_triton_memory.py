"""The limits of Triton's memory follow what was measured: a server killed before it is ready serves nobody."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MEASURED = re.compile(r"sessions of a CPU build takes (?P<measured>[\d.]+) GiB on two cores")
HEADROOM = 1.5


@pytest.fixture(scope="module")
def measured_gib() -> float:
    found = MEASURED.search((ROOT / "docs" / "models.md").read_text(encoding="utf-8"))
    assert found, "docs/models.md says what a warmed server takes"
    return float(found["measured"])


def _read(path: str) -> Any:  # noqa: ANN401
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def _gib(size: str) -> float:
    return (
        float(size.removesuffix("i").removesuffix("b")[:-1]) / {"g": 1, "m": 1024}[size.removesuffix("i")[-1].lower()]
    )


@pytest.mark.parametrize("place", ["chart", "compose"])
def test_the_limit_is_clearly_over_what_a_warmed_server_takes(measured_gib: float, place: str) -> None:
    if place == "chart":
        triton = _read("helm/labelwire/values.yaml")["triton"]
        limit, shared = _gib(triton["resources"]["limits"]["memory"]), _gib(triton["shmSize"])
        assert _gib(triton["resources"]["requests"]["memory"]) >= measured_gib + shared
    else:
        service = _read("docker/compose.yaml")["services"]["triton"]
        limit, shared = _gib(service["mem_limit"]), _gib(service["shm_size"])

    assert limit >= HEADROOM * measured_gib + shared


def test_the_chart_gives_the_cores_that_a_build_counts_on() -> None:
    from worker.models.profiles import select_profile  # noqa: PLC0415  (onnx is slow to import)

    requests = _read("helm/labelwire/values.yaml")["triton"]["resources"]["requests"]

    assert int(requests["cpu"]) == select_profile("onnx", device="cpu").cores
