"""What stands around the pods: scaling by other numbers, networks, monitors, tools, topics and users of Kafka."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chart.rendering import (
    CI_VALUES,
    CO_LOCATED,
    CPU_ONLY,
    EXTERNAL,
    LOCKED_DOWN,
    MINIMAL,
    OPENSHIFT,
    PRODUCTION,
    TENSORRT,
    Chart,
    Manifest,
    Rendered,
)
from worker import settings
from worker.adapters.kafka.topics import DAY_MS, RETENTION_MS, wanted_topics

pytestmark = pytest.mark.timeout(1200)

MEBIBYTE = 2**20
NETWORK: dict[str, object] = {"networkPolicy.enabled": True}
NO_BUCKET = {"worker.settings.LABELWIRE_BLOB__ALLOWED_PREFIXES": "[]"}


def test_a_number_that_something_scales_is_not_set(chart: Chart) -> None:
    for values in CI_VALUES:
        rendered = chart.render(values)
        scaled = {
            manifest["spec"]["scaleTargetRef"]["name"]
            for manifest in rendered.manifests
            if manifest["kind"] in {"ScaledObject", "HorizontalPodAutoscaler"}
        }
        for manifest in rendered.manifests:
            if manifest["kind"] == "Deployment":
                assert ("replicas" not in manifest["spec"]) == (manifest["metadata"]["name"] in scaled), values.stem


@pytest.mark.parametrize("component", ["worker", "triton"])
def test_a_cluster_without_keda_scales_by_cpu(chart: Chart, component: str) -> None:
    rendered = chart.render(CPU_ONLY)
    spec = rendered.one("HorizontalPodAutoscaler", component)["spec"]
    (metric,) = spec["metrics"]

    assert spec["scaleTargetRef"]["name"] == rendered.one("Deployment", component)["metadata"]["name"]
    assert metric["containerResource"]["container"] == rendered.container(component)["name"]
    assert not [manifest for manifest in rendered.manifests if manifest["kind"] == "ScaledObject"]


def test_triton_is_scaled_by_its_own_requests_that_wait(chart: Chart) -> None:
    rendered = chart.render(TENSORRT)
    spec = rendered.one("ScaledObject", "triton")["spec"]
    (trigger,) = spec["triggers"]

    assert spec["minReplicaCount"] >= 1
    pods = 'namespace="labels",pod=~"demo-labelwire-triton-.*"'
    assert trigger["metadata"]["query"] == f"sum(nv_inference_pending_request_count{{{pods}}})"
    assert trigger["metadata"]["ignoreNullValues"] == "false", "a Prometheus without targets is a failure"
    assert trigger["metricType"] == "AverageValue", "for each pod"


def test_a_query_of_your_own_scales_triton(chart: Chart) -> None:
    changes = {
        "triton.autoscaling.query": "sum(rate(nv_inference_queue_duration_us[1m])) / 1e6",
        "triton.autoscaling.authenticationRef": "prometheus",
        "triton.autoscaling.triggerMetadata": {"authModes": "bearer"},
    }
    (trigger,) = chart.render(TENSORRT, changes).one("ScaledObject", "triton")["spec"]["triggers"]

    assert trigger["metadata"]["query"].startswith("sum(rate(")
    assert trigger["metadata"]["authModes"] == "bearer"
    assert trigger["authenticationRef"] == {"name": "prometheus"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"worker.autoscaling.minReplicas": 0},
            "worker.autoscaling.minReplicas is 0, but worker.autoscaling.type is hpa",
        ),
        (
            {"worker.resources.requests.cpu": None},
            "worker.resources.requests.cpu is missing, and worker.autoscaling.type is hpa",
        ),
        ({"triton.autoscaling.maxReplicas": 1}, "triton.autoscaling.fallback.replicas is 2, over maxReplicas 1"),
        ({"triton.autoscaling.minReplicas": 9}, "triton.autoscaling.minReplicas is 9, over maxReplicas 6"),
        ({"triton.autoscaling.type": "keda"}, "triton.autoscaling.prometheusUrl is empty: give the address"),
        (
            {"triton.strategy.rollingUpdate": {"maxSurge": "0%", "maxUnavailable": 0}},
            "so no pod could ever be replaced: raise one of them",
        ),
        (
            {"metrics.podMonitor.enabled": True, "metrics.serviceMonitor.enabled": True},
            "every pod would be scraped twice: leave one out",
        ),
        (
            {"worker.serviceAccount.name": "labels", "triton.serviceAccount.name": "labels"},
            "are both labels, and both are to be made: set create to false for one",
        ),
        ({"strimzi.topics.enabled": True}, "strimzi.cluster is empty: name the Kafka object"),
        (
            {"strimzi.cluster": "main", "strimzi.topics.enabled": True, "strimzi.topics.minInsyncReplicas": 4},
            "strimzi.topics.minInsyncReplicas is 4, over strimzi.topics.replicas 3",
        ),
        (
            {
                "networkPolicy.enabled": True,
                "worker.settings": {"LABELWIRE_BLOB__ALLOWED_PREFIXES": '["s3://labels/"]'},
            },
            "networkPolicy.workerEgress is empty, but worker.settings.LABELWIRE_BLOB__ALLOWED_PREFIXES names what",
        ),
        (
            {
                "networkPolicy.enabled": True,
                "worker.extraEnv": [{"name": "LABELWIRE_CACHE__BACKEND", "value": "redis"}],
            },
            "networkPolicy.workerEgress is empty, but worker.extraEnv[LABELWIRE_CACHE__BACKEND] names",
        ),
        (
            {
                "networkPolicy.enabled": True,
                "kafka.client": {"sasl.oauthbearer.token.endpoint.url": "https://example.com/token"},
            },
            "networkPolicy.workerEgress is empty, but kafka.client.sasl.oauthbearer.token.endpoint.url names",
        ),
        (
            {"worker.settings": {"LABELWIRE_TRACING__ENDPOINT": "http://collector:4318"}},
            "LABELWIRE_TRACING__ENDPOINT would tell neither Triton nor the networks: set tracing.endpoint",
        ),
        (
            {"worker.extraEnv": [{"name": "LABELWIRE_TRACING__ENDPOINT", "value": "http://collector:4318"}]},
            "worker.extraEnv[LABELWIRE_TRACING__ENDPOINT] would tell neither",
        ),
        ({"tools.audit.schedule": "at night"}, "'/tools/audit/schedule'"),
        ({"networkPolicy.metricsFrom": [{"pods": {}}]}, "'pods' not allowed"),
    ],
)
def test_surroundings_that_cannot_work_are_refused(chart: Chart, changes: dict[str, object], said: str) -> None:
    assert said in chart.refusal(CPU_ONLY, changes)


def test_closed_networks_need_no_rule_for_what_is_not_far(chart: Chart) -> None:
    settings = {"LABELWIRE_BLOB__ALLOWED_PREFIXES": "[]", "LABELWIRE_CACHE__BACKEND": "memory"}
    rendered = chart.render(MINIMAL, {"networkPolicy.enabled": True, "worker.settings": settings})

    assert rendered.environment().items() >= settings.items()


def policy(rendered: Rendered, component: str) -> Manifest:
    spec: Manifest = rendered.one("NetworkPolicy", component)["spec"]
    return spec


def ports(rules: list[Manifest]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"]}


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Say whether a selector, as the chart writes it, takes pods with these labels."""
    return selector["matchLabels"].items() <= labels.items() and all(
        labels[expression["key"]] in expression["values"] for expression in selector["matchExpressions"]
    )


