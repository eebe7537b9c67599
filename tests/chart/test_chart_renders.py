"""What the chart renders is valid for Kubernetes, for the oldest version it claims and the newest known."""

from pathlib import Path
from typing import Any

import pytest

from tests.chart.custom_resources import CustomResourceError, check_custom, is_custom
from tests.chart.kubernetes_schemas import NEWEST_KUBERNETES, KubernetesSchemaError, check_kubernetes
from tests.chart.rendering import CI_VALUES, LOCKED_DOWN, OLDEST_KUBERNETES, OLDEST_OF, PRODUCTION, Chart

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
