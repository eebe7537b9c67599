"""What the chart promises about every pod: it ends in time, gains no rights, and finds what it is told to use."""

from http.client import HTTPConnection
from pathlib import Path

import pytest
import yaml

import worker
from tests.chart.rendering import (
    CHART,
    CI_VALUES,
    CO_LOCATED,
    EXTERNAL,
    LOCKED_DOWN,
    MINIMAL,
    PRODUCTION,
    TENSORRT,
    Chart,
    Manifest,
    Rendered,
    containers_of,
)
from worker import settings
from worker.adapters.triton import channel
from worker.local.triton import TritonServer

pytestmark = pytest.mark.timeout(1200)

_UNITS = {"Mi": 1, "Gi": 1024}


@pytest.fixture(params=CI_VALUES, ids=lambda path: path.stem)
def rendered(request: pytest.FixtureRequest, chart: Chart) -> Rendered:
    values: Path = request.param
    return chart.render(values)


def _components(rendered: Rendered) -> list[str]:
    return [component for component in ("worker", "triton") if rendered.all("Deployment", component)]


def _mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


def _flag(rendered: Rendered, name: str) -> str:
    (value,) = (
        argument.partition("=")[2]
        for argument in rendered.container("triton")["args"]
        if argument.partition("=")[0] == f"--{name}"
    )
    found: str = value
    return found


def test_only_an_external_triton_is_not_rendered(chart: Chart) -> None:
    assert _components(chart.render(MINIMAL)) == ["worker", "triton"]
    assert _components(chart.render(EXTERNAL)) == ["worker"]
    assert chart.render(EXTERNAL).all("Service", "triton") == []


def test_selectors_match_labels(rendered: Rendered) -> None:
    for component in _components(rendered):
        labels = rendered.one("Deployment", component)["spec"]["template"]["metadata"]["labels"].items()
        selectors = [rendered.one("Deployment", component)["spec"]["selector"]["matchLabels"]]
        selectors += [service["spec"]["selector"] for service in rendered.all("Service", component)]
        selectors += [
            budget["spec"]["selector"]["matchLabels"] for budget in rendered.all("PodDisruptionBudget", component)
        ]
        selectors += [
            spread["labelSelector"]["matchLabels"] for spread in rendered.pod(component)["topologySpreadConstraints"]
        ]
        assert all(selector and selector.items() <= labels for selector in selectors)


def test_pods_gain_no_rights(rendered: Rendered) -> None:
    for name, pod in rendered.pods().items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in containers_of(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name


def test_pods_write_only_where_space_is_bounded(rendered: Rendered) -> None:
    for name, pod in rendered.pods().items():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in containers_of(pod):
            for mount in container["volumeMounts"]:
                volume = volumes[mount["name"]]
                bounded = volume.get("emptyDir", {}).get("sizeLimit") or {"persistentVolumeClaim", "ephemeral"} & set(
                    volume
                )
                assert mount.get("readOnly") or bounded, (name, mount)


@pytest.mark.parametrize("values", [MINIMAL, CO_LOCATED], ids=lambda path: path.stem)
def test_each_container_runs_as_the_user_of_its_image(chart: Chart, values: Path) -> None:
    rendered = chart.render(values)

    for component, user in (("worker", 10001), ("triton", 1000)):
        context = rendered.container(component)["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"]) == (user, user)


@pytest.mark.parametrize("component", ["worker", "triton"])
def test_ids_of_users_can_be_left_to_the_cluster(chart: Chart, component: str) -> None:
    ids = dict.fromkeys(f"{component}.podSecurity.{name}" for name in ("runAsUser", "runAsGroup", "fsGroup"))

    rendered = chart.render(PRODUCTION, ids)

    assert set(rendered.pod(component)["securityContext"]) == {"runAsNonRoot", "seccompProfile"}
    assert not {"runAsUser", "runAsGroup"} & set(rendered.container(component)["securityContext"])


def test_an_id_of_openshift_is_written_whole(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION, {"worker.podSecurity.runAsUser": 1000680000})

    assert rendered.container("worker")["securityContext"]["runAsUser"] == 1000680000