def pod_labels(rendered: Rendered, component: str) -> dict[str, str]:
    labels: dict[str, str] = rendered.one("Deployment", component)["spec"]["template"]["metadata"]["labels"]
    return labels


def test_workers_reach_kafka_triton_and_names_and_nothing_else(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION, NETWORK | NO_BUCKET)
    spec = policy(rendered, "worker")

    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert selects(spec["podSelector"], pod_labels(rendered, "worker"))
    assert ports(spec["egress"]) == {53, 9093, 8001}
    assert ports(spec["ingress"]) == {8080}
    (to_triton,) = (rule for rule in spec["egress"] if ports([rule]) == {8001})
    assert selects(to_triton["to"][0]["podSelector"], pod_labels(rendered, "triton"))


def test_only_workers_reach_triton_and_triton_reaches_only_names(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION, NETWORK | NO_BUCKET)
    spec = policy(rendered, "triton")
    from_workers, from_prometheus = spec["ingress"]

    assert selects(spec["podSelector"], pod_labels(rendered, "triton"))
    assert not selects(spec["podSelector"], pod_labels(rendered, "worker"))
    assert ports([from_workers]) == {8001}
    assert selects(from_workers["from"][0]["podSelector"], pod_labels(rendered, "worker"))
    assert ports([from_prometheus]) == {8002}
    assert ports(spec["egress"]) == {53}


