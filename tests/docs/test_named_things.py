"""Settings, metrics and chart values that a page names are there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from tests.chart.rendering import CHART
from tests.docs.pages import PAGES, ROOT, blocks, name_of, spans
from worker.adapters.telemetry.metrics import Metrics
from worker.settings import known_names

SETTING = re.compile(r"LABELWIRE_[A-Z]+__[A-Z][A-Z_]*[A-Z]")
METRIC = re.compile(r"(?<![\w/.-])labelwire_[a-z_]+[a-z](?![\w/(])")
PASSED_THROUGH = "LABELWIRE_KAFKA__CLIENT"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
VALUE = re.compile(rf"({'|'.join(VALUES)})(\.[A-Za-z0-9]+)+(?![\w./])")
FILES = (".py", ".md", ".yaml", ".toml")


def _metrics() -> set[str]:
    registry = CollectorRegistry()
    Metrics(registry)
    endings = ("", "_total", "_bucket", "_sum", "_count")
    return {f"{family.name}{ending}" for family in registry.collect() for ending in endings}


KNOWN_METRICS = _metrics()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_setting_is_there(page: Path) -> None:
    named = {name for name in SETTING.findall(page.read_text(encoding="utf-8")) if not name.startswith(PASSED_THROUGH)}
    assert named - set(known_names()) == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_metric_is_there(page: Path) -> None:
    assert set(METRIC.findall(page.read_text(encoding="utf-8"))) - KNOWN_METRICS == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_value_of_the_chart_is_there(page: Path) -> None:
    named = [match.group() for span in spans(page) if (match := VALUE.match(span))]
    named += re.findall(r"--set(?:-string)? ([A-Za-z.]+)=", "\n".join(block.text for block in blocks(page)))
    named += [name for block in blocks(page) if block.language == "yaml" for name in _paths(yaml.safe_load(block.text))]
    assert [name for name in named if not name.endswith(FILES) and not _is_value(name)] == []


def test_names_are_found_and_wrong_ones_seen() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert len(set(SETTING.findall(operations))) > 5
    assert len(set(METRIC.findall(operations))) > 5
    assert len([span for span in spans(ROOT / "docs" / "operations.md") if VALUE.match(span)]) > 10
    assert not _is_value("worker.autoscaling.lagTreshold")
    assert _is_value("worker.resources.limits.memory")
    assert _paths({"worker": {"replica": 3, "envFrom": []}}) == ["worker.replica", "worker.envFrom"]
    assert _paths({"services": {"triton": 1}}) == []


def _paths(document: Any, above: str = "") -> list[str]:  # noqa: ANN401 - a document may be anything
    """Return the path of each leaf of a document that begins with a section of the chart's values."""
    if not above and not (isinstance(document, dict) and document.keys() <= VALUES.keys()):
        return []
    if not isinstance(document, dict) or not document:
        return [above]
    return [path for key, below in document.items() for path in _paths(below, f"{above}.{key}".lstrip("."))]


def _is_value(name: str) -> bool:
    """Say whether the chart has a value; below a map or list that is a person's own, all names are taken."""
    found: Any = VALUES
    for part in name.split("."):
        if not isinstance(found, dict) or not found:
            return found in ({}, [])
        if part not in found:
            return False
        found = found[part]
    return True