def test_each_component_has_an_account_of_its_own_without_a_token(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION, {"triton.serviceAccount.annotations": {"example.com/role": "models"}})

    for component, role in (("worker", "label-reader"), ("triton", "models")):
        account = rendered.one("ServiceAccount", component)
        assert account["automountServiceAccountToken"] is False
        assert account["metadata"]["annotations"] == {"example.com/role": role}
        assert rendered.pod(component)["serviceAccountName"] == account["metadata"]["name"]


def test_a_bucket_of_models_can_be_read_and_copied(chart: Chart) -> None:
    credentials = [{"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "models", "key": "id"}}}]
    rendered = chart.render(
        MINIMAL,
        {
            "triton.modelRepository": "s3://models/onnx",
            "triton.extraEnv": credentials,
            "triton.envFrom": [{"secretRef": {"name": "models"}}],
            "triton.tmpSize": "20Gi",
        },
    )
    volumes = {volume["name"]: volume for volume in rendered.pod("triton")["volumes"]}

    assert _flag(rendered, "model-repository") == "s3://models/onnx"
    assert rendered.references("triton")["AWS_ACCESS_KEY_ID"] == credentials[0]["valueFrom"]
    assert rendered.container("triton")["envFrom"] == [{"secretRef": {"name": "models"}}]
    assert volumes["triton-tmp"]["emptyDir"] == {"sizeLimit": "20Gi"}


def test_every_secret_and_volume_that_a_pod_holds_is_used(rendered: Rendered) -> None:
    for name, pod in rendered.pods().items():
        mounted = {mount["name"] for container in containers_of(pod) for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}, name


def test_credentials_of_kafka_come_from_keys_of_any_name(chart: Chart) -> None:
    strimzi = {
        "kafka.client": {"security.protocol": "SSL"},
        "kafka.secretKeys": {
            "ca": {"secret": "main-cluster-ca-cert", "key": "ca.crt"},
            "certificate": {"secret": "labelwire", "key": "user.crt"},
            "privateKey": {"secret": "labelwire", "key": "user.key"},
        },
    }
    rendered = chart.render(MINIMAL, strimzi)

    assert rendered.references("worker") == {
        "LABELWIRE_KAFKA__CLIENT__SSL_CA_PEM": {"secretKeyRef": {"name": "main-cluster-ca-cert", "key": "ca.crt"}},
        "LABELWIRE_KAFKA__CLIENT__SSL_CERTIFICATE_PEM": {"secretKeyRef": {"name": "labelwire", "key": "user.crt"}},
        "LABELWIRE_KAFKA__CLIENT__SSL_KEY_PEM": {"secretKeyRef": {"name": "labelwire", "key": "user.key"}},
    }


def test_a_static_member_is_named_as_its_pod(chart: Chart) -> None:
    rendered = chart.render(MINIMAL, {"worker.staticMembership": True})

    name = "LABELWIRE_KAFKA__GROUP_INSTANCE_ID"
    assert rendered.references("worker") == {name: {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert name in settings.known_names()


def test_topics_of_other_names_reach_the_worker(chart: Chart) -> None:
    named = {"replays": "again", "parked": "parking", "replayRuns": "runs", "rollouts": "models"}
    environment = chart.render(MINIMAL, {f"topics.{key}": name for key, name in named.items()}).environment()

    topics = settings.load(environment).topics
    assert (topics.replay_topic, topics.parked_topic, topics.replay_runs_topic, topics.rollouts_topic) == (
        "again",
        "parking",
        "runs",
        "models",
    )


def test_topics_without_a_name_have_the_names_that_the_worker_gives(chart: Chart) -> None:
    topics = settings.load(chart.render(MINIMAL, {"topics.jobs": "intake"}).environment()).topics
    derived = settings.TopicSettings(jobs="intake")

    assert topics.replay_topic == derived.replay_topic
    assert topics.parked_topic == derived.parked_topic
    assert topics.replay_runs_topic == derived.replay_runs_topic
    assert topics.rollouts_topic == derived.rollouts_topic


def test_drains_pass_pods_that_are_not_ready(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION)

    for component in ("worker", "triton"):
        assert rendered.one("PodDisruptionBudget", component)["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_probes_and_temporary_space_can_be_set(chart: Chart) -> None:
    rendered = chart.render(MINIMAL, {"worker.probes.readiness.failureThreshold": 9, "worker.tmpSize": "1Gi"})

    assert rendered.container("worker")["readinessProbe"]["failureThreshold"] == 9
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}} in rendered.pod("worker")["volumes"]


def pod_templates(spec: Manifest) -> list[Manifest]:
    """Return the templates of pods in a spec, those of a CronJob's jobs among them."""
    job = spec.get("jobTemplate", {}).get("spec", spec)
    return [job["template"]] if "containers" in job.get("template", {}).get("spec", {}) else []


def test_further_labels_stand_beside_those_that_select(chart: Chart) -> None:
    changes = {"commonLabels": {"example.com/cost": "labels"}, "worker.podLabels": {"example.com/team": "intake"}}
    rendered = chart.render(MINIMAL, changes)
    deployment = rendered.one("Deployment", "worker")

    assert all(manifest["metadata"]["labels"]["example.com/cost"] == "labels" for manifest in rendered.manifests)
    assert "example.com/cost" not in deployment["spec"]["selector"]["matchLabels"]
    assert deployment["spec"]["template"]["metadata"]["labels"].items() >= {
        ("example.com/cost", "labels"),
        ("example.com/team", "intake"),
    }


@pytest.mark.parametrize("values", [LOCKED_DOWN, TENSORRT], ids=lambda values: values.stem)
def test_further_labels_reach_every_pod(chart: Chart, values: Path) -> None:
    templates = [
        part
        for manifest in chart.render(values, {"commonLabels": {"example.com/cost": "labels"}}).manifests
        for part in pod_templates(manifest.get("spec", {}))
    ]

    assert len(templates) > 2
    assert all(template["metadata"]["labels"]["example.com/cost"] == "labels" for template in templates)


def test_service_links_cannot_pose_as_settings(rendered: Rendered) -> None:
    # A Service named labelwire-x would put LABELWIRE_X_PORT into each pod, an unknown setting.
    assert all(pod["enableServiceLinks"] is False for pod in rendered.pods().values())


def test_pods_ask_for_what_they_need(rendered: Rendered) -> None:
    for pod in rendered.pods().values():
        for container in containers_of(pod):
            resources = container["resources"]
            assert set(resources["requests"]) == {"cpu", "memory"}
            assert _mebibytes(resources["limits"]["memory"]) >= _mebibytes(resources["requests"]["memory"])


def test_images_are_pinned(rendered: Rendered) -> None:
    for pod in rendered.pods().values():
        for container in containers_of(pod):
            repository, _, version = container["image"].partition("@")
            assert version.startswith("sha256:") or repository.rpartition(":")[2][:1].isdigit()


@pytest.mark.parametrize("drain_seconds", [25, 90])
def test_the_worker_has_time_to_drain(chart: Chart, drain_seconds: int) -> None:
    rendered = chart.render(MINIMAL, {"worker.drainSeconds": drain_seconds})

    assert rendered.environment()["LABELWIRE_RUNTIME__DRAIN_SECONDS"] == str(drain_seconds)
    assert rendered.pod("worker")["terminationGracePeriodSeconds"] >= drain_seconds + 5


@pytest.mark.parametrize(("pre_stop_seconds", "exit_seconds"), [(10, 30), (40, 120)])
def test_triton_has_time_to_finish(chart: Chart, pre_stop_seconds: int, exit_seconds: int) -> None:
    rendered = chart.render(
        MINIMAL, {"triton.preStopSeconds": pre_stop_seconds, "triton.exitTimeoutSeconds": exit_seconds}
    )

    sleep = rendered.container("triton")["lifecycle"]["preStop"]["exec"]["command"]
    assert sleep == ["sleep", str(pre_stop_seconds)]
    assert _flag(rendered, "exit-timeout-secs") == str(exit_seconds)
    assert rendered.pod("triton")["terminationGracePeriodSeconds"] >= pre_stop_seconds + exit_seconds + 5


def test_probes_ask_the_right_pages(chart: Chart) -> None:
    rendered = chart.render(MINIMAL)
    pages = {
        (component, probe): rendered.container(component)[f"{probe}Probe"]["httpGet"]
        for component in ("worker", "triton")
        for probe in ("startup", "liveness", "readiness")
    }

    assert {key: page["path"] for key, page in pages.items()} == {
        ("worker", "startup"): "/livez",
        ("worker", "liveness"): "/livez",
        ("worker", "readiness"): "/readyz",
        ("triton", "startup"): "/v2/health/ready",
        ("triton", "liveness"): "/v2/health/live",
        ("triton", "readiness"): "/v2/health/ready",
    }
    assert {(component, page["port"]) for (component, _), page in pages.items()} == {
        ("worker", "http"),
        ("triton", "health"),
    }


@pytest.mark.parametrize(("startup_seconds", "probes"), [(600, 120), (601, 121)])
def test_triton_has_time_to_load(chart: Chart, startup_seconds: int, probes: int) -> None:
    rendered = chart.render(MINIMAL, {"triton.startupSeconds": startup_seconds})
    probe = rendered.container("triton")["startupProbe"]

    assert (probe["failureThreshold"], probe["periodSeconds"]) == (probes, 5)
    assert rendered.one("Deployment", "triton")["spec"]["progressDeadlineSeconds"] > startup_seconds


def test_keda_alone_sets_the_number_of_workers(chart: Chart) -> None:
    assert "replicas" not in chart.render(PRODUCTION).one("Deployment", "worker")["spec"]
    assert chart.render(MINIMAL).one("Deployment", "worker")["spec"]["replicas"] == 2


def test_a_rollout_makes_no_surplus_worker(rendered: Rendered) -> None:
    strategy = rendered.one("Deployment", "worker")["spec"]["strategy"]

    assert strategy["rollingUpdate"]["maxSurge"] == 0


def test_triton_can_be_recreated_where_gpus_are_just_enough(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION, {"triton.strategy.type": "Recreate"})

    assert rendered.one("Deployment", "triton")["spec"]["strategy"] == {"type": "Recreate"}


def test_the_worker_resolves_every_triton_pod(chart: Chart) -> None:
    rendered = chart.render(MINIMAL)
    service = rendered.one("Service", "triton")
    (port,) = service["spec"]["ports"]

    assert service["spec"]["clusterIP"] == "None"
    assert rendered.environment()["LABELWIRE_TRITON__URL"] == f"dns:///{service['metadata']['name']}:{port['port']}"
    (grpc,) = (entry for entry in rendered.container("triton")["ports"] if entry["name"] == port["targetPort"])
    assert str(grpc["containerPort"]) == _flag(rendered, "grpc-port")


def test_an_external_triton_is_used_as_given(chart: Chart) -> None:
    environment = chart.render(EXTERNAL).environment()

    assert environment["LABELWIRE_TRITON__URL"] == "dns:///triton-headless.models:8001"
    assert "LABELWIRE_TRITON__DEVICE" not in environment, "what it runs on is not the chart's to say"


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, "gpu"), (2, "gpu")])
def test_the_workers_know_on_what_triton_runs(chart: Chart, gpus: int, device: str) -> None:
    rendered = chart.render(MINIMAL, {"triton.gpuCount": gpus})

    assert rendered.environment()["LABELWIRE_TRITON__DEVICE"] == device