@pytest.mark.parametrize(
    ("endpoint", "port"), [("http://collector:4318", 4318), ("http://collector/", 80), ("https://traces.example", 443)]
)
def test_workers_and_triton_send_traces_and_may(chart: Chart, endpoint: str, port: int) -> None:
    rendered = chart.render(MINIMAL, {"tracing.endpoint": endpoint, "networkPolicy.enabled": True})
    environment = rendered.environment()
    flags = [flag for flag in rendered.container("triton")["args"] if flag.startswith("--trace-config")]

    assert settings.load(environment).tracing.endpoint == endpoint
    assert environment["LABELWIRE_TRACING__SAMPLE_RATIO"] == "0.01"
    assert f"--trace-config=opentelemetry,url={endpoint.rstrip('/')}/v1/traces" in flags
    assert "--trace-config=rate=0" in flags
    for component in ("worker", "triton"):
        assert port in ports(policy(rendered, component)["egress"])


def test_without_a_receiver_nothing_is_traced(chart: Chart) -> None:
    rendered = chart.render(MINIMAL)
    assert [name for name in rendered.environment() if "TRACING" in name] == []
    assert [flag for flag in rendered.container("triton")["args"] if "trace-config" in flag] == []


def test_tools_have_the_network_of_the_workers(chart: Chart) -> None:
    rendered = chart.render(LOCKED_DOWN)
    selector = policy(rendered, "worker")["podSelector"]

    for tool in ("replay", "audit"):
        job = rendered.one("CronJob", tool)["spec"]["jobTemplate"]["spec"]
        assert selects(selector, job["template"]["metadata"]["labels"])
    assert selects(selector, rendered.one("Pod", "check")["metadata"]["labels"])


def test_what_brokers_advertise_and_what_is_further_needed_can_be_opened(chart: Chart) -> None:
    peers = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    bucket = {"to": peers, "ports": [{"port": 443, "protocol": "TCP"}]}
    changes = {
        **NETWORK,
        "networkPolicy.kafka": {"ports": [9094, 9095], "to": peers},
        "networkPolicy.workerEgress": [bucket],
        "networkPolicy.dnsPorts": [5353],
        "networkPolicy.metricsFrom": peers,
    }
    spec = policy(chart.render(MINIMAL, changes), "worker")

    assert ports(spec["egress"]) == {5353, 9094, 9095, 8001, 443}
    assert {"ports": [{"port": port, "protocol": "TCP"} for port in (9094, 9095)], "to": peers} in spec["egress"]
    assert bucket in spec["egress"]
    assert spec["ingress"][0]["from"] == peers


@pytest.mark.parametrize(("values", "expected"), [(EXTERNAL, {53, 9092, 8001}), (CO_LOCATED, {53, 9092})])
def test_networks_fit_where_triton_is(chart: Chart, values: Path, expected: set[int]) -> None:
    rendered = chart.render(values, NETWORK)

    assert ports(policy(rendered, "worker")["egress"]) == expected
    assert rendered.all("NetworkPolicy", "triton") == []


@pytest.mark.parametrize("component", ["worker", "triton"])
def test_a_service_monitor_finds_its_service_and_that_finds_the_pods(chart: Chart, component: str) -> None:
    rendered = chart.render(LOCKED_DOWN)
    monitor = rendered.one("ServiceMonitor", component)["spec"]
    (service,) = (
        found
        for found in rendered.manifests
        if found["kind"] == "Service"
        and monitor["selector"]["matchLabels"].items() <= found["metadata"]["labels"].items()
    )
    (endpoint,) = monitor["endpoints"]
    (port,) = service["spec"]["ports"]
    target = {port["containerPort"] for port in rendered.container(component)["ports"]}

    assert service["spec"]["selector"].items() <= pod_labels(rendered, component).items()
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert endpoint["port"] == port["name"]
    assert port["targetPort"] in target


