"""What scales workers sees all that they read, can reach the brokers, and is refused where it could not."""

from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import MINIMAL, PRODUCTION, Chart, Rendered
from worker import settings

pytestmark = pytest.mark.timeout(1200)

KEDA: dict[str, object] = {"worker.autoscaling.enabled": True}
SCRAM = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}
KEY = {"secret": "user", "key": "value"}


def triggers(rendered: Rendered) -> dict[str, dict[str, Any]]:
    return {trigger["name"]: trigger for trigger in rendered.one("ScaledObject", "worker")["spec"]["triggers"]}


def parameters(rendered: Rendered) -> dict[str, str]:
    """Return KEDA's parameters and the variables of the worker that they are read from."""
    entries = rendered.one("TriggerAuthentication", "worker")["spec"]["env"]
    assert {entry["containerName"] for entry in entries} == {rendered.container("worker")["name"]}
    return {entry["parameter"]: entry["name"] for entry in entries}


def test_a_scaled_object_is_as_keda_reads_it(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION)
    spec = rendered.one("ScaledObject", "worker")["spec"]

    assert spec["scaleTargetRef"] == {"name": rendered.one("Deployment", "worker")["metadata"]["name"]}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 24)
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 12}
    assert triggers(rendered)["jobs"]["metadata"] == {
        "bootstrapServers": "kafka-0.kafka.streams:9093,kafka-1.kafka.streams:9093",
        "consumerGroup": "labelwire-prod",
        "topic": "label-images",
        "lagThreshold": "200",
        "activationLagThreshold": "10",
        "offsetResetPolicy": "earliest",
        "limitToPartitionsWithLag": "true",
        "excludePersistentLag": "false",
        "sasl": "scram_sha512",
        "tls": "enable",
    }


@pytest.mark.parametrize("values", [MINIMAL, PRODUCTION], ids=lambda path: path.stem)
def test_every_topic_that_workers_read_brings_workers(chart: Chart, values: Path) -> None:
    rendered = chart.render(values, {**KEDA, "topics.jobs": "intake", "topics.replays": "again"})
    topics = settings.load(rendered.environment()).topics
    found = triggers(rendered)

    read = [topics.jobs, *topics.retry_topics, topics.replay_topic]
    assert [trigger["metadata"]["topic"] for trigger in found.values()] == read
    for trigger in found.values():
        assert trigger["type"] == "kafka"
        # The fallback needs it, and a bare number or bool is refused by KEDA's webhook.
        assert trigger["metricType"] == "AverageValue"
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
        assert trigger["metadata"]["offsetResetPolicy"] == "earliest"


def test_one_retry_or_replay_brings_a_worker_whatever_jobs_need(chart: Chart) -> None:
    changes = {"worker.autoscaling.activationLagThreshold": 50, "worker.autoscaling.excludePersistentLag": True}
    found = triggers(chart.render(PRODUCTION, changes))

    assert found.pop("jobs")["metadata"].items() >= {("activationLagThreshold", "50"), ("excludePersistentLag", "true")}
    assert {trigger["metadata"]["activationLagThreshold"] for trigger in found.values()} == {"0"}
    found.pop("replays")
    # The offset of a retry topic stands still until its records are due.
    assert {trigger["metadata"]["excludePersistentLag"] for trigger in found.values()} == {"false"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kafka.client": SCRAM, "kafka.secretKeys": {"username": KEY, "password": KEY}}, {"username", "password"}),
        (
            {"kafka.client": {**SCRAM, "sasl.username": "labels"}, "kafka.secretKeys": {"password": KEY, "ca": KEY}},
            {"username", "password", "ca"},
        ),
        (
            {
                "kafka.client": {"security.protocol": "SSL"},
                "kafka.secretKeys": {"ca": KEY, "certificate": KEY, "privateKey": KEY},
            },
            {"ca", "cert", "key"},
        ),
        (
            {
                "kafka.client": {**SCRAM, "security.protocol": "SASL_PLAINTEXT", "sasl.username": "labels"},
                "worker.extraEnv": [
                    {
                        "name": "LABELWIRE_KAFKA__CLIENT__SASL_PASSWORD",
                        "valueFrom": {"secretKeyRef": {"name": "user", "key": "password"}},
                    }
                ],
            },
            {"username", "password"},
        ),
    ],
)
def test_keda_reads_credentials_that_the_worker_has(
    chart: Chart, changes: dict[str, object], expected: set[str]
) -> None:
    rendered = chart.render(MINIMAL, {**KEDA, **changes})
    found = parameters(rendered)
    authentication = rendered.one("TriggerAuthentication", "worker")["metadata"]["name"]

    assert set(found) == expected
    assert set(found.values()) <= {*rendered.environment(), *rendered.references("worker")}
    assert all(trigger["authenticationRef"] == {"name": authentication} for trigger in triggers(rendered).values())


def test_credentials_in_a_secret_of_unknown_keys_are_asked_of_the_worker(chart: Chart) -> None:
    rendered = chart.render(MINIMAL, {**KEDA, "kafka.client": SCRAM, "kafka.existingSecret": "everything"})

    assert {"username", "password", "ca", "cert", "key"} <= set(parameters(rendered))


def test_without_credentials_nothing_is_referred_to(chart: Chart) -> None:
    rendered = chart.render(MINIMAL, {**KEDA, "kafka.client": {"security.protocol": "SSL"}})

    assert rendered.all("TriggerAuthentication", "worker") == []
    assert not [trigger for trigger in triggers(rendered).values() if "authenticationRef" in trigger]


def test_an_existing_trigger_authentication_is_taken(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION, {"worker.autoscaling.authenticationRef": "ours"})

    assert all(trigger["authenticationRef"] == {"name": "ours"} for trigger in triggers(rendered).values())
    assert rendered.all("TriggerAuthentication", "worker") == []


def test_metadata_of_your_own_reaches_every_trigger(chart: Chart) -> None:
    own = {"bootstrapServers": "kafka-internal:9092", "version": "2.8.0"}
    rendered = chart.render(PRODUCTION, {"worker.autoscaling.triggerMetadata": own})

    assert all(trigger["metadata"].items() >= own.items() for trigger in triggers(rendered).values())
    assert rendered.environment()["LABELWIRE_KAFKA__BOOTSTRAP_SERVERS"] != own["bootstrapServers"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kafka.client": SCRAM}, "KEDA needs the SASL username too: name its Secret in kafka.secretKeys.username"),
        (
            {"kafka.client": {**SCRAM, "sasl.username": "labels"}},
            "KEDA needs the SASL password too: name its Secret in kafka.secretKeys.password",
        ),
        (
            {"kafka.client": {"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}},
            "for KEDA it must be one of OAUTHBEARER, PLAIN",
        ),
        (
            {"kafka.client": {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}},
            "name an existing TriggerAuthentication",
        ),
        (
            {"kafka.client": {"security.protocol": "SSL", "ssl.ca.location": "/etc/kafka/ca.crt"}},
            "kafka.client.ssl.ca.location is a file, which KEDA cannot read: name the Secret in kafka.secretKeys.ca",
        ),
        (
            {"worker.autoscaling.triggerMetadata": {"topic": "other"}},
            "worker.autoscaling.triggerMetadata.topic follows from other values: leave it out",
        ),
    ],
)
def test_keda_is_not_left_without_a_way_to_the_brokers(chart: Chart, changes: dict[str, object], said: str) -> None:
    assert said in chart.refusal(MINIMAL, {**KEDA, **changes})