def test_shared_memory_is_bounded_and_fits_the_limit(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION)
    (shm,) = (volume for volume in rendered.pod("triton")["volumes"] if volume["name"] == "shm")
    limit = rendered.container("triton")["resources"]["limits"]["memory"]

    assert {"name": "shm", "mountPath": "/dev/shm"} in rendered.container("triton")["volumeMounts"]  # noqa: S108 - the mount under test
    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
    assert 2 * _mebibytes("2Gi") < _mebibytes(limit)


@pytest.mark.parametrize("gpu_count", [0, 2])
def test_gpus_are_asked_for_only_when_wanted(chart: Chart, gpu_count: int) -> None:
    rendered = chart.render(MINIMAL, {"triton.gpuCount": gpu_count})

    assert rendered.container("triton")["resources"]["limits"].get("nvidia.com/gpu", 0) == gpu_count
    assert _flag(rendered, "allow-gpu-metrics") == ("true" if gpu_count else "false")


def test_one_repository_is_served_as_it_is(chart: Chart) -> None:
    arguments = chart.render(MINIMAL).container("triton")["args"]

    assert arguments[:2] == ["tritonserver", "--model-repository=/models"]


def test_of_several_repositories_the_first_that_fits_is_served(chart: Chart) -> None:
    repositories = ["/plans/tensorrt", "/models"]

    arguments = chart.render(MINIMAL, {"triton.repositories": repositories}).container("triton")["args"]

    script = "/opt/labelwire/choice.py"
    assert arguments[:6] == ["python3", script, *repositories, "--", "tritonserver"]
    assert arguments[6] == "--model-repository={}"
    dockerfile = (CHART.parents[1] / "docker" / "triton.Dockerfile").read_text(encoding="utf-8")
    assert f"COPY worker/models/choice.py {script}\n" in dockerfile