def tool(rendered: Rendered, name: str) -> Manifest:
    spec: Manifest = rendered.one("CronJob", name)["spec"]
    return spec


def test_tools_wait_until_somebody_starts_them(chart: Chart) -> None:
    rendered = chart.render(LOCKED_DOWN)

    for name in ("replay", "audit"):
        spec = tool(rendered, name)
        assert spec["suspend"] is True
        assert spec["concurrencyPolicy"] == "Forbid"
        # Another try would be another replay.
        assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("replay", ["dlq", "replay", "--yes", "--rate=50"]),
        ("audit", ["audit", "--json", "--wait=300"]),
    ],
)
def test_tools_run_a_command_as_the_workers_would(chart: Chart, name: str, arguments: list[str]) -> None:
    rendered = chart.render(LOCKED_DOWN)
    (container,) = tool(rendered, name)["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    worker = rendered.container("worker")

    assert container["args"] == arguments
    assert container["image"] == worker["image"]
    assert container["env"] == worker["env"]


@pytest.mark.parametrize("arguments", [["dlq", "replay", "--yes"], ["audit", "--json"], ["check", "--connect"]])
def test_the_commands_of_tools_are_there(arguments: list[str]) -> None:
    command = Path(sys.executable).with_name("labelwire")
    result = subprocess.run([command, *arguments, "--help"], capture_output=True, text=True, check=False, timeout=60)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("storage_class", "volume"),
    [
        ("", {"emptyDir": {"sizeLimit": "20Gi"}}),
        (
            "fast",
            {
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "storageClassName": "fast",
                            "resources": {"requests": {"storage": "20Gi"}},
                        }
                    }
                }
            },
        ),
    ],
)
def test_an_audit_has_space_for_its_ledger(chart: Chart, storage_class: str, volume: Manifest) -> None:
    rendered = chart.render(LOCKED_DOWN, {"tools.audit.ledger.storageClassName": storage_class})
    pod = tool(rendered, "audit")["jobTemplate"]["spec"]["template"]["spec"]

    assert pod["volumes"] == [{"name": "tmp", **volume}]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the mount under test


def test_an_audit_keeps_its_state_on_a_claim(chart: Chart) -> None:
    enabled: dict[str, object] = {"tools.audit.enabled": True}
    kept, whole = (
        tool(chart.render(MINIMAL, enabled | changes), "audit")["jobTemplate"]["spec"]["template"]["spec"]
        for changes in ({"tools.audit.state.claim": "audit"}, {})
    )

    assert kept["containers"][0]["args"] == ["audit", "--json", "--state=/state"]
    assert {"name": "state", "mountPath": "/state"} in kept["containers"][0]["volumeMounts"]
    assert {"name": "state", "persistentVolumeClaim": {"claimName": "audit"}} in kept["volumes"]
    assert whole["containers"][0]["args"] == ["audit", "--json"]
    assert [volume["name"] for volume in whole["volumes"]] == ["tmp"]


def test_a_static_member_has_no_double(chart: Chart) -> None:
    rendered = chart.render(LOCKED_DOWN, {"worker.staticMembership": True})
    (container,) = tool(rendered, "audit")["jobTemplate"]["spec"]["template"]["spec"]["containers"]

    assert "LABELWIRE_KAFKA__GROUP_INSTANCE_ID" in rendered.references("worker")
    assert "LABELWIRE_KAFKA__GROUP_INSTANCE_ID" not in {entry["name"] for entry in container["env"]}


def test_helm_test_asks_kafka_as_the_workers_do(chart: Chart) -> None:
    rendered = chart.render(LOCKED_DOWN)
    pod = rendered.one("Pod", "check")
    (container,) = pod["spec"]["containers"]

    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert container["args"] == ["check", "--connect"]
    assert container["env"] == rendered.container("worker")["env"]


