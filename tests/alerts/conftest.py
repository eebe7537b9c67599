"""The chart's alert rules, and the real promtool, built once by Go and kept in the cache."""

from pathlib import Path

import pytest

from tests.chart.rendering import CHART, PRODUCTION, Chart, Manifest
from tests.go_tools import HELM, PROMTOOL, demand_go_tool


@pytest.fixture(scope="session")
def promtool() -> Path:
    return demand_go_tool(PROMTOOL)


@pytest.fixture(scope="session")
def chart() -> Chart:
    return Chart(demand_go_tool(HELM), CHART)


@pytest.fixture(scope="session")
def rules(chart: Chart) -> Manifest:
    """The rules with the chart's own thresholds."""
    spec: Manifest = chart.render(PRODUCTION).one("PrometheusRule", "worker")["spec"]
    return spec
