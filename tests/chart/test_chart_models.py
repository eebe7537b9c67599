"""Triton serves the models that it is told to, from wherever they come, beside the workers or apart from them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chart.rendering import CO_LOCATED, LOCKED_DOWN, MINIMAL, TENSORRT, Chart, Rendered
from worker import settings

pytestmark = pytest.mark.timeout(1200)

FIRST, SECOND = "1" * 64, "2" * 64
REGISTRY: dict[str, object] = {
    "triton.models.source": "registry",
    "triton.models.registry.url": "s3://models/registry",
    "triton.models.registry.versions": [FIRST, SECOND],
}


def served(rendered: Rendered) -> list[str]:
    arguments = rendered.container("triton")["args"]
    return [argument.partition("=")[2] for argument in arguments if argument.startswith("--model-repository=")]


def choices(rendered: Rendered) -> list[str]:
    """Return the repositories of which the first that fits is served in the place of {}."""
    arguments = rendered.container("triton")["args"]
    assert arguments[:2] == ["python3", "/opt/labelwire/choice.py"]
    found: list[str] = arguments[2 : arguments.index("--")]
    return found


def test_versions_of_a_registry_are_fetched_by_their_checksum_and_served_together(chart: Chart) -> None:
    rendered = chart.render(MINIMAL, REGISTRY)
    fetches = rendered.pod("triton")["initContainers"]

    assert [fetch["args"][:3] for fetch in fetches] == [["models", "fetch", FIRST], ["models", "fetch", SECOND]]
    assert all("--registry=s3://models/registry" in fetch["args"] for fetch in fetches)
    outputs = [fetch["args"][-1].removeprefix("--output=") for fetch in fetches]
    assert served(rendered) == outputs
    # The volume itself cannot be replaced, so each is a folder in it.
    assert all(Path(output).parent == Path("/models") for output in outputs)
    assert {fetch["image"] for fetch in fetches} == {rendered.container("worker")["image"]}


def test_what_is_fetched_cannot_be_changed_by_the_server(chart: Chart) -> None:
    rendered = chart.render(MINIMAL, REGISTRY)

    assert {"name": "models", "mountPath": "/models", "readOnly": True} in rendered.container("triton")["volumeMounts"]
    assert {"name": "models", "emptyDir": {"sizeLimit": "4Gi"}} in rendered.pod("triton")["volumes"]


def test_only_the_fetch_has_the_credentials_of_the_registry(chart: Chart) -> None:
    rendered = chart.render(LOCKED_DOWN)
    (fetch,) = rendered.pod("triton")["initContainers"]

    assert fetch["envFrom"] == [{"secretRef": {"name": "models-bucket"}}]
    assert "envFrom" not in rendered.container("triton")


def test_models_of_a_claim_are_mounted(chart: Chart) -> None:
    changes = {
        "triton.models": {"source": "claim", "claim": "labelwire-models"},
        "triton.modelRepository": "/models/onnx",
    }
    rendered = chart.render(MINIMAL, changes)

    claim = {"claimName": "labelwire-models", "readOnly": True}
    assert {"name": "models", "persistentVolumeClaim": claim} in rendered.pod("triton")["volumes"]
    assert served(rendered) == ["/models/onnx"]


def test_models_of_an_image_are_mounted_where_kubernetes_can(chart: Chart) -> None:
    changes = {"triton.models": {"source": "imageVolume", "imageVolume": f"models@sha256:{FIRST}"}}
    rendered = chart.render(MINIMAL, changes, kubernetes="1.31.0")

    image = {"reference": f"models@sha256:{FIRST}", "pullPolicy": "IfNotPresent"}
    assert {"name": "models", "image": image} in rendered.pod("triton")["volumes"]
    assert "Kubernetes v1.30.0 mounts no images: use 1.31" in chart.refusal(MINIMAL, changes, kubernetes="1.30.0")
    unpinned = {"triton.models": {"source": "imageVolume", "imageVolume": "registry:5000/models" + ":" + "latest"}}
    assert "triton.models.imageVolume ends in latest" in chart.refusal(MINIMAL, unpinned, kubernetes="1.31.0")


def test_a_candidate_is_served_beside_the_models_in_use(chart: Chart) -> None:
    changes = {"triton.extraModelRepositories": ["/candidates/v2"], "triton.modelSet": "v1"}
    rendered = chart.render(MINIMAL, changes)

    assert served(rendered) == ["/models", "/candidates/v2"]
    assert settings.load(rendered.environment()).triton.model_set == "v1"


def test_plans_are_built_where_triton_looks_for_them_and_are_its_first_choice(chart: Chart) -> None:
    rendered = chart.render(TENSORRT)
    job = rendered.one("Job", "plans")["spec"]["template"]["spec"]
    (build,) = job["containers"]
    (output,) = (argument.partition("=")[2] for argument in build["args"] if argument.startswith("--output="))
    (wait,) = rendered.pod("triton")["initContainers"]

    assert choices(rendered) == [output, "/models"]
    assert served(rendered) == ["{}", "/candidates/onnx.v2"]
    assert f"{output}/labelwire.json" in wait["command"][-1]
    assert build["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert job["nodeSelector"]["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    (claim,) = (volume for volume in job["volumes"] if volume["name"] == "plans")
    assert claim["persistentVolumeClaim"]["claimName"] == "labelwire-plans"
    assert any(volume.get("persistentVolumeClaim") == {"claimName": "labelwire-plans"} for volume in pods_of(rendered))


def pods_of(rendered: Rendered) -> list[dict[str, object]]:
    volumes: list[dict[str, object]] = rendered.pod("triton")["volumes"]
    return volumes


@pytest.mark.parametrize(
    "changes",
    [
        {"triton.plans.gpu": "NVIDIA-L4"},
        {"triton.plans.models": "another"},
        {"triton.plans.args": []},
        {"triton.image.tag": "0.1.0-26.01"},
    ],
)
def test_whatever_makes_other_plans_gives_them_another_folder(chart: Chart, changes: dict[str, object]) -> None:
    before, after = chart.render(TENSORRT), chart.render(TENSORRT, changes)

    assert choices(before)[0] != choices(after)[0]


@pytest.mark.parametrize("changes", [{"triton.tolerations": []}, {"commonLabels": {"example.com/cost": "labels"}}])
def test_another_pod_is_another_job_that_makes_the_same_plans(chart: Chart, changes: dict[str, object]) -> None:
    before, after = chart.render(TENSORRT), chart.render(TENSORRT, changes)

    assert choices(before) == choices(after)
    # The pod of a Job cannot be changed.
    assert before.one("Job", "plans")["metadata"]["name"] != after.one("Job", "plans")["metadata"]["name"]


def test_an_upgrade_that_changes_no_plan_runs_no_job_again(chart: Chart) -> None:
    before, after = chart.render(TENSORRT), chart.render(TENSORRT, {"worker.image.tag": "0.2.0"})

    assert before.one("Job", "plans") == after.one("Job", "plans")


@pytest.mark.parametrize("seconds", [0, 900])
def test_the_wait_for_plans_is_bounded_and_can_be_left_out(chart: Chart, seconds: int) -> None:
    rendered = chart.render(TENSORRT, {"triton.plans.waitSeconds": seconds})
    deadline = rendered.one("Deployment", "triton")["spec"]["progressDeadlineSeconds"]

    assert ("initContainers" in rendered.pod("triton")) is bool(seconds)
    assert deadline >= 600 + seconds


def test_the_wait_ends_with_the_plans_or_with_its_time(chart: Chart, tmp_path: Path) -> None:
    (wait,) = chart.render(TENSORRT, {"triton.plans.waitSeconds": 1}).pod("triton")["initContainers"]
    interpreter, flag, script = wait["command"]
    assert (interpreter, flag) == ("python3", "-c")

    # No plans: it ends by itself, so that Triton serves its next choice.
    subprocess.run([sys.executable, flag, script], check=True, timeout=30)

    there = script.replace("/plans/", f"{tmp_path}/").replace("+ 1\n", "+ 3600\n")
    (tmp_path / there.partition(f"{tmp_path}/")[2].partition("/")[0]).mkdir()
    (tmp_path / there.partition(f"{tmp_path}/")[2].partition('"')[0]).touch()
    subprocess.run([sys.executable, flag, there], check=True, timeout=30)


def test_beside_a_worker_triton_starts_first_and_ends_last(chart: Chart) -> None:
    rendered = chart.render(CO_LOCATED)
    (triton,) = rendered.pod("worker")["initContainers"]

    assert triton["restartPolicy"] == "Always", "a sidecar"
    assert "startupProbe" in triton, "the worker waits for it"
    # It gets SIGTERM when the worker has ended, and no Service sends it calls meanwhile.
    assert "lifecycle" not in triton
    assert rendered.pod("worker")["terminationGracePeriodSeconds"] >= 25 + 30 + 5
    assert settings.load(rendered.environment()).triton.url == "localhost:8001"


def test_beside_a_worker_triton_has_nothing_of_its_own(chart: Chart) -> None:
    rendered = chart.render(CO_LOCATED)

    assert [manifest for manifest in rendered.manifests if "triton" in manifest["metadata"]["name"]] == []
    assert rendered.pod("worker")["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert rendered.container("triton")["resources"]["limits"]["nvidia.com/gpu"] == 1
    endpoints = rendered.one("PodMonitor", "worker")["spec"]["podMetricsEndpoints"]
    assert [endpoint["port"] for endpoint in endpoints] == ["http", "metrics"]


def test_ports_of_a_pod_do_not_meet(chart: Chart) -> None:
    rendered = chart.render(CO_LOCATED)
    ports = [port for component in ("worker", "triton") for port in rendered.container(component)["ports"]]

    assert len({port["name"] for port in ports}) == len({port["containerPort"] for port in ports}) == len(ports)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"triton.models.source": "claim"}, "triton.models.claim is empty, but triton.models.source is claim"),
        (
            {"triton.models": {"source": "claim", "claim": "models"}, "triton.modelRepository": "s3://models"},
            "triton.modelRepository is s3://models, but triton.models.source is claim, which is mounted at /models",
        ),
        ({**REGISTRY, "triton.models.registry.url": ""}, "triton.models.registry.url is empty"),
        ({**REGISTRY, "triton.models.registry.versions": []}, "triton.models.registry.versions is empty"),
        ({**REGISTRY, "triton.models.registry.versions": ["5ea628"]}, "'/triton/models/registry/versions/0'"),
        ({**REGISTRY, "triton.modelRepository": "/models/x"}, "whose versions are served: leave it out"),
        (
            {**REGISTRY, "networkPolicy.enabled": True},
            "networkPolicy.tritonEgress is empty, but Triton's models come from elsewhere",
        ),
        ({"triton.modelSet": "V2"}, "'/triton/modelSet'"),
        ({"triton.plans.enabled": True}, "triton.plans.enabled is true, but triton.gpuCount is 0"),
        ({"triton.plans.enabled": True, "triton.gpuCount": 1}, "is empty, but triton.plans.enabled is true: set it"),
        ({"triton.url": "triton:8001"}, "triton.url is triton:8001, but triton.enabled is true"),
        (
            {"triton.enabled": False, "triton.url": "triton:8001", "triton.coLocated": True},
            "triton.coLocated is true, but triton.enabled is false",
        ),
    ],
)
def test_models_that_could_not_be_served_are_refused(chart: Chart, changes: dict[str, object], said: str) -> None:
    assert said in chart.refusal(MINIMAL, changes)


@pytest.mark.parametrize(
    ("changes", "kubernetes", "said"),
    [
        ({}, "1.28.0", "Kubernetes v1.28.0 has no sidecars: use 1.29"),
        ({"triton.autoscaling.enabled": True}, "", "so it scales with the workers: set worker.autoscaling instead"),
        ({"worker.httpPort": 8001}, "", "worker.httpPort is 8001, which Triton has in the same pod"),
    ],
)
def test_what_cannot_stand_beside_a_worker_is_refused(
    chart: Chart, changes: dict[str, object], kubernetes: str, said: str
) -> None:
    assert said in chart.refusal(CO_LOCATED, changes, kubernetes=kubernetes)
