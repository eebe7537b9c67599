"""What the chart renders is valid for Kubernetes, for the oldest version it claims and the newest known."""

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.chart.custom_resources import CustomResourceError, check_custom, is_custom
from tests.chart.kubernetes_schemas import NEWEST_KUBERNETES, KubernetesSchemaError, check_kubernetes
from tests.chart.rendering import CI_VALUES, LOCKED_DOWN, OLDEST_KUBERNETES, OLDEST_OF, PRODUCTION, Chart
from worker.adapters.telemetry.metrics import Metrics

# The first test may have to build Helm.
pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_lint_finds_nothing(chart: Chart, values: Path) -> None:
    result = chart.lint(values)

    assert result.returncode == 0, result.stdout
    assert "WARNING" not in result.stdout


@pytest.mark.parametrize("version", ["", NEWEST_KUBERNETES])
@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_manifests_fit_the_schemas_of_kubernetes_and_of_operators(chart: Chart, values: Path, version: str) -> None:
    manifests = chart.render(values, kubernetes=version).manifests

    assert {"Deployment"} <= {manifest["kind"] for manifest in manifests}
    for manifest in manifests:
        if is_custom(manifest):
            check_custom(manifest)
        else:
            check_kubernetes(manifest, version or OLDEST_OF.get(values, OLDEST_KUBERNETES))


def test_the_schemas_of_kubernetes_notice_a_wrong_field(chart: Chart) -> None:
    deployment = chart.render(PRODUCTION).one("Deployment", "worker")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}

    with pytest.raises(KubernetesSchemaError, match="readinesProbe"):
        check_kubernetes(deployment, NEWEST_KUBERNETES)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ScaledObject", "spec.triggers.0.metadata.lagTreshold", "1"),
        ("ScaledObject", "spec.triggers.0.metadata.lagThreshold", 20),
        ("ScaledObject", "spec.minReplicas", 1),
        ("TriggerAuthentication", "spec.env.0.container", "worker"),
        ("ServiceMonitor", "spec.endpoints.0.interval", 30),
        ("PrometheusRule", "spec.groups.0.rules.0.severity", "critical"),
        ("KafkaTopic", "spec.replicas", 0),
        ("KafkaUser", "spec.authorization.acls.0.operation", "Read"),
    ],
)
def test_the_schemas_of_operators_notice_a_wrong_field(chart: Chart, kind: str, path: str, value: object) -> None:
    manifest = next(found for found in chart.render(LOCKED_DOWN).manifests if found["kind"] == kind)
    check_custom(manifest)
    *above, last = path.split(".")
    place: Any = manifest
    for key in above:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value

    with pytest.raises(CustomResourceError):
        check_custom(manifest)


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_every_object_is_named_once_and_in_its_namespace(chart: Chart, values: Path) -> None:
    manifests = chart.render(values).manifests
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]

    assert len(names) == len(set(names))
    for manifest in manifests:
        is_of_strimzi = manifest["kind"] in {"KafkaTopic", "KafkaUser"}
        assert manifest["metadata"]["namespace"] == ("streams" if is_of_strimzi else "labels")


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
