"""What the chart renders is valid for Kubernetes, for the oldest version it claims and the newest known."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
from prometheus_client import CollectorRegistry

from tests.chart.rendering import CI_VALUES, OLDEST_KUBERNETES, PRODUCTION, Chart, Manifest
from worker.adapters.telemetry.metrics import Metrics

# The first test may have to build Helm.
pytestmark = pytest.mark.timeout(1200)

_CUSTOM = {
    "ScaledObject": "keda.sh/v1alpha1",
    "TriggerAuthentication": "keda.sh/v1alpha1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
}


def _is_custom(manifest: Manifest) -> bool:
    return (manifest["kind"], manifest["apiVersion"]) in _CUSTOM.items()


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_lint_finds_nothing(chart: Chart, values: Path) -> None:
    result = chart.lint(values)

    assert result.returncode == 0, result.stdout
    assert "WARNING" not in result.stdout


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_manifests_fit_the_schemas_of_kubernetes(chart: Chart, values: Path, version: str) -> None:
    manifests = [manifest for manifest in chart.render(values).manifests if not _is_custom(manifest)]

    assert {"Deployment"} <= {manifest["kind"] for manifest in manifests}
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_of_kubernetes_notice_a_wrong_field(chart: Chart) -> None:
    deployment = chart.render(PRODUCTION).one("Deployment", "worker")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_every_object_is_named_once_and_in_the_release_namespace(chart: Chart, values: Path) -> None:
    manifests = chart.render(values).manifests
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]

    assert len(names) == len(set(names))
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"labels"}


@pytest.mark.parametrize("component", ["worker", "triton"])
def test_pod_monitors_name_a_port_of_their_pods(chart: Chart, component: str) -> None:
    rendered = chart.render(PRODUCTION)
    spec = rendered.one("PodMonitor", component)["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]

    assert endpoint["port"] in {port["name"] for port in rendered.container(component)["ports"]}
    assert (
        spec["selector"]["matchLabels"].items()
        <= rendered.one("Deployment", component)["spec"]["template"]["metadata"]["labels"].items()
    )


def test_alerts_count_by_metrics_that_workers_have_and_by_the_limit_that_is_set(chart: Chart) -> None:
    limit = {"worker.settings.LABELWIRE_LIMITS__DEAD_LETTERS_PER_MINUTE": "20", "metrics.rules.enabled": True}
    (group,) = chart.render(PRODUCTION, limit).one("PrometheusRule", "worker")["spec"]["groups"]
    rules = {rule["alert"]: rule["expr"] for rule in group["rules"]}
    metrics = {name.split("{")[0] for expr in rules.values() for name in re.findall(r"labelwire_\w+", expr)}
    registry = CollectorRegistry()
    Metrics(registry)
    known = {family.name + ("_total" if family.type == "counter" else "") for family in registry.collect()}

    assert set(rules) == {"LabelwireDeadLetterLimit", "LabelwireCircuitOpen", "LabelwirePoison", "LabelwireRolledBack"}
    assert metrics <= known
    assert rules["LabelwireDeadLetterLimit"].endswith(">= 18")


def test_without_a_limit_there_is_no_alert_for_it(chart: Chart) -> None:
    unlimited = {"worker.settings.LABELWIRE_LIMITS__DEAD_LETTERS_PER_MINUTE": "0", "metrics.rules.enabled": True}
    (group,) = chart.render(PRODUCTION, unlimited).one("PrometheusRule", "worker")["spec"]["groups"]

    assert "LabelwireDeadLetterLimit" not in {rule["alert"] for rule in group["rules"]}
