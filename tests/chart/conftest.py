"""The real Helm, built once by Go and kept in the cache, and the chart rendered by it."""

from pathlib import Path

import pytest

from tests.chart.rendering import CHART, Chart
from tests.go_tools import HELM, demand_go_tool


@pytest.fixture(scope="session")
def helm() -> Path:
    return demand_go_tool(HELM)


@pytest.fixture(scope="session")
def chart(helm: Path) -> Chart:
    return Chart(helm, CHART)
