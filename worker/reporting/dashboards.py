"""The dashboards for Grafana that the chart ships.

`python -m worker.reporting.dashboards helm/labelwire/dashboards` writes them; a test compares them with what is there.

Invariant: data source and namespace are variables, so a dashboard shows any deployment that Prometheus knows.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_COLUMNS: Final = 24
_PANEL_WIDTH: Final = 8
_PANEL_HEIGHT: Final = 8
_SCHEMA: Final = 39  # of Grafana 11
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_HERE: Final = 'namespace="$namespace"'
_RANGE: Final = "[$__rate_interval]"
_QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: expressions by the legend of their series; `unit` is Grafana's name of it."""

    title: str
    unit: str
    queries: Mapping[str, str]
    description: str = ""
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard: panels by the title of their row."""

    name: str
    title: str
    rows: Mapping[str, Sequence[Panel]]

    def to_dict(self) -> dict[str, Any]:
        """Return the dashboard as Grafana imports it."""
        return {
            "uid": f"labelwire-{self.name}",
            "title": self.title,
            "tags": ["labelwire"],
            "schemaVersion": _SCHEMA,
            "editable": True,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "browser",
            "templating": {"list": _variables()},
            "links": [
                {
                    "type": "dashboards",
                    "title": "Labelwire",
                    "tags": ["labelwire"],
                    "keepTime": True,
                    "includeVars": True,
                }
            ],
            "annotations": {"list": []},
            "panels": self._panels(),
        }

    def _panels(self) -> list[dict[str, Any]]:
        panels: list[dict[str, Any]] = []
        y = 0
        for title, row in self.rows.items():
            place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
            panels.append({"type": "row", "id": len(panels) + 1, "title": title, "gridPos": place, "panels": []})
            y += 1
            for index, panel in enumerate(row):
                line, column = divmod(index * _PANEL_WIDTH, _COLUMNS)
                place = {"x": column, "y": y + line * _PANEL_HEIGHT, "w": _PANEL_WIDTH, "h": _PANEL_HEIGHT}
                panels.append(_time_series(panel, len(panels) + 1, place))
            y += -(-len(row) * _PANEL_WIDTH // _COLUMNS) * _PANEL_HEIGHT
        return panels


def _variables() -> list[dict[str, Any]]:
    names = "label_values(labelwire_build_info, namespace)"
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "namespace",
            "label": "Namespace",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": names, "refId": "namespace"},
            "definition": names,
            "refresh": 2,  # whenever the range of times changes
            "sort": 1,
        },
    ]


def _time_series(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    custom = {"fillOpacity": 10, "showPoints": "never"}
    if panel.stacked:
        custom |= {"fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
    return {
        "type": "timeseries",
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for index, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def _rate(metric: str, by: str, *selectors: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{','.join((*selectors, _HERE))}}}{_RANGE}))"


def _quantiles(metric: str, by: str = "", quantiles: Sequence[float] = _QUANTILES) -> dict[str, str]:
    """Return the quantiles of a histogram by legend, apart by a label."""
    labels = f"{by}, le" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return {
        f"{legend}p{100 * quantile:g}": f"histogram_quantile({quantile}, {_rate(f'{metric}_bucket', labels)})"
        for quantile in quantiles
    }


def _seen(metric: str, by: str, *selectors: str) -> str:
    """Return the rates of those series that count anything; the others begin with zero and would fill the legend."""
    return f"{_rate(metric, by, *selectors)} > 0"


def _triton_ratio(numerator: str, denominator: str) -> str:
    return f"{_rate(numerator, 'model')} / {_rate(denominator, 'model')}"


def _seconds_of_a_request(metric: str) -> str:
    return f"{_triton_ratio(metric, 'nv_inference_request_success')} / 1e6"


FLOW: Final = Dashboard(
    "flow",
    "Labelwire flow",
    {
        "Jobs": (
            Panel("Jobs", "ops", {"{{outcome}}": _rate("labelwire_jobs_total", "outcome")}, stacked=True),
            Panel(
                "Age of jobs that end",
                "s",
                _quantiles("labelwire_job_age_seconds"),
                "From a job's Kafka timestamp to its acknowledged outcome.",
            ),
            Panel(
                "Lag",
                "short",
                {"{{topic}}": f"sum by (topic) (labelwire_partition_lag{{{_HERE}}})"},
                "Records that no worker has taken. Those on retry topics wait until they are due.",
            ),
            Panel("Duration of jobs", "s", _quantiles("labelwire_job_duration_seconds", "lane", (0.5, 0.95))),
            Panel(
                "In progress",
                "short",
                {
                    "jobs": f"sum(labelwire_inflight_jobs{{{_HERE}}})",
                    "wanted jobs": f"sum(labelwire_wanted_jobs{{{_HERE}}})",
                    "megapixels": f"sum(labelwire_inflight_pixels{{{_HERE}}}) / 1e6",
                },
            ),
            Panel(
                "Time by stage",
                "s",
                {"{{stage}}": _rate("labelwire_stage_duration_seconds_sum", "stage")},
                "Seconds that all workers spend in a stage, each second. Some stages include the wait for Triton.",
                stacked=True,
            ),
            Panel("Duration of stages", "s", _quantiles("labelwire_stage_duration_seconds", "stage", (0.95,))),
        ),
        "What fails": (
            Panel(
                "Dead letters",
                "ops",
                {"{{error_code}}": _seen("labelwire_dead_letters_total", "error_code")},
                stacked=True,
            ),
            Panel(
                "Retries",
                "ops",
                {
                    "retry topic, {{error_code}}": _seen("labelwire_jobs_total", "error_code", 'outcome="retried"'),
                    "in place, {{error_code}}": _seen("labelwire_retries_in_place_total", "error_code"),
                },
            ),
            Panel(
                "Bad jobs that wait for the limit",
                "short",
                {"{{pod}}": f"sum by (pod) (labelwire_dead_letters_waiting{{{_HERE}}})"},
            ),
        ),
        "Workers": (
            Panel(
                "Readiness",
                "short",
                {
                    "ready": f"sum(labelwire_ready{{{_HERE}}})",
                    "workers": f"count(labelwire_ready{{{_HERE}}})",
                    "not met: {{condition}}": f"count by (condition) (labelwire_ready_condition{{{_HERE}}} == 0)",
                },
            ),
            Panel(
                "Circuits",
                "short",
                {"{{model}}": f"max by (model) (labelwire_circuit_state{{{_HERE}}})"},
                "0 closed, 1 half-open, 2 open.",
            ),
            Panel(
                "Memory",
                "bytes",
                {"{{pod}}": f"sum by (pod) (process_resident_memory_bytes{{{_HERE}}} and labelwire_ready)"},
            ),
            Panel(
                "CPU cores",
                "short",
                {"{{pod}}": f"sum by (pod) (rate(process_cpu_seconds_total{{{_HERE}}}{_RANGE}) and labelwire_ready)"},
            ),
            Panel("Rebalances", "ops", {"{{kind}}": _rate("labelwire_rebalances_total", "kind")}),
            Panel("Refused commits", "ops", {"{{pod}}": _rate("labelwire_commit_failures_total", "pod")}),
        ),
    },
)

MODELS: Final = Dashboard(
    "models",
    "Labelwire models",
    {
        "Requests": (
            Panel(
                "Duration of requests",
                "s",
                _quantiles("labelwire_triton_request_duration_seconds", "model"),
                "As the workers see it.",
            ),
            Panel(
                "Requests", "reqps", {"{{model}}": _rate("labelwire_triton_request_duration_seconds_count", "model")}
            ),
            Panel(
                "Requests that fail",
                "reqps",
                {
                    "{{model}}, {{grpc_code}}": (
                        _rate("labelwire_triton_request_duration_seconds_count", "model, grpc_code", 'grpc_code!="OK"')
                    ),
                    "{{model}}, Triton: {{reason}}": _seen("nv_inference_request_failure", "model, reason"),
                },
                "An ensemble's failures count twice in Triton.",
            ),
            Panel(
                "Requests sent again",
                "reqps",
                {"{{model}}, {{reason}}": _seen("labelwire_triton_retries_total", "model, reason")},
            ),
            Panel(
                "Limit of requests in flight",
                "short",
                {"{{pod}}": f"sum by (pod) (labelwire_triton_inflight_limit{{{_HERE}}})"},
                "It is lowered while Triton is overloaded.",
            ),
            Panel(
                "Circuits",
                "short",
                {"{{model}}": f"max by (model) (labelwire_circuit_state{{{_HERE}}})"},
                "0 closed, 1 half-open, 2 open.",
            ),
        ),
        "Triton": (
            Panel(
                "Batch size",
                "short",
                {"{{model}}": _triton_ratio("nv_inference_count", "nv_inference_exec_count")},
                "Mean of the items in one execution.",
            ),
            Panel(
                "Time in the queue",
                "s",
                {"{{model}}": _seconds_of_a_request("nv_inference_queue_duration_us")},
            ),
            Panel(
                "Requests that wait",
                "short",
                {"{{model}}": f"sum by (model) (nv_inference_pending_request_count{{{_HERE}}})"},
            ),
            Panel(
                "Time of computing",
                "s",
                {"{{model}}": _seconds_of_a_request("nv_inference_compute_infer_duration_us")},
            ),
            Panel(
                "CPU of Triton's machine", "percentunit", {"{{pod}}": f"max by (pod) (nv_cpu_utilization{{{_HERE}}})"}
            ),
        ),
        "What is read": (
            Panel(
                "Confidence of lines",
                "percentunit",
                _quantiles("labelwire_line_confidence", "version", (0.05, 0.5)),
                "By the version of the recognizer.",
            ),
            Panel("Lines of a picture", "short", _quantiles("labelwire_lines_per_image", quantiles=(0.5, 0.95))),
            Panel(
                "Cache of readings",
                "percentunit",
                {
                    "{{result}}": (
                        f"{_rate('labelwire_cache_requests_total', 'result')} / ignoring (result) group_left ()"
                        f" sum(rate(labelwire_cache_requests_total{{{_HERE}}}{_RANGE}))"
                    )
                },
                "The share of hits is the share of the work that is saved.",
            ),
        ),
        "Rollouts": (
            Panel("Share of the candidate", "percentunit", {"share": f"max(labelwire_rollout_share{{{_HERE}}})"}),
            Panel(
                "Phase",
                "short",
                {"{{phase}}": f"max by (phase) (labelwire_rollout_phase{{{_HERE}}}) > 0"},
                "Of the last rollout.",
            ),
            Panel(
                "Jobs of the candidate",
                "ops",
                {"{{result}}": _seen("labelwire_shadow_compared_total", "result")},
            ),
            Panel(
                "Time of a reading",
                "s",
                _quantiles("labelwire_rollout_reading_duration_seconds", "arm", (0.5, 0.99)),
                "By who read: the models in use or the candidate.",
            ),
        ),
    },
)
DASHBOARDS: Final = (FLOW, MODELS)


def write_dashboards(folder: Path) -> None:
    """Write each dashboard to a file of its own."""
    for name, text in dashboard_files().items():
        (folder / name).write_text(text, encoding="utf-8")


def dashboard_files() -> dict[str, str]:
    """Return the dashboards' files by name."""
    return {f"{each.name}.json": json.dumps(each.to_dict(), indent=2) + "\n" for each in DASHBOARDS}


if __name__ == "__main__":
    write_dashboards(Path(sys.argv[1]))