def test_credentials_are_referred_to_and_never_written(chart: Chart) -> None:
    rendered = chart.render(PRODUCTION)

    assert rendered.container("worker")["envFrom"] == [{"secretRef": {"name": "labels-bucket"}}]
    assert not [name for name in rendered.environment() if "PASSWORD" in name or "SECRET" in name]
    assert "Secret" not in {manifest["kind"] for manifest in rendered.manifests}


def test_whole_numbers_reach_the_worker_whole(chart: Chart) -> None:
    changes = {
        "worker.settings": {"LABELWIRE_LIMITS__MAX_INFLIGHT_BYTES": 268435456, "LABELWIRE_PIPELINE__TILE_SCALE": 0.6}
    }
    environment = chart.render(PRODUCTION, changes).environment()

    assert environment["LABELWIRE_KAFKA__CLIENT__FETCH_MESSAGE_MAX_BYTES"] == "10485760"
    assert environment["LABELWIRE_LIMITS__MAX_INFLIGHT_BYTES"] == "268435456"
    assert environment["LABELWIRE_PIPELINE__TILE_SCALE"] == "0.6"


def test_the_worker_understands_every_variable_that_the_chart_sets(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (rendered.environment() | dict.fromkeys(rendered.references("worker"), "x")).items():
        monkeypatch.setenv(name, value)

    loaded = settings.load()

    assert loaded.http.port == rendered.container("worker")["ports"][0]["containerPort"]
    assert loaded.log.format == "json"
    assert loaded.triton.url == "localhost:8001" or loaded.triton.url.startswith("dns:///")


def test_the_chart_is_for_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == worker.__version__


def test_triton_endures_the_pings_of_the_worker(chart: Chart) -> None:
    allowed_ms = int(_flag(chart.render(MINIMAL), "grpc-http2-min-recv-ping-interval-without-data"))

    assert allowed_ms < int(dict(channel.options(max_message_bytes=1))["grpc.keepalive_time_ms"])


def test_on_ipv6_alone_triton_listens_there(chart: Chart) -> None:
    rendered = chart.render(MINIMAL, {"triton.ipv6Only": True})

    assert (_flag(rendered, "http-address"), _flag(rendered, "metrics-address")) == ("ipv6:::", "ipv6:::")
    assert rendered.environment()["LABELWIRE_HTTP__HOST"] == "::"


@pytest.mark.real
def test_the_real_triton_takes_the_charts_flags_and_guards_what_the_worker_does_not_need(
    chart: Chart, tmp_path: Path
) -> None:
    # Ports, paths and flags that the local server sets for itself stay its own.
    own = (
        "--model-",
        "--disable-auto",
        "--exit-timeout",
        "--http-port",
        "--grpc-port",
        "--metrics-port",
        "--allow-gpu",
    )
    flags = [flag for flag in chart.render(MINIMAL).container("triton")["args"][1:] if not flag.startswith(own)]
    (tmp_path / "models").mkdir()

    with TritonServer(tmp_path / "models", run_dir=tmp_path / "run", arguments=flags) as server:
        answers = {page: _status(server, page) for page in ("/v2/health/ready", "/v2", "/v2/models/stats")}

    assert answers == {"/v2/health/ready": 200, "/v2": 403, "/v2/models/stats": 403}


def _status(server: TritonServer, page: str) -> int:
    connection = HTTPConnection(server.http_url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", page)
        return connection.getresponse().status
    finally:
        connection.close()
