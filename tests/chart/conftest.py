"""The real Helm, built once by Go and kept in the cache, and the chart rendered by it."""

from pathlib import Path

import pytest

from tests.chart.rendering import CHART, Chart
from tests.go_tools import demand_go_tool
from worker.local.go_tool import GoTool

_HELM = GoTool("helm.sh/helm/v3/cmd/helm@v3.19.2", "helm", "Helm")


@pytest.fixture(scope="session")
def helm() -> Path:
    return demand_go_tool(_HELM)


@pytest.fixture(scope="session")
def chart(helm: Path) -> Chart:
    return Chart(helm, CHART)
