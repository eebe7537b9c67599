"""Values that cannot work are refused before anything reaches a cluster, and the refusal says what to do."""

import pytest

from tests.chart.rendering import EXTERNAL, MINIMAL, Chart
from worker.settings import RESERVED_CLIENT_OPTIONS

pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"wroker": {"replicas": 3}}, "'wroker' not allowed"),
        ({"worker.replica": 3}, "'replica' not allowed"),
        ({"worker.replicas": "three"}, "'/worker/replicas': got string, want integer"),
        ({"worker.replicas": -1}, "'/worker/replicas': minimum"),
        ({"worker.drainSeconds": 0}, "'/worker/drainSeconds': minimum"),
        ({"worker.graceMarginSeconds": 0}, "'/worker/graceMarginSeconds': minimum"),
        ({"worker.image.digest": "sha256:abc"}, "'/worker/image/digest'"),
        ({"worker.settings": {"LOG_LEVEL": "debug"}}, "LOG_LEVEL"),
        ({"kafka.bootstrapServers": "kafka"}, "'/kafka/bootstrapServers'"),
        ({"kafka.client": {"Security_Protocol": "SSL"}}, "Security_Protocol"),
        ({"topics.jobs": "label images"}, "'/topics/jobs'"),
        ({"topics.jobsPartitions": 0}, "'/topics/jobsPartitions': minimum"),
        ({"triton.gpuCount": 0.5}, "'/triton/gpuCount'"),
        ({"triton.repositories": ["plans"]}, "'/triton/repositories/0'"),
        ({"triton.shmSize": "lots"}, "'/triton/shmSize'"),
        ({"triton.url": "http://triton:8000"}, "'/triton/url'"),
        ({"triton.strategy.type": "BlueGreen"}, "'/triton/strategy/type'"),
        ({"metrics.podMonitor.enabled": "yes"}, "'/metrics/podMonitor/enabled'"),
        ({"nameOverride": "Label_Wire"}, "'/nameOverride'"),
        ({"topics.jobs": "j" * 238}, "'/topics/jobs'"),
        ({"kafka.secretKeys": {"ca": {"secret": "ca"}}}, "'/kafka/secretKeys/ca'"),
        ({"kafka.secretKeys": {"token": {"secret": "a", "key": "b"}}}, "'token' not allowed"),
        ({"worker.podSecurity.runAsUser": 0}, "'/worker/podSecurity/runAsUser': minimum"),
        ({"worker.extraEnv": [{"value": "x"}]}, "'/worker/extraEnv/0': missing property 'name'"),
        ({"worker.podLabels": {"team": "of many words"}}, "'/worker/podLabels/team'"),
        ({"worker.drainSeconds": None}, "'/worker': missing property 'drainSeconds'"),
    ],
)
def test_the_schema_refuses(chart: Chart, changes: dict[str, object], said: str) -> None:
    words = chart.refusal(MINIMAL, changes)

    assert "values don't meet the specifications of the schema" in words
    assert said in words


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kafka.bootstrapServers": ""}, "kafka.bootstrapServers is empty: give your brokers"),
        ({"worker.replicas": 9}, "worker.replicas is 9, but topics.jobsPartitions is 8"),
        (
            {"worker.autoscaling.enabled": True, "worker.autoscaling.maxReplicas": 9},
            "worker.autoscaling.maxReplicas is 9, but topics.jobsPartitions is 8",
        ),
        (
            {"worker.autoscaling.enabled": True, "worker.autoscaling.minReplicas": 9},
            "worker.autoscaling.minReplicas is 9, over maxReplicas 8",
        ),
        (
            {"worker.autoscaling.enabled": True, "worker.autoscaling.fallback.replicas": 9},
            "worker.autoscaling.fallback.replicas is 9, over maxReplicas 8",
        ),
        ({"worker.image.tag": "latest"}, "worker.image.tag is latest: give a version or a digest"),
        ({"triton.image.tag": "latest"}, "triton.image.tag is latest: give a version or a digest"),
        ({"triton.enabled": False}, "triton.url is empty"),
        ({"triton.shmSize": "2Gi"}, "triton.shmSize is 2Gi, half or more of triton.resources.limits.memory 4Gi"),
        ({"triton.resources.limits": None, "triton.gpuCount": 1}, "triton.resources.limits.memory is missing"),
        ({"triton.resources.limits.memory": "4G"}, "triton.resources.limits.memory is 4G: write it in whole Mi or Gi"),
        (
            {"kafka.client": {"sasl.password": "hunter2"}},
            "sasl.password is a credential: put it into a Secret and name that in kafka.secretKeys.password",
        ),
        ({"kafka.client": {"ssl.key.pem": "x"}}, "kafka.client.ssl.key.pem is a credential"),
        (
            {"kafka.client": {"ssl.keystore.password": "x"}},
            "put it as LABELWIRE_KAFKA__CLIENT__SSL_KEYSTORE_PASSWORD into the Secret that kafka.existingSecret names",
        ),
        ({"kafka.client": {"group.id": "other"}}, "kafka.client.group.id belongs to the worker and cannot be passed"),
        ({"kafka.client": {"group.id": "other"}}, "through: set kafka.groupId"),
        (
            {"worker.settings": {"LABELWIRE_KAFKA__CLIENT__SASL_PASSWORD": "x"}},
            "worker.settings.LABELWIRE_KAFKA__CLIENT__SASL_PASSWORD is a credential",
        ),
        (
            {"worker.settings": {"LABELWIRE_CACHE__URL": "redis://me:hunter2@redis:6379"}},
            "worker.settings.LABELWIRE_CACHE__URL is a credential: put it into a Secret",
        ),
        (
            {"worker.settings": {"LABELWIRE_KAFKA__CLIENT__SECURITY_PROTOCOL": "SSL"}},
            "put it into kafka.client by its own name, security.protocol",
        ),
        ({"worker.settings": {"LABELWIRE_HTTP__PORT": 1}}, "LABELWIRE_HTTP__PORT follows from worker.httpPort"),
        (
            {"worker.settings": {"LABELWIRE_LOG__LEVL": "debug"}},
            "LABELWIRE_LOG__LEVL is no setting of the worker: there are LABELWIRE_LOG__FORMAT, LABELWIRE_LOG__LEVEL (",
        ),
        (
            {"worker.settings": {"LABELWIRE_LOGS__LEVEL": "debug"}},
            "worker.settings.LABELWIRE_LOGS__LEVEL is no setting of the worker: there are LABELWIRE_BLOB__…, ",
        ),
        ({"kafka.client": {"group.instance.id": "one"}}, "through: set worker.staticMembership"),
        (
            {"worker.settings": {"LABELWIRE_KAFKA__GROUP_INSTANCE_ID": "one"}},
            "would be the same for all workers, and each must have its own: set worker.staticMembership",
        ),
        (
            {"kafka.secretKeys": {"ca": {"secret": "ca", "key": "ca.crt"}}},
            'kafka.secretKeys.ca is set, but kafka.client."security.protocol" is PLAINTEXT: set it to SSL or SASL_SSL',
        ),
        (
            {"kafka.client": {"security.protocol": "SSL"}, "kafka.secretKeys.password": {"secret": "a", "key": "b"}},
            "kafka.secretKeys.password is set, but",
        ),
        (
            {"kafka.client": {"security.protocol": "SSL"}, "kafka.secretKeys.certificate": {"secret": "a", "key": "b"}},
            "kafka.secretKeys has one of certificate and privateKey",
        ),
        (
            {
                "kafka.client": {"security.protocol": "SASL_SSL", "sasl.username": "me"},
                "kafka.secretKeys.username": {"secret": "a", "key": "b"},
            },
            "kafka.secretKeys.username and kafka.client.sasl.username are the same option: leave one out",
        ),
        ({"topics.results": "label-images"}, "topics.results is label-images, which is topics.jobs as well"),
        (
            {"topics.parked": "label-images.retry.2"},
            "topics.parked is label-images.retry.2, which is retry topic 2 of topics.jobs as well: each needs a topic",
        ),
        ({"topics.rollouts": "label-images.dlq"}, "topics.rollouts is label-images.dlq, which is topics.deadLetters"),
        (
            {"worker.podLabels": {"app.kubernetes.io/component": "mine"}},
            "worker.podLabels has app.kubernetes.io/component, by which the chart selects its objects",
        ),
        ({"commonLabels": {"helm.sh/chart": "mine"}}, "commonLabels has helm.sh/chart, by which the chart selects"),
        (
            {"commonLabels": {"team": "a"}, "triton.podLabels": {"team": "b"}},
            "triton.podLabels has team, which stands in commonLabels too: leave one out",
        ),
        (
            {"worker.extraEnv": [{"name": "LABELWIRE_LOG__LEVL", "value": "debug"}]},
            "worker.extraEnv[LABELWIRE_LOG__LEVL] is no setting of the worker: there are LABELWIRE_LOG__FORMAT",
        ),
        (
            {"worker.extraEnv": [{"name": "LABELWIRE_CACHE__SECRET", "value": "sixteen letters."}]},
            "worker.extraEnv[LABELWIRE_CACHE__SECRET] is a credential: give it by valueFrom.secretKeyRef",
        ),
        (
            {"worker.extraEnv": [{"name": "LABELWIRE_KAFKA__CLIENT__ACKS", "value": "0"}]},
            "worker.extraEnv[LABELWIRE_KAFKA__CLIENT__ACKS] belongs to the worker",
        ),
        (
            {"worker.extraEnv": [{"name": "LABELWIRE_HTTP__PORT", "value": "1"}]},
            "worker.extraEnv[LABELWIRE_HTTP__PORT] follows from worker.httpPort: leave it out here",
        ),
        (
            {
                "worker.settings": {"LABELWIRE_LOG__LEVEL": "debug"},
                "worker.extraEnv": [{"name": "LABELWIRE_LOG__LEVEL", "value": "info"}],
            },
            "worker.extraEnv[LABELWIRE_LOG__LEVEL] stands in worker.settings too: leave one out",
        ),
        (
            {"triton.extraEnv": [{"name": "HOME", "value": "/root"}]},
            "triton.extraEnv has HOME, which the chart sets: leave it out",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused_in_a_sentence(
    chart: Chart, changes: dict[str, object], said: str
) -> None:
    assert said in chart.refusal(MINIMAL, changes)


@pytest.mark.parametrize("option", sorted(RESERVED_CLIENT_OPTIONS))
def test_options_that_the_worker_refuses_are_refused_here(chart: Chart, option: str) -> None:
    assert f"kafka.client.{option} belongs to the worker" in chart.refusal(MINIMAL, {"kafka.client": {option: "x"}})


def test_a_refused_password_is_not_repeated(chart: Chart) -> None:
    assert "hunter2" not in chart.refusal(MINIMAL, {"kafka.client": {"sasl.password": "hunter2"}})


def test_as_many_workers_as_partitions_are_allowed(chart: Chart) -> None:
    rendered = chart.render(EXTERNAL, {"worker.replicas": 8})

    assert rendered.one("Deployment", "worker")["spec"]["replicas"] == 8
