"""compose.yaml: strictly read, in step with the images, the topics and the worker's settings."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field
from typer.testing import CliRunner

import worker
from worker import picture_settings, settings
from worker.adapters.kafka.admin import describe_topics
from worker.adapters.kafka.topics import topic_specs
from worker.cli import _app
from worker.local.kafka import KafkaServer

COMPOSE = Path(__file__).parents[2] / "docker" / "compose.yaml"

Service = dict[str, Any]

Size = Annotated[str, Field(pattern=r"^[0-9]+[mg]$")]
Duration = Annotated[str, Field(pattern=r"^[0-9]+s$")]


class _Part(BaseModel):
    """A part of the Compose Specification, as far as the file uses it; whatever else appears is most likely a slip."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Build(_Part):
    context: Literal[".."]
    dockerfile: str


class _Dependency(_Part):
    condition: Literal["service_healthy", "service_completed_successfully"]
    required: bool = True


class _HealthCheck(_Part):
    test: list[str]
    interval: Duration
    timeout: Duration
    retries: int
    start_period: Duration
    start_interval: Duration | None = None


class _Network(_Part):
    aliases: list[str]


class _Device(_Part):
    driver: Literal["nvidia"]
    count: Literal["all"]
    capabilities: list[str]


class _Service(_Part):
    image: str
    profiles: list[Literal["cpu", "gpu", "observability"]] = []
    networks: dict[Literal["default"], _Network] = {}
    deploy: dict[Literal["resources"], dict[Literal["reservations"], dict[Literal["devices"], list[_Device]]]] = {}
    mem_limit: Size
    restart: Literal["no", "unless-stopped"]
    build: _Build | None = None
    depends_on: dict[str, _Dependency] = {}
    environment: dict[str, str] = {}
    healthcheck: _HealthCheck | None = None
    entrypoint: list[str] = []
    command: list[str] = []
    ports: list[str] = []
    volumes: list[str] = []
    tmpfs: list[str] = []
    cap_drop: list[str] = []
    security_opt: list[str] = []
    shm_size: Size | None = None
    read_only: bool = False
    stop_grace_period: Duration | None = None


class _Compose(_Part):
    name: str
    services: dict[str, _Service]
    volumes: dict[str, None]


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice; YAML's readers keep the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=True) for key in own]
        assert len(keys) == len(set(keys)), f"a key stands twice:{node.start_mark}"
        return super().construct_mapping(node, deep=deep)


@pytest.fixture
def compose() -> dict[str, Any]:
    # A safe loader by inheritance.
    loaded: dict[str, Any] = yaml.load(COMPOSE.read_text(), Loader=_StrictLoader)  # noqa: S506
    return loaded


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = compose["services"]
    return found


def _default(reference: str) -> str:
    """Return the default out of ${NAME:-default}."""
    found = re.fullmatch(r"\$\{[A-Z_]+:-(.+)\}", reference)
    assert found, f"{reference} cannot be replaced by a digest"
    return found.group(1)


def _seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def test_the_file_fits_the_specification(compose: dict[str, Any]) -> None:
    services = _Compose.model_validate(compose).services
    by_profile: dict[str, set[str]] = {}
    for name, service in services.items():
        for profile in map(str, service.profiles) if service.profiles else ["always"]:
            by_profile.setdefault(profile, set()).add(name)
    assert by_profile == {
        "always": {"kafka", "topics", "worker"},
        "cpu": {"triton"},
        "gpu": {"triton-gpu"},
        "observability": {"prometheus", "grafana", "kafka-ui"},
    }


def test_without_a_profile_triton_runs_on_the_cpu() -> None:
    assert "COMPOSE_PROFILES=cpu\n" in (COMPOSE.parent / ".env").read_text()


def test_what_goes_on_says_whether_it_is_well(services: dict[str, Service]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"topics"}


def test_the_gpus_triton_differs_only_in_what_it_serves(services: dict[str, Service]) -> None:
    cpu, gpu = services["triton"], services["triton-gpu"]
    assert {name for name in gpu if gpu[name] != cpu.get(name)} == {"profiles", "image", "mem_limit", "deploy"}


def test_prometheus_scrapes_the_ports_that_answer(services: dict[str, Service]) -> None:
    config = yaml.safe_load((COMPOSE.parent / "observability" / "prometheus.yml").read_text())
    ((worker_name, worker_port), (triton_name, triton_port)) = (
        (found["names"][0], found["port"]) for job in config["scrape_configs"] for found in job["dns_sd_configs"]
    )
    assert services[worker_name]["ports"] == [f"127.0.0.1:{worker_port}:{worker_port}"]
    assert triton_name in services["triton"]["networks"]["default"]["aliases"]
    assert f"EXPOSE 8000 8001 {triton_port}\n" in (COMPOSE.parent / "triton.Dockerfile").read_text()


