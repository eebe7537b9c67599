"""The dashboards are those that the worker makes; every query is valid, and finds what workers and Triton export."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.alerts.simulated_pods import Cluster
from tests.chart.rendering import CHART, MINIMAL, Chart, Manifest
from worker.domain import events
from worker.domain.errors import ErrorCode, Stage
from worker.domain.records import Coordinate
from worker.reporting.dashboards import DASHBOARDS, dashboard_files

# The first test may have to build promtool.
pytestmark = pytest.mark.timeout(1800)

AT = Coordinate("label-images", 0, 1)
HAPPENED: list[events.Event] = [
    events.JobFinished("job", AT, events.JobOutcome.COMPLETED, None, "small", 0.2, 1.0, (0.9, 0.8), "4", 1),
    events.JobFinished("job", AT, events.JobOutcome.RETRIED, ErrorCode.INFERENCE_FAILED, "large", 0.2, 1.0, (), "4", 1),
    events.StageFinished(Stage.DECODE, 0.01),
    events.JobDeadLettered("job", AT, ErrorCode.IMAGE_CORRUPT, Stage.DECODE, "It is bad.", "decode.py:9 decode"),
    events.JobRetried("job", AT, ErrorCode.INFERENCE_UNAVAILABLE, "Triton is away.", 1, 0.4),
    events.InferenceFinished("text_detector", "1", "OK", 0.1),
    events.InferenceFinished("text_detector", "1", "UNAVAILABLE", 0.1),
    events.InferenceRetried("text_detector", "unavailable"),
    events.CacheRequestFinished(events.CacheOperation.GET, events.CacheResult.HIT, 0.002),
    events.RolloutChanged("0123456789ab", "canary", "running", "v2", "", 0.05, ""),
    events.CandidateRead("agreed", "v2"),
    events.ReadingFinished("candidate", 0.2),
]


def queries() -> list[str]:
    """Return the queries of all panels as Prometheus gets them."""
    found = [
        target["expr"]
        for dashboard in DASHBOARDS
        for panel in dashboard.to_dict()["panels"]
        for target in panel.get("targets", ())
    ]
    return [query.replace("$namespace", "labels").replace("$__rate_interval", "2m") for query in found]


def as_alerts(expressions: list[str]) -> Manifest:
    """Return rules of which each fires while its expression finds anything."""
    rules = [{"alert": f"Query{number}", "expr": f"group({query})"} for number, query in enumerate(expressions)]
    return {"groups": [{"name": "queries", "rules": rules}]}


@pytest.mark.parametrize("name", dashboard_files())
def test_a_shipped_dashboard_is_up_to_date(name: str) -> None:
    assert (CHART / "dashboards" / name).read_text(encoding="utf-8") == dashboard_files()[name], "run `make docs`"


def test_every_query_is_valid(promtool: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(as_alerts(queries())), encoding="utf-8")
    command = [str(promtool), "check", "rules", str(tmp_path / "rules.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(queries()) > 40


def test_every_query_finds_something(promtool: Path, tmp_path: Path) -> None:
    cluster = Cluster(as_alerts(queries()))
    worker = cluster.workers[0]

    def happen() -> None:
        worker.emit(*HAPPENED)
        worker.not_ready("topics")
        cluster.triton.failures += 1

    cluster.run(3, happen)
    cluster.expect(*(f"Query{number}" for number in range(len(queries()))))
    cluster.recording.verify(promtool, tmp_path)


def test_every_series_of_a_legend_is_told_apart_by_the_query() -> None:
    for dashboard in DASHBOARDS:
        for panel in dashboard.to_dict()["panels"]:
            for target in panel.get("targets", ()):
                grouped = re.search(r"by \(([^)]*)\)", target["expr"])
                told_apart = set(re.split(r", ", grouped.group(1))) if grouped else set()
                assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= told_apart


def test_data_source_and_namespace_are_variables() -> None:
    for dashboard in DASHBOARDS:
        made = dashboard.to_dict()
        assert [variable["name"] for variable in made["templating"]["list"]] == ["datasource", "namespace"]
        targets = [target for panel in made["panels"] for target in panel.get("targets", ())]
        assert all(target["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for target in targets)
        for target in targets:
            selectors = re.findall(r"{([^}]*)}", target["expr"])
            assert selectors
            assert all('namespace="$namespace"' in selector for selector in selectors)


def test_no_two_panels_overlap() -> None:
    for dashboard in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in dashboard.to_dict()["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells


def test_the_chart_ships_them_for_the_sidecar_of_grafana(chart: Chart) -> None:
    changes = {"metrics.dashboards.enabled": True, "metrics.dashboards.annotations": {"grafana_folder": "Labels"}}
    maps = chart.render(MINIMAL, changes).all("ConfigMap", "dashboard")

    assert [each["metadata"]["name"] for each in maps] == [
        "demo-labelwire-dashboard-flow",
        "demo-labelwire-dashboard-models",
    ]
    for each, dashboard in zip(maps, DASHBOARDS, strict=True):
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"] == {"grafana_folder": "Labels"}
        ((name, text),) = each["data"].items()
        assert name == f"labelwire-{dashboard.name}.json"
        assert json.loads(text) == dashboard.to_dict()
    assert chart.render(MINIMAL).all("ConfigMap", "dashboard") == []
