"""What the chart renders is valid for Kubernetes, for the oldest version it claims and the newest known."""

from pathlib import Path

import kubernetes_validate
import pytest

from tests.chart.rendering import CI_VALUES, OLDEST_KUBERNETES, PRODUCTION, Chart, Manifest

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


def test_a_scaled_object_is_as_keda_reads_it(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION)
    spec = rendered.one("ScaledObject", "worker")["spec"]
    (trigger,) = spec["triggers"]

    assert spec["scaleTargetRef"] == {"name": rendered.one("Deployment", "worker")["metadata"]["name"]}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 24)
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 12}
    assert trigger["type"] == "kafka"
    # KEDA's metadata is a map of strings: a bare number or bool is refused by its webhook.
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert trigger["metadata"] == {
        "bootstrapServers": "kafka-0.kafka.streams:9093,kafka-1.kafka.streams:9093",
        "consumerGroup": "labelwire-prod",
        "topic": "label-images",
        "lagThreshold": "200",
        "activationLagThreshold": "10",
        "limitToPartitionsWithLag": "true",
        "excludePersistentLag": "false",
        "sasl": "scram_sha512",
        "tls": "enable",
    }


def test_keda_takes_its_credentials_from_the_workers_secret(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION)
    authentication = rendered.one("TriggerAuthentication", "worker")
    (trigger,) = rendered.one("ScaledObject", "worker")["spec"]["triggers"]

    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    assert authentication["spec"]["secretTargetRef"] == [
        {
            "parameter": parameter,
            "name": "labelwire-kafka",
            "key": f"LABELWIRE_KAFKA__CLIENT__SASL_{parameter.upper()}",
        }
        for parameter in ("username", "password")
    ]


def test_an_existing_trigger_authentication_is_taken(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION, {"worker.autoscaling.authenticationRef": "ours"})
    (trigger,) = rendered.one("ScaledObject", "worker")["spec"]["triggers"]

    assert trigger["authenticationRef"] == {"name": "ours"}
    assert rendered.all("TriggerAuthentication", "worker") == []


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