KAFKAS_RETENTION_MS = 7 * DAY_MS  # its own default


@pytest.mark.parametrize("mebibytes", [1, 8, 64])
def test_topics_of_strimzi_are_those_that_labelwire_itself_creates(chart: Chart, mebibytes: int) -> None:
    rendered = chart.render(LOCKED_DOWN, {"strimzi.topics.maxMessageBytes": mebibytes * MEBIBYTE})
    topics = settings.load(rendered.environment() | dict.fromkeys(rendered.references("worker"), "x")).topics
    found = {topic["spec"]["topicName"]: topic["spec"] for topic in rendered.all("KafkaTopic", "topics")}

    wanted = {topic.name: topic for topic in wanted_topics(topics, 8, mebibytes * MEBIBYTE)}
    assert set(found) == set(wanted)
    for name, topic in wanted.items():
        retention_ms = topic.floors.get(RETENTION_MS, 0)
        longer = {RETENTION_MS: str(retention_ms)} if retention_ms > KAFKAS_RETENTION_MS else {}
        assert found[name]["partitions"] == topic.partitions
        assert found[name]["config"] == {**topic.spec().configs, **longer, "min.insync.replicas": "2"}


def test_records_outlive_the_release(chart: Chart) -> None:
    topics = chart.render(LOCKED_DOWN).all("KafkaTopic", "topics")

    assert {topic["metadata"]["annotations"]["helm.sh/resource-policy"] for topic in topics} == {"keep"}
    assert {topic["metadata"]["labels"]["strimzi.io/cluster"] for topic in topics} == {"main"}


def rights(rendered: Rendered) -> dict[tuple[str, str], set[str]]:
    acls = rendered.one("KafkaUser", "user")["spec"]["authorization"]["acls"]
    return {(acl["resource"]["type"], acl["resource"]["name"]): set(acl["operations"]) for acl in acls}


def test_a_user_has_the_rights_that_a_worker_needs_and_no_more(chart: Chart) -> None:
    rendered = chart.render(LOCKED_DOWN, {"tools.replay.enabled": False, "tools.audit.enabled": False})
    topics = settings.TopicSettings()
    found = rights(rendered)

    reads = {topics.jobs, *topics.retry_topics, topics.replay_topic, topics.rollouts_topic}
    writes = {topics.results, topics.dead_letters, *topics.retry_topics, topics.rollouts_topic}
    assert {name for (kind, name), given in found.items() if kind == "topic" and "Read" in given} == reads
    assert {name for (kind, name), given in found.items() if kind == "topic" and "Write" in given} == writes
    assert all({"Describe", "DescribeConfigs"} <= given for (kind, _), given in found.items() if kind == "topic")
    assert found["group", "labelwire"] == {"Read", "Describe"}
    assert found["group", "labelwire-reader"] == {"Describe"}
    assert found["transactionalId", "labelwire-"] == {"Write", "Describe"}


def test_tools_that_are_enabled_get_their_rights(chart: Chart) -> None:
    found = rights(chart.render(LOCKED_DOWN))
    topics = settings.TopicSettings()

    assert "Read" in found["topic", topics.dead_letters]
    assert {"Write"} <= found["topic", topics.replay_topic] & found["topic", topics.parked_topic]
    assert {"Read", "Write"} <= found["topic", topics.replay_runs_topic]
    assert found["group", "labelwire-replay-"] == {"Read", "Describe"}
    assert "Read" in found["topic", topics.parked_topic], "the audit counts them"


def test_further_objects_are_rendered_as_templates(chart: Chart) -> None:
    rendered = chart.render(OPENSHIFT)
    about = rendered.one("ConfigMap", "about")

    assert about["metadata"]["name"] == "demo-labelwire-about"
    assert about["data"] == {"topic": "label-images"}


def test_openshift_assigns_its_own_users(chart: Chart) -> None:
    rendered = chart.render(OPENSHIFT)

    for pod in rendered.pods().values():
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(pod["securityContext"])
        assert not {"runAsUser", "runAsGroup"} & set(pod["containers"][0]["securityContext"])