def test_what_is_mounted_from_the_checkout_is_there(services: dict[str, Service]) -> None:
    mounted = [
        COMPOSE.parent / volume.partition(":")[0]
        for service in services.values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert len(mounted) == 3
    assert [path for path in mounted if not path.exists()] == []


def test_every_image_has_a_version_and_can_be_replaced_by_a_digest(services: dict[str, Service]) -> None:
    images = {name: _default(service["image"]) for name, service in services.items()}

    assert re.fullmatch(r"apache/kafka:\d+\.\d+\.\d+", images["kafka"])
    assert images["topics"] == images["worker"]
    assert images["triton"] == f"labelwire-triton:{worker.__version__}"
    assert images["triton-gpu"] == f"labelwire-triton:{worker.__version__}-gpu"
    assert all(re.search(r":v?\d+\.\d+\.\d+(-gpu)?$", image) for image in images.values())
    assert images["worker"] == f"labelwire-worker:{worker.__version__}"


def test_built_images_have_a_recipe(services: dict[str, Service]) -> None:
    recipes = {name: service["build"]["dockerfile"] for name, service in services.items() if "build" in service}

    worker_recipe = "docker/worker.Dockerfile"
    triton_recipe = "docker/triton.Dockerfile"
    assert recipes == {
        "topics": worker_recipe,
        "triton": triton_recipe,
        "triton-gpu": triton_recipe,
        "worker": worker_recipe,
    }
    assert all((COMPOSE.parents[1] / recipe).is_file() for recipe in recipes.values())


def test_each_waits_for_what_it_needs(services: dict[str, Service]) -> None:
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert (how["condition"] == "service_healthy") == ("healthcheck" in services[needed])
            assert (how["condition"] == "service_completed_successfully") == (services[needed]["restart"] == "no")
    assert set(services["worker"]["depends_on"]) == {"topics", "triton", "triton-gpu"}
    optional = {name for name, how in services["worker"]["depends_on"].items() if not how.get("required", True)}
    assert optional == {name for name, service in services.items() if "inference" in str(service.get("networks"))}
    assert set(services["topics"]["depends_on"]) == {"kafka"}


def test_nothing_is_offered_to_the_network(services: dict[str, Service]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_host_finds_the_broker_where_it_says_it_is(services: dict[str, Service]) -> None:
    listeners = dict(
        entry.split("://") for entry in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    )

    assert listeners["HOST"] == services["kafka"]["ports"][0].removeprefix("127.0.0.1:").replace(
        "9094:", "localhost:", 1
    )
    assert listeners["INSIDE"] == services["worker"]["environment"]["LABELWIRE_KAFKA__BOOTSTRAP_SERVERS"]


@pytest.mark.real
def test_the_topics_are_created_by_the_command_as_it_stands_there(
    services: dict[str, Service], kafka: KafkaServer, topic: str
) -> None:
    """Compose reads a number without quotes as no text, and a wrong option would end the whole of it."""
    assert set(services["topics"]["environment"]) == {"LABELWIRE_KAFKA__BOOTSTRAP_SERVERS"}
    environment = {
        "LABELWIRE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "LABELWIRE_TOPICS__JOBS": topic,
        "LABELWIRE_TOPICS__RESULTS": f"{topic}.text",
        "LABELWIRE_TOPICS__DEAD_LETTERS": f"{topic}.dlq",
    }

    ended = CliRunner().invoke(_app, services["topics"]["command"], env=environment)

    assert ended.exit_code == 0, ended.exception
    names = [spec.name for spec in topic_specs(settings.load(environment).topics, 8, 1)]
    found = describe_topics(kafka.bootstrap_servers, names)
    assert set(found) == set(names)
    assert (found[topic].partitions, found[topic].max_message_bytes) == (8, 16 * picture_settings.MEBIBYTE)


def test_the_worker_understands_its_settings_and_has_time_to_drain(
    services: dict[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in services["worker"]["environment"].items():
        monkeypatch.setenv(name, value)

    loaded = settings.load()

    assert loaded.triton.url == "dns:///inference:8001"
    assert _seconds(services["worker"]["stop_grace_period"]) >= loaded.runtime.drain_seconds + 5
    assert services["worker"]["ports"] == [f"127.0.0.1:{loaded.http.port}:{loaded.http.port}"]


def test_triton_has_time_to_finish(services: dict[str, Service]) -> None:
    flag = re.search(r"--exit-timeout-secs=(\d+)", (COMPOSE.parent / "triton.Dockerfile").read_text())

    assert flag
    assert _seconds(services["triton"]["stop_grace_period"]) >= int(flag.group(1)) + 5


@pytest.mark.parametrize("name", ["topics", "worker", "triton"])
def test_our_containers_have_no_rights(services: dict[str, Service], name: str) -> None:
    service = services[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_a_key_that_stands_twice_is_noticed() -> None:
    with pytest.raises(AssertionError, match="stands twice"):
        yaml.load("a: 1\na: 2\n", Loader=_StrictLoader)  # noqa: S506
