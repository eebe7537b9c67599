"""Values that cannot work are refused before anything reaches a cluster, and the refusal says what to do."""

import pytest

from tests.chart.rendering import CO_LOCATED, EXTERNAL, MINIMAL, Chart
from worker.settings import RESERVED_CLIENT_OPTIONS

pytestmark = pytest.mark.timeout(1200)

SECRET = {"secretKeyRef": {"name": "a", "key": "b"}}


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
        ({"triton.models.registry.versions": ["0" * 64] * 2}, "'/triton/models/registry/versions': items at 0 and 1"),
        ({"triton.extraModelRepositories": ["/a", "/a"]}, "'/triton/extraModelRepositories': items at 0 and 1"),
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
            {
                "kafka.client": {"security.protocol": "SASL_SSL"},
                "worker.extraEnv": [{"name": "LABELWIRE_KAFKA__CLIENT__SECURITY_PROTOCOL", "value": "SSL"}],
            },
            "worker.extraEnv[LABELWIRE_KAFKA__CLIENT__SECURITY_PROTOCOL] stands in kafka.client too: leave one out",
        ),
        (
            {
                "kafka.client": {"security.protocol": "SSL"},
                "kafka.secretKeys.ca": {"secret": "ca", "key": "ca.crt"},
                "worker.extraEnv": [{"name": "LABELWIRE_KAFKA__CLIENT__SSL_CA_PEM", "valueFrom": SECRET}],
            },
            "worker.extraEnv[LABELWIRE_KAFKA__CLIENT__SSL_CA_PEM] stands in kafka.secretKeys too: leave one out",
        ),
        (
            {"worker.extraEnv": [{"name": "LABELWIRE_KAFKA__GROUP_INSTANCE_ID", "value": "one"}]},
            "each pod must have a name of its own: set worker.staticMembership",
        ),
        (
            {"worker.extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
            "worker.extraEnv has A twice: leave one out",
        ),
        ({"triton.extraEnv": [{"name": "A"}, {"name": "A"}]}, "triton.extraEnv has A twice: leave one out"),
        (
            {"triton.models.registry.extraEnv": [{"name": "A"}, {"name": "A"}]},
            "triton.models.registry.extraEnv has A twice: leave one out",
        ),
        (
            {"worker.extraVolumes": [{"name": "tmp", "emptyDir": {}}]},
            "worker.extraVolumes has tmp, which the chart sets: leave it out, or choose another name",
        ),
        (
            {"triton.extraVolumes": [{"name": "shm", "emptyDir": {}}]},
            "triton.extraVolumes has shm, which the chart sets",
        ),
        (
            {"metrics.dashboards.labels": {"app.kubernetes.io/name": "mine"}},
            "metrics.dashboards.labels has app.kubernetes.io/name, by which the chart selects",
        ),
        (
            {"commonLabels": {"grafana_dashboard": "0"}},
            "metrics.dashboards.labels has grafana_dashboard, which stands in commonLabels too: leave one out",
        ),
        ({"commonLabels": {"strimzi.io/cluster": "mine"}}, "commonLabels has strimzi.io/cluster, by which the chart"),
        (
            {"triton.extraArgs": ["--http-port=9000"]},
            "triton.extraArgs has --http-port, which the chart sets: leave it",
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


# All of librdkafka 2.16 that hold a credential, or more than a certificate.
@pytest.mark.parametrize(
    "option",
    [
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
    ],
)
def test_a_credential_is_refused_wherever_it_could_stand(chart: Chart, option: str) -> None:
    variable = f"LABELWIRE_KAFKA__CLIENT__{option.upper().replace('.', '_')}"
    assert f"kafka.client.{option} is a credential" in chart.refusal(MINIMAL, {"kafka.client": {option: "x"}})
    assert "is a credential" in chart.refusal(MINIMAL, {"worker.settings": {variable: "x"}})
    assert "is a credential" in chart.refusal(MINIMAL, {"worker.extraEnv": [{"name": variable, "value": "x"}]})


def test_the_address_of_a_server_of_tokens_is_no_credential(chart: Chart) -> None:
    variable = "LABELWIRE_KAFKA__CLIENT__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL"
    chart.render(MINIMAL, {"worker.extraEnv": [{"name": variable, "value": "https://example.com/token"}]})


def test_volumes_of_one_pod_have_names_of_their_own(chart: Chart) -> None:
    volume = [{"name": "shared", "emptyDir": {}}]
    changes = {"worker.extraVolumes": volume, "triton.extraVolumes": volume}
    chart.render(MINIMAL, changes)
    chart.render(MINIMAL, {"triton.extraVolumes": [{"name": "plans", "emptyDir": {}}]})
    assert "triton.extraVolumes has shared twice: leave one out" in chart.refusal(CO_LOCATED, changes)


def test_no_argument_of_the_chart_can_be_given_again(chart: Chart) -> None:
    arguments = chart.render(MINIMAL, {"triton.ipv6Only": True}).container("triton")["args"]
    flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
    assert len(flags) > 10
    for flag in flags:
        words = chart.refusal(MINIMAL, {"triton.extraArgs": [f"{flag}=x"]})
        assert f"triton.extraArgs has {flag}, which the chart sets" in words


def test_a_refused_password_is_not_repeated(chart: Chart) -> None:
    assert "hunter2" not in chart.refusal(MINIMAL, {"kafka.client": {"sasl.password": "hunter2"}})


def test_as_many_workers_as_partitions_are_allowed(chart: Chart) -> None:
    rendered = chart.render(EXTERNAL, {"worker.replicas": 8})

    assert rendered.one("Deployment", "worker")["spec"]["replicas"] == 8
