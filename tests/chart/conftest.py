"""The real Helm, built once by Go and kept in the cache, and the chart rendered by it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.chart.rendering import CHART, Chart
from worker.local.cache import content_key, provide

# Go checks the module's hash against the public checksum database, where it can be reached.
_HELM = "helm.sh/helm/v3/cmd/helm@v3.19.2"


def _build_helm(folder: Path) -> None:
    environment = {**os.environ, "GOBIN": str(folder)}
    subprocess.run(["go", "install", _HELM], env=environment, check=True)


@pytest.fixture(scope="session")
def helm() -> Path:
    if shutil.which("go") is None:
        missing = "Helm is built by Go, which is not installed: install Go 1.24 or newer"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return provide("helm", content_key(_HELM), _build_helm) / "helm"


@pytest.fixture(scope="session")
def chart(helm: Path) -> Chart:
    return Chart(helm, CHART)
